"""What is done to images to see whether the input gate notices: each takes one and gives one of the same claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.pixels import ArrayPixels

Corruption = Callable[[Image, np.random.Generator], Image | None]


def of(image: Image, array: NDArray[np.generic], grid: Grid | None = None) -> Image:
    """``image`` with other pixels, and still claiming to be what it was."""
    whole = np.issubdtype(image.pixels.dtype, np.integer)
    kept = np.clip(np.rint(array), *_limits(image.pixels.dtype)).astype(image.pixels.dtype) if whole else array
    return replace(image, pixels=ArrayPixels(np.ascontiguousarray(kept)), grid=image.grid if grid is None else grid)


def _limits(dtype: np.dtype) -> tuple[int, int]:
    info = np.iinfo(dtype)
    return info.min, info.max


def _spatial(image: Image) -> int:
    return image.grid.ndim


def window(image: Image, rng: np.random.Generator) -> Image:
    """Exported as a screen shows it: 0 to 255 between the 10th and 90th percentile (CT: −160 to 240 HU)."""
    array = image.array.astype(np.float32)
    low, high = (-160.0, 240.0) if image.modality == "CT" else np.percentile(array, (10, 90))
    return of(image, np.rint(255 * np.clip((array - low) / max(high - low, 1e-6), 0, 1)))


def inverted(image: Image, rng: np.random.Generator) -> Image:
    array = image.array.astype(np.float32)
    return of(image, array.max() + array.min() - array)


def mirrored(image: Image, rng: np.random.Generator) -> Image:
    return of(image, np.flip(image.array, _spatial(image) - 1))


def upside_down(image: Image, rng: np.random.Generator) -> Image:
    return of(image, np.flip(image.array, 0))


def turned(image: Image, rng: np.random.Generator) -> Image:
    """A quarter turn in the plane, file order."""
    n = _spatial(image)
    array = np.rot90(image.array, axes=(n - 2, n - 1))
    return of(image, array, _shaped(image.grid, array.shape[:n]))


def _shaped(grid: Grid, shape: Sequence[int]) -> Grid:
    return replace(grid, shape=tuple(shape))


def spacing(image: Image, rng: np.random.Generator) -> Image | None:
    """Pixels said to be ten times as large (cm taken for mm)."""
    grid = image.grid
    if grid.affine is not None:
        affine = np.array(grid.affine)
        affine[:3, : grid.ndim] *= 10
        return replace(image, grid=Grid(grid.shape, affine))
    if grid.spacing_mm is None:
        return None
    return replace(image, grid=Grid(grid.shape).calibrated([10 * s for s in grid.spacing_mm]))


def noise(image: Image, rng: np.random.Generator) -> Image:
    """Gaussian, as strong as all contrast of the image."""
    array = image.array.astype(np.float32)
    return of(image, array + rng.normal(0, array.std(), array.shape))


def blurred(image: Image, rng: np.random.Generator) -> Image:
    """Gaussian, 3 % of the longest side."""
    n = _spatial(image)
    sigma = 0.03 * max(image.grid.shape[-2:])
    array = image.array.astype(np.float32)
    return of(image, ndimage.gaussian_filter(array, [sigma] * n + [0] * (array.ndim - n)))


def cropped(image: Image, rng: np.random.Generator) -> Image:
    """Two fifths of each side, anywhere, enlarged to the old size: number and size of pixels tell nothing."""
    sides = image.grid.shape
    size = [max(4, round(0.4 * s)) for s in sides]
    start = [int(rng.integers(0, s - k + 1)) for s, k in zip(sides, size, strict=True)]
    part = image.array[tuple(slice(a, a + k) for a, k in zip(start, size, strict=True))]
    return of(image, fitted(part, sides))


def fitted(array: NDArray[np.generic], sides: Sequence[int]) -> NDArray[np.float32]:
    """``array`` on so many pixels, interpolated; colours stay."""
    scale = [new / old for new, old in zip(sides, array.shape, strict=False)]
    return ndimage.zoom(
        array.astype(np.float32), scale + [1] * (array.ndim - len(scale)), order=1, grid_mode=True, mode="nearest"
    )


def half_lost(image: Image, rng: np.random.Generator) -> Image:
    """The second half of the rows is empty: a broken transfer."""
    array = image.array.copy()
    array[(slice(None),) * (_spatial(image) - 2) + (slice(image.grid.shape[-2] // 2, None),)] = array.min()
    return of(image, array)


def other_kind(others: Sequence[Image]) -> Corruption:
    """Another image in its place, with this one's claims: modality, quantity, colours, size and place of pixels."""

    def corrupt(image: Image, rng: np.random.Generator) -> Image | None:
        if not others:
            return None
        other = others[int(rng.integers(len(others)))]
        array = fitted(other.array, image.grid.shape)
        if "c" in image.axes and "c" not in other.axes:
            array = np.stack([array] * 3, axis=-1)
        if "c" in other.axes and "c" not in image.axes:
            array = array.mean(axis=-1)
        return of(image, array)

    return corrupt


def colours(image: Image, rng: np.random.Generator) -> Image | None:
    """Red taken for blue."""
    return of(image, image.array[..., ::-1]) if "c" in image.axes else None
