"""What the objects of a training are like: sizes and numbers, all that the plan of a detector rests on besides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hexscope.io.case import Case
from hexscope.io.case_boxes import open_objects
from hexscope.io.cases import open_images
from hexscope.models.prepare import Turn
from hexscope.train.checks import Checked

#: Cases whose objects are looked at, evenly spread.
_LOOKED_AT = 80


@dataclass(frozen=True)
class ObjectFacts:
    """Sides in pixels of the image as stored, axes in the order that the network sees.

    object_sides  median side by axis
    small, large  shortest side of an object, 10 % and 90 % of all
    crowd         largest number of objects in one image
    per_image     mean number
    by_class      number of each
    """

    object_sides: tuple[float, ...]
    small: float
    large: float
    crowd: int
    per_image: float
    by_class: dict[str, int]


def measure_objects(checked: Checked, cases: Sequence[Case]) -> ObjectFacts:
    """The objects of the cases to train on."""
    ordered = sorted(cases, key=lambda c: c.case)
    at = np.unique(np.linspace(0, len(ordered) - 1, min(_LOOKED_AT, len(ordered))).round().astype(int))
    sides, counts, names = [], [], Counter[str]()
    for case in (ordered[i] for i in at):
        image = next(iter(open_images(case, checked.table.kinds).values()))
        objects = open_objects(case, checked.table, checked.target, image)
        dims = image.grid.ndim
        turn = Turn.of(image.grid, dims)
        sides.append((objects.boxes[:, dims:] - objects.boxes[:, :dims])[:, list(turn.order)])
        counts.append(len(objects.boxes))
        names.update(objects.names)
    every = np.concatenate(sides)
    least = every.min(axis=1)
    return ObjectFacts(
        object_sides=tuple(round(float(v), 1) for v in np.median(every, axis=0)),
        small=round(float(np.percentile(least, 10)), 1),
        large=round(float(np.percentile(every.max(axis=1), 90)), 1),
        crowd=max(counts),
        per_image=round(float(np.mean(counts)), 2),
        by_class=dict(names),
    )
