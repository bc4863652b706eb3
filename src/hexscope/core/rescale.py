"""Numbers from one grid to another whose axes run alike: axis by axis, plane by plane, in little memory.

Models look at images at a spacing of their own and give their answer on the image's grid; both ways lead through
here. Where axes do not run alike, `hexscope.core.resample` is the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.errors import GeometryError

Floats = NDArray[np.float32]

#: About so many input numbers are turned into float32 at a time.
_CHUNK = 8 << 20


@dataclass(frozen=True, eq=False)
class Taps:
    """Each output pixel of one axis as a weighted sum of input pixels: ``index`` and ``weight``, both (n, taps)."""

    index: NDArray[np.intp]
    weight: Floats

    @classmethod
    def between(cls, n: int, m: int, scale: float, offset: float, *, smooth: bool = True) -> Taps:
        """Output pixel i of ``m`` lies at ``scale * i + offset`` among ``n`` input pixels; beyond the ends, the end.

        Linear interpolation; where ``smooth`` and the output steps over input pixels, a tent as wide as the step
        weighs all it covers, so that nothing fine folds over into something coarse.
        """
        width = max(scale, 1.0) if smooth else 1.0
        centre = scale * np.arange(m) + offset
        first = np.ceil(centre - width + 1e-9).astype(np.intp)
        index = first[:, None] + np.arange(int(np.ceil(2 * width)))
        weight = np.maximum(1.0 - np.abs(index - centre[:, None]) / width, 0.0)
        weight[weight < 1e-6] = 0.0
        weight /= weight.sum(axis=1, keepdims=True)
        weight = _centred(weight, index, centre)
        keep = weight.any(axis=0)
        return cls(np.clip(index, 0, n - 1)[:, keep], weight[:, keep].astype(np.float32))

    @property
    def is_identity(self) -> bool:
        """Does every output pixel take the input pixel of its own number?"""
        return self.index.shape[1] == 1 and np.array_equal(self.index[:, 0], np.arange(len(self.index)))

    def part(self, start: int, stop: int, first: int) -> Taps:
        """Output pixels ``start`` to ``stop`` from an array that begins at input pixel ``first``."""
        return Taps(self.index[start:stop] - first, self.weight[start:stop])

    def along(self, array: NDArray[Any], axis: int) -> Floats:
        """The sums along one axis of ``array``, float32."""
        if self.is_identity and array.shape[axis] == len(self.index):
            return array.astype(np.float32, copy=False)
        shape = [1] * array.ndim
        shape[axis] = -1
        out: Floats | None = None
        for index, weight in zip(self.index.T, self.weight.T, strict=True):
            term = np.take(array, index, axis=axis) * weight.reshape(shape)
            out = term if out is None else np.add(out, term, out=out)
        assert out is not None
        return out


def _centred(weight: NDArray[Any], index: NDArray[Any], centre: NDArray[Any]) -> NDArray[np.float64]:
    """Weights whose middle lies where it should: a tent sampled at whole pixels is off by a few hundredths."""
    middle = (weight * index).sum(axis=1)
    spread = (weight * (index - middle[:, None]) ** 2).sum(axis=1)
    tilt = np.where(spread > 1e-9, (centre - middle) / np.maximum(spread, 1e-9), 0.0)
    return np.asarray(weight * (1.0 + tilt[:, None] * (index - middle[:, None])))


def taps_between(source: Grid, to: Grid, *, smooth: bool = True) -> tuple[Taps, ...]:
    """How ``to`` is reached from ``source``, one entry an axis. GeometryError where their axes do not run alike."""
    scale, offset = _axis_map(source, to)
    lengths = zip(source.shape, to.shape, scale, offset, strict=True)
    return tuple(Taps.between(n, m, s, o, smooth=smooth) for n, m, s, o in lengths)


def _axis_map(source: Grid, to: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixel i of ``to`` lies at ``scale * i + offset`` of ``source``; grids without a place share their middle."""
    if source.ndim != to.ndim:
        raise GeometryError(f"a grid of {source.ndim} axes cannot be rescaled to one of {to.ndim}")
    if source.affine is not None and to.affine is not None:
        corner = source.to_index(to.to_world(np.zeros(to.ndim)))
        steps = source.to_index(to.to_world(np.eye(to.ndim))) - corner
        scale = np.diag(steps)
        if np.abs(steps - np.diag(scale)).max() > 1e-6 or scale.min() <= 0:
            raise GeometryError("the axes of the two grids do not run alike; use resample()")
        return scale, np.where(np.abs(corner) < 1e-9, 0.0, corner)
    if source.spacing_mm is not None and to.spacing_mm is not None:
        scale = np.array(to.spacing_mm) / np.array(source.spacing_mm)
    else:
        scale = np.array(source.shape) / np.array(to.shape)
    return scale, (np.array(source.shape) - 1) / 2 - scale * (np.array(to.shape) - 1) / 2


def rescaled(array: NDArray[Any], taps: Sequence[Taps]) -> Floats:
    """``array`` along its last ``len(taps)`` axes, as float32; earlier axes come along."""
    lead = array.ndim - len(taps)
    first, inner = taps[0], taps[1:]
    shape = (*array.shape[:lead], *(len(t.index) for t in taps))
    out = np.empty(shape, np.float32)
    plane = max(array.size // array.shape[lead], 1)
    step = max(1, _CHUNK // plane)
    low, high = first.index.min(axis=1), first.index.max(axis=1) + 1
    for start in range(0, shape[lead], step):
        stop = min(start + step, shape[lead])
        a, b = int(low[start:stop].min()), int(high[start:stop].max())
        part = array[(*[slice(None)] * lead, slice(a, b))]
        part = first.part(start, stop, a).along(part, lead)
        for axis, along in enumerate(inner, start=lead + 1):
            part = along.along(part, axis)
        out[(*[slice(None)] * lead, slice(start, stop))] = part
    return out
