"""A label that travels with the device is found out; one that does not is not accused."""

from __future__ import annotations

import numpy as np

from hexscope.train.shortcut import TRIVIAL, shortcut
from hexscope.trust.gate import TELLS


def rows(rng: np.random.Generator, truth: np.ndarray, shift: float) -> list[dict[str, float]]:
    return [
        {"size_y": 8 + 0.2 * rng.normal(), "edge_top": 0.3 + shift * t + 0.1 * rng.normal(), "cell_00": 5.0 * t}
        for t in truth
    ]


def test_a_border_that_tells_is_named() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    asked = np.stack([truth == 0, truth == 1], axis=1)
    groups = [str(i // 2) for i in range(400)]
    told = shortcut(rows(rng, truth, 0.25), asked, groups)
    assert told is not None and told.auc.mean > 0.9 and told.single == "edge_top"
    assert "edge_top alone" in told.sentence and "must do clearly better" in told.sentence
    fair = shortcut(rows(rng, truth, 0.0), asked, groups)
    assert fair is not None and abs(fair.auc.mean - 0.5) < 0.1 and "must do" not in fair.sentence


def test_what_is_shown_is_no_shortcut() -> None:
    """``cell_00`` tells the label, and is not among the trivial numbers."""
    assert set(TELLS) > TRIVIAL and "cell" not in TRIVIAL and "texture" not in TRIVIAL


def test_several_classes_and_too_few_cases() -> None:
    rng = np.random.default_rng(1)
    truth = np.arange(90) % 3
    asked = np.stack([truth == c for c in range(3)], axis=1)
    told = shortcut(rows(rng, truth, 0.4), asked, [str(i) for i in range(90)], [i // 18 for i in range(90)])
    assert told is not None and told.auc.mean > 0.75
    assert shortcut(rows(rng, truth[:6], 0.4), asked[:6], list("abcdef")) is None
