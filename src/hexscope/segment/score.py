"""How well two masks agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hexscope.core.image import Mask
from hexscope.errors import GeometryError

Part = NDArray[np.bool_]


def dice(a: Part, b: Part) -> float:
    """2 |A ∩ B| / (|A| + |B|), Dice 1945, doi:10.2307/1932409. 1 where both are empty: they agree.

    Two bool arrays of one shape.
    """
    total = int(a.sum()) + int(b.sum())
    return 1.0 if total == 0 else 2.0 * int((a & b).sum()) / total


def iou(a: Part, b: Part) -> float:
    """|A ∩ B| / |A ∪ B|, Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x. 1 where both are empty."""
    union = int((a | b).sum())
    return 1.0 if union == 0 else int((a & b).sum()) / union


def volume_error(truth: Part, found: Part) -> float | None:
    """|size found − true size| / true size, of pixels and so of ml or mm². Both empty: 0; only the truth: None."""
    wanted, got = int(truth.sum()), int(found.sum())
    if wanted == 0:
        return 0.0 if got == 0 else None
    return abs(got - wanted) / wanted


def dice_by_label(truth: Mask, found: Mask) -> dict[str, float]:
    """Dice of each label of ``truth``, by name; 0 for one that ``found`` lacks (1 if it is empty in both).

    Raises GeometryError where the masks lie on different grids.
    """
    if not truth.grid.same_as(found.grid):
        raise GeometryError("two masks on different grids cannot be compared; bring one onto the other with resample()")
    known = {label.name for label in found.labels}
    nothing = np.zeros(truth.grid.shape, bool)
    return {
        label.name: dice(truth.of(label.name), found.of(label.name) if label.name in known else nothing)
        for label in truth.labels
    }
