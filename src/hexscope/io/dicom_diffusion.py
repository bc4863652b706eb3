"""Diffusion weighting of a frame: the standard's words, else those of three makers' private elements.

The private elements are those of the makers' conformance statements; each is taken only behind its own creator.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hexscope.io.dicom_frames import Frame

#: Group, creator, element. GE adds multiples of a million or more to the b-value; the rest is it.
_B_VALUES = (
    (0x0019, "SIEMENS MR HEADER", 0x0C),
    (0x0043, "GEMS_PARM_01", 0x39),
    (0x2001, "Philips Imaging DD 001", 0x03),
)
_DIRECTION = (0x0019, "SIEMENS MR HEADER", 0x0E)
_GE_DIRECTION = (0x0019, "GEMS_ACQU_01", (0xBB, 0xBC, 0xBD))
_GE_OFFSET = 1_000_000


def b_value(frame: Frame) -> float | None:
    """s/mm², from Diffusion b-value (0018,9087) or a maker's element; None where none says it."""
    told = frame.number("DiffusionBValue")
    if told is not None:
        return told
    for group, creator, element in _B_VALUES:
        value = _private(frame, group, creator, element)
        if value:
            return value[0] % _GE_OFFSET
    return None


def direction(frame: Frame) -> tuple[float, ...] | None:
    """Diffusion Gradient Orientation (0018,9089) or a maker's element, three numbers; None where none says it."""
    told = frame.numbers("DiffusionGradientOrientation", 3)
    if told is not None:
        return tuple(told.tolist())
    siemens = _private(frame, *_DIRECTION)
    if len(siemens) == 3:
        return siemens
    group, creator, elements = _GE_DIRECTION
    parts: list[float] = []
    for element in elements:
        value = _private(frame, group, creator, element)
        if not value:
            return None
        parts.append(value[0])
    return tuple(parts)


def _private(frame: Frame, group: int, creator: str, element: int) -> tuple[float, ...]:
    try:
        value: Any = frame.header.dataset.private_block(group, creator)[element].value
        if isinstance(value, bytes):
            value = _from_bytes(value)
        return tuple(float(v) for v in np.atleast_1d(np.array(value, dtype=np.float64)))
    except (KeyError, ValueError, TypeError):
        return ()


def _from_bytes(raw: bytes) -> Any:
    """An element whose kind was lost on its way: three doubles, or text."""
    if len(raw) == 24:
        return np.frombuffer(raw, "<f8")
    return raw.decode("ascii").strip("\0 ").split("\\")
