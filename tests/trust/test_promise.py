"""The promise of a detector as data: whole, by size, refused, written and read again."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from hexscope.errors import FormatError, RefusedError
from hexscope.trust.promise import HeldOut, promise


def held_out(patients: int = 90, seed: int = 0) -> HeldOut:
    """Two images a patient; large lesions score better; every seventh small one is hit by nothing."""
    rng = np.random.default_rng(seed)
    image, score, size = [], [], []
    for index in range(2 * patients):
        for _ in range(int(rng.integers(0, 3)) if index % 2 else 1):
            extent = float(rng.uniform(1, 30))
            own = 1 / (1 + math.exp(-(extent / 8 + rng.normal())))
            image.append(index)
            size.append(extent)
            score.append(-math.inf if extent < 10 and rng.random() < 1 / 7 else own)
    false = rng.integers(0, 2 * patients, 300)
    return HeldOut(
        group=tuple(i // 2 for i in range(2 * patients)),
        lesion_image=tuple(image),
        lesion_score=tuple(score),
        lesion_size=tuple(size),
        false_image=tuple(int(i) for i in false),
        false_score=tuple(float(s) for s in rng.random(300) ** 3),
        size_unit="mm",
        hit="centre inside the box",
    )


def test_it_counts_patients_and_tells_the_cost() -> None:
    held = held_out()
    made = promise(held, 0.85)
    score = made.require()
    assert made.threshold.n == held.patients == 90
    false = sum(s >= score for s in held.false_score) / 180
    assert made.threshold.false_positives == pytest.approx(false)
    assert "90 held-out" in made.sentence and f"{false:.2f} false positives an image" in made.sentence
    data = json.loads(json.dumps(made.as_json()))
    assert data["feasible"] and data["found"] >= 0.85 and data["lesions"] == len(held.lesion_score)


def test_small_lesions_are_told_apart() -> None:
    held = held_out()
    sizes = promise(held, 0.85).by_size
    assert [s.name for s in sizes] == ["small", "middle", "large"]
    assert sum(s.lesions for s in sizes) == len(held.lesion_size)
    assert sizes[0].at < sizes[2].at
    assert not sizes[0].threshold.feasible  # a seventh is never hit, and few patients have small ones
    assert sizes[2].threshold.feasible


def test_for_each_size_is_the_harder_promise() -> None:
    held = held_out(400)
    whole, each = promise(held, 0.8), promise(held, 0.8, each_size=True)
    assert each.require() < whole.require()
    assert each.require() == min(s.threshold.score for s in each.by_size if s.threshold.score is not None)
    assert min(s.at for s in each.by_size) >= 0.8
    with pytest.raises(RefusedError, match="most that can be promised"):
        promise(held, 0.95, each_size=True).require()


def test_what_cannot_be_promised_is_refused() -> None:
    made = promise(held_out(), 0.99)
    assert made.sentence.startswith("no promise")
    assert made.as_json()["score"] is None
    with pytest.raises(RefusedError, match="the most that can be promised"):
        made.require()


def test_it_survives_being_written() -> None:
    held = held_out(20)
    again = HeldOut.from_data(json.loads(json.dumps(held.as_data())))
    assert again.group == held.group and again.lesion_image == held.lesion_image
    assert np.allclose(again.lesion_score, held.lesion_score, atol=1e-6)
    assert promise(again, 0.7).require() == pytest.approx(promise(held, 0.7).require(), abs=1e-6)


def test_a_part_keeps_its_own() -> None:
    held = held_out(10)
    part = held.where([4, 5, 19])
    assert part.group == (2, 2, 9)
    assert part.best_scores() == [held.best_scores()[i] for i in (4, 5, 19)]
    assert len(part.lesion_size) == sum(i in (4, 5, 19) for i in held.lesion_image)


def test_broken_figures_are_refused() -> None:
    data = held_out(5).as_data()
    with pytest.raises(FormatError, match="lesion_size"):
        HeldOut.from_data({k: v for k, v in data.items() if k != "lesion_size"})
    with pytest.raises(FormatError, match="not there"):
        HeldOut.from_data(data | {"group": [0]})
    with pytest.raises(FormatError, match="every false one a score"):
        HeldOut.from_data(data | {"false_score": []})
