"""Values of an array at the pixels of another grid, some rows at a time, so that the way there costs no memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Array
from hexscope.core.warp import Affine, Part

#: Points under way at a time: 24 bytes each.
_POINTS = 1 << 18
_FEWEST_POINTS = 4096
#: Pixels of edge that a cubic spline is given on each side, as scipy does: beyond, its coefficients have settled.
_SPLINE_EDGE = 12


@dataclass(frozen=True, eq=False)
class Sampler:
    """An array (z, y, x) or (y, x) and how it is read between its pixels; ``outside`` beyond its extent.

    how  "linear" or "cubic" (of float32 or float64), "nearest" (of any type), "vote" (of labels, uint16)

    The extent ends half a pixel past the last centres; up to there the edge's value holds.
    """

    array: NDArray[Any]
    how: str
    outside: float

    def read(self, points: Array, to_index: Array) -> NDArray[Any]:
        """Values (n,) at ``points`` (n, 3), which ``to_index`` (4 × 4) takes to array indices."""
        if self.how == "nearest":
            return self._nearest(points, to_index)
        if self.how == "vote":
            return self._compiled("vote", points, to_index, np.empty(len(points), np.uint16))
        if self.how == "linear" and self.volume.dtype == np.float32:
            return self._compiled("linear", points, to_index, np.empty(len(points), np.float32), self.outside)
        return self._spline(points, to_index)

    @cached_property
    def volume(self) -> NDArray[Any]:
        """(z, y, x), a plane as one slice."""
        array = self.array.reshape(-1, *self.array.shape[-2:])
        return np.ascontiguousarray(array)

    def _compiled(self, name: str, points: Array, to_index: Array, out: NDArray[Any], *more: float) -> NDArray[Any]:
        from hexscope.kernels import sampling
        from hexscope.kernels.threads import share

        args = self.volume, points, to_index, *more, out
        share(getattr(sampling, name), len(points), *args, least=_FEWEST_POINTS)
        return out

    def _nearest(self, points: Array, to_index: Array) -> NDArray[Any]:
        from hexscope.kernels import sampling
        from hexscope.kernels.threads import share

        place = np.empty(len(points), np.int64)
        shape = np.array(self.volume.shape, np.int64)
        share(sampling.nearest, len(points), shape, points, to_index, place, least=_FEWEST_POINTS)
        values = np.take(self.volume.reshape(-1), np.maximum(place, 0))
        values[place < 0] = self.outside
        return values

    def _spline(self, points: Array, to_index: Array) -> NDArray[Any]:
        index = (to_index[:3, :3] @ points.T) + to_index[:3, 3:]
        coefficients, edge = self._coefficients
        order = 3 if self.how == "cubic" else 1
        shape = np.array(self.volume.shape)[:, None]
        values = ndimage.map_coordinates(
            coefficients, np.clip(index, 0, shape - 1) + edge, order=order, mode="nearest", prefilter=False
        )
        values[np.any((index < -0.5 - 1e-6) | (index > shape - 0.5 + 1e-6), axis=0)] = self.outside
        return np.asarray(values)

    @cached_property
    def _coefficients(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """What a spline weighs, and how far its first pixel lies in."""
        if self.how != "cubic":
            return self.volume, np.zeros((3, 1))
        edge = [_SPLINE_EDGE if n > 1 else 0 for n in self.volume.shape]
        filtered = np.pad(self.volume, [(e, e) for e in edge], mode="edge")
        for axis, wide in enumerate(edge):
            if wide:
                filtered = ndimage.spline_filter1d(filtered, 3, axis, output=filtered.dtype, mode="nearest")
        return filtered, np.array(edge, dtype=np.float64)[:, None]


def pull(sampler: Sampler, way: Sequence[Part], shape: tuple[int, ...]) -> NDArray[Any]:
    """What ``sampler`` holds at each pixel of a grid of ``shape``; ``way`` leads from its indices to the sampler's."""
    from hexscope.kernels import sampling
    from hexscope.kernels.threads import share

    first, last = way[0], way[-1]
    assert isinstance(first, Affine) and isinstance(last, Affine)
    to_index = last.matrix if len(way) > 1 else np.eye(4)
    rows, columns = shape[-2:]
    count = int(np.prod(shape[:-1]))
    at_once = max(1, _POINTS // columns)
    out = np.empty((count, columns), sampler.volume.dtype)
    points = np.empty((min(at_once, count) * columns, 3))
    for start in range(0, count, at_once):
        some = min(at_once, count - start)
        here = points[: some * columns]
        share(sampling.lattice, some, first.matrix, start, rows, columns, here)
        for part in way[1:-1]:
            part.move(here)
        out[start : start + some] = sampler.read(here, to_index).reshape(some, columns)
    return out.reshape(shape)
