from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from hexscope.segment.instances import Overlaps, lesion_hits

maps = arrays(np.uint16, (7, 11), elements=st.integers(0, 4))


def row(text: str) -> NDArray[np.uint16]:
    return np.array([[int(c) for c in text]], np.uint16)


def test_by_hand() -> None:
    overlaps = Overlaps.of(row("1111022203"), row("1110009990"))
    # 1: 3 of 4 shared, IoU 3/4; 2 and 9: shared 2 of 4, IoU 1/2, which is not above .5; 3 is missed
    assert overlaps.iou == pytest.approx(np.array([[3 / 4, 0], [0, 2 / 4], [0, 0]]))
    assert overlaps.f1(0.5) == pytest.approx(2 / 5)
    assert overlaps.panoptic_quality() == pytest.approx(2 * 0.75 / 5)
    assert overlaps.mean_f1() == pytest.approx(np.mean([2 / 5] * 5 + [0] * 5))
    assert overlaps.aji() == pytest.approx((3 + 2) / (8 + 6 - 5))


def test_an_object_found_twice_counts_once() -> None:
    overlaps = Overlaps.of(row("1111100000"), row("1111222222"))
    assert overlaps.f1() == pytest.approx(2 / 3)
    assert overlaps.aji() == pytest.approx(4 / (5 + 6))


def test_nothing() -> None:
    none, some = row("0000"), row("0110")
    assert (
        Overlaps.of(none, none).f1() == Overlaps.of(none, none).panoptic_quality() == Overlaps.of(none, none).aji() == 1
    )
    for a, b in ((none, some), (some, none)):
        overlaps = Overlaps.of(a, b)
        assert overlaps.f1() == overlaps.panoptic_quality() == overlaps.aji() == overlaps.mean_f1() == 0


def test_a_threshold_that_matches_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="match several"):
        Overlaps.of(row("11"), row("11")).f1(0.3)


@given(maps, maps)
def test_bounds_and_symmetry(a: NDArray[np.uint16], b: NDArray[np.uint16]) -> None:
    there, back = Overlaps.of(a, b), Overlaps.of(b, a)
    assert there.f1() == back.f1() and there.panoptic_quality() == pytest.approx(back.panoptic_quality())
    assert (
        0 <= there.panoptic_quality() <= there.f1() + 1e-12 <= 1 + 1e-11 and 0 <= there.mean_f1() <= there.f1() + 1e-12
    )
    assert 0 <= there.aji() <= 1
    assert there.f1(0.75) <= there.f1(0.5)


@given(maps, st.permutations([1, 2, 3, 4]))
def test_names_of_objects_do_not_matter(a: NDArray[np.uint16], names: list[int]) -> None:
    renamed = np.array([0, *names], np.uint16)[a]
    overlaps = Overlaps.of(a, renamed)
    assert overlaps.f1() == overlaps.panoptic_quality() == overlaps.aji() == overlaps.mean_f1() == 1


def test_lesions_by_hand() -> None:
    truth = np.zeros((7, 11), bool)
    found = np.zeros((7, 11), bool)
    truth[0, 0] = truth[1, 1] = True  # one lesion: they touch by a corner
    truth[4:6, 4:6] = truth[6, 10] = True
    found[1, 1] = found[4, 9] = found[2, 6] = True
    found[5, 5:8] = True
    hits = lesion_hits(truth, found)
    assert (hits.lesions, hits.found, hits.false_positives) == (3, 2, 2)
    assert hits.sensitivity == pytest.approx(2 / 3)
    nothing = lesion_hits(np.zeros((7, 11), bool), found)
    assert nothing.sensitivity is None and nothing.false_positives == 4


@given(maps, maps)
def test_lesion_counts_stay_within(a: NDArray[np.uint16], b: NDArray[np.uint16]) -> None:
    hits = lesion_hits(a > 2, b > 2)
    assert 0 <= hits.found <= hits.lesions and hits.false_positives >= 0
    whole = lesion_hits(a > 2, np.ones(a.shape, bool))
    assert whole.sensitivity in (None, 1.0)
