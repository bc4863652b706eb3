"""A detection network on an image: its planes over the whole image, and the boxes that they name.

Planes of the answer, at a fraction of the resolution of what the network sees: a logit of heat a class (an object of
that class has its middle here), one of belonging (some box covers this), one of fit (the IoU that the box named here
will have), and the logarithms of the distances to the least and to the greatest edges of the box, in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hexscope.core.patches import tiles
from hexscope.errors import GeometryError
from hexscope.models.boxes import suppressed, voted
from hexscope.models.prepare import Prepared, padded
from hexscope.models.recipe import Recipe
from hexscope.models.runtime import Engine, Network

Floats = NDArray[np.float32]

#: Peaks below this heat, and beyond so many, name no candidate.
LEAST_HEAT = 0.01
_MOST = 400
#: Two boxes that overlap more are of one object.
SAME = 0.5
#: Boxes that overlap a peak's own by so much vote for its sides, with their heat to this power.
_VOTE, _POWER = 0.7, 2.0
_LOG_SIDES = (-2.0, 8.0)


@dataclass(frozen=True, eq=False)
class Maps:
    """What the network says of every place. Pixels of the answer are ``stride`` pixels of what it sees.

    heat     (classes, *out) 0..1
    belongs  (*out) 0..1
    fit      (*out) 0..1
    boxes    (2 * dims, *out) least and greatest edges, in pixels of what the network sees
    """

    heat: Floats
    belongs: Floats
    fit: Floats
    boxes: Floats
    stride: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Peaks:
    """Candidates of a network, best first.

    boxes  (n, 2 * dims) in pixels of what it sees
    heat   (n, classes) at each peak
    fit    (n,) the IoU that each box is expected to have
    """

    boxes: Floats
    heat: Floats
    fit: Floats

    @property
    def scores(self) -> Floats:
        """How sure the network is of an object in that very box: the geometric mean of heat and fit."""
        best = self.heat.max(axis=1) if len(self.heat) else np.zeros(0, np.float32)
        return np.asarray(np.sqrt(best * self.fit), dtype=np.float32)


def maps(network: Network, prepared: Prepared, recipe: Recipe, *, mirror: bool = False) -> tuple[Maps, str]:
    """The network's planes over the whole of ``prepared``, tile by tile, and what ran it.

    mirror  the mirror image along the last axis is looked at as well, and both answers are averaged

    Raises GeometryError for an image of other axes than the network's.
    """
    shape = prepared.grid.shape
    if len(shape) != recipe.dims:
        raise GeometryError(
            f"the model looks for objects in images of {recipe.dims} axes; this one has {len(shape)}. Give one slice"
        )
    short = [m if n < t else s for n, t, m, s in zip(shape, recipe.tile, recipe.multiple, recipe.multiple, strict=True)]
    array, within = padded(prepared.array, (1,) * len(shape), short)
    regions = list(tiles(array.shape[1:], recipe.tile, recipe.overlap))
    engine = network.engine_for(np.ascontiguousarray(array[(slice(None), *regions[0])]), len(regions))
    whole: Floats | None = None
    stride = (1,) * len(shape)
    for region in regions:
        part = _answer(engine, np.ascontiguousarray(array[(slice(None), *region)]), mirror)
        if whole is None:
            stride = tuple((r.stop - r.start) // n for r, n in zip(region, part.shape[1:], strict=True))
            whole = np.empty((len(part), *(n // s for n, s in zip(array.shape[1:], stride, strict=True))), np.float32)
        _place(whole, part, region, stride, recipe.overlap)
    assert whole is not None
    return _read(whole, stride, within), engine.name


def _answer(engine: Engine, array: Floats, mirror: bool) -> Floats:
    own = engine.run(array)
    if not mirror:
        return own
    other = engine.run(np.ascontiguousarray(array[..., ::-1]))[..., ::-1].copy()
    dims = own.ndim - 1
    sides = other[-2 * dims :].copy()
    other[-1], other[-1 - dims] = sides[dims - 1], sides[-1]  # what was left is right
    return np.asarray((own + other) / 2, dtype=np.float32)


def _place(
    whole: Floats, part: Floats, region: tuple[slice, ...], stride: tuple[int, ...], shared: tuple[int, ...]
) -> None:
    """Put a tile's planes where they belong; of what two tiles saw, each gives the half farther from its rim."""
    there, here = [], []
    for r, s, o in zip(region, stride, shared, strict=True):
        start, stop = r.start // s, r.stop // s
        first = start + (o // s // 2 if start > 0 else 0)  # before it, the tile before counts
        there.append(slice(first, stop))
        here.append(slice(first - start, stop - start))
    whole[(slice(None), *there)] = part[(slice(None), *here)]


def _read(logits: Floats, stride: tuple[int, ...], within: tuple[slice, ...]) -> Maps:
    dims = len(stride)
    classes = len(logits) - 2 - 2 * dims
    shares = np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits[: classes + 2], -60, 60))), dtype=np.float32)
    sides = np.exp(np.clip(logits[classes + 2 :], *_LOG_SIDES))
    boxes = np.empty_like(sides)
    for axis in range(dims):
        place = (np.arange(logits.shape[1 + axis], dtype=np.float32) + 0.5) * stride[axis] - within[axis].start
        place = place.reshape(tuple(-1 if i == axis else 1 for i in range(dims)))
        boxes[axis] = place - sides[axis]
        boxes[axis + dims] = place + sides[axis + dims]
    return Maps(shares[:classes], shares[classes], shares[classes + 1], boxes, stride)


def peaks(found: Maps, sides: tuple[int, ...], *, least: float = LEAST_HEAT, same: float = SAME) -> Peaks:
    """The objects that ``found`` names, in an image of ``sides`` pixels: peaks of heat, their boxes by the vote of
    neighbours, duplicates left out."""
    from scipy import ndimage

    dims = len(sides)
    best = found.heat.max(axis=0)
    top = (best >= least) & (best == ndimage.maximum_filter(best, 3, mode="constant"))
    at = np.flatnonzero(top)
    at = at[np.argsort(-best.ravel()[at], kind="stable")[:_MOST]]
    flat = found.boxes.reshape(2 * dims, -1)
    fit = found.fit.ravel()
    score = np.sqrt(best.ravel() * fit)
    boxes = flat[:, at].T
    if len(at):
        voters = np.flatnonzero(ndimage.maximum_filter(top, 3).ravel())
        weights = score[voters] ** _POWER
        keep = suppressed(boxes, score[at], same)
        boxes, at = voted(boxes[keep], flat[:, voters].T, weights, _VOTE), at[keep]
    boxes = np.clip(boxes, 0, np.array([*sides, *sides]))
    whole = np.all(boxes[:, dims:] - boxes[:, :dims] > 0.5, axis=1) if len(boxes) else np.zeros(0, bool)
    heat = found.heat.reshape(len(found.heat), -1)[:, at].T
    return Peaks(boxes[whole].astype(np.float32), heat[whole], fit[at][whole])
