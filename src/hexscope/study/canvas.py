"""Small pictures for a report: panels side by side with letters for the patient's sides, outlines and marks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from scipy import ndimage

RGB = NDArray[np.uint8]
Colour = tuple[int, int, int]

#: Outline colours, told apart also by the colour-blind (Okabe and Ito 2008).
COLOURS: tuple[Colour, ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 200, 130),
    (240, 228, 66),
    (204, 121, 167),
    (213, 94, 0),
)
_GAP = 6
_TEXT: Colour = (235, 240, 245)


@dataclass(frozen=True)
class Mark:
    """A ring and a number at (row, column) of a panel."""

    row: float
    column: float
    radius: float
    text: str


@dataclass(frozen=True)
class Panel:
    """One picture: pixels, the letters at its left, right, top and bottom edge, a title, marks."""

    rgb: RGB
    letters: tuple[str, str, str, str] = ("", "", "", "")
    title: str = ""
    marks: tuple[Mark, ...] = field(default=())


def grey(level: NDArray[Any]) -> RGB:
    """Brightness 0..1 as RGB."""
    byte = np.round(np.clip(level, 0, 1) * 255).astype(np.uint8)
    return np.repeat(byte[..., None], 3, axis=2)


def outlined(rgb: RGB, parts: Sequence[NDArray[np.bool_]], width: int = 1) -> RGB:
    """The picture with the outline of each part (bool, of its size) in a colour of its own."""
    out = rgb.copy()
    for number, part in enumerate(parts):
        edge = part & ~ndimage.binary_erosion(part, iterations=width, border_value=1)
        out[edge] = COLOURS[number % len(COLOURS)]
    return out


def strip(panels: Sequence[Panel], height: int = 300, most_width: int = 1100) -> bytes:
    """Panels side by side, each scaled to one height, as PNG."""
    ratio = sum(p.rgb.shape[1] / p.rgb.shape[0] for p in panels)
    height = max(40, min(height, int((most_width - _GAP * (len(panels) - 1)) / ratio)))
    tiles = [_tile(panel, height) for panel in panels]
    width = sum(t.width for t in tiles) + _GAP * (len(tiles) - 1)
    sheet = Pillow.new("RGB", (width, height), (5, 7, 10))
    left = 0
    for tile in tiles:
        sheet.paste(tile, (left, 0))
        left += tile.width + _GAP
    out = io.BytesIO()
    sheet.save(out, "PNG", compress_level=5)
    return out.getvalue()


def _tile(panel: Panel, height: int) -> Pillow.Image:
    scale = height / panel.rgb.shape[0]
    width = max(8, round(panel.rgb.shape[1] * scale))
    how = Pillow.Resampling.BICUBIC if scale > 1 else Pillow.Resampling.BOX
    tile = Pillow.fromarray(np.ascontiguousarray(panel.rgb)).resize((width, height), how)
    draw = ImageDraw.Draw(tile)
    font = ImageFont.load_default(size=max(11, height // 22))
    bright = float(panel.rgb.mean()) > 140
    ink, rim = ((25, 30, 38), (255, 255, 255)) if bright else (_TEXT, (0, 0, 0))
    places = (
        (4, height // 2, "lm"),
        (width - 4, height // 2, "rm"),
        (width // 2, 4, "mt"),
        (width // 2, height - 4, "mb"),
    )
    for letter, (x, y, anchor) in zip(panel.letters, places, strict=True):
        draw.text((x, y), letter, fill=ink, font=font, anchor=anchor, stroke_width=1, stroke_fill=rim)
    if panel.title:
        draw.text((5, 4), panel.title, fill=ink, font=font, anchor="lt", stroke_width=1, stroke_fill=rim)
    for mark in panel.marks:
        x, y, r = (mark.column + 0.5) * scale, (mark.row + 0.5) * scale, max(mark.radius * scale, 6)
        draw.ellipse((x - r, y - r, x + r, y + r), outline=(220, 60, 40), width=2)
        draw.text((x + r + 2, y), mark.text, fill=(220, 60, 40), font=font, anchor="lm")
    return tile
