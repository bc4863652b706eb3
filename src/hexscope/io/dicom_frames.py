"""Frames: every 2-D image of every file in one form, whether a classic slice or one of a multi-frame object.

Enhanced objects keep what differs from frame to frame in functional groups (PS3.3 C.7.6.16); a frame looks
there first, then in the shared groups, then in the data set itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from hexscope.core.geometry import Array
from hexscope.io.dicom_header import Header, value_of
from hexscope.io.dicom_stored import Slice, Stored, modality_lut, stored_of

_RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
_NUCLEAR = "1.2.840.10008.5.1.4.1.1.20"


@dataclass(frozen=True, eq=False)
class Frame:
    """One 2-D image and its words.

    groups    keyword to the data set that holds it, for words that are this frame's own
    placed    position that was worked out where the frame does not name it itself (dose grids)
    """

    header: Header
    stored: Stored
    index: int = 0
    groups: Mapping[str, Any] = field(default_factory=dict)
    placed: Array | None = None

    def get(self, keyword: str) -> Any:
        """The value of ``keyword`` for this frame; None where it is absent or empty."""
        holder = self.groups.get(keyword)
        if holder is not None:
            value = value_of(holder, keyword)
            if value is not None:
                return value
        return self.header.get(keyword)

    def numbers(self, keyword: str, count: int) -> Array | None:
        """``count`` finite numbers, or None."""
        value = self.get(keyword)
        if value is None:
            return None
        try:
            array = np.atleast_1d(np.array(value, dtype=np.float64))
        except (TypeError, ValueError):
            return None
        return array if array.shape == (count,) and bool(np.all(np.isfinite(array))) else None

    def number(self, keyword: str) -> float | None:
        array = self.numbers(keyword, 1)
        return None if array is None else float(array[0])

    @cached_property
    def position(self) -> Array | None:
        """LPS mm of the centre of the first pixel."""
        return self.placed if self.placed is not None else self.numbers("ImagePositionPatient", 3)

    @cached_property
    def orientation(self) -> Array | None:
        """Direction cosines as stored: of a row (growing column), then of a column (growing row)."""
        return self.numbers("ImageOrientationPatient", 6)

    @cached_property
    def pixel_spacing(self) -> Array | None:
        """mm between rows, mm between columns."""
        return self.numbers("PixelSpacing", 2)

    @property
    def is_placed(self) -> bool:
        return self.position is not None and self.orientation is not None and self.pixel_spacing is not None

    def slice(self) -> Slice:
        """What reading the pixels needs. A slope of 0, or a rescale that is no number, is left out."""
        slope, intercept = self.rescale or (1.0, 0.0)
        part = Slice(self.stored, self.index, slope, intercept)
        lut = modality_lut(self.groups.get("ModalityLUTSequence") or self.header)
        return part if lut is None else replace(part, lut=lut[0], lut_first=lut[1])

    @cached_property
    def rescale(self) -> tuple[float, float] | None:
        """Slope and intercept, where the header gives a usable pair; dose grids have a scaling alone."""
        if self.header.get("SOPClassUID") == _RT_DOSE:
            scaling = self.number("DoseGridScaling")
            return None if not scaling else (scaling, 0.0)
        slope, intercept = self.number("RescaleSlope"), self.number("RescaleIntercept")
        if slope is None and intercept is None:
            return None
        if slope == 0.0 or (slope is None and self.get("RescaleSlope") is not None):
            return None
        return (1.0 if slope is None else slope), (0.0 if intercept is None else intercept)

    @property
    def rescale_is_broken(self) -> bool:
        """Does the header name a rescale that no number can come of?"""
        return self.rescale is None and self.get("RescaleSlope") is not None


def frames_of(header: Header) -> tuple[Frame, ...]:
    """All frames of a file that has pixels. FormatError where the pixels cannot be what the header says."""
    stored = stored_of(header)
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    shared = header.get("SharedFunctionalGroupsSequence")
    if per_frame or shared:
        return _enhanced(header, stored, per_frame or (), _macros(shared[0]) if shared else {})
    if stored.frames == 1:
        return (Frame(header, stored),)
    return _placed_frames(header, stored)


def _macros(group: Any) -> dict[str, Any]:
    """Keyword to the data set that holds it, over the public macros of one functional group."""
    out: dict[str, Any] = {}
    for tag in list(group.keys()):
        if tag.is_private:
            continue
        element = group[tag]
        if element.VR != "SQ" or not element.value:
            continue
        item = element.value[0]
        out[element.keyword] = group
        out.update((keyword, item) for keyword in item.dir())
    return out


def _enhanced(header: Header, stored: Stored, per_frame: Sequence[Any], shared: dict[str, Any]) -> tuple[Frame, ...]:
    frames = []
    for index in range(stored.frames):
        own = _macros(per_frame[index]) if index < len(per_frame) else {}
        frames.append(Frame(header, stored, index, {**shared, **own}))
    return tuple(frames)


def _placed_frames(header: Header, stored: Stored) -> tuple[Frame, ...]:
    """Frames without functional groups: dose grids and nuclear volumes have places, cines have none."""
    places: list[Array] | None = None
    groups: dict[str, Any] = {}
    if header.get("SOPClassUID") == _RT_DOSE:
        places = _dose_places(Frame(header, stored), stored.frames)
    elif header.get("SOPClassUID") == _NUCLEAR and header.get("DetectorInformationSequence"):
        detector = header.get("DetectorInformationSequence")[0]
        groups = {keyword: detector for keyword in detector.dir()}
        places = _nuclear_places(Frame(header, stored, 0, groups), stored.frames)
    if places is None:
        return tuple(Frame(header, stored, i) for i in range(stored.frames))
    return tuple(Frame(header, stored, i, groups, place) for i, place in enumerate(places))


def _normal(frame: Frame) -> Array | None:
    if frame.orientation is None or frame.position is None:
        return None
    return np.asarray(np.cross(frame.orientation[:3], frame.orientation[3:]))


def _dose_places(frame: Frame, count: int) -> list[Array] | None:
    """Offsets along the normal from plane 1, or z itself where they begin off 0 (PS3.3 C.8.8.3.2)."""
    normal, offsets = _normal(frame), frame.numbers("GridFrameOffsetVector", count)
    if normal is None or offsets is None or frame.position is None:
        return None
    along = offsets - offsets[0]
    if offsets[0] != 0.0:
        along = along * np.sign(normal[2] or 1.0)
    return [frame.position + normal * step for step in along]


def _nuclear_places(frame: Frame, count: int) -> list[Array] | None:
    """Tomographic planes: SpacingBetweenSlices along the normal, sign included (PS3.3 C.8.4.15)."""
    normal, step = _normal(frame), frame.number("SpacingBetweenSlices")
    if normal is None or not step or frame.position is None or "TOMO" not in str(frame.get("ImageType")):
        return None
    return [frame.position + normal * step * i for i in range(count)]
