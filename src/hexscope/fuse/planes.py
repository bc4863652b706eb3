"""Planes and projections as a radiologist hangs them, whatever the axes of the volume are.

Patient right is on the viewer's left, anterior is up on axial planes and left on sagittal ones, superior is up on
the other two. Pixels are square, so a picture needs no aspect.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.resample import resample, upright
from hexscope.errors import UsageError
from hexscope.modality import of_code

Axis = Literal["axial", "coronal", "sagittal"]

#: Array axis (z, y, x) of an upright grid that each plane is cut across.
_ACROSS = {"axial": 0, "coronal": 1, "sagittal": 2}

#: A projection is made on at most this many voxels; beyond it the step grows.
_MOST_VOXELS = 40_000_000


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


def plane(
    image: Image | Mask, axis: Axis, at_mm: float | None = None, *, spacing_mm: float | None = None
) -> NDArray[Any]:
    """One plane of a placed volume, (rows, columns), with a last axis of 3 where the image has colour.

    at_mm       LPS coordinate of the plane: z for axial, y for coronal, x for sagittal; None: the middle
    spacing_mm  pixel size; None: the finest spacing of the volume

    Outside the volume stands the value of nothing. A Mask gives label values. Raises UncalibratedError where the
    image has no position.
    """
    return hung(_values(resample(image, cut(image.grid, axis, at_mm, spacing_mm=spacing_mm))), axis)


def mip(image: Image, axis: Axis, *, spacing_mm: float | None = None) -> NDArray[Any]:
    """Maximum intensity projection across ``axis`` (coronal is the view from the front), hung as ``plane`` does."""
    whole = upright(image.grid, spacing_mm)
    excess = np.prod(whole.shape, dtype=np.float64) / _MOST_VOXELS
    if spacing_mm is None and excess > 1:
        whole = upright(image.grid, min(image.grid.require_spacing("a projection")) * float(np.cbrt(excess)))
    projected = _values(resample(image, whole)).max(axis=_ACROSS[axis], keepdims=True)
    return hung(projected, axis)


def _values(thing: Image | Mask) -> NDArray[Any]:
    return thing.array


def cut(grid: Grid, axis: Axis, at_mm: float | None = None, *, spacing_mm: float | None = None) -> Grid:
    """The plane across ``axis`` at an LPS coordinate, as an upright grid one voxel thick that spans ``grid``."""
    whole, across = upright(grid, spacing_mm), _ACROSS[axis]
    affine = whole.require_affine("a plane").copy()
    world = 2 - across
    affine[world, 3] = whole.center_mm[world] if at_mm is None else at_mm
    shape = tuple(1 if a == across else n for a, n in enumerate(whole.shape))
    return Grid(shape, affine, frame_of_reference=whole.frame_of_reference)


def hung(thin: NDArray[Any], axis: Axis) -> NDArray[Any]:
    """An upright volume one voxel thick across ``axis`` as a picture, (rows, columns, ...)."""
    across = _ACROSS[axis]
    picture = np.take(thin, 0, axis=across)
    return picture if across == 0 else np.ascontiguousarray(picture[::-1])
