"""Figures of a classifier against their definitions, and sets of classes from held-out cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexscope.classify.held_out import HeldOutClasses
from hexscope.classify.nearest import Gallery
from hexscope.classify.score import auc, confusion, interval, mean_auc, roc
from hexscope.errors import FormatError
from hexscope.models.classifier import Classifier


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40))
def test_auc_is_the_chance_to_rank_right(pairs: list[tuple[int, bool]]) -> None:
    scores, truth = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    yes, no = scores[truth], scores[~truth]
    if not len(yes) or not len(no):
        assert np.isnan(auc(scores, truth))
        return
    wins = (yes[:, None] > no).mean() + 0.5 * (yes[:, None] == no).mean()
    assert auc(scores, truth) == pytest.approx(float(wins))
    false, true = roc(scores, truth)
    assert float(np.trapezoid(true, false)) == pytest.approx(float(wins))
    assert false[0] == true[0] == 0 and false[-1] == true[-1] == 1


def test_mean_auc_of_three_classes_and_of_two() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.4, 0.5, 0.1], [0.1, 0.2, 0.7]])
    asked = np.eye(3, dtype=bool)[[0, 1, 0, 2]]
    each = [auc(p[:, k], asked[:, k]) for k in range(3)]
    assert mean_auc(p, asked) == pytest.approx(np.mean(each)) and each[1] < 1
    two = np.stack([1 - p[:, 0], p[:, 0]], axis=1)
    assert mean_auc(two, np.stack([~asked[:, 0], asked[:, 0]], axis=1)) == auc(p[:, 0], asked[:, 0])
    assert confusion(p, asked.argmax(axis=1)).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_interval_draws_patients_and_not_cases() -> None:
    rng = np.random.default_rng(0)
    by_patient = np.repeat(rng.random(12) < 0.5, 20).astype(float)
    alone = interval(lambda i: float(by_patient[i].mean()), range(240))
    whole = interval(lambda i: float(by_patient[i].mean()), np.repeat(np.arange(12), 20).tolist())
    assert whole.high - whole.low > 3 * (alone.high - alone.low) and whole.patients == 12


def _held(n: int, exclusive: bool) -> HeldOutClasses:
    rng = np.random.default_rng(1)
    asked = np.eye(3, dtype=bool)[rng.integers(0, 3, n)] if exclusive else rng.random((n, 3)) < 0.4
    logits = 2.0 * asked + rng.normal(size=(n, 3))
    p = Classifier(("a",), (1.0,), (0.0,) * 3, exclusive).probabilities(logits)
    return HeldOutClasses(p, asked, np.arange(n), exclusive)


@pytest.mark.parametrize("exclusive", [True, False])
def test_sets_cover_and_grow_with_coverage(exclusive: bool) -> None:
    held, new = _held(900, exclusive), _held(400, exclusive)
    sizes = []
    for coverage in (0.8, 0.95):
        sets, undecided, _ = held.not_excluded(new.probabilities, coverage)
        assert (sets[new.asked]).mean() == pytest.approx(coverage, abs=0.04)
        sizes.append(sets.sum())
        if exclusive:
            assert undecided.tolist() == [int(s.sum()) != 1 for s in sets]
    assert sizes[0] < sizes[1]


def test_few_cases_cannot_promise_and_say_so() -> None:
    kept, undecided, reasons = _held(12, True).not_excluded(np.array([[0.98, 0.01, 0.01]]), 0.95)
    assert kept.all() and undecided.all() and len(reasons) == 3


def test_held_out_scores_come_back_as_they_were() -> None:
    held = _held(20, True)
    back = HeldOutClasses.from_data(held.as_data())
    assert np.allclose(back.probabilities, held.probabilities, atol=1e-6) and (back.asked == held.asked).all()
    with pytest.raises(FormatError, match="asked"):
        HeldOutClasses.from_data({k: v for k, v in held.as_data().items() if k != "asked"})


def test_gallery_names_the_nearest(tmp_path: pytest.TempPathFactory) -> None:
    from pathlib import Path

    rng = np.random.default_rng(2)
    table = rng.normal(size=(30, 16))
    path = Path(str(tmp_path)) / "nearest.npz"
    Gallery.of(table, [f"c{k}" for k in range(30)], ["x"] * 30).write(path)
    found = Gallery.read(path.parent)
    assert found is not None
    first, second = found.nearest(table[7] + 0.02 * rng.normal(size=16), 2)
    assert first.case == "c7" and first.likeness > 0.98 > second.likeness
