"""Truth and prediction outlined on the image, for the report of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity
from hexscope.core.resample import resample, upright
from hexscope.fuse import usual_window, window
from hexscope.study.canvas import COLOURS, RGB, Panel, grey, strip

#: Longer side of a panel in pixels, before the strip scales it.
_SIDE_PX = 420
_SLICES = 3
#: Rows run to posterior and columns to the left in an axial plane of an upright grid.
_LETTERS = ("R", "L", "A", "P")
_NO_LETTERS = ("", "", "", "")


def compared(image: Image, truth: Mask, found: Mask) -> bytes:
    """A strip as PNG: the image, and the image with the truth's outline (blue) and the prediction's (orange).

    Of a volume three axial slices through what either holds. All lie on one grid.
    """
    if image.grid.ndim == 3 and image.grid.affine is not None:
        panels = [_slice(image, truth, found, z) for z in _levels(truth, found)]
    else:
        panels = _flat(image, truth, found)
    return strip(panels, height=_SIDE_PX)


def _levels(truth: Mask, found: Mask) -> list[float]:
    """LPS z of the slices: at a quarter, half and three quarters of what the masks hold (of the image, if nothing)."""
    grid, held = truth.grid, truth.any | found.any
    index = np.argwhere(held) if held.any() else np.argwhere(np.ones((2, 2, 2), bool)) * (np.array(grid.shape) - 1)
    heights = grid.to_world(index.astype(np.float64))[:, 2]
    return [float(np.quantile(heights, (k + 0.5) / _SLICES)) for k in reversed(range(_SLICES))]


def _slice(image: Image, truth: Mask, found: Mask, z: float) -> Panel:
    whole = upright(image.grid)
    affine = np.array(whole.affine)
    step = max(whole.shape[1:]) * affine[0, 2] / _SIDE_PX
    shape = tuple(max(1, int(n * affine[0, 2] / step)) for n in whole.shape[1:])
    affine[[1, 0], [1, 2]] = step
    affine[2, 3] = z
    thin = Grid((1, *shape), affine, frame_of_reference=image.grid.frame_of_reference)
    rgb = in_grey(image, resample(image, thin).array[0])
    masks = [resample(mask, thin) for mask in (truth, found)]
    return Panel(_drawn(rgb, [[layer[0] for layer in mask.layers] for mask in masks]), _LETTERS, f"z {z:.0f} mm")


def _flat(image: Image, truth: Mask, found: Mask) -> list[Panel]:
    """A plane; of a volume without a place, its middle slice."""
    if image.grid.ndim == 3:
        middle = image.grid.shape[0] // 2
        layers = [[layer[middle] for layer in mask.layers] for mask in (truth, found)]
        rgb = in_grey(image, image.array[middle])
        return [Panel(rgb, _NO_LETTERS), Panel(_drawn(rgb, layers), _NO_LETTERS)]
    scale = _SIDE_PX / max(image.grid.shape)
    to = image.grid.with_shape([max(1, round(n * scale)) for n in image.grid.shape])
    rgb = in_grey(image, resample(image, to).array)
    layers = [list(resample(mask, to).layers) for mask in (truth, found)]
    return [Panel(rgb, _NO_LETTERS), Panel(_drawn(rgb, layers), _NO_LETTERS)]


def in_grey(image: Image, values: NDArray[Any]) -> RGB:
    """Values of an image in its usual window; colours as they are."""
    if image.quantity is Quantity.RGB:
        return np.asarray(np.clip(values, 0, 255), dtype=np.uint8)
    level = window(values, *usual_window(image))
    return grey(1 - level if image.modality == "PT" else level)


def _drawn(rgb: RGB, masks: list[list[NDArray[Any]]]) -> RGB:
    """Borders of all labels of each mask in a colour of its own."""
    out = rgb.copy()
    for colour, layers in zip(COLOURS, masks, strict=False):
        for layer in layers:
            out[_borders(layer)] = colour
    return out


def _borders(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of a label with a neighbour above, below or beside that has another."""
    wide = np.pad(labels, 1, mode="edge")
    middle = wide[1:-1, 1:-1]
    others = (wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:])
    return np.asarray((middle > 0) & np.any([other != middle for other in others], axis=0))
