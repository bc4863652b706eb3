"""Planes, slabs and projections as a radiologist hangs them, whatever the axes of the volume are.

Patient right is on the viewer's left, anterior is up on axial planes and left on sagittal ones, superior is up on
the other two. Pixels are square, so a picture needs no aspect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array, Grid
from hexscope.core.image import Image, Mask
from hexscope.core.pixels import ArrayPixels
from hexscope.core.resample import How, resample
from hexscope.core.transform import Transform
from hexscope.errors import UsageError
from hexscope.modality import of_code

Axis = Literal["axial", "coronal", "sagittal"]
Project = Literal["mean", "max", "min"]

#: LPS direction that the viewer looks along, and that the rows of the picture go down.
_LOOKS: dict[str, tuple[Sequence[float], Sequence[float]]] = {
    "axial": ((0, 0, 1), (0, 1, 0)),
    "coronal": ((0, 1, 0), (0, 0, -1)),
    "sagittal": ((-1, 0, 0), (0, 0, -1)),
}
#: Position of the world coordinate (x, y, z) that each plane is cut at.
_COORDINATE = {"axial": 2, "coronal": 1, "sagittal": 0}
_PROJECTIONS: dict[str, Callable[..., Any]] = {"mean": np.mean, "max": np.max, "min": np.min}

#: A projection is made on at most this many voxels; beyond it the step grows.
_MOST_VOXELS = 40_000_000


@dataclass(frozen=True)
class View:
    """Which plane of a volume to look at, and how thick.

    plane       "axial", "coronal", "sagittal", or the LPS direction (x, y, z) that the viewer looks along
    at_mm       of the three: the LPS coordinate it is cut at (z, y, x); of any: a point (x, y, z) in it;
                None: through the middle
    slab_mm     thickness; 0: one layer of voxels; ``math.inf``: the whole volume
    project     what a pixel shows of the slab: its mean, max or min, each image in its own quantity
    spacing_mm  pixel size; None: the finest spacing of the volume
    """

    plane: str | Sequence[float] = "axial"
    at_mm: float | Sequence[float] | None = None
    slab_mm: float = 0.0
    project: str = "mean"
    spacing_mm: float | None = None

    def __str__(self) -> str:
        name = self.plane if isinstance(self.plane, str) else "oblique"
        if not self.slab_mm:
            return name
        thick = "the whole" if math.isinf(self.slab_mm) else f"{self.slab_mm:g} mm"
        return f"{name}, {self.project} of {thick}"


#: The maximum intensity projection from the front.
MIP = View("coronal", slab_mm=math.inf, project="max")


def window(array: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Values as brightness: 0 at ``low`` and below, 1 at ``high`` and above, linear in between. NaN becomes 0."""
    if not high > low:
        raise UsageError(f"a window runs from low to high; got {low} to {high}")
    level = (np.asarray(array, dtype=np.float32) - low) / np.float32(high - low)
    return np.asarray(np.clip(np.nan_to_num(level, nan=0.0), 0.0, 1.0), dtype=np.float32)


def usual_window(image: Image) -> tuple[float, float]:
    """The modality's first display window where the image is in its working quantity, else percentiles 1 and 99."""
    modality = of_code(image.modality)
    if modality is not None and modality.windows and modality.working is image.quantity:
        return modality.windows[0].low, modality.windows[0].high
    values = image.array[np.isfinite(image.array)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, [1, 99]))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return low, max(high, low + 1e-6)


def named_window(image: Image, name: str) -> tuple[float, float]:
    """A display window of the image's modality by name ("bone", "lung"). UsageError lists those it has."""
    modality = of_code(image.modality)
    known = {w.name.lower(): (w.low, w.high) for w in (modality.windows if modality is not None else ())}
    if modality is None or modality.working is not image.quantity or name.strip().lower() not in known:
        have = ", ".join(known) or "none"
        raise UsageError(f"{image.modality} in {image.quantity.value} has no window {name!r} (it has: {have}); say L,H")
    return known[name.strip().lower()]


# ---- where a view lies --------------------------------------------------------------------------------------


def slab(grid: Grid, view: View) -> Grid:
    """The voxels that a view is made of: (through, rows, columns), hung, isotropic unless the slab is one layer.

    Raises UncalibratedError where the grid has no place, UsageError for an unknown plane.
    """
    axes = _axes(view.plane)
    corners = grid.corners_mm() @ axes.T  # along through, down, right
    low, high = corners.min(axis=0), corners.max(axis=0)
    step = view.spacing_mm or min(grid.require_spacing("a plane"))
    thick = high[0] - low[0] if math.isinf(view.slab_mm) else min(view.slab_mm, high[0] - low[0] + step)
    if view.spacing_mm is None:
        step *= max(1.0, float(np.cbrt((thick / step + 1) * np.prod((high - low)[1:] / step + 1) / _MOST_VOXELS)))
    layers = max(1, round(thick / step) + math.isinf(view.slab_mm))
    middle = _middle(view, grid, axes)
    start = np.array([middle - (layers - 1) * step / 2, low[1], low[2]])
    shape = (layers, *(int(n) for n in np.floor((high - low)[1:] / step + 1e-6) + 1))
    affine = np.eye(4)
    affine[:3, :3] = axes.T * step
    affine[:3, 3] = start @ axes
    return Grid(shape, affine, frame_of_reference=grid.frame_of_reference)


def _axes(plane: str | Sequence[float]) -> Array:
    """Rows are the LPS directions through the picture (away from the viewer), down it, and to its right."""
    if isinstance(plane, str):
        if plane not in _LOOKS:
            raise UsageError(f"unknown plane {plane!r}; known are {', '.join(_LOOKS)}, or a direction x,y,z in LPS")
        through, down = (np.array(d, dtype=np.float64) for d in _LOOKS[plane])
        return np.stack([through, down, np.cross(down, through)])
    through = np.asarray(plane, dtype=np.float64)
    size = float(np.linalg.norm(through))
    if through.shape != (3,) or not size > 0:
        raise UsageError(
            f"an oblique plane is given by the LPS direction x,y,z that the viewer looks along; got {plane}"
        )
    through = through / size
    upright = abs(through[2]) < np.sqrt(0.5)  # seen rather from the side: the head is up; else the front is up
    down = np.array([0.0, 0.0, -1.0]) if upright else np.array([0.0, 1.0, 0.0])
    down -= through * (through @ down)
    down /= np.linalg.norm(down)
    return np.stack([through, down, np.cross(down, through)])


def _middle(view: View, grid: Grid, axes: Array) -> float:
    """Where the middle of the slab lies along the direction through the picture."""
    point = np.array(grid.center_mm, dtype=np.float64)
    if view.at_mm is not None and not math.isinf(view.slab_mm):
        at = np.asarray(view.at_mm, dtype=np.float64)
        if at.shape == (3,):
            point = at
        elif at.shape == () and isinstance(view.plane, str):
            point[_COORDINATE[view.plane]] = at
        else:
            raise UsageError(f"an oblique plane goes through a point x,y,z in LPS mm; got {view.at_mm}")
    return float(axes[0] @ point)


# ---- what it shows ------------------------------------------------------------------------------------------


def seen(
    image: Image, through: Grid, project: str, motion: Transform | None = None, interpolate: How = "linear"
) -> Image:
    """An image projected along the first axis of a `slab`, on the plane of its middle layer; values in its quantity."""
    if project not in _PROJECTIONS:
        raise UsageError(f"unknown projection {project!r}; known are {', '.join(_PROJECTIONS)}")
    brought = resample(image, through, through=motion, how=interpolate)
    flat = _PROJECTIONS[project](brought.array, axis=0) if through.shape[0] > 1 else brought.array[0]
    if image.pixels.dtype == np.uint8:
        flat = np.round(flat).astype(np.uint8)
    axes = tuple(a for a in brought.axes if a != "z")
    steps = (*image.steps, f"{project} of {through.shape[0]} layers" if through.shape[0] > 1 else "one plane")
    return replace(brought, pixels=ArrayPixels(flat), grid=middle_plane(through), axes=axes, steps=steps)


def seen_labels(mask: Mask, through: Grid, motion: Transform | None = None) -> Mask:
    """A mask along the first axis of a `slab`: of several structures behind each other the highest label."""
    brought = resample(mask, through, through=motion)
    layers = tuple(layer.max(axis=0) for layer in brought.layers)
    return replace(brought, layers=layers, grid=middle_plane(through))


def middle_plane(grid: Grid) -> Grid:
    """The plane (rows, columns) in the middle of a grid (through, rows, columns), between two layers if need be."""
    return layer(grid, (grid.shape[0] - 1) / 2)


def layer(grid: Grid, index: float) -> Grid:
    """The plane of one slice along the first axis."""
    affine = None
    if grid.affine is not None:
        affine = grid.affine[:, 1:].copy()
        affine[:3, -1] = grid.to_world((index, 0, 0))
    spacing = None if grid.spacing_mm is None else grid.spacing_mm[1:]
    return Grid(grid.shape[1:], affine, spacing, grid.plane, grid.frame_of_reference)


def plane(
    image: Image | Mask, axis: Axis, at_mm: float | None = None, *, spacing_mm: float | None = None
) -> NDArray[Any]:
    """One plane of a placed volume, (rows, columns), with a last axis of 3 where the image has colour; see `View`.

    Outside the volume stands the value of nothing. A Mask gives label values. Raises UncalibratedError where the
    image has no position.
    """
    where = slab(image.grid, View(axis, at_mm, spacing_mm=spacing_mm))
    return (seen_labels(image, where) if isinstance(image, Mask) else seen(image, where, "mean")).array


def mip(image: Image, axis: Axis, *, spacing_mm: float | None = None) -> NDArray[Any]:
    """Maximum intensity projection across ``axis`` (coronal is the view from the front), hung as ``plane`` does."""
    return seen(image, slab(image.grid, replace(MIP, plane=axis, spacing_mm=spacing_mm)), "max").array
