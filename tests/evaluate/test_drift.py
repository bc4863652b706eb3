"""Answers to a batch against those to held-out patients."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from hexscope.classify.held_out import CALIBRATION, HeldOutClasses
from hexscope.core.results import Finding, Findings, Scores
from hexscope.evaluate.drift import drift
from hexscope.model_verbs import drift as told
from hexscope.models.shelf import Model
from hexscope.trust.promise import HeldOut
from tests.models.networks import card_for


def model(folder: Path, task: str, figures: HeldOut | HeldOutClasses | None) -> Model:
    folder.mkdir()
    if figures is not None:
        (folder / CALIBRATION).write_text(json.dumps(figures.as_data()))
    return Model(replace(card_for(2), task=task), folder)


def found(scores: np.ndarray, least: float = 0.2) -> list[Findings]:
    promise = {"score": least}
    return [
        Findings(tuple(Finding(float(s), "lesion") for s in [score] if s >= least), "a test", promise=promise)
        for score in scores
    ]


def test_findings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 80
    held = HeldOut(
        tuple(range(n)), tuple(range(n)), tuple(rng.random(n).tolist()), (9.0,) * n, (), (), "mm", "as in the test"
    )
    detector = model(tmp_path / "detector", "detect", held)
    like, unlike = drift(detector, found(rng.random(60))), drift(detector, found(rng.random(60) ** 6))
    assert like is not None and not like.alarm
    assert unlike is not None and unlike.alarm and not unlike.higher
    assert "what was promised need not hold" in told(detector, found(rng.random(60) ** 6))
    silent = [replace(f, promise=None) for f in found(rng.random(60) ** 6)]
    assert drift(detector, silent) is None and told(detector, silent) == ""


def test_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)

    def sure(n: int, low: float) -> np.ndarray:
        top = rng.uniform(low, 1, n)
        return np.stack([top, 1 - top], axis=1)

    p = sure(160, 0.6)
    held = HeldOutClasses(p, np.eye(2, dtype=bool)[rng.integers(0, 2, 160)], np.arange(160) // 2, True)
    classifier = model(tmp_path / "classifier", "classify", held)
    like, unlike = ([Scores({"a": a, "b": b}) for a, b in sure(80, low)] for low in (0.6, 0.95))
    assert told(classifier, like) == ""
    assert "higher than" in told(classifier, unlike)
    assert drift(model(tmp_path / "bare", "classify", None), like) is None
