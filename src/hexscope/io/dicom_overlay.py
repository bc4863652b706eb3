"""Overlays: graphics and regions of one bit a pixel that travel beside a picture (PS3.3 C.9.2). Never burned in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import FormatError
from hexscope.io.dicom_header import Header
from hexscope.io.dicom_stored import stored_of

_GROUPS = range(0x6000, 0x6020, 2)
_ROWS, _COLUMNS, _KIND, _ORIGIN, _FRAMES, _BIT, _LABEL, _DATA = (
    0x0010, 0x0011, 0x0040, 0x0050, 0x0015, 0x0102, 0x1500, 0x3000,
)  # fmt: skip


def overlay_facts(dataset: Any) -> list[dict[str, Any]]:
    """What overlays there are: group, rows, columns, origin (row, column; the picture's first pixel is 1, 1), kind
    (G graphics, R region), label, frames, and whether the bits lie among those of the pixels (retired in 2004)."""
    out = []
    for group in _GROUPS:
        rows, columns = (_number(dataset, group, element, 0) for element in (_ROWS, _COLUMNS))
        if rows < 1 or columns < 1:
            continue
        origin = _value(dataset, group, _ORIGIN)
        out.append(
            {
                "group": f"{group:04X}",
                "rows": rows,
                "columns": columns,
                "origin": [1, 1] if origin is None else [int(n) for n in origin],
                "kind": str(_value(dataset, group, _KIND) or ""),
                "label": str(_value(dataset, group, _LABEL) or ""),
                "frames": _number(dataset, group, _FRAMES, 1),
                "embedded_bit": None if _value(dataset, group, _DATA) else _number(dataset, group, _BIT, 0),
            }
        )
    return out


def overlay_bits(header: Header, group: int) -> NDArray[np.bool_]:
    """The bits of one overlay, (frames, rows, columns), on its own grid. FormatError where they are not there."""
    facts = {f["group"]: f for f in overlay_facts(header.dataset)}.get(f"{group:04X}")
    if facts is None:
        raise FormatError(f"{header.path.name} has no overlay in group {group:04X}", code="file.unreadable")
    shape = (facts["frames"], facts["rows"], facts["columns"])
    count = int(np.prod(shape, dtype=np.int64))
    if facts["embedded_bit"] is not None:
        return _embedded(header, facts["embedded_bit"], shape)
    data = np.frombuffer(bytes(_value(header.dataset, group, _DATA)), np.uint8)
    if len(data) * 8 < count:
        raise FormatError(f"{header.path.name}: overlay {group:04X} is cut short", code="file.truncated")
    return np.unpackbits(data, count=count, bitorder="little").reshape(shape).astype(bool)


def _embedded(header: Header, bit: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """One bit of each stored number of native pixels."""
    stored = stored_of(header)
    name = header.path.name
    if not stored.is_native or stored.is_deflated or stored.samples != 1 or (stored.frames, *stored.shape) != shape:
        raise FormatError(
            f"{name}: an overlay inside its pixels cannot be told apart from them", code="file.unreadable"
        )
    numbers = np.fromfile(stored.path, stored.dtype, int(np.prod(shape)), offset=stored.offset or 0)
    return ((numbers.reshape(shape) >> bit) & 1).astype(bool)


def _value(dataset: Any, group: int, element: int) -> Any:
    from pydicom.tag import Tag

    tag = Tag(group, element)
    return dataset[tag].value if tag in dataset else None


def _number(dataset: Any, group: int, element: int, default: int) -> int:
    value = _value(dataset, group, element)
    try:
        return default if value is None else int(value)
    except (TypeError, ValueError):
        return default
