"""DICOM whole slides (PS3.3 C.8.12.4): several instances are the levels of one pyramid, frames are tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from hexscope.core.faults import Fault
from hexscope.core.pixels import Region
from hexscope.core.results import Audited
from hexscope.errors import FormatError, HexscopeError
from hexscope.io.dicom_header import quiet, read_header
from hexscope.io.dicom_pixels import read_slices
from hexscope.io.dicom_stored import Slice, stored_of
from hexscope.io.series import Inventory, Series
from hexscope.io.slide_series import slide_series
from hexscope.io.slide_sources import paste_tiles, plausible_spacing_mm

_FLAVOURS_LEFT_OUT = ("LABEL", "OVERVIEW", "THUMBNAIL")


class DicomLevel:
    """One instance: its tiles, where each lies, and how its frames are found in the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = read_header(path)
        self.header = self._file.dataset
        header = self.header
        self.shape = (int(header.TotalPixelMatrixRows), int(header.TotalPixelMatrixColumns), 3)
        self.tile = (int(header.Rows), int(header.Columns))
        self.frames = int(header.get("NumberOfFrames", 1))
        if min(self.shape) < 1 or min(self.tile) < 1:
            raise FormatError(
                f"{path.name}: a slide of {self.shape[:2]} in tiles of {self.tile}", code="file.unreadable"
            )
        if header.get("SamplesPerPixel") != 3 or header.get("BitsAllocated") != 8:
            raise FormatError(
                f"{path.name}: only colour slides of 8 bits a channel are read; this one has "
                f"{header.get('SamplesPerPixel')} samples of {header.get('BitsAllocated')} bits",
                code="file.unreadable",
            )
        if self._file.pixel_offset is None:
            raise FormatError(f"{path.name} holds no pixels that can be read by frame", code="file.no_pixels")
        self._stored = stored_of(self._file)

    @property
    def across(self) -> int:
        """Tiles in a row."""
        return -(-self.shape[1] // self.tile[1])

    @property
    def down(self) -> int:
        """Tiles in a column."""
        return -(-self.shape[0] // self.tile[0])

    @property
    def flavour(self) -> str:
        kind = self.header.get("ImageType") or []
        return str(kind[2]) if len(kind) > 2 else "VOLUME"

    @cached_property
    def spacing_mm(self) -> tuple[float, float] | None:
        """Pixel Spacing of the shared functional groups, (y, x)."""
        shared = self.header.get("SharedFunctionalGroupsSequence") or [Dataset()]
        measures = shared[0].get("PixelMeasuresSequence") or [Dataset()]
        spacing = measures[0].get("PixelSpacing")
        return None if not spacing else plausible_spacing_mm(float(spacing[0]) * 1000, float(spacing[1]) * 1000)

    @cached_property
    def frame_at(self) -> dict[tuple[int, int], int]:
        """Frame number of each (row, column) of tiles: as each frame says, or in the order of TILED_FULL."""
        placed = self._placed
        if placed is None:
            count = min(self.frames, self.across * self.down)
            by_rows = self.order.startswith("row")
            return {divmod(i, self.across) if by_rows else divmod(i, self.down)[::-1]: i for i in range(count)}
        where: dict[tuple[int, int], int] = {}
        for number, item in enumerate(placed):
            position = item.PlanePositionSlideSequence[0]
            row = int(position.RowPositionInTotalImagePixelMatrix) - 1
            column = int(position.ColumnPositionInTotalImagePixelMatrix) - 1
            if row % self.tile[0] or column % self.tile[1]:
                raise FormatError(f"{self.path.name}: tiles off their lattice are not read", code="file.unreadable")
            where.setdefault((row // self.tile[0], column // self.tile[1]), number)
        return where

    @property
    def _placed(self) -> Any:
        """The per-frame groups, where they place the frames; else None."""
        groups = self.header.get("PerFrameFunctionalGroupsSequence")
        return groups if groups and "PlanePositionSlideSequence" in groups[0] else None

    @cached_property
    def order(self) -> str:
        """ "row by row", as TILED_FULL demands (PS3.3 C.7.6.17.3). Where the file says nothing about its tiles,
        the order in which neighbours' borders match; the picture's steps then tell so."""
        told = self.header.get("DimensionOrganizationType") == "TILED_FULL" or self._placed is not None
        if told or min(self.across, self.down) == 1:
            return "row by row" if self.across > 1 or told else "column by column"
        beside, below = self._mismatches()
        first = "row by row" if beside <= below else "column by column"
        return f"{first} (not in the file; borders differ by {min(beside, below):.1f} against {max(beside, below):.1f})"

    def _mismatches(self) -> tuple[float, float]:
        """Mean border difference if consecutive frames are neighbours in a row, and if they are in a column."""
        count = min(self.frames, self.across * self.down)
        pairs = [i for i in range(count - 1) if (i + 1) % self.across and (i + 1) % self.down]
        beside, below = [], []
        for i in pairs[:: max(1, len(pairs) // 16)]:
            one, next_one = self._frame(i).astype(np.int16), self._frame(i + 1).astype(np.int16)
            beside.append(np.abs(one[:, -1] - next_one[:, 0]).mean())
            below.append(np.abs(one[-1] - next_one[0]).mean())
        return float(np.mean(beside or [0.0])), float(np.mean(below or [0.0]))

    def read(self, region: Region) -> NDArray[np.uint8]:
        def fetch(row: int, column: int) -> NDArray[Any] | None:
            number = self.frame_at.get((row, column))
            return None if number is None else self._frame(number)

        return paste_tiles(region, self.tile, fetch)

    def _frame(self, number: int) -> NDArray[Any]:
        return np.asarray(read_slices([Slice(self._stored, number)], self._stored.dtype)[0])


@dataclass(frozen=True)
class DicomSource:
    """The levels of one series, finest first."""

    parts: tuple[DicomLevel, ...]

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        return tuple(part.shape for part in self.parts)

    @property
    def spacing_mm(self) -> tuple[float, float] | None:
        return self.parts[0].spacing_mm

    @property
    def steps(self) -> tuple[str, ...]:
        """How tiles were ordered, where a file does not say so."""
        return tuple(f"tiles laid {p.order}" for p in self.parts if "not in the file" in p.order)

    @property
    def description(self) -> str:
        return str(self.parts[0].header.get("SeriesDescription", "") or "DICOM slide")

    def read(self, region: Region, level: int) -> NDArray[np.uint8]:
        return self.parts[level].read(region)[..., region[2]]


def scan_dicom_slide(paths: Sequence[Path]) -> Inventory:
    """Group DICOM whole-slide instances into series. Labels, overviews and thumbnails are no levels: left out."""
    with quiet():
        return _scan(paths)


def _scan(paths: Sequence[Path]) -> Inventory:
    by_series: dict[str, list[DicomLevel]] = defaultdict(list)
    others: list[Audited] = []
    for path in paths:
        try:
            level = DicomLevel(path)
        except HexscopeError as error:
            others.append(_left_out(path, Fault(error.code or "file.unreadable", str(error))))
        except Exception as error:  # pydicom raises many kinds on broken bytes
            others.append(_left_out(path, Fault("file.unreadable", f"{path.name}: no sound slide header ({error})")))
        else:
            if level.flavour in _FLAVOURS_LEFT_OUT:
                detail = f"{path.name} is the slide's {level.flavour.lower()}, which may name the patient"
                others.append(_left_out(path, Fault("series.scout", detail)))
            else:
                by_series[str(level.header.get("SeriesInstanceUID", path.name))].append(level)
    series: list[Series] = []
    for uid, levels in by_series.items():
        levels.sort(key=lambda part: -part.shape[1])
        files = tuple(str(part.path) for part in levels)
        source = DicomSource(tuple(levels))
        facts = _facts(levels[0].header)
        series.append(slide_series(partial(_same, source), source, uid, files, "DICOM", facts))
    return Inventory(tuple(series), tuple(others))


def _same(source: DicomSource) -> DicomSource:
    return source


def _left_out(path: Path, fault: Fault) -> Audited:
    return Audited(str(path), False, fault.kind.verdict, (fault,))


def _facts(header: Dataset) -> dict[str, Any]:
    wanted = (
        "Modality",
        "SeriesDescription",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "PatientID",
    )
    return {k: str(header[k].value) for k in wanted if k in header and header[k].value}
