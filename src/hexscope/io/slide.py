"""Whole slides: opened in milliseconds, read by region, never as label or macro picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import FormatError, UsageError
from hexscope.io.files import atomic_write
from hexscope.io.scanning import scan_each
from hexscope.io.series import Inventory, Series
from hexscope.io.slide_series import slide_series
from hexscope.io.slide_sources import OpenslideSource, Source, TiffSource, rgb_series
from hexscope.io.tiff import MAGIC, check_complete, opened

_TILE = 256
_COARSEST = 512  # a pyramid ends where its longer side is at most this


class SlideFormat:
    """SVS, NDPI, pyramidal and OME-TIFF. A TIFF is a slide where a vendor, a pyramid or tiles say so."""

    name = "slide"

    def sniff(self, head: bytes, path: Path) -> bool:
        return head[:4] in MAGIC and _opener(path) is not None

    def scan(self, paths: Sequence[Path], *, progress: Callable[[int], object] | None = None) -> Inventory:
        return scan_each(paths, _series, progress)


SLIDE = SlideFormat()


def _series(path: Path) -> Series:
    check_complete(path)
    opener = _opener(path) or TiffSource
    return slide_series(partial(opener, path), opener(path), path.name, (str(path),), SLIDE.name, {})


def _opener(path: Path) -> Callable[[Path], Source] | None:
    """How to open a TIFF as a slide; None where it is a plain picture."""
    import openslide

    vendor = openslide.OpenSlide.detect_format(str(path))
    if vendor not in (None, "generic-tiff"):
        return OpenslideSource
    try:
        with opened(path) as file:
            series = rgb_series(file)
            if series is None:
                return None
            if file.is_ome or (len(series.levels) > 1 and series.keyframe.subifds):
                return TiffSource
            tiled = bool(series.keyframe.is_tiled)
    except FormatError:
        return None
    return OpenslideSource if vendor and tiled else None


def save_pyramid(
    array: NDArray[np.uint8],
    path: Path,
    *,
    spacing_mm: Sequence[float] | None,
    levels: int | None = None,
    lossless: bool = False,
    description: str = "",
) -> None:
    """Write uint8 RGB (y, x, 3) as a tiled pyramidal TIFF that OpenSlide reads.

    spacing_mm  (y, x); stands in the file as pixels per centimetre. None: the file says nothing
    levels      how many, each half the one before; default: until the longer side is at most 512
    lossless    deflate instead of JPEG of quality 90
    """
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise UsageError(f"a slide is uint8 RGB (y, x, 3); got {array.dtype} {array.shape}")
    pyramid = [array]
    while len(pyramid) < (levels or 32) and (levels is not None or max(pyramid[-1].shape[:2]) > _COARSEST):
        pyramid.append(_halved(pyramid[-1]))
    atomic_write(path, lambda beside: _write_pyramid(pyramid, beside, spacing_mm, lossless, description))


def _write_pyramid(
    pyramid: Sequence[NDArray[np.uint8]],
    path: Path,
    spacing_mm: Sequence[float] | None,
    lossless: bool,
    description: str,
) -> None:
    import tifffile

    how: dict[str, Any] = {"compression": "deflate", "predictor": True}
    if not lossless:
        how = {"compression": "jpeg", "compressionargs": {"level": 90}}
    with tifffile.TiffWriter(path, bigtiff=sum(p.nbytes for p in pyramid) > 3 << 30) as file:
        for i, level in enumerate(pyramid):
            place: dict[str, Any] = {"resolutionunit": "NONE"}
            if spacing_mm is not None:
                shrink = [n / m for n, m in zip(pyramid[0].shape[:2], level.shape[:2], strict=True)]
                y, x = (10.0 / (s * k) for s, k in zip(spacing_mm, shrink, strict=True))
                place = {"resolution": (x, y), "resolutionunit": "CENTIMETER"}
            file.write(
                level, photometric="rgb", tile=(_TILE, _TILE), subfiletype=int(i > 0), metadata=None,
                description=description if i == 0 else "", software="Hexscope", **place, **how,
            )  # fmt: skip


def _halved(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean of 2 × 2 pixels; an odd last row or column is dropped, as slide scanners do."""
    height, width = (max(1, n // 2) for n in array.shape[:2])
    rows, columns = min(2, array.shape[0]), min(2, array.shape[1])
    blocks = array[: height * rows, : width * columns].reshape(height, rows, width, columns, 3)
    return np.asarray(np.round(blocks.mean(axis=(1, 3), dtype=np.float32)), dtype=np.uint8)
