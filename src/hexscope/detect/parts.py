"""A segmentation read as detection: every connected part of a structure, or every object, is a candidate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.models.apply import Prediction
from hexscope.models.card import ModelCard

#: Parts of fewer pixels are specks.
_LEAST_PIXELS = 4

Box = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class Parts:
    """Candidates, best first.

    boxes   (n, 2 * dims) in pixels of the image
    kinds   (n,) number of the structure
    scores  (n,) mean certainty of its pixels, 0..1
    labels  on the image's grid: 1 for the first candidate, 2 for the second, …
    """

    boxes: NDArray[np.float64]
    kinds: NDArray[np.intp]
    scores: NDArray[np.float64]
    labels: NDArray[np.uint16]


def parts_of(made: Prediction, card: ModelCard) -> Parts:
    """The candidates of a segmenter's answer. Where parts overlap, the better one covers the other."""
    found = sorted(_each(made, card), key=lambda part: -part[2])
    shape = made.mask.grid.shape
    labels = np.zeros(shape, np.uint16)
    for number in range(len(found), 0, -1):
        box, _, _, inside = found[number - 1]
        labels[box][inside] = number
    edges = [[*(s.start for s in box), *(s.stop for s in box)] for box, _, _, _ in found]
    return Parts(
        np.array(edges, np.float64).reshape(-1, 2 * len(shape)),
        np.array([kind for _, kind, _, _ in found], np.intp),
        np.array([score for _, _, score, _ in found], np.float64),
        labels,
    )


def _each(made: Prediction, card: ModelCard) -> Iterator[tuple[Box, int, float, NDArray[np.bool_]]]:
    """(where, structure, score, pixels there) of every part."""
    objects = card.recipe is not None and card.recipe.target == "instances"
    maps: list[tuple[int, NDArray[Any]]] = []
    if objects:
        maps.append((0, made.mask.array))
    else:
        around = np.ones((3,) * made.mask.grid.ndim)
        for kind, name in enumerate(card.classes):
            maps.append((kind, ndimage.label(made.mask.of(name), around)[0]))
    for kind, labels in maps:
        for number, box in enumerate(ndimage.find_objects(labels.astype(np.int32)), start=1):
            if box is None:
                continue
            inside = labels[box] == number
            if inside.sum() >= _LEAST_PIXELS:
                yield box, kind, float(made.certainty[box][inside].mean()) / 255.0, inside
