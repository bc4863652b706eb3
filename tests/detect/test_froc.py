"""Figures of detection against counting by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hexscope.detect.froc import CPM_AT, Boxes, Sheet, match, mean_precision


def sheet(name: str, found: list[tuple[list[float], float, int]], truth: list[tuple[list[float], int]]) -> Sheet:
    ours = Boxes.of([b for b, _, _ in found], [k for _, _, k in found], [s for _, s, _ in found])
    return Sheet(name, name, ours, Boxes.of([b for b, _ in truth], [k for _, k in truth]))


LARGE, SMALL = [0.0, 0.0, 10.0, 20.0], [30.0, 40.0, 35.0, 43.0]
NEAR = [1.0, 0.0, 11.0, 20.0]
AWAY = [50.0, 50.0, 60.0, 60.0]
#: Two images: the first has both objects and three findings, the second none and one.
SHEETS = [
    sheet("a", [(NEAR, 0.9, 0), (AWAY, 0.8, 0), (SMALL, 0.7, 1)], [(LARGE, 0), (SMALL, 1)]),
    sheet("b", [(AWAY, 0.75, 0)], []),
]


def test_findings_are_matched_best_first_and_each_object_once() -> None:
    twice = sheet("c", [(LARGE, 0.5, 0), (NEAR, 0.9, 0)], [(LARGE, 0)])
    strict = match([twice], "iou", 0.5)
    assert strict.hits.tolist() == [True, False] and strict.reached.tolist() == [0.9]
    near = match([twice], "centre")
    assert near.hits.tolist() == [True], "a second hit of one object is neither true nor false by FROC's convention"


def test_average_precision_by_hand() -> None:
    # ranked: hit, miss, miss, hit; precision 1 at recall 1/2, 2/4 at recall 1
    assert match(SHEETS).average_precision()[0] == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    assert match(SHEETS, kind=1).average_precision()[0] == pytest.approx(1.0)
    assert mean_precision(SHEETS, [0, 1]).mean == pytest.approx(1.0)


def test_froc_by_hand() -> None:
    found = match(SHEETS, "centre")
    # no false one: 1 of 2 objects; one false one (1/2 an image) does not reach the second object; two do
    assert found.sensitivity_at((0.0, 0.5, 1.0))[0].tolist() == [0.5, 0.5, 1.0]
    assert found.cpm()[0] == pytest.approx(np.mean([0.5, 0.5, 0.5, 1, 1, 1, 1]))
    assert len(CPM_AT) == 7
    assert found.best_f1()[0] == pytest.approx(2 * 2 / (4 + 2))


def test_sizes_from_small_to_large() -> None:
    parts = match(SHEETS).by_size(0.8, parts=2)
    assert [(n, hit) for _, _, n, hit in parts] == [(1, 0), (1, 1)]
    assert parts[0][1] == 15.0 and parts[1][0] == 200.0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_average_precision_of_scikit_learn(seed: int) -> None:
    """Where every object is found, the area is that of a ranking; ours takes the envelope, so it is no smaller."""
    from sklearn.metrics import average_precision_score

    chance = np.random.default_rng(seed)
    sheets, labels, scores = [], [], []
    for image in range(6):
        true = chance.random() < 0.5
        score = float(chance.random())
        truth = [(LARGE, 0)] if true else []
        sheets.append(sheet(str(image), [(LARGE if true else AWAY, score, 0)], truth))
        labels.append(true)
        scores.append(score)
    if any(labels):
        ours = match(sheets).average_precision()[0]
        assert ours >= average_precision_score(labels, scores) - 1e-9
        assert ours <= 1 + 1e-9


def test_a_patient_drawn_twice_counts_twice() -> None:
    found = match(SHEETS)
    doubled = match(
        [SHEETS[0], sheet("a2", [(NEAR, 0.9, 0), (AWAY, 0.8, 0), (SMALL, 0.7, 1)], [(LARGE, 0), (SMALL, 1)])]
    )
    weights = np.array([[2.0, 0.0]])
    assert found.average_precision(weights)[0] == pytest.approx(doubled.average_precision()[0])
    assert found.sensitivity_at((0.5, 1.0), weights)[0].tolist() == doubled.sensitivity_at((0.5, 1.0))[0].tolist()


def test_interval_holds_the_figure_and_one_patient_has_none() -> None:
    chance = np.random.default_rng(5)
    sheets = []
    for image in range(40):
        hit = chance.random() < 0.7
        sheets.append(sheet(str(image), [(LARGE if hit else AWAY, float(chance.random()), 0)], [(LARGE, 0)]))
    found = match(sheets)
    estimate = found.estimate(found.average_precision)
    assert estimate.low < estimate.mean < estimate.high and estimate.high - estimate.low < 0.5
    alone = match(sheets[:1])
    assert np.isnan(alone.estimate(alone.cpm).low)
    curve, low, high = found.band((0.1, 1.0))
    assert np.all(low <= curve + 1e-9) and np.all(curve <= high + 1e-9)
