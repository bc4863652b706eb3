"""Siemens' CSA header: a list of named values inside one private element, (0029,xx10) of SIEMENS CSA HEADER.

The layout is known from outside only; this follows the description in NiBabel's manual ("Siemens format DICOM with
CSA header"). All integers are little-endian. Two versions exist: the second begins with the letters SV10.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

_CREATOR = "SIEMENS CSA HEADER"
_GROUP, _IMAGE_HEADER = 0x0029, 0x10
_MAGIC = b"SV10"
_TAG = struct.Struct("<64si4siii")
_ITEM = struct.Struct("<iiii")
_MOST_TAGS = 1024


def csa_of(dataset: Any) -> Mapping[str, tuple[str, ...]] | None:
    """Name to values (as text) of the CSA image header; None where it is absent or does not follow its layout."""
    try:
        raw = dataset.private_block(_GROUP, _CREATOR)[_IMAGE_HEADER].value
        return parse_csa(raw) if isinstance(raw, bytes) else None
    except (KeyError, ValueError, struct.error):
        return None


def parse_csa(raw: bytes) -> dict[str, tuple[str, ...]]:
    """The values of a CSA header by name. ValueError or struct.error where the bytes are not one."""
    second = raw[:4] == _MAGIC
    start = 8 if second else 0
    (count,) = struct.unpack_from("<I", raw, start)
    if not 0 < count <= _MOST_TAGS:
        raise ValueError(f"a CSA header of {count} tags")
    at, base, out = start + 8, None, {}
    for _ in range(count):
        name, _, _, _, items, _ = _TAG.unpack_from(raw, at)
        at += _TAG.size
        base = items if base is None else base
        values = []
        for _ in range(items):
            head = _ITEM.unpack_from(raw, at)
            length = head[1] if second else head[0] - base
            at += _ITEM.size
            if length < 0 or at + length > len(raw):
                raise ValueError("a CSA value ends beyond its header")
            values.append(_text(raw[at : at + length]))
            at += length + -length % 4
        out[_text(name)] = tuple(v for v in values if v)
    return out


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("latin-1").strip()
