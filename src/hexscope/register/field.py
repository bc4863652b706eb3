"""An Image made ready for the search: one volume or one plane, in mm, its values on a common scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array, Grid
from hexscope.core.image import Image, Mask
from hexscope.core.pixels import ArrayPixels
from hexscope.core.quantity import Quantity
from hexscope.core.resample import resample
from hexscope.errors import GeometryError
from hexscope.register.padding import beside_padding
from hexscope.register.pyramid import Level, scaled

#: A plane is read at the finest level of its pyramid whose sides are no longer than this, px.
_LONGEST_PX = 1536

#: Values onto 0..1, or VOID where a mask does not let them count.
Scale = Callable[[NDArray[Any], NDArray[np.bool_] | None], NDArray[np.float32]]

#: Two axes at least must have as many voxels.
_FEWEST = 4


@dataclass(frozen=True, eq=False)
class Field:
    """What the search compares.

    level  values, and the map from their indices to mm: LPS, or of a plane its own (x along rows, y down, z up from it)
    place  (4, 4) from those mm to LPS. A plane that knows no patient is its own world.
    flat   is it a plane?
    notes  what of it does not count, in words
    """

    level: Level
    place: Array
    flat: bool
    notes: tuple[str, ...] = ()


def ready(
    fixed: Image,
    moving: Image,
    fixed_mask: Mask | None = None,
    moving_mask: Mask | None = None,
    scale: Scale = scaled,
) -> tuple[Field, Field]:
    """Both images: two planes as planes, a plane with a place beside a volume as a volume of one slice.

    A mask says where its image counts; without one, all of it but the blank surroundings of a volume that was turned
    and resampled. Raises GeometryError for what is neither a plane nor a placed volume, or too small;
    UncalibratedError for a plane without a spacing.
    """
    flat = all(image.grid.ndim == 2 or image.grid.shape[0] == 1 for image in (fixed, moving))
    make = _plane if flat else _volume
    return make(fixed, fixed_mask, scale), make(moving, moving_mask, scale)


def _volume(image: Image, mask: Mask | None, scale: Scale) -> Field:
    if image.grid.ndim == 2 and image.grid.affine is not None:
        image = _as_slice(image)
    array = image.require_volume("registration")
    _require_size(image)
    known = beside_padding(array) if mask is None else _known(mask, image.grid)
    level = Level(scale(array, known), image.grid.require_affine("registration"))
    if mask is not None or known is None:
        return Field(level, np.eye(4), False)
    left_out = f"blank surroundings of {image.name or 'an image'} left out, {1 - known.mean():.0%} of its volume"
    return Field(level, np.eye(4), False, (left_out,))


def _plane(image: Image, mask: Mask | None, scale: Scale) -> Field:
    image = fitting_level(image)
    if image.grid.ndim == 3:
        array, grid = image.require_volume("registration")[0], image.grid
        grid = replace(grid, shape=grid.shape[1:], affine=grid.require_affine("registration")[:, 1:])
    else:
        array, grid = _grey(image), image.grid.placed("registration")
    _require_size(image)
    known = _known(mask, image.grid)
    values = scale(array[None], None if known is None else known.reshape(1, *array.shape))
    place, affine = _laid(grid.require_affine("registration"))
    return Field(Level(values, affine), place, True)


def _as_slice(image: Image) -> Image:
    """A plane with a place, as a volume of one slice as thick as its pixels are wide."""
    return replace(image, pixels=ArrayPixels(_grey(image)[None]), grid=image.grid.as_slice(), axes=("z", "y", "x"))


def _laid(affine: Array) -> tuple[Array, Array]:
    """A plane's (4, 3) affine as its place (4, 4), and the way from its indices (0, y, x) to its own mm (4, 4)."""
    right = affine[:3, 1] / np.linalg.norm(affine[:3, 1])
    normal = np.cross(right, affine[:3, 0])
    normal /= np.linalg.norm(normal)
    place = np.eye(4)
    place[:3] = np.stack([right, np.cross(normal, right), normal, affine[:3, 2]], axis=1)
    return place, np.concatenate([np.eye(4)[:, 2:3], np.linalg.inv(place) @ affine], axis=1)


def fitting_level(image: Image) -> Image:
    """The finest level of a pyramid that is not too large; the coarsest, where all are."""
    for number, shape in enumerate(image.pixels.levels):
        if max(shape[i] for i in image.spatial_axes) <= _LONGEST_PX:
            return image.at_level(number)
    return image.at_level(len(image.pixels.levels) - 1)


def _grey(image: Image) -> NDArray[np.generic]:
    """(y, x). Of a stained section how much its darkest colour absorbs, so that any dye shows; else the mean colour."""
    if "t" in image.axes:
        raise GeometryError(
            f"registration needs one picture; {image.name or 'the image'} has axes {image.axes}. "
            "Take one time point with frame()."
        )
    array = image.array
    if "c" not in image.axes:
        return array
    if image.quantity is Quantity.RGB and image.modality == "SM":
        return np.asarray(255 - array.min(axis=-1))
    return np.asarray(array.mean(axis=-1, dtype=np.float32))


def _known(mask: Mask | None, grid: Grid) -> NDArray[np.bool_] | None:
    """Where a mask lets the image count; all of it without one. GeometryError where it lets nothing."""
    if mask is None:
        return None
    on = mask if mask.grid.same_as(grid) or mask.grid.shape == grid.shape else resample(mask, grid)
    if not on.any.any():
        raise GeometryError(f"the mask {mask.name or ''} marks nothing inside its image; registration needs some of it")
    return on.any


def _require_size(image: Image) -> None:
    if sorted(image.grid.shape)[-2] < _FEWEST:
        raise GeometryError(
            f"registration needs at least {_FEWEST} voxels along two axes; {image.name or 'the image'} has "
            f"shape {image.grid.shape}."
        )
