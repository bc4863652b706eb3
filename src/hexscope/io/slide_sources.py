"""Whole slides on disk behind one contract: levels, spacing, and a region read that threads may share."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from hexscope.core.faults import Fault
from hexscope.core.pixels import Region
from hexscope.errors import FormatError
from hexscope.io.codestream import size_claimed
from hexscope.io.tiff import open_tiff

#: Microns per pixel that a microscope slide can have; a resolution outside is meant for a printer.
PLAUSIBLE_MICRONS = (0.02, 40.0)

_MICRONS = {"µm": 1.0, "um": 1.0, "μm": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}
_PHOTOGRAPHS = re.compile(r"\b(label|macro|overview|thumbnail)\b", re.IGNORECASE)
_RESOLUTION_MICRONS = {2: 25400.0, 3: 1e4}  # TIFF ResolutionUnit: inch, centimetre


class Source(Protocol):
    """An open slide. ``levels`` are shapes (y, x, 3), finest first; ``spacing_mm`` is (y, x) or None; ``steps``
    tell what had to be decided to read it, ``faults`` what of it a reader must know.

    ``read(region, level)`` gives uint8 RGB; what was never scanned is white.
    """

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]: ...
    @property
    def spacing_mm(self) -> tuple[float, float] | None: ...
    @property
    def description(self) -> str: ...
    @property
    def steps(self) -> tuple[str, ...]: ...
    @property
    def faults(self) -> tuple[Fault, ...]: ...

    def read(self, region: Region, level: int) -> NDArray[np.uint8]: ...


def plausible_spacing_mm(y_microns: float | None, x_microns: float | None) -> tuple[float, float] | None:
    """(y, x) in mm where both are what a microscope can give, else None."""
    low, high = PLAUSIBLE_MICRONS
    if y_microns is None or x_microns is None or not (low <= y_microns <= high and low <= x_microns <= high):
        return None
    return y_microns / 1000.0, x_microns / 1000.0


def paste_tiles(
    region: Region, tile: tuple[int, int], fetch: Callable[[int, int], NDArray[Any] | None]
) -> NDArray[np.uint8]:
    """Put a region together from tiles; ``fetch(row, column)`` gives one, or None where nothing was scanned."""
    rows, columns = region[0], region[1]
    out = np.full((rows.stop - rows.start, columns.stop - columns.start, 3), 255, np.uint8)
    if out.size == 0:
        return out
    for row in range(rows.start // tile[0], (rows.stop - 1) // tile[0] + 1):
        for column in range(columns.start // tile[1], (columns.stop - 1) // tile[1] + 1):
            pixels = fetch(row, column)
            if pixels is None:
                continue
            top, left = row * tile[0], column * tile[1]
            y0, y1 = max(rows.start, top), min(rows.stop, top + pixels.shape[0])
            x0, x1 = max(columns.start, left), min(columns.stop, left + pixels.shape[1])
            part = pixels[y0 - top : y1 - top, x0 - left : x1 - left]
            out[y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start] = part
    return out


class OpenslideSource:
    """SVS, NDPI and the other vendors that OpenSlide knows, and plain tiled TIFF pyramids."""

    steps: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()

    def __init__(self, path: Path) -> None:
        import openslide

        self._path = path
        try:
            self._slide = openslide.OpenSlide(str(path))
        except (openslide.OpenSlideError, OSError) as error:
            raise FormatError(f"{path.name} cannot be opened as a slide ({error})", code="file.unreadable") from error
        self.levels = tuple((height, width, 3) for width, height in self._slide.level_dimensions)
        properties = self._slide.properties
        self.description = f"{properties.get('openslide.vendor', '')} slide".strip()
        self.spacing_mm = plausible_spacing_mm(
            _number(properties.get("openslide.mpp-y")), _number(properties.get("openslide.mpp-x"))
        )

    def read(self, region: Region, level: int) -> NDArray[np.uint8]:
        import openslide

        top, left = region[0].start, region[1].start
        height, width = region[0].stop - top, region[1].stop - left
        if height == 0 or width == 0:
            return np.zeros((height, width, 3), np.uint8)[..., region[2]]
        full, here = self.levels[0], self.levels[level]
        corner = (round(left * full[1] / here[1]), round(top * full[0] / here[0]))
        try:
            picture = self._slide.read_region(corner, level, (width, height))
        except (openslide.OpenSlideError, OSError) as error:
            raise FormatError(f"{self._path.name}: pixels cannot be read ({error})", code="file.unreadable") from error
        return _on_white(picture)[..., region[2]]


class TiffSource:
    """OME-TIFF and other RGB pyramids that keep their coarser levels where OpenSlide does not look."""

    steps: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file = open_tiff(path)
        weakref.finalize(self, self._file.close)
        series = rgb_series(self._file)
        if series is None:
            raise FormatError(f"{path.name} holds no RGB picture of 8 bits a channel", code="file.unreadable")
        self._pages = [level.keyframe for level in series.levels]
        self.levels = tuple((page.imagelength, page.imagewidth, 3) for page in self._pages)
        self.description = "OME-TIFF slide" if self._file.ome_metadata else "TIFF slide"
        self.spacing_mm = ome_spacing_mm(self._file.ome_metadata) or tiff_spacing_mm(self._pages[0])

    def read(self, region: Region, level: int) -> NDArray[np.uint8]:
        page = self._pages[level]
        tile = page.chunks[:2]
        across = -(-page.imagewidth // tile[1])

        def fetch(row: int, column: int) -> NDArray[Any] | None:
            index = row * across + column
            return self._segment(page, index)

        return paste_tiles(region, tile, fetch)[..., region[2]]

    def _segment(self, page: Any, index: int) -> NDArray[Any] | None:
        count = page.databytecounts[index]
        if count == 0:
            return None
        with self._lock:
            handle = self._file.filehandle
            handle.seek(page.dataoffsets[index])
            data = handle.read(count)
        rows, columns = size_claimed(data) or (0, 0)
        if rows > page.chunks[0] or columns > page.chunks[1]:
            raise FormatError(
                f"{self._path.name}: tile {index} claims {rows} × {columns} pixels", code="file.too_large"
            )
        try:
            segment, _, shape = page.decode(data, index, jpegtables=page.jpegtables)
        except Exception as error:  # codecs raise errors of their own, each library another
            raise FormatError(
                f"{self._path.name}: tile {index} cannot be decoded ({error})", code="file.unreadable"
            ) from error
        return None if segment is None else np.asarray(segment[0, : shape[1], : shape[2], :3])


def rgb_series(file: Any) -> Any:
    """The largest 8-bit RGB picture with interleaved channels of a TiffFile, or None. Photographs of the glass and its
    label, which may name the patient, are never it."""
    fitting = [
        s for s in file.series
        if s.axes in ("YXS", "YXC") and s.dtype == np.uint8 and s.shape[2] in (3, 4) and s.keyframe.planarconfig == 1
        and not _PHOTOGRAPHS.search(s.name)
    ]  # fmt: skip
    return max(fitting, key=lambda s: s.shape[0] * s.shape[1], default=None)


def tiff_spacing_mm(page: Any) -> tuple[float, float] | None:
    """From XResolution and ResolutionUnit, where they can be a microscope's; 72 or 300 dpi are a printer's."""
    unit = _RESOLUTION_MICRONS.get(int(page.tags.valueof("ResolutionUnit", 2) or 2))
    values = [page.tags.valueof(name) for name in ("YResolution", "XResolution")]
    if unit is None or any(not v or not v[0] or not v[1] for v in values):
        return None
    y, x = (unit * v[1] / v[0] for v in values)
    return plausible_spacing_mm(y, x)


def ome_spacing_mm(metadata: str | None) -> tuple[float, float] | None:
    """PhysicalSizeX and Y of the first image of OME-XML; µm where no unit stands, as its schema says."""
    if not metadata:
        return None
    try:
        pixels = ElementTree.fromstring(metadata).find(".//{*}Pixels")
    except ElementTree.ParseError:
        return None
    if pixels is None:
        return None
    sizes = []
    for axis in ("Y", "X"):
        size, unit = _number(pixels.get(f"PhysicalSize{axis}")), pixels.get(f"PhysicalSize{axis}Unit", "µm")
        sizes.append(None if size is None or unit not in _MICRONS else size * _MICRONS[unit])
    return plausible_spacing_mm(*sizes)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _on_white(picture: Any) -> NDArray[np.uint8]:
    """OpenSlide's RGBA picture, premultiplied by nothing, laid on white: transparent means never scanned."""
    alpha = np.frombuffer(picture.tobytes("raw", "A"), np.uint8)
    rgb = np.frombuffer(picture.tobytes("raw", "RGB"), np.uint8).reshape(picture.height, picture.width, 3)
    if alpha.min() == 255:
        return rgb
    weight = alpha.reshape(*rgb.shape[:2], 1).astype(np.float32) / 255.0
    return np.asarray(np.round(rgb * weight + 255.0 * (1.0 - weight)), dtype=np.uint8)
