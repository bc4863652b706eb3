"""Reading what was planned: a recipe holds what the pixels of a series need, and none of the headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from hexscope.core.faults import Fault
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.pixels import ArrayPixels, LazyPixels, check_whole
from hexscope.core.quantity import Quantity
from hexscope.errors import GeometryError, InputError
from hexscope.io.dicom_geometry import Evening
from hexscope.io.dicom_mosaic import Tile
from hexscope.io.dicom_stack import volume_pixels
from hexscope.io.dicom_stored import Slice


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that reading an image takes; the slices are in array order.

    lead   sizes of the axes before (y, x): () for one picture, (z,), (t,) or (t, z)
    frame  shape of one slice, (y, x) or (y, x, c)
    tiles  the part of its mosaic that each slice is; empty where there is no mosaic
    """

    slices: tuple[Slice, ...]
    axes: tuple[str, ...]
    lead: tuple[int, ...]
    frame: tuple[int, ...]
    grid: Grid | None
    modality: str
    quantity: Quantity
    facts: Mapping[str, Any]
    faults: tuple[Fault, ...]
    files: tuple[str, ...]
    tiles: tuple[Tile, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.lead, *self.frame)

    @property
    def name(self) -> str:
        """The file, or the folder where there are several files."""
        path = Path(self.files[0])
        return path.name if len(self.files) == 1 else path.parent.name

    @property
    def refusal(self) -> Fault | None:
        """The first fault that forbids reading it."""
        return next((f for f in self.faults if f.kind.verdict == "refused"), None)

    def load(self) -> Image:
        """The image, its pixels lazy. Raises InputError with the code of the fault where it is refused."""
        if self.refusal is not None or self.grid is None:
            refuse(self.name, self.refusal or Fault("geometry.bad_affine", "no grid could be made"))
        image = self._image(self._pixels(), self.grid)
        return _finite(image) if self.slices[0].stored.is_float else image

    def load_even(self, evening: Evening | None) -> Image:
        """On even steps at right angles, linearly interpolated; told as steps and a fault.

        ``evening`` says how slices that are uneven are brought onto even steps; None where they are even.
        """
        image = self.load() if evening is None else self._evened(evening)
        if image.grid.is_sheared:
            from hexscope.core.resample import straightened

            image = straightened(image)
        kept = tuple(f for f in image.faults if f.kind.verdict != "refused" and f.code != "geometry.gantry_tilt")
        return replace(image, faults=(*kept, Fault("geometry.evened", "; ".join(image.steps))))

    def _evened(self, evening: Evening) -> Image:
        lazy = self._pixels()
        check_whole(lazy)
        source = np.moveaxis(lazy.read(), self.axes.index("z"), 0)
        below = np.clip(np.searchsorted(evening.heights, evening.places, "right") - 1, 0, len(source) - 2)
        gap = evening.heights[below + 1] - evening.heights[below]
        weights = np.clip((evening.places - evening.heights[below]) / gap, 0.0, 1.0)
        out = np.empty((len(evening.places), *source.shape[1:]), source.dtype)
        for k, (i, weight) in enumerate(zip(below, weights, strict=True)):
            mixed = source[i] * (1.0 - weight) + source[i + 1] * weight
            out[k] = np.round(mixed) if out.dtype.kind in "iu" else mixed
        step = evening.grid.spacing_mm[0] if evening.grid.spacing_mm else 0.0
        told = f"{len(source)} slices resampled onto {len(out)} even steps of {step:.4g} mm"
        pixels = ArrayPixels(np.ascontiguousarray(np.moveaxis(out, 0, self.axes.index("z"))))
        return replace(self._image(pixels, evening.grid), steps=(told,))

    def _pixels(self) -> LazyPixels:
        return volume_pixels(self.slices, self.tiles, self.lead)

    def _image(self, pixels: Any, grid: Grid) -> Image:
        return Image(
            pixels,
            grid,
            self.modality,
            self.quantity,
            axes=self.axes,
            facts=self.facts,
            faults=self.faults,
            files=self.files,
            name=self.name,
        )


def refuse(name: str, fault: Fault) -> NoReturn:
    """Raise what a fault stands for."""
    kind = GeometryError if fault.code.startswith("geometry.") else InputError
    raise kind(f"{name}: {fault.detail}. {fault.kind.remedy}", code=fault.code)


def _finite(image: Image) -> Image:
    """Float pixels can hold NaN: set to the value of nothing, and told."""
    array = image.array
    broken = ~np.isfinite(array)
    count = int(np.count_nonzero(broken))
    if not count:
        return image
    value = image.quantity.outside
    mended = np.where(broken, np.array(value, array.dtype), array)
    step = f"{count} of {array.size} values that were not finite set to {value:g}"
    fault = Fault("value.not_finite", f"{image.name}: {step}")
    return replace(image, pixels=ArrayPixels(mended), steps=(*image.steps, step)).with_fault(fault)
