"""What slides and plain pictures in TIFF share: opening, and whether the file is all there."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hexscope.errors import FormatError, HexscopeError

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_LARGEST_CLASSIC = 1 << 32
_LARGEST_TILE = 1 << 26

_MM_PER_UNIT = {
    "mm": 1.0,
    "millimeter": 1.0,
    "cm": 10.0,
    "micron": 1e-3,
    "um": 1e-3,
    "µm": 1e-3,
    "μm": 1e-3,
    "nm": 1e-6,
}


def open_tiff(path: Path) -> Any:
    """A tifffile.TiffFile; FormatError where its bytes follow no TIFF."""
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it finds wrong, we raise
    try:
        return tifffile.TiffFile(path)
    except Exception as error:  # tifffile raises many kinds on broken bytes
        raise _unsound(path, error) from error


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A tifffile.TiffFile for the length of a block; FormatError also for what breaks in the block."""
    with open_tiff(path) as file:
        try:
            yield file
        except (HexscopeError, MemoryError):
            raise
        except Exception as error:  # pages and codecs are read late, and raise many kinds
            raise _unsound(path, error) from error


def _unsound(path: Path, error: Exception) -> FormatError:
    return FormatError(f"{path.name} is no sound TIFF ({error})", code="file.unreadable")


def check_complete(path: Path) -> None:
    """Raise FormatError where a directory or a page's data would lie behind the file's end, or a tile is a lie."""
    size = path.stat().st_size
    needed = _end_of_directories(path, size) if size < _LARGEST_CLASSIC else 0
    if needed <= size:
        with opened(path) as file:
            largest = max((p.tilewidth * p.tilelength for p in file.pages if p.is_tiled), default=0)
            short = next((p for p in file.pages if math.prod(p.chunked) > len(p.dataoffsets)), None)
            ends = [
                max(a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=False))
                for page in file.pages
                if page.dataoffsets
            ]
        needed = max(ends, default=0)
        if short is not None:
            pieces = f"{math.prod(short.chunked)} tiles or strips ({short.imagelength} × {short.imagewidth} pixels)"
            raise FormatError(f"{path.name} claims {pieces} and lists {len(short.dataoffsets)}", code="file.unreadable")
        if largest > _LARGEST_TILE:  # a decoder would ask for that much memory, and OpenSlide ends the process
            raise FormatError(f"{path.name} claims a tile of {largest} pixels", code="file.too_large")
    if needed > size:
        raise FormatError(f"{path.name} has {size} bytes and reaches to byte {needed}", code="file.truncated")


def _end_of_directories(path: Path, size: int) -> int:
    """Follow the chain of image file directories (TIFF 6.0, section 2) to where the last one would end."""
    with path.open("rb") as stream:
        head = stream.read(16)
        if len(head) < 16:
            return size + 1
        order = "<" if head[:2] == b"II" else ">"
        big = struct.unpack(order + "H", head[2:4])[0] == 43
        entry, count, pointer = (20, "Q", "Q") if big else (12, "H", "I")
        at = struct.unpack(order + pointer, head[8:16] if big else head[4:8])[0]
        seen: set[int] = set()
        while at and at not in seen:
            seen.add(at)
            width = struct.calcsize(count)
            if at + width > size:
                return int(at) + width
            stream.seek(at)
            raw = stream.read(width)
            end = at + width + entry * struct.unpack(order + count, raw)[0]
            if end + struct.calcsize(pointer) > size:
                return int(end) + struct.calcsize(pointer)
            stream.seek(end)
            raw = stream.read(struct.calcsize(pointer))
            at = struct.unpack(order + pointer, raw)[0]
    return 0


def imagej_spacing_mm(file: Any, axes: tuple[str, ...]) -> tuple[float, ...] | None:
    """Spacing along y, x (and z) where ImageJ wrote it with a unit of length; TIFF's own dpi is a printer's."""
    metadata = file.imagej_metadata or {}
    unit = str(metadata.get("unit", "")).replace("\\u00B5", "µ").strip().lower()
    page = file.pages[0]
    resolution = [page.tags.valueof(name) for name in ("YResolution", "XResolution")]
    if unit not in _MM_PER_UNIT or any(not v or not v[0] or not v[1] for v in resolution):
        return None
    scale = _MM_PER_UNIT[unit]
    plane = tuple(scale * v[1] / v[0] for v in resolution)
    if "z" not in axes:
        return plane
    step = metadata.get("spacing")
    return (float(step) * scale, *plane) if step else None
