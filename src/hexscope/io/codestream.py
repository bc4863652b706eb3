"""What a JPEG, JPEG-LS or JPEG 2000 stream says of its size, before a decoder takes memory for it."""

from __future__ import annotations

import struct

_SOI, _SOC_SIZ = b"\xff\xd8", b"\xff\x4f\xff\x51"
#: Start of frame: SOF0 to SOF15 but DHT, JPG and DAC (ISO/IEC 10918-1 B.1.1.3), and SOF55 of JPEG-LS (14495-1).
_JPEG_LS = 0xF7
_FRAMES = {*range(0xC0, 0xD0), _JPEG_LS} - {0xC4, 0xC8, 0xCC}
_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF, _JPEG_LS}
#: Markers without a length behind them.
_ALONE = {0x01, *range(0xD0, 0xDA), 0xFF}


def size_claimed(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) that the stream will decode to; None where it is of another kind or does not say."""
    if data[:4] == _SOC_SIZ and len(data) >= 24:  # ISO/IEC 15444-1 A.5.1
        right, bottom, left, top = struct.unpack(">4I", data[8:24])
        return bottom - top, right - left
    return _jpeg_size(data) if data[:2] == _SOI else None


def samples_claimed(data: bytes) -> int | None:
    """Channels of a JPEG or JPEG-LS stream."""
    at = _frame_header(data)
    return None if at is None else data[at + 9]


def is_jpeg_ls(data: bytes) -> bool:
    at = _frame_header(data)
    return at is not None and data[at + 1] == _JPEG_LS


def is_rare_jpeg(data: bytes) -> bool:
    """Lossless, more than 8 bits, or JPEG-LS: what common picture libraries refuse."""
    at = _frame_header(data)
    return at is not None and (data[at + 1] in _LOSSLESS or data[at + 4] > 8)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = _frame_header(data)
    if at is None:
        return None
    rows, columns = struct.unpack(">HH", data[at + 5 : at + 9])
    return (rows, columns) if rows else None  # 0: told behind the first scan


def _frame_header(data: bytes) -> int | None:
    """Where the marker that begins the frame stands, with its ten bytes whole."""
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAMES:
            return at
        if marker == 0xFF:
            at += 1
        else:
            at += 2 if marker in _ALONE else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
