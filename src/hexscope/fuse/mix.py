"""Two coloured layers into one picture: the ways to fuse that need colours. Colours are 0 to 255 in float."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float32]
Levels = NDArray[np.float32]

#: Fields of a checkerboard along its longer side.
_FIELDS = 8
#: Brightness of a colour: luma of ITU-R BT.601, as the Y of YCbCr and of the fusion literature.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def overlay(below: Colour, above: Colour, share: float | Levels) -> Colour:
    """(1 − share) · below + share · above; the share may differ from pixel to pixel."""
    part = np.asarray(share, dtype=np.float32)
    part = part[..., None] if part.ndim else part
    return np.asarray((1 - part) * below + part * above)


def checkerboard(below: Colour, above: Colour) -> Colour:
    """Fields of each in turn, over the last two spatial axes."""
    rows, columns = below.shape[-3:-1]
    side = max(1, max(rows, columns) // _FIELDS)
    odd = (np.arange(rows)[:, None] // side + np.arange(columns) // side) % 2 == 1
    return np.where(odd[..., None], above, below)


def outlines(below: Colour, regions: NDArray[np.integer], inks: Sequence[NDArray[np.floating]]) -> Colour:
    """Lines one pixel wide inside the border of each region of one plane, numbered 1, 2, …, in its ink; 0 is none.

    Where two regions touch, the line is on the side of the higher number. Along −1, where nothing is known (outside a
    field of view), and along the border of the plane there is none.
    """
    drawn = below.copy()
    padded = np.pad(np.where(regions < 0, len(inks), regions), 1, mode="edge")
    neighbours = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    border = regions > np.minimum.reduce(neighbours)
    for number, ink in enumerate(inks, start=1):
        drawn[border & (regions == number)] = ink
    return drawn


def luma(colour: NDArray[Any]) -> Levels:
    """Brightness 0 to 1 of colours 0 to 255."""
    return np.asarray(colour[..., :3].astype(np.float32) @ _LUMA / 255.0, dtype=np.float32)


def tinted(grey: Levels, colour: Colour) -> Colour:
    """The grey value with the hue of ``colour``: its Cb and Cr stay (BT.601), its brightness becomes ``grey``."""
    return np.asarray(colour + (255.0 * (grey - luma(colour)))[..., None], dtype=np.float32)
