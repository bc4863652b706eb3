"""Frames in time: when each was taken, and which of them a header wants subtracted from the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from hexscope.io.dicom_facts import plain
from hexscope.io.dicom_frames import Frame
from hexscope.io.dicom_header import value_of

#: Frame Increment Pointer (0028,0009) names one of these by tag.
_BY_POINTER = {0x00181063: "FrameTime", 0x00181065: "FrameTimeVector"}
_ORDER = ("FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate")


def cine_facts(frame: Frame) -> dict[str, Any]:
    """Of a file with several frames: the time base and the mask subtraction it asks for.

    ``frame_time_ms`` is the time from frame to frame where it is even; ``frame_times_ms`` are the times of all
    frames counted from the first where it is not; ``frame_time_source`` the keyword that told. What Frame
    Increment Pointer names comes first, then Frame Time, Frame Time Vector, Cine Rate, and the rate that display
    is recommended at (PS3.3 C.7.6.5.1, C.7.6.6).
    """
    if frame.stored.frames < 2:
        return {}
    facts: dict[str, Any] = {}
    for keyword in _sources(frame):
        told = _times(frame, keyword)
        if told:
            facts.update(told, frame_time_source=keyword)
            break
    masks = _masks(frame)
    return {**facts, "mask_subtraction": masks} if masks else facts


def _sources(frame: Frame) -> tuple[str, ...]:
    pointed = _BY_POINTER.get(_first_tag(frame.get("FrameIncrementPointer")), "")
    return tuple(dict.fromkeys((pointed, *_ORDER) if pointed else _ORDER))


def _first_tag(pointer: Any) -> int:
    values = np.atleast_1d(np.array([] if pointer is None else pointer, dtype=np.int64))
    return int(values[0]) if values.size else 0


def _times(frame: Frame, keyword: str) -> dict[str, Any]:
    if keyword == "FrameTimeVector":
        steps = frame.numbers(keyword, frame.stored.frames)
        if steps is None or np.any(steps[1:] < 0):
            return {}
        steps[0] = 0.0
        return {"frame_times_ms": np.cumsum(steps).tolist()}
    value = frame.number(keyword)
    if value is None or value <= 0:
        return {}
    return {"frame_time_ms": value if keyword == "FrameTime" else 1000.0 / value}


def _masks(frame: Frame) -> list[dict[str, Any]]:
    """Mask Subtraction Sequence (0028,6100), PS3.3 C.7.6.10: frame numbers count from 1, ranges are inclusive."""
    out = []
    for item in frame.get("MaskSubtractionSequence") or ():
        ranges = _numbers(item, "ApplicableFrameRange")
        out.append(
            {
                "operation": str(value_of(item, "MaskOperation") or "").strip().upper(),
                "frames": [ranges[i : i + 2] for i in range(0, len(ranges) - 1, 2)],
                "mask_frames": _numbers(item, "MaskFrameNumbers"),
                "averaging": (_numbers(item, "ContrastFrameAveraging") or [1])[0],
                "shift": _numbers(item, "MaskSubPixelShift"),
                "tid_offset": (_numbers(item, "TIDOffset") or [1])[0],
            }
        )
    return out


def _numbers(item: Any, keyword: str) -> list[Any]:
    value = value_of(item, keyword)
    if value is None:
        return []
    told = plain(value)
    return told if isinstance(told, list) else [told]
