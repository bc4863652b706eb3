"""What a JPEG, JPEG-LS or JPEG 2000 stream says of its size, before a decoder takes memory for it."""

from __future__ import annotations

import struct

_SOI, _SOC_SIZ = b"\xff\xd8", b"\xff\x4f\xff\x51"
#: Start of frame: SOF0 to SOF15 but DHT, JPG and DAC (ISO/IEC 10918-1 B.1.1.3), and SOF55 of JPEG-LS (14495-1).
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
#: Markers without a length behind them.
_ALONE = {0x01, *range(0xD0, 0xDA), 0xFF}


def size_claimed(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) that the stream will decode to; None where it is of another kind or does not say."""
    if data[:4] == _SOC_SIZ and len(data) >= 24:  # ISO/IEC 15444-1 A.5.1
        right, bottom, left, top = struct.unpack(">4I", data[8:24])
        return bottom - top, right - left
    return _jpeg_size(data) if data[:2] == _SOI else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAMES:
            rows, columns = struct.unpack(">HH", data[at + 5 : at + 9])
            return (rows, columns) if rows else None  # 0: told behind the first scan
        if marker == 0xFF:
            at += 1
        else:
            at += 2 if marker in _ALONE else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
