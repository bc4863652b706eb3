"""Ultrasound: echoes, compressed for the eye. Millimetres only inside regions that the header calibrates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.errors import UsageError
from hexscope.modality.base import Facts, Modality
from hexscope.modality.facts import grey_or_colour, number

#: Region Spatial Format (0018,6012), DICOM PS3.3 C.8.5.5.1.1.
_FORMATS = {0: "none", 1: "2-D", 2: "M-mode", 3: "spectrum", 4: "waveform", 5: "graphics"}
#: Region Data Type (0018,6014), C.8.5.5.1.2.
_DATA = {
    0: "none", 1: "tissue", 2: "colour flow", 3: "pulsed Doppler", 4: "continuous Doppler", 5: "Doppler mean",
    6: "Doppler mode", 7: "Doppler maximum", 8: "volume trace", 9: "volume rate", 10: "ECG", 11: "pulse trace",
    12: "phonocardiogram", 13: "grey bar", 14: "colour bar", 15: "integrated backscatter", 16: "area trace",
    17: "area rate", 18: "other physiology",
}  # fmt: skip
#: Physical Units (0018,6024) and (0018,6026), C.8.5.5.1.15.
_UNITS = {
    0: "", 1: "%", 2: "dB", 3: "cm", 4: "s", 5: "Hz", 6: "dB/s", 7: "cm/s", 8: "cm2", 9: "cm2/s", 10: "cm3",
    11: "cm3/s", 12: "degrees",
}  # fmt: skip
#: Channels of one pixel differ by more than this where it is coloured; JPEG's colour noise on grey stays below.
COLOUR_TOLERANCE = 24


@dataclass(frozen=True)
class Region:
    """A rectangle of the screen with a scale of its own (DICOM PS3.3 C.8.5.5).

    kind       "2-D", "M-mode", "spectrum", "waveform", "graphics" or "none"
    data       what is drawn in it: "tissue", "colour flow", "pulsed Doppler", "ECG" …
    box        [y0, x0, y1, x1], pixels of the frame, half-open
    units      along (y, x): "cm", "s", "cm/s", "Hz" …; empty where there is none
    delta      units a pixel along (y, x), sign included: a Doppler axis often runs upward
    reference  (y, x) pixel of the frame, and its value in units, from which the axes count
    """

    kind: str
    data: str
    box: tuple[int, int, int, int]
    units: tuple[str, str]
    delta: tuple[float, float]
    reference: tuple[float, float]
    reference_value: tuple[float, float]

    @property
    def spacing_mm(self) -> tuple[float, float] | None:
        """mm along (y, x), for pictures of tissue or flow in cm; None for time, velocity and all other axes."""
        is_picture = self.kind == "2-D" and self.data in ("tissue", "colour flow")
        if not is_picture or self.units != ("cm", "cm") or not all(self.delta):
            return None
        return abs(self.delta[0]) * 10.0, abs(self.delta[1]) * 10.0

    def contains(self, y: float, x: float) -> bool:
        return self.box[0] <= y < self.box[2] and self.box[1] <= x < self.box[3]

    def value(self, y: float, x: float) -> tuple[float, float]:
        """What the axes read at a pixel of the frame, in ``units``: (y, x), as a spectrum's (cm/s, s)."""
        if not self.contains(y, x):
            raise UsageError(f"pixel ({y:g}, {x:g}) lies outside the region {self.box}, where its scale does not hold")
        at = zip((y, x), self.reference, self.reference_value, self.delta, strict=True)
        along = [value + (place - pixel) * step for place, pixel, value, step in at]
        return along[0], along[1]

    def as_json(self) -> dict[str, Any]:
        """As it stands in ``facts["regions"]``."""
        spacing = self.spacing_mm
        return {
            "kind": self.kind, "data": self.data, "box_px": list(self.box), "units": list(self.units),
            "delta": list(self.delta), "spacing_mm": None if spacing is None else list(spacing),
        }  # fmt: skip


def regions(facts: Facts) -> tuple[Region, ...]:
    """The calibrated regions of a frame, from ``facts["ultrasound_regions"]`` (the header's own words)."""
    return tuple(_region(item) for item in facts.get("ultrasound_regions") or ())


def _region(item: Mapping[str, Any]) -> Region:
    def pair(keyword: str) -> tuple[float, float]:
        return number(item, keyword.format("Y")) or 0.0, number(item, keyword.format("X")) or 0.0

    top, left = (round(number(item, f"RegionLocationMin{a}0") or 0) for a in "YX")
    bottom, right = (round(number(item, f"RegionLocationMax{a}1") or 0) + 1 for a in "YX")
    pixel = (number(item, "ReferencePixelY0") or 0.0, number(item, "ReferencePixelX0") or 0.0)
    units = pair("PhysicalUnits{}Direction")
    return Region(
        _FORMATS.get(round(number(item, "RegionSpatialFormat") or 0), "none"),
        _DATA.get(round(number(item, "RegionDataType") or 0), "none"),
        (top, left, bottom, right),
        (_UNITS.get(round(units[0]), ""), _UNITS.get(round(units[1]), "")),
        pair("PhysicalDelta{}"),
        (top + pixel[0], left + pixel[1]),
        pair("ReferencePixelPhysicalValue{}"),
    )


def region_image(image: Image, index: int) -> Image:
    """One region cut out, with the spacing that holds in it; other axes than mm leave it uncalibrated.

    ``index`` counts ``regions(image.facts)`` from 0. Raises UsageError where there is no such region, or where it
    lies outside the frame.
    """
    found = regions(image.facts)
    if not 0 <= index < len(found):
        raise UsageError(f"{image.name or 'this image'} has {len(found)} ultrasound regions; number {index} was asked")
    region = found[index]
    y0, x0 = max(region.box[0], 0), max(region.box[1], 0)
    y1, x1 = (min(end, size) for end, size in zip(region.box[2:], image.grid.shape, strict=True))
    if y0 >= y1 or x0 >= x1:
        raise UsageError(f"region {index} of {image.name or 'this image'} lies outside its {image.grid.shape} pixels")
    part = image.crop((y0, x0), (y1, x1))
    spacing = region.spacing_mm
    grid = Grid((y1 - y0, x1 - x0), None, spacing, plane="unknown" if spacing is None else "patient")
    step = f"region {index}: {region.kind} {region.data}"
    facts = {k: v for k, v in part.facts.items() if k not in ("ultrasound_regions", "regions")}
    return replace(part, grid=grid, steps=(*part.steps, step), facts={**facts, "region": region.as_json()})


def coloured(image: Image, tolerance: float = COLOUR_TOLERANCE) -> NDArray[np.bool_]:
    """Where colour lies on the grey picture: bool, the image's shape without its colour axis.

    A pixel is coloured where its channels differ by more than ``tolerance``. Where the header names colour-flow
    regions, only they count: a colour bar or a tinted logo is no flow. A grey map tinted as a whole (sepia) cannot
    be told from flow without them. Grey images have none.
    """
    array = image.array
    if "c" not in image.axes:
        return np.zeros(array.shape, np.bool_)
    array = np.moveaxis(array, image.axes.index("c"), -1)[..., :3]
    spread = array.max(axis=-1).astype(np.float32) - array.min(axis=-1).astype(np.float32)
    mask = spread > tolerance
    flow = [r.box for r in regions(image.facts) if r.data == "colour flow"]
    if not flow:
        return np.asarray(mask)
    inside = np.zeros(mask.shape, np.bool_)
    for y0, x0, y1, x1 in flow:
        inside[..., y0:y1, x0:x1] = True
    return np.asarray(mask & inside)


US = Modality(
    code="US",
    name="Ultrasound",
    name_zh="超声",
    dicom=("US", "IVUS"),
    guide="us",
    stored=grey_or_colour,
    needs=("SequenceOfUltrasoundRegions",),
)
