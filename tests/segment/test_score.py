from __future__ import annotations

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Mask
from hexscope.errors import GeometryError
from hexscope.segment.score import dice, dice_by_label, iou


def test_by_hand() -> None:
    a = np.array([[1, 1, 0, 0, 1]], bool)
    b = np.array([[0, 1, 1, 0, 1]], bool)
    assert dice(a, b) == pytest.approx(4 / 6)
    assert iou(a, b) == pytest.approx(2 / 4)
    nothing = np.zeros((1, 5), bool)
    assert dice(nothing, nothing) == iou(nothing, nothing) == 1.0
    assert dice(a, nothing) == iou(a, nothing) == 0.0


def test_by_label(oblique_grid: Grid) -> None:
    truth, found = np.zeros(oblique_grid.shape, np.uint8), np.zeros(oblique_grid.shape, np.uint8)
    truth[0], truth[1] = 1, 2
    found[0], found[2] = 7, 9
    a = Mask.from_array(truth, oblique_grid, {1: "liver", 2: "spleen", 3: "kidney"})
    b = Mask.from_array(found, oblique_grid, {7: "liver", 9: "other"})
    assert dice_by_label(a, b) == {"liver": 1.0, "spleen": 0.0, "kidney": 1.0}
    with pytest.raises(GeometryError, match="resample"):
        dice_by_label(a, Mask.from_array(found, oblique_grid.flip(0)))
