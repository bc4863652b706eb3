"""All figures of one case: how well what was found agrees with the truth, label by label.

Conventions for empty structures: where neither holds the structure they agree (Dice, IoU and surface Dice 1, distances
and volume error 0); where one does, Dice, IoU and surface Dice are 0 and distances are None: left out of means, whose n
then tells. So a mean Dice over cases many of which are empty is flattered; ``dice_where_present`` is the Dice of the
cases whose truth holds the structure, and ``left_empty`` says of the others whether nothing was found (1) or not (0).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Mask
from hexscope.core.measure import axes_mm, circumference_of
from hexscope.errors import GeometryError
from hexscope.segment.instances import Overlaps, lesion_hits
from hexscope.segment.score import Part, dice, iou, volume_error
from hexscope.segment.surface import surface_distances

#: A figure of one case; None: it means nothing there.
Figures = dict[str, float | None]

#: Tolerance of the surface Dice where none is asked for, in mm.
TOLERANCE_MM = 1.0


def agreement(
    truth: Mask,
    found: Mask,
    *,
    labels: Collection[str] | None = None,
    ignore: Part | None = None,
    tolerance_mm: float = TOLERANCE_MM,
) -> Figures:
    """Figures of one case by name: means over its labels, and ``NAME/LABEL`` where there are several.

    labels  the structures that were outlined in this case; None: all of ``truth``
    ignore  pixels that nobody looked at: they count for neither

    Distances are in mm (``hd95_mm``), or in pixels where the grid has no spacing (``hd95_px``). Labels meet by name;
    one that ``found`` lacks is empty there. Raises GeometryError where the masks lie on different grids.
    """
    _require_one_grid(truth, found)
    known = {label.name for label in found.labels}
    nothing = np.zeros(truth.grid.shape, bool)
    by_label = {}
    for label in truth.labels:
        if labels is not None and label.name not in labels:
            continue
        a = truth.of(label.name)
        b = found.of(label.name) if label.name in known else nothing
        if ignore is not None:
            a, b = a & ~ignore, b & ~ignore
        by_label[label.name] = part_agreement(a, b, truth.grid, tolerance_mm)
    return _with_means(by_label)


def part_agreement(truth: Part, found: Part, grid: Grid, tolerance_mm: float = TOLERANCE_MM) -> Figures:
    """Figures of one structure: two bool arrays on ``grid``."""
    box = _box(truth | found)
    a, b = truth[box], found[box]
    present = bool(a.any())
    value = dice(a, b)
    out: Figures = {
        "dice": value,
        "iou": iou(a, b),
        "volume_error": volume_error(a, b),
        "dice_where_present": value if present else None,
        "left_empty": None if present else float(not b.any()),
    }
    return out | _distances(a, b, grid, tolerance_mm) | _of_lesions(a, b)


def instance_agreement(truth: NDArray[Any], found: NDArray[Any]) -> Figures:
    """Figures of two label maps in which every value is an object of its own."""
    overlaps = Overlaps.of(truth, found)
    return {
        "f1_50": overlaps.f1(),
        "f1_50_95": overlaps.mean_f1(),
        "panoptic_quality": overlaps.panoptic_quality(),
        "aji": overlaps.aji(),
        "dice": dice(truth > 0, found > 0),
    }


def _require_one_grid(truth: Mask, found: Mask) -> None:
    if not truth.grid.same_as(found.grid):
        raise GeometryError("two masks on different grids cannot be compared; bring one onto the other with resample()")


def _box(part: Part) -> tuple[slice, ...]:
    """The least box around a structure; of nothing, one pixel."""
    bounds = []
    for axis in range(part.ndim):
        held = np.flatnonzero(part.any(axis=tuple(i for i in range(part.ndim) if i != axis)))
        bounds.append(slice(int(held[0]), int(held[-1]) + 1) if len(held) else slice(0, 1))
    return tuple(bounds)


def _distances(truth: Part, found: Part, grid: Grid, tolerance_mm: float) -> Figures:
    if grid.spacing_mm is None:
        apart = surface_distances(truth, found, np.eye(grid.ndim))
        return {"hd95_px": apart.hausdorff(), "assd_px": apart.mean()}
    axes = axes_mm(grid)
    apart = surface_distances(truth, found, axes)
    out: Figures = {
        f"surface_dice_{tolerance_mm:g}mm": apart.dice(tolerance_mm),
        "hd95_mm": apart.hausdorff(),
        "assd_mm": apart.mean(),
    }
    if grid.ndim == 2 and truth.any():
        seen = circumference_of(found, axes) if found.any() else 0.0
        out["circumference_error_mm"] = abs(seen - circumference_of(truth, axes))
    return out


def _of_lesions(truth: Part, found: Part) -> Figures:
    hits = lesion_hits(truth, found)
    return {
        "lesions": float(hits.lesions),
        "lesion_sensitivity": hits.sensitivity,
        "lesion_false_positives": float(hits.false_positives),
    }


def _with_means(by_label: Mapping[str, Figures]) -> Figures:
    names = list(dict.fromkeys(name for figures in by_label.values() for name in figures))
    out: Figures = {}
    for name in names:
        held = [v for figures in by_label.values() if (v := figures.get(name)) is not None]
        out[name] = float(np.mean(held)) if held else None
    if len(by_label) > 1:
        out |= {f"{name}/{label}": value for label, figures in by_label.items() for name, value in figures.items()}
    return out
