"""Images made ready for comparison: values on a common 0..1 scale, averaged to a resolution in mm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array
from hexscope.kernels import smooth
from hexscope.kernels.thinning import spread, thin
from hexscope.kernels.threads import share

Floats = NDArray[np.float32]

#: An axis is never thinned below this many voxels.
_KEEP_VOXELS = 8

#: Values are laid on this many steps between their 0.5th and 99.5th percentile.
_STEPS = 4096

#: Voxels that are looked at to learn how values spread; an odd stride meets all columns.
_LOOKED_AT = 250_000

#: What stands where nothing is known: any value that it has a share in is below 0, which is no value.
VOID = -1000.0


@dataclass(frozen=True, eq=False)
class Level:
    """One resolution of an image.

    values   (z, y, x) float32 in 0..1, or VOID
    affine   array index to LPS mm, 4 × 4
    """

    values: Floats
    affine: Array

    @cached_property
    def known(self) -> float:
        """Share of the voxels that are not VOID."""
        return 1.0 if self.values.min() >= 0 else float((self.values >= 0).mean())

    @property
    def volume_mm3(self) -> float:
        """Volume of the known voxels together; a sheared grid is measured right."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) * self.values.size * self.known

    @property
    def spacing_mm(self) -> Array:
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def size_mm(self) -> float:
        """Mean length along the axes of more than one voxel, geometrically: of a plane, the root of its known area."""
        long = np.array(self.values.shape) > 1
        extent = self.spacing_mm * np.array(self.values.shape)
        return float((extent[long].prod() * max(self.known, 1e-6)) ** (1 / long.sum())) if long.any() else extent.min()

    @property
    def voxel_mm(self) -> float:
        """Mean length of a voxel along the same axes."""
        long = np.array(self.values.shape) > 1
        return float(np.exp(np.log(self.spacing_mm[long]).mean())) if long.any() else float(self.spacing_mm.min())

    @cached_property
    def center_mm(self) -> Array:
        """Of what is known."""
        middle = (np.array(self.values.shape) - 1) / 2
        if 0 < self.known < 1:
            on = self.values >= 0
            along = [on.sum(axis=tuple(j for j in range(3) if j != axis)) for axis in range(3)]
            middle = np.array([np.arange(len(n)) @ n / n.sum() for n in along])
        return self.world(middle)

    def world(self, index: NDArray[np.float64]) -> Array:
        """Array indices (..., 3) to LPS mm."""
        return np.asarray(index @ self.affine[:3, :3].T + self.affine[:3, 3])

    def corners_mm(self) -> Array:
        """The eight outermost voxel centres, LPS mm, (8, 3)."""
        ends = np.stack(np.meshgrid(*[(0, n - 1) for n in self.values.shape], indexing="ij"), axis=-1)
        return self.world(ends.reshape(-1, 3).astype(np.float64))


def scaled(array: NDArray[Any], known: NDArray[np.bool_] | None = None) -> Floats:
    """Half the value, clipped at percentiles, and half its rank among all voxels: together 0..1.

    The value alone leaves two bins for fat and muscle where air and bone span the scale, as in CT; the rank alone
    makes much of noise in the background. VOID where a voxel is no number or not ``known``.
    """
    values = np.ascontiguousarray(array, dtype=np.float32)
    some = values.ravel()[:: max(1, values.size // _LOOKED_AT) | 1]
    void = None if known is None else ~known
    if not np.isfinite(values.sum()):
        void = ~np.isfinite(values) if void is None else void | ~np.isfinite(values)
        values = np.where(np.isfinite(values), values, np.float32(0))
    if void is not None:
        some = values[~void][:: max(1, values.size // _LOOKED_AT) | 1]
    out = np.empty(values.shape, np.float32)
    low, steps, table = _table(some if some.size else np.zeros(1, np.float32))
    share(spread, len(values), values, table, low, steps, out)
    if void is not None:
        out[void] = VOID
    return out


def _table(some: Floats) -> tuple[float, float, Floats]:
    """Lowest value, steps a unit, and what each step becomes."""
    low, high = np.percentile(some, [0.5, 99.5])
    if high <= low:  # nearly all voxels alike: the few others carry what there is to see
        low, high = float(some.min()), float(some.max())
    steps = (_STEPS - 1) / max(high - low, 1e-12)
    counts = np.bincount(np.clip((some - low) * steps, 0, _STEPS - 1).astype(np.int64), minlength=_STEPS)
    rank = np.cumsum(counts) - counts / 2
    spread_out = (rank - rank[0]) / max(rank[-1] - rank[0], 1e-12)
    return float(low), float(steps), (0.5 * np.linspace(0, 1, _STEPS) + 0.5 * spread_out).astype(np.float32)


def soften(level: Level, sigma_mm: float) -> Level:
    """Smoothed by a Gaussian, what is void left out: what is left of noise makes small hills in the score."""
    sigma = sigma_mm / level.spacing_mm
    reach = 2 if sigma.max() > 0.6 else 1
    taps = np.exp(-0.5 * (np.arange(reach + 1)[:, None] / np.maximum(sigma, 1e-3)) ** 2)
    taps = np.ascontiguousarray((taps / (2 * taps.sum(axis=0) - taps[0])).T, np.float32)
    depth, _, width = level.values.shape

    def smoothed(values: Floats) -> Floats:
        between, out = np.empty((2, 1, *values.shape), np.float32)
        share(smooth.columns, depth, values[None], taps[0], between)
        share(smooth.planes, depth, between, taps[1], taps[2], np.empty((depth, 2, width + 2 * reach), np.float32), out)
        return np.asarray(out[0])

    values = _of_known(level, smoothed)
    if level.known < 1:
        values[level.values < 0] = VOID
    return Level(values, level.affine)


def coarsen(level: Level, resolution_mm: float) -> Level:
    """Averaged in blocks of whole voxels, as many along each axis as ``resolution_mm`` holds; void where most are."""
    shape = np.array(level.values.shape)
    most = np.maximum(shape // _KEEP_VOXELS, 1)
    stride = np.clip(np.round(resolution_mm / level.spacing_mm).astype(int), 1, most)
    if np.all(stride == 1):
        return level
    first = (shape % stride) // 2  # what is lost is shared by both ends

    def averaged(values: Floats) -> Floats:
        small = np.empty(tuple(shape // stride), np.float32)
        share(thin, len(small), values, small, *map(int, stride), *map(int, first))
        return small

    affine = level.affine.copy()
    affine[:3, :3] *= stride
    affine[:3, 3] = level.world(first + (stride - 1) / 2)
    return Level(_of_known(level, averaged), affine)


def _of_known(level: Level, mean: Callable[[Floats], Floats]) -> Floats:
    """A weighted mean about each voxel of what is known; VOID where less than half of the weight is on that."""
    if level.known == 1:
        return mean(level.values)
    on = (level.values >= 0).astype(np.float32)
    weight = mean(on)
    return np.where(weight >= 0.5, mean(level.values * on) / np.maximum(weight, 0.5), np.float32(VOID))
