"""The only interpolator: bring an image or a mask onto another grid, through a transform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Array, Grid
from hexscope.core.image import Image, Mask
from hexscope.core.pixels import ArrayPixels
from hexscope.core.pull import Sampler, pull
from hexscope.core.transform import Transform
from hexscope.core.warp import Affine, Part, from_index, merged, to_index
from hexscope.errors import GeometryError, UsageError

How = Literal["linear", "cubic", "nearest", "vote"]

#: Standard deviation of the anti-alias blur in input voxels, for a shrink factor f: _ANTIALIAS * sqrt(f² − 1).
#: 0.5 leaves about 30 % at the new Nyquist frequency: little aliasing without visible blur.
_ANTIALIAS = 0.5


@overload
def resample(moving: Image, to: Grid, *, through: Transform | None = None, how: How = "linear") -> Image: ...
@overload
def resample(moving: Mask, to: Grid, *, through: Transform | None = None, how: How = "linear") -> Mask: ...


def resample(moving: Image | Mask, to: Grid, *, through: Transform | None = None, how: How = "linear") -> Image | Mask:
    """Values of ``moving`` at the pixel centres of ``to``.

    through  from moving to fixed (what ``register(fixed, moving)`` gives); left out only where both share a frame
    how      "linear", "cubic" or "nearest" for images. A Mask is always taken by nearest neighbour, its type says so,
             unless "vote" is asked: the label with the most of the trilinear weights (the largest of the labels'
             interpolated indicators), smoother where a warp brings it. "vote" is for masks only

    Shrinking is anti-aliased, but for masks. Outside the moving image stands the value of nothing (air for HU, else 0).
    A plane that knows no patient is moved in its own mm (`Grid.placed`).

    A volume is cut along a plane that has a place, or that a transform leads to. Raises GeometryError where the frames
    of reference differ and no transform joins them, where one of the two has no position, or for a plane onto a volume;
    UncalibratedError where a plane to be moved has no spacing; UsageError for "vote" on an image.
    """
    if moving.grid.ndim == 3 and to.ndim == 2:
        plane = to if through is None else to.placed("a cut")
        return _cut(resample(moving, plane.as_slice(), through=through, how=how), to)
    way = index_map(*_joined(moving.grid, to, through), through or Transform(kind="identity"))
    if isinstance(moving, Mask):
        how = "vote" if how == "vote" else "nearest"
        layers = tuple(_onto(layer, way, to.shape, how, 0.0) for layer in moving.layers)
        return replace(moving, layers=layers, grid=to, steps=(*moving.steps, f"resampled onto {to.shape} ({how})"))
    if how == "vote":
        raise UsageError("only labels can vote; resample an image by linear, cubic or nearest")
    arrays = [_onto(a, way, to.shape, how, moving.quantity.outside) for a in _split(moving)]
    pixels = ArrayPixels(_join(arrays, moving))
    axes = _axes_on(moving, to)
    step = f"resampled onto {to.shape} ({how})"
    return replace(moving, pixels=pixels, grid=to, axes=axes, steps=(*moving.steps, step))


def _joined(moving: Grid, fixed: Grid, through: Transform | None) -> tuple[Grid, Grid]:
    """Both grids in one world, or two of unknown place that are only to be resized; GeometryError otherwise."""
    if moving.ndim != fixed.ndim:
        raise GeometryError(
            f"a grid of {moving.ndim} axes cannot be brought onto one of {fixed.ndim}; crop or stack first"
        )
    if through is not None:
        return moving.placed("a move"), fixed.placed("a move")
    if moving.same_frame(fixed) is False:
        raise GeometryError(
            "the two images are in different frames of reference "
            f"({moving.frame_of_reference} and {fixed.frame_of_reference}); "
            "pass through=register(fixed, moving)"
        )
    if (moving.affine is None) != (fixed.affine is None):
        raise GeometryError("one grid knows its place in the patient and the other does not; they cannot be joined")
    return moving, fixed


def _cut(slab: Image | Mask, to: Grid) -> Image | Mask:
    """The only slice of ``slab``, as a plane."""
    if isinstance(slab, Mask):
        return replace(slab, layers=tuple(layer[0] for layer in slab.layers), grid=to)
    array = np.take(slab.array, 0, axis=slab.axes.index("z"))
    return replace(slab, pixels=ArrayPixels(array), grid=to, axes=tuple(a for a in slab.axes if a != "z"))


def _split(image: Image) -> list[NDArray[Any]]:
    """One spatial array per time point and colour."""
    array = image.array
    if "c" in image.axes:
        array = np.moveaxis(array, image.axes.index("c"), 0)
    spatial = array.shape[array.ndim - image.grid.ndim :]
    return list(array.reshape(-1, *spatial))


def _axes_on(image: Image, to: Grid) -> tuple[str, ...]:
    spatial = ("z", "y", "x")[-to.ndim :]
    lead = tuple(a for a in image.axes if a == "t")
    return (*lead, *spatial, *(a for a in image.axes if a == "c"))


def _join(arrays: list[NDArray[Any]], image: Image) -> NDArray[Any]:
    lead = [n for a, n in zip(image.axes, image.shape, strict=True) if a == "c"]
    lead += [n for a, n in zip(image.axes, image.shape, strict=True) if a == "t"]
    many: NDArray[Any] = arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
    stacked = many.reshape(*lead, *arrays[0].shape)
    return np.asarray(np.moveaxis(stacked, 0, -1)) if "c" in image.axes else stacked


def index_map(moving: Grid, fixed: Grid, through: Transform) -> tuple[Part, ...]:
    """The way from a fixed array index (z, y, x; z of a plane is 0) to a moving array index."""
    if moving.affine is None or fixed.affine is None:
        return (Affine(_resizing(moving, fixed)),)
    return merged((Affine(from_index(fixed)), *through.inverse.parts, Affine(to_index(moving))))


def _resizing(moving: Grid, fixed: Grid) -> Array:
    """(3, 4): the index map of two grids without a place, their middles on each other."""
    scale = np.array(moving.shape) / np.array(fixed.shape)
    if moving.spacing_mm is not None and fixed.spacing_mm is not None:
        scale = np.array(fixed.spacing_mm) / np.array(moving.spacing_mm)
    n = moving.ndim
    matrix = np.zeros((3, 4))
    matrix[-n:, 3 - n : 3] = np.diag(scale)
    matrix[-n:, 3] = (np.array(moving.shape) - 1) / 2 - scale * (np.array(fixed.shape) - 1) / 2
    return matrix


def _linear(way: Sequence[Part], ndim: int) -> Array:
    """(ndim, ndim): the linear part of an index map, what its warps do left out."""
    matrix = np.eye(3)
    for part in way:
        if isinstance(part, Affine):
            matrix = part.matrix[:3, :3] @ matrix
    return np.asarray(matrix[-ndim:, -ndim:])


def _onto(array: NDArray[Any], way: Sequence[Part], shape: tuple[int, ...], how: How, outside: float) -> NDArray[Any]:
    if array.shape == shape and _stays(way, array.ndim):
        return np.array(array)
    if how in ("nearest", "vote"):
        return pull(Sampler(array, how, outside), way, shape)
    blurred = _antialias(_as_float(array), _linear(way, array.ndim))
    out = pull(Sampler(blurred, how, outside), way, shape)
    return _bytes_again(out) if array.dtype == np.uint8 else out


def _stays(way: Sequence[Part], ndim: int) -> bool:
    """Does every index stay what it is?"""
    if len(way) != 1 or not isinstance(way[0], Affine):
        return False
    return np.allclose(way[0].matrix[-ndim - 1 : -1, -ndim - 1 :], np.eye(ndim, ndim + 1), atol=1e-9)


def _as_float(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)


def _bytes_again(array: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.clip(np.round(array), 0, 255), dtype=np.uint8)


def _antialias(array: NDArray[Any], linear: Array) -> NDArray[Any]:
    """Blur along each input axis where the output steps over its voxels.

    A voxel of input axis i is seen by the output axis that runs along it in the finest steps: the largest entry of
    column i of the inverse map, in output steps a voxel. Below one step, voxels are stepped over. (The length of row i
    of the map itself would also count steps of other axes, and blur what a tilted gantry only shears.)
    """
    steps_per_voxel = np.abs(np.linalg.pinv(linear)).max(axis=0)
    factor = 1.0 / np.maximum(steps_per_voxel, 1e-9)
    sigma = _ANTIALIAS * np.sqrt(np.maximum(factor**2 - 1.0, 0.0))
    sigma[np.array(array.shape) == 1] = 0.0
    if np.all(sigma < 0.05):
        return array
    return np.asarray(ndimage.gaussian_filter(array, np.where(sigma < 0.05, 0.0, sigma), mode="nearest", truncate=3.0))


def straight(grid: Grid) -> Grid:
    """A grid at right angles that covers a sheared one: its rows and columns, its slices moved along their normal.

    Pixel centres of the first slice stay where they are; the others get room at the sides for what the shear moved.
    Raises UncalibratedError where the grid has no place.
    """
    affine = grid.require_affine("a straight grid")
    if grid.ndim == 2 or not grid.is_sheared:
        return grid
    right = affine[:3, 2] / np.linalg.norm(affine[:3, 2])
    normal = np.cross(right, affine[:3, 1])
    normal /= np.linalg.norm(normal)
    down = np.cross(normal, right)
    rows = abs(float(down @ affine[:3, 1]))
    square = affine.copy()
    square[:3, 0] = normal * (normal @ affine[:3, 0])
    square[:3, 1] = down * np.sign(down @ affine[:3, 1]) * rows
    corners = Grid(grid.shape, square).to_index(grid.corners_mm())
    low = np.floor(corners.min(axis=0) + 1e-6)
    high = np.ceil(corners.max(axis=0) - 1e-6)
    square[:3, 3] += square[:3, :3] @ low
    shape = tuple(int(n) for n in high - low + 1)
    return Grid(shape, square, plane=grid.plane, frame_of_reference=grid.frame_of_reference)


def straightened(image: Image) -> Image:
    """An image of a tilted gantry on the ``straight`` grid of its own, linearly interpolated within each slice.

    Not blurred first: nothing shrinks. Outside the tilted volume stands the value of nothing.
    """
    to = straight(image.grid)
    way = index_map(image.grid, to, Transform(kind="identity"))
    arrays = [pull(Sampler(_as_float(a), "linear", image.quantity.outside), way, to.shape) for a in _split(image)]
    if image.pixels.dtype == np.uint8:
        arrays = [_bytes_again(a) for a in arrays]
    step = f"straightened from {image.grid.shape} onto {to.shape} (linear)"
    return replace(image, pixels=ArrayPixels(_join(arrays, image)), grid=to, steps=(*image.steps, step))


def upright(grid: Grid, spacing_mm: float | tuple[float, float, float] | None = None) -> Grid:
    """An axis-aligned grid (z, y, x along +S, +P, +L) that covers ``grid``: for showing, and for shearing back.

    Isotropic at the finest spacing of ``grid`` unless ``spacing_mm`` is given.
    """
    corners = grid.corners_mm()
    if spacing_mm is None:
        spacing_mm = min(grid.require_spacing("an upright grid"))
    step = np.broadcast_to(np.asarray(spacing_mm, dtype=np.float64), (3,))
    low, high = corners.min(axis=0)[::-1], corners.max(axis=0)[::-1]  # z, y, x
    shape = tuple(int(n) for n in np.floor((high - low) / step + 1e-6) + 1)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = step
    affine[:3, 3] = low[::-1]
    affine[3, 3] = 1.0
    return Grid(shape, affine, frame_of_reference=grid.frame_of_reference)
