"""How much a map swells space, voxel by voxel, and whether it folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array, Grid
from hexscope.core.warp import Part, from_index

#: Points mapped at a time.
_POINTS = 1 << 20
#: What a determinant of zero or less counts as in a logarithm, as Learn2Reg's evaluation does.
_LEAST = 1e-9

Swelling = tuple[NDArray[np.float32], NDArray[np.float32]]


def determinants(parts: Sequence[Part], grid: Grid) -> Swelling:
    """Jacobian determinants of the map at the pixels of ``grid``: central, and the least of each pixel's corners.

    Central differences of where the neighbours go (one-sided at the faces). Corners are the eight choices of the
    neighbour before or behind along each axis: one at or below zero is a fold, also where the middle has none.
    A plane, or a single slice, is swollen along its normal by what the map does one step beside it.
    """
    thick = _thick(grid)
    planes, rows, columns = thick.shape
    middle, least = np.empty(thick.shape, np.float32), np.empty(thick.shape, np.float32)
    at_once = max(1, _POINTS // (rows * columns))
    for first in range(0, planes, at_once):
        last = min(first + at_once, planes)
        _slab(parts, thick, slice(first, last), middle[first:last], least[first:last])
    cut = tuple(slice(n) for n in (1,) * (3 - grid.ndim) + grid.shape)
    return middle[cut].reshape(grid.shape), least[cut].reshape(grid.shape)


def sd_log(swelling: NDArray[np.float32], plus: float = 0.0) -> float:
    """Standard deviation of log(J + plus), J clipped just above zero."""
    return float(np.log(np.maximum(swelling.astype(np.float64) + plus, _LEAST)).std())


def _slab(
    parts: Sequence[Part], grid: Grid, planes: slice, middle: NDArray[np.float32], least: NDArray[np.float32]
) -> None:
    from hexscope.kernels import sampling
    from hexscope.kernels.threads import share

    _, rows, columns = grid.shape
    low, high = max(planes.start - 1, 0), min(planes.stop + 1, grid.shape[0])
    matrix = from_index(grid)
    points = np.empty(((high - low) * rows * columns, 3))
    share(sampling.lattice, (high - low) * rows, matrix, low * rows, rows, columns, points)
    for part in parts:
        part.move(points)
    mapped = points.reshape(high - low, rows, columns, 3)
    whole: Swelling = (np.empty(mapped.shape[:3], np.float32), np.empty(mapped.shape[:3], np.float32))
    voxel = float(np.linalg.det(matrix[:, :3].T))
    share(sampling.determinants, high - low, mapped, voxel, np.empty((high - low, 3, 3, 3)), *whole)
    own = slice(planes.start - low, planes.stop - low)
    middle[...], least[...] = whole[0][own], whole[1][own]


def _thick(grid: Grid) -> Grid:
    """A volume of at least two pixels a side: what is flat gets a second layer."""
    affine: Array = grid.require_affine("a Jacobian")
    if grid.ndim == 2:
        normal = np.cross(affine[:3, 0], affine[:3, 1])
        normal /= np.sqrt(np.linalg.norm(normal))  # as long as a pixel is wide
        affine = np.column_stack([np.append(normal, 0.0), affine])
    shape = (1,) * (3 - grid.ndim) + grid.shape
    return Grid(tuple(max(n, 2) for n in shape), affine)
