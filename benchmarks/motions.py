"""Known motions of images, and distances between transforms: for the benchmarks of registration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.transform import Transform, rigid

Points = NDArray[np.float64]


def random_motion(rng: np.random.Generator, degrees: float, mm: float, center: Points) -> Transform:
    """Up to so many degrees about each axis and mm along each."""
    return rigid(tuple(rng.uniform(-degrees, degrees, 3)), tuple(rng.uniform(-mm, mm, 3)), tuple(center))


def moved(image: Image, motion: Transform) -> Image:
    """The same pixels at another place: only the affine changes."""
    return replace(image, grid=replace(image.grid, affine=motion.matrix @ image.grid.affine))


def roomy(grid: Grid, motion: Transform) -> Grid:
    """The grid's own axes and spacing, large enough to hold it after the motion."""
    index = grid.to_index(motion.points(grid.corners_mm()))
    low, high = np.floor(index.min(axis=0)), np.ceil(index.max(axis=0))
    affine = grid.require_affine("a benchmark").copy()
    affine[:3, 3] = grid.to_world(low)
    return replace(grid, shape=tuple(int(n) for n in high - low + 1), affine=affine)


def lattice(grid: Grid) -> Points:
    """6 × 6 × 6 points over a field, LPS mm."""
    ends = [np.linspace(0, n - 1, 6) for n in grid.shape]
    return grid.to_world(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3))


def mean_gap(a: Transform, b: Transform, points: Points) -> float:
    return float(np.linalg.norm(a.points(points) - b.points(points), axis=1).mean())


def kabsch(points: Points, target: Points) -> Transform:
    """The rigid transform that brings points nearest to their targets (Kabsch 1976, doi:10.1107/S0567739476001873)."""
    a, b = points.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((target - b).T @ (points - a))
    out = np.eye(4)
    out[:3, :3] = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    out[:3, 3] = b - out[:3, :3] @ a
    return Transform(out, "rigid")


def itk_matrix(path: Path) -> NDArray[np.float64]:
    """The 4 x 4 matrix of an ITK text transform (MatrixOffsetTransformBase), LPS mm."""
    fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    values = np.array(fields["Parameters"].split(), dtype=np.float64)
    center = np.array(fields["FixedParameters"].split(), dtype=np.float64)
    matrix = np.eye(4)
    matrix[:3, :3] = values[:9].reshape(3, 3)
    matrix[:3, 3] = center + values[9:] - matrix[:3, :3] @ center
    return matrix
