"""Tissue on a slide: where light is absorbed, at a coarse level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.image import Image
from hexscope.core.otsu import otsu
from hexscope.core.quantity import Quantity
from hexscope.errors import QuantityError
from hexscope.segment.found import Found

#: The mask is made on a level, or a shrunk copy of one, with no side longer than this.
_LONGEST_SIDE = 2048
#: Clean glass stays below, stained tissue above, whatever Otsu says of a slide that is all one of them.
_GLASS_OD, _TISSUE_OD = 0.05, 0.20
#: Smaller pieces are dust and smaller holes are not lumina, in parts of the picture.
_SPECK = 2e-4
_BLACK = 12


def find(image: Image, names: Sequence[str]) -> Found:
    """``names`` is ("tissue",). The mask lies on a coarse grid over the same slide.

    Optical density of the most absorbed colour (Ruifrok 2001), smoothed, parted by Otsu's threshold. Black
    filling around a scan is not tissue. Raises QuantityError for slides without colour.
    """
    if image.quantity is not Quantity.RGB or image.axes[-1] != "c":
        raise QuantityError(f"tissue is found on colour slides; {image.name or 'this slide'} is {image.quantity}")
    small = _shrunk(image)
    padding = ndimage.binary_opening(small.array[..., :3].max(axis=-1) < _BLACK, iterations=3)
    light = np.where(padding, 255, small.array[..., :3].min(axis=-1)).astype(np.float32)
    density = ndimage.gaussian_filter(-np.log10((light + 1) / 256), 2.0)
    threshold = float(np.clip(otsu(density[~padding]), _GLASS_OD, _TISSUE_OD)) if not padding.all() else 0.0
    tissue = _without_specks((density > threshold) & ~padding)
    warnings = () if tissue.any() else ("no tissue was found",)
    return Found(small.grid, {"tissue": tissue}, f"optical density above {threshold:.2f}", warnings)


def _shrunk(image: Image) -> Image:
    """The finest level that is small enough; else the coarsest, shrunk by whole-number block means."""
    y, x = image.spatial_axes
    sides = [max(shape[y], shape[x]) for shape in image.pixels.levels]
    fitting = [level for level, side in enumerate(sides) if side <= _LONGEST_SIDE]
    level = fitting[0] if fitting else len(sides) - 1
    small = image.at_level(level)
    block = -(-sides[level] // _LONGEST_SIDE)
    return small if block == 1 else _block_mean(small, block)


def _block_mean(image: Image, block: int) -> Image:
    """Means over blocks; what does not fill a last block is left out."""
    stop = tuple(n // block * block for n in image.grid.shape)
    image = image.crop((0, 0), stop)
    height, width = (n // block for n in stop)
    array: NDArray[Any] = image.array.reshape(height, block, width, block, -1)
    mean = np.round(array.mean(axis=(1, 3))).astype(np.uint8)
    grid = image.grid.with_shape((height, width))
    whole = Image.from_array(mean, grid, modality=image.modality, quantity=image.quantity, axes=image.axes)
    return replace(whole, steps=(*image.steps, f"mean of {block}×{block} pixels"), name=image.name)


def _without_specks(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    least = _SPECK * part.size
    for wanted in (True, False):
        labels, n = ndimage.label(part == wanted)
        sizes = np.bincount(labels.ravel(), minlength=n + 1)
        small = sizes < least
        small[0] = False
        part = np.where(small[labels], not wanted, part)
    return part
