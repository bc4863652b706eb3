from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Mask
from hexscope.errors import GeometryError
from hexscope.segment.agreement import agreement, instance_agreement, part_agreement
from hexscope.segment.score import dice, iou, volume_error

maps = arrays(np.uint8, (5, 7, 11), elements=st.integers(0, 2))
NAMES = {1: "front", 2: "back"}


def test_labels_meet_by_name_and_means_are_theirs(oblique_grid: Grid) -> None:
    truth = np.zeros(oblique_grid.shape, np.uint8)
    truth[1:3, 1:5, 1:6], truth[3:5, 1:5, 1:6] = 1, 2
    found = np.zeros(oblique_grid.shape, np.uint8)
    found[1:3, 1:5, 1:6] = 9
    a, b = Mask.from_array(truth, oblique_grid, NAMES), Mask.from_array(found, oblique_grid, {9: "front"})
    figures = agreement(a, b)
    assert figures["dice/front"] == 1 and figures["dice/back"] == 0 and figures["dice"] == 0.5
    assert figures["surface_dice_1mm/front"] == 1 and figures["hd95_mm/front"] == 0 and figures["hd95_mm/back"] is None
    assert figures["hd95_mm"] == 0 and figures["volume_error"] == 0.5
    only = agreement(a, b, labels={"front"})
    assert only["dice"] == 1 and "dice/front" not in only
    with pytest.raises(GeometryError, match="resample"):
        agreement(a, Mask.from_array(found, oblique_grid.flip(0)))


def test_pixels_that_nobody_looked_at_do_not_count(oblique_grid: Grid) -> None:
    truth, found, ignore = (np.zeros(oblique_grid.shape, bool) for _ in range(3))
    truth[1], found[1:3], ignore[2] = True, True, True
    masks = [Mask.from_parts({"liver": part}, oblique_grid) for part in (truth, found)]
    assert (agreement(*masks)["dice"] or 0) < 0.7
    assert agreement(*masks, ignore=ignore)["dice"] == 1.0


def test_conventions_for_empty_structures(oblique_grid: Grid) -> None:
    nothing, some = np.zeros(oblique_grid.shape, bool), np.zeros(oblique_grid.shape, bool)
    some[2:4, 2:4, 3:8] = True
    both = part_agreement(nothing, nothing, oblique_grid)
    assert (both["dice"], both["hd95_mm"], both["left_empty"], both["dice_where_present"]) == (1, 0, 1, None)
    false = part_agreement(nothing, some, oblique_grid)
    assert (false["dice"], false["hd95_mm"], false["left_empty"], false["volume_error"]) == (0, None, 0, None)
    assert (false["lesion_sensitivity"], false["lesion_false_positives"]) == (None, 1)
    missed = part_agreement(some, nothing, oblique_grid)
    assert (missed["dice_where_present"], missed["left_empty"], missed["volume_error"]) == (0, None, 1)
    assert (missed["surface_dice_1mm"], missed["lesion_sensitivity"]) == (0, 0)


def test_without_a_spacing_distances_are_in_pixels() -> None:
    a, b = np.zeros((7, 11), bool), np.zeros((7, 11), bool)
    a[2:5, 2:6], b[2:5, 4:8] = True, True
    figures = part_agreement(a, b, Grid((7, 11), plane="unknown"))
    assert figures["hd95_px"] == 2.0 and not [name for name in figures if name.endswith("mm")]
    known = part_agreement(a, b, Grid((7, 11), spacing_mm=(0.7, 0.5)), tolerance_mm=0.8)
    assert known["hd95_mm"] == 1.0 and known["circumference_error_mm"] == pytest.approx(0)
    assert "surface_dice_0.8mm" in known


@given(maps, maps)
def test_the_box_changes_nothing(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    grid = Grid((5, 7, 11), spacing_mm=(3.0, 0.7, 0.5))
    figures = part_agreement(a == 1, b == 1, grid)
    assert figures["dice"] == dice(a == 1, b == 1) and figures["iou"] == iou(a == 1, b == 1)
    assert figures["volume_error"] == volume_error(a == 1, b == 1)
    flipped = part_agreement(np.flip(a == 1, 2), np.flip(b == 1, 2), grid)
    assert {k: pytest.approx(v) for k, v in flipped.items()} == figures


def test_objects() -> None:
    truth = np.array([[1, 1, 0, 2, 2, 2]], np.uint16)
    figures = instance_agreement(truth, truth[:, ::-1])
    assert figures["f1_50"] == 1 and figures["panoptic_quality"] == pytest.approx(2 / 3)
    assert figures["f1_50_95"] == pytest.approx(0.4) and instance_agreement(truth, truth)["f1_50_95"] == 1
