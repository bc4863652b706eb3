"""How far apart the surfaces of two structures lie, in mm: surface Dice, Hausdorff distance, mean distance.

A surface is made of small pieces, one in every cell of 2 × 2 (× 2) pixel centres that holds pixels of both kinds; a
piece sits in the middle of its cell and weighs its length (area), by marching squares (cubes). So a flat face counts
the same whatever the shape of a pixel. After Nikolov et al. 2021, doi:10.2196/26151, whose pieces lie in the same
places; areas differ by the way of cutting a bent polygon into triangles, and are here those of the mirror image too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from hexscope.core.cells import codes_of, cuts_of
from hexscope.core.geometry import Array
from hexscope.segment.score import Part

#: A distance of one pixel is within a tolerance of one pixel, however its last digits fall.
_ROUNDING_MM = 1e-6


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances between two surfaces, each piece to the nearest piece of the other surface.

    of_truth, of_found          mm, a number a piece
    truth_weight, found_weight  length (2-D) or area (3-D) of each piece, mm or mm²
    """

    of_truth: Array
    of_found: Array
    truth_weight: Array
    found_weight: Array

    def dice(self, tolerance_mm: float) -> float:
        """Part of both surfaces that lies within the tolerance of the other one, 0..1, doi:10.2196/26151.

        Both empty: 1. One empty: 0.
        """
        within = tolerance_mm + _ROUNDING_MM
        near = self.truth_weight[self.of_truth <= within].sum() + self.found_weight[self.of_found <= within].sum()
        whole = self.truth_weight.sum() + self.found_weight.sum()
        return 1.0 if whole == 0 else float(near / whole)

    def hausdorff(self, percent: float = 95.0) -> float | None:
        """The distance within which so much of either surface lies; the larger of both directions.

        Both empty: 0. One empty: None, for no distance would mean anything.
        """
        if not self.truth_weight.size and not self.found_weight.size:
            return 0.0
        if not self.truth_weight.size or not self.found_weight.size:
            return None
        one = _weighted_percentile(self.of_truth, self.truth_weight, percent)
        return max(one, _weighted_percentile(self.of_found, self.found_weight, percent))

    def mean(self) -> float | None:
        """The average symmetric surface distance (ASSD), pieces weighted. Both empty: 0. One empty: None."""
        if not self.truth_weight.size and not self.found_weight.size:
            return 0.0
        if not self.truth_weight.size or not self.found_weight.size:
            return None
        whole = self.truth_weight.sum() + self.found_weight.sum()
        return float((self.of_truth @ self.truth_weight + self.of_found @ self.found_weight) / whole)


def surface_distances(truth: Part, found: Part, axes_mm: Array) -> SurfaceDistances:
    """Distances between the surfaces of two bool arrays of one shape.

    axes_mm  a column of mm an array axis (``core.measure.axes_mm``; ``np.diag(spacing)`` will do for right angles)
    """
    a_points, a_weight = surface(truth, axes_mm)
    b_points, b_weight = surface(found, axes_mm)
    return SurfaceDistances(_nearest(a_points, b_points), _nearest(b_points, a_points), a_weight, b_weight)


def surface(part: Part, axes_mm: Array) -> tuple[Array, Array]:
    """The pieces of a structure's surface: where they sit (n, dims of the world) in mm, and their length or area (n,).

    A structure that runs to the border of the image is closed there: what lies beyond is not part of it.
    """
    boxes = ndimage.find_objects(part.view(np.uint8))
    if not boxes or boxes[0] is None:
        return np.zeros((0, axes_mm.shape[0])), np.zeros(0)
    code = codes_of(part[boxes[0]])
    size = _sizes(part.ndim, tuple(axes_mm.ravel().tolist()))
    at = np.nonzero((code > 0) & (code < len(size) - 1))
    start = np.array([s.start for s in boxes[0]], dtype=np.float64)
    points = np.stack(at, axis=1) + (start - 0.5)  # the pad moved every index by one, the middle of a cell by half
    return points @ axes_mm.T, size[code[at]]


def _nearest(points: Array, others: Array) -> Array:
    if not len(points) or not len(others):
        return np.full(len(points), np.inf)
    return np.asarray(cKDTree(others).query(points)[0], dtype=np.float64)


def _weighted_percentile(values: Array, weight: Array, percent: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weight[order]) / weight.sum()
    index = min(int(np.searchsorted(reached, percent / 100.0 - 1e-9)), len(values) - 1)
    return float(values[order[index]])


# ---- the pieces: marching squares and cubes -----------------------------------------------------------------


@lru_cache(maxsize=64)
def _sizes(dims: int, axes_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Length or area of the piece in a cell, by the code of its corners (`core.cells`)."""
    axes = np.array(axes_mm).reshape(-1, dims)
    out = np.zeros(2 ** (2**dims))
    for code in range(1, len(out) - 1):
        out[code] = sum(_size(np.array(line) @ axes.T) for line in cuts_of(code, dims))
    return out


def _size(line: Array) -> float:
    """Length of a line of two points; area of a closed polygon, cut into triangles from its middle."""
    if len(line) == 2:
        return float(np.linalg.norm(line[1] - line[0]))
    a, b = line - line.mean(axis=0), np.roll(line, -1, axis=0) - line.mean(axis=0)
    squared = (a**2).sum(axis=1) * (b**2).sum(axis=1) - (a * b).sum(axis=1) ** 2
    return float(np.sqrt(np.maximum(squared, 0)).sum() / 2)
