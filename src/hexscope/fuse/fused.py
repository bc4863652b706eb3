"""The result of a fusion: both images with their numbers, and the picture of both, made when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.image import Image, Mask
from hexscope.core.pixels import ArrayPixels
from hexscope.core.quantity import Quantity
from hexscope.core.transform import Certificate
from hexscope.errors import UsageError
from hexscope.fuse import mix
from hexscope.fuse.merge import MERGES
from hexscope.fuse.palettes import colours
from hexscope.fuse.planes import View, layer, window

Range = tuple[float, float]
At = int | EllipsisType

#: Ways to fuse: with colours, then those that merge brightness.
HOWS: tuple[str, ...] = ("overlay", "modulated", "contour", "checkerboard", *MERGES)

_FLAT = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm")
_MID_GREY = 0.5


@dataclass(frozen=True, eq=False)
class Fused:
    """What `fuse` gives: two images on one grid with their values, and the picture of both.

    base, over   on one grid, values untouched: HU and SUV can be read at every pixel; ``over`` may be a Mask
    covered      where ``over`` has anything to say: inside its field
    how, alpha, palettes, window_base, window_over, threshold, levels   how the picture is made, see `Look`
    certificate  of the registration that joined them; None where none was needed
    view         the plane, slab or projection they show; None: the whole grid of the base
    """

    base: Image
    over: Image | Mask
    covered: NDArray[np.bool_]
    how: str
    alpha: float
    palettes: tuple[str, str]
    window_base: Range
    window_over: Range
    threshold: float | None = None
    levels: tuple[float, ...] = ()
    certificate: Certificate | None = None
    view: View | None = None

    @cached_property
    def picture(self) -> NDArray[np.uint8]:
        """RGB of the whole grid, (z, y, x, 3) or (y, x, 3), made when first asked for."""
        if self.base.grid.ndim == 2:
            return self._blend(...)
        return np.stack([self.rgb(z) for z in range(self.base.grid.shape[0])])

    def rgb(self, index: int) -> NDArray[np.uint8]:
        """RGB of one slice along the first axis of the grid, (y, x, 3)."""
        return self._blend(index)

    @cached_property
    def grey(self) -> NDArray[np.float32]:
        """Brightness of the picture, 0 to 1 in float, on the whole grid: not rounded where brightness is merged."""
        if self.how not in MERGES:
            return mix.luma(self.picture)
        below, above = self.brightness
        finest = min(self.base.grid.spacing_mm or (1.0,))
        steps = [s / finest for s in self.base.grid.spacing_mm or (1.0,) * below.ndim]
        merged = MERGES[self.how](below, np.where(self.covered, above, below), steps)
        outside = np.float32(_MID_GREY) if self.how == "difference" else below
        return np.clip(np.where(self._shown(...), merged, outside), 0.0, 1.0)

    @cached_property
    def brightness(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both sources as shown in grey, 0 to 1, on the whole grid: values in their window, colours by their luma."""
        if isinstance(self.over, Mask):
            return self._levels(self.base, self.window_base, ...), self.over.any.astype(np.float32)
        return self._levels(self.base, self.window_base, ...), self._levels(self.over, self.window_over, ...)

    # ---- one plane ---------------------------------------------------------------------------------------------

    def _blend(self, at: At) -> NDArray[np.uint8]:
        below = _coloured(self.base, at, self.window_base, self.palettes[0])
        if self.how == "contour":
            return _rounded(mix.outlines(below, *self._regions(at)))
        if self.how in MERGES:
            return _rounded(self._merged(below, at))
        above = self._above(at)
        if self.how == "checkerboard":
            mixed = mix.checkerboard(below, above)
        else:
            mixed = mix.overlay(below, above, self._share(at))
        return _rounded(np.where(self._shown(at)[..., None], mixed, below))

    def _above(self, at: At) -> NDArray[np.float32]:
        """The upper layer in colour."""
        if not isinstance(self.over, Mask):
            return _coloured(self.over, at, self.window_over, self.palettes[1])
        regions, inks = self._regions(at)
        return np.asarray(np.stack([np.zeros(3), *inks]), dtype=np.float32)[regions]

    def _share(self, at: At) -> float | NDArray[np.float32]:
        if self.how == "modulated" and not isinstance(self.over, Mask):
            return np.float32(self.alpha) * self._levels(self.over, self.window_over, at)
        return self.alpha

    def _merged(self, below: NDArray[np.float32], at: At) -> NDArray[np.float32]:
        """Merged brightness in the hue of the layer that has one."""
        grey = self.grey[at]
        coloured = isinstance(self.over, Image) and self.over.quantity is Quantity.RGB
        if coloured or self.palettes[1] != "grey":
            hue = np.where(self._shown(at)[..., None], self._above(at), below)
        elif self.base.quantity is Quantity.RGB:
            hue = below
        else:
            return np.repeat(grey[..., None] * np.float32(255.0), 3, axis=-1)
        return mix.tinted(grey, hue)

    def _shown(self, at: At) -> NDArray[np.bool_]:
        """Where the upper layer is laid on: in its field, and above the threshold."""
        if isinstance(self.over, Mask):
            return self.covered[at] & self.over.any[at]
        if self.threshold is None or self.over.quantity is Quantity.RGB:
            return self.covered[at]
        return np.asarray(self.covered[at] & (self.over.array[at] >= self.threshold))

    def _regions(self, at: At) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
        """What "contour" draws lines around, numbered from 1, and the colour of each: structures, or values above a
        level."""
        if isinstance(self.over, Mask):
            regions = np.zeros(self.covered[at].shape, np.int64)
            for number, label in enumerate(self.over, start=1):
                regions[self.over.layers[label.layer][at] == label.value] = number
            count = max(len(self.over.labels), 1)
            bright = np.asarray(0.3 + 0.6 * (np.arange(count) + 0.5) / count, dtype=np.float32)
        else:
            if self.over.quantity is Quantity.RGB:
                raise UsageError("a colour image has no levels to draw contours of; use overlay")
            regions = np.where(self.covered[at], np.digitize(self.over.array[at], self.levels), -1)
            bright = window(np.array(self.levels), *self.window_over)
        return regions, list(colours(bright, self.palettes[1]))

    @staticmethod
    def _levels(image: Image, shown: Range, at: At) -> NDArray[np.float32]:
        values = image.array[at]
        return mix.luma(values) if image.quantity is Quantity.RGB else window(values, *shown)

    # ---- what is saved -----------------------------------------------------------------------------------------

    def as_image(self) -> Image:
        """The picture as an RGB image on the grid of ``base``, its history and the verdict among its steps."""
        spatial = ("z", "y", "x")[-self.base.grid.ndim :]
        over = "mask" if isinstance(self.over, Mask) else self.over.modality
        name = f"{over} on {self.base.modality}, {self.how}"
        comment = "Derived picture, not for diagnosis."
        return Image.from_array(
            self.picture,
            self.base.grid,
            modality=self.base.modality,
            quantity=Quantity.RGB,
            axes=(*spatial, "c"),
            facts={**self.base.facts, "SeriesDescription": name, "ImageComments": comment},
            steps=(*self.base.steps, self.told()),
            name=f"{self.base.name} + {self.over.name}",
        )

    def told(self) -> str:
        """How the picture was made, in one line: layers, windows, palette, view, and the verdict on the alignment."""
        over = "a mask" if isinstance(self.over, Mask) else f"{self.over.modality} in {self.over.quantity.value}"
        parts = [f"fused ({self.how}) from {self.base.modality} in {self.base.quantity.value} and {over}"]
        if self.base.quantity is not Quantity.RGB:
            parts.append(f"base {self.window_base[0]:g} to {self.window_base[1]:g}")
        if isinstance(self.over, Image) and self.over.quantity is not Quantity.RGB:
            parts.append(f"over {self.window_over[0]:g} to {self.window_over[1]:g}, {self.palettes[1]}")
        if self.threshold is not None:
            parts.append(f"from {self.threshold:g} on")
        if self.view is not None:
            parts.append(str(self.view))
        verdict = "not checked" if self.certificate is None else self.certificate.verdict
        return "; ".join([*parts, f"alignment: {verdict}"])

    def as_saved(self, path: str | Path) -> Image:
        """What to write under that name: the whole picture, or its middle slice for a format of one plane."""
        whole = self.as_image()
        if self.base.grid.ndim == 2 or Path(path).suffix.lower() not in _FLAT:
            return whole
        middle = self.base.grid.shape[0] // 2
        step = f"slice {middle + 1} of {self.base.grid.shape[0]}"
        return replace(
            whole,
            pixels=ArrayPixels(whole.array[middle]),
            grid=layer(whole.grid, middle),
            axes=("y", "x", "c"),
            steps=(*whole.steps, step),
        )


def _coloured(image: Image, at: At, shown: Range, name: str) -> NDArray[np.float32]:
    """Colours 0..255 in float; colour images as they are."""
    values: NDArray[Any] = image.array[at]
    if image.quantity is Quantity.RGB:
        return values[..., :3].astype(np.float32)
    return colours(window(values, *shown), name)


def _rounded(colour: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray(np.floor(np.clip(colour, 0.0, 255.0) + 0.5), dtype=np.uint8)
