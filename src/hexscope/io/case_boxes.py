"""The objects of a labelled case as boxes, however they were labelled: boxes, masks, or a map of objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.image import Image, Mask
from hexscope.core.resample import resample
from hexscope.errors import InputError
from hexscope.io.case import WHOLE, Case, CaseTable, Target
from hexscope.io.cases import IGNORE, open_instances, open_mask

#: Parts of a mask with fewer pixels are slips of the pen, not objects.
_LEAST_PIXELS = 3
#: What objects are called where nobody says.
OBJECT = "object"


@dataclass(frozen=True, eq=False)
class Objects:
    """Every object of one case.

    boxes   (objects, 2 * dims) least and greatest edges in array order of the image: pixel i runs from i to i + 1
    names   what each is
    """

    boxes: NDArray[np.float64]
    names: tuple[str, ...]


def object_names(table: CaseTable, target: Target) -> tuple[str, ...]:
    """The classes of the objects that ``open_objects`` gives, in the order of their values.

    Numbered objects are all of one kind: the table's class where it names one only.
    """
    words = tuple(table.classes.values())
    return (OBJECT,) if not words or (target == "instances" and len(words) > 1) else words


def open_objects(case: Case, table: CaseTable, target: Target, on: Image) -> Objects:
    """The objects of ``case``, on the grid of ``on``.

    Of a mask, every connected part of each structure is one (pixels that touch by a corner belong together); of boxes,
    what lies beyond the image is cut off. Raises InputError where a box lies outside, and what reading masks raises.
    """
    if target == "boxes":
        return _boxes(case, on)
    if target == "instances":
        mask = _onto(open_instances(case, on=on), on)
        found = [_edges(part) for part in ndimage.find_objects(mask.array.astype(np.int32)) if part is not None]
        return _objects(found, [*object_names(table, target)] * len(found), on.grid.ndim)
    reference = table.inputs[0] if table.masks_by == "input" else WHOLE
    mask = _onto(open_mask(case, table, reference, on=on), on)
    boxes: list[list[float]] = []
    names: list[str] = []
    for label in mask.labels:
        if label.name != IGNORE:
            parts = _parts(mask.of(label.name))
            boxes += parts
            names += [label.name] * len(parts)
    return _objects(boxes, names, on.grid.ndim)


def _boxes(case: Case, on: Image) -> Objects:
    if on.grid.ndim != 2:
        raise InputError(f"case {case.case}: boxes x, y, w, h are of pictures; its image has {on.grid.ndim} axes")
    height, width = on.grid.shape
    found, names = [], []
    for box in case.boxes or ():
        edges = [max(box.y, 0.0), max(box.x, 0.0), min(box.y + box.h, height), min(box.x + box.w, width)]
        if edges[0] >= edges[2] or edges[1] >= edges[3]:
            raise InputError(
                f"case {case.case}: the box at x={box.x:g}, y={box.y:g} lies outside its image of {width} x {height} "
                "pixels; boxes are in pixels of the image as stored"
            )
        found.append(edges)
        names.append(box.label or OBJECT)
    return _objects(found, names, 2)


def _objects(boxes: list[list[float]], names: list[str], dims: int) -> Objects:
    return Objects(np.array(boxes, np.float64).reshape(-1, 2 * dims), tuple(names))


def _parts(part: NDArray[np.bool_]) -> list[list[float]]:
    labels, count = ndimage.label(part, np.ones((3,) * part.ndim))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    return [_edges(box) for n, box in enumerate(ndimage.find_objects(labels), start=1) if sizes[n] >= _LEAST_PIXELS]


def _edges(box: tuple[slice, ...]) -> list[float]:
    return [*(float(s.start) for s in box), *(float(s.stop) for s in box)]


def _onto(mask: Mask, on: Image) -> Mask:
    """The mask on the image's own grid: one drawn on another image of the patient is brought over."""
    return mask if mask.grid.same_as(on.grid) else resample(mask, on.grid)
