"""A scene without any symmetry, known at every point in mm: what two scanners see of it is exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.transform import Transform

Floats = NDArray[np.float64]

#: Centre (LPS mm), half axes (mm) and value of ellipsoids; later ones lie over earlier ones.
_BODIES = (
    ((-4.0, 3.0, 98.0), (52.0, 41.0, 46.0), 0.35),
    ((-24.0, 8.0, 104.0), (15.0, 20.0, 24.0), 0.75),
    ((19.0, -9.0, 85.0), (20.0, 12.0, 14.0), 0.55),
    ((12.0, 20.0, 116.0), (13.0, 9.0, 18.0), 1.0),
    ((-9.0, -21.0, 112.0), (9.0, 7.0, 21.0), 0.15),
    ((27.0, 6.0, 110.0), (6.0, 8.0, 7.0), 0.9),
)


def value(points_mm: Floats) -> Floats:
    """What the scene is at LPS points (..., 3), 0..1."""
    out = np.zeros(points_mm.shape[:-1])
    for center, half, level in _BODIES:
        apart = np.sqrt((((points_mm - center) / half) ** 2).sum(axis=-1))
        inside = 1.0 / (1.0 + np.exp((apart - 1.0) * min(half) / 1.2))  # edges about 2 mm wide
        out = out * (1 - inside) + level * inside
    return out


def folded(v: Floats) -> Floats:
    """Another contrast: not monotonic, so no difference and no correlation would find the pose."""
    return np.abs(np.sin(1.2 + 4.0 * v)) * 800.0


def seen(grid: Grid, pose: Transform | None = None, contrast: Callable[[Floats], Floats] | None = None) -> Image:
    """The scene on ``grid``, moved by ``pose``, with some noise."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    points = grid.to_world(index.astype(np.float64))
    values = value(points if pose is None else pose.inverse.points(points))
    values = 1000.0 * values if contrast is None else contrast(values)
    noise = np.random.default_rng(grid.shape[0]).normal(0, 10, grid.shape)
    return Image.from_array((values + noise).astype(np.float32), grid, modality="MR")


def grid(shape: tuple[int, int, int], spacing: tuple[float, float, float], axes: Floats) -> Grid:
    """A grid about the scene's middle; ``axes`` are the unit vectors of its array axes, in columns."""
    affine = np.eye(4)
    affine[:3, :3] = axes * np.array(spacing)
    affine[:3, 3] = np.array([-3.0, 2.0, 100.0]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def landmarks() -> Floats:
    """Points all over the scene, LPS mm, (n, 3)."""
    return np.array([center for center, _, _ in _BODIES]) + np.array([[3.0, -2.0, 4.0]])


def error_mm(found: Transform, truth: Transform) -> float:
    points = landmarks()
    return float(np.linalg.norm(found.points(points) - truth.points(points), axis=1).mean())
