"""DICOM: the format object that sorts files by what they are."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from hexscope.core.faults import Fault
from hexscope.core.results import Audited
from hexscope.errors import FormatError
from hexscope.io.dicom_frames import Frame, frames_of
from hexscope.io.dicom_header import Header, looks_like_dicom, quiet, read_header
from hexscope.io.dicom_rtstruct import structure_series
from hexscope.io.dicom_seg import SEGMENTATION_CLASSES, segmentation_series
from hexscope.io.dicom_series import image_series, unreadable_series
from hexscope.io.series import Inventory, Series

_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"


class Dicom:
    """DICOM files of every kind (PS3.10), and bare data sets without a preamble."""

    name = "DICOM"

    def sniff(self, head: bytes, path: Path) -> bool:
        """DICM behind the preamble, or a bare data set."""
        return looks_like_dicom(head)

    def scan(self, paths: Sequence[Path], *, progress: Callable[[int], object] | None = None) -> Inventory:
        """All series among the files; a file that cannot be used is among ``others`` with its fault."""
        sorting = _Sorting()
        with quiet(), _uncollected():
            for done, path in enumerate(paths, start=1):
                sorting.attempt(path, partial(sorting.read, path))
                if progress is not None:
                    progress(done)
            return sorting.inventory()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Thousands of headers live at once here; the collector would walk them over and over."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Sorting:
    """Files on their way into series."""

    def __init__(self) -> None:
        self._others: list[Audited] = []
        self._series: list[Series] = []
        self._by_instance: dict[str, Header] = {}
        self._frames: dict[str, list[Frame]] = {}
        self._documents: dict[str, list[Header]] = {}
        self._slides: list[Header] = []

    def attempt(self, path: Path, action: Callable[[], object]) -> None:
        """Do something with a file; what fails becomes a fault of that file and stops nothing."""
        try:
            action()
        except FormatError as error:
            self._refuse(path, Fault(error.code or "file.unreadable", str(error)))
        except Exception as error:  # a header may be wrong in any way: the other files still count
            self._refuse(path, Fault("file.unreadable", f"{path.name}: its header is broken ({type(error).__name__})"))

    def _refuse(self, path: Path, fault: Fault) -> None:
        self._others.append(Audited(str(path), False, fault.kind.verdict, (fault,)))

    def read(self, path: Path) -> None:
        """Sort one file by its SOP class and what it holds."""
        header = read_header(path)
        instance = str(header.get("SOPInstanceUID") or "")
        twin = self._by_instance.get(instance)
        if instance and twin is not None and _same_content(header, twin):
            name = f"{header.path.name} is the object of {twin.path.name} once more"
            self._refuse(header.path, Fault("file.duplicate", name))
            return
        self._sort(header)
        self._by_instance.setdefault(instance, header)

    def _sort(self, header: Header) -> None:
        kind = header.sop_class
        uid = str(header.get("SeriesInstanceUID") or "")
        if kind == _STRUCTURES:
            self._series.append(structure_series(header))
        elif not header.pixels:
            self._take_document(header, uid, kind)
        elif kind == _SLIDE:
            self._slides.append(header)
        elif kind in SEGMENTATION_CLASSES:
            self._series.append(segmentation_series(header))
        else:
            frames = frames_of(header)
            self._frames.setdefault(uid or header.path.name, []).extend(frames)

    def _take_document(self, header: Header, uid: str, kind: str) -> None:
        from pydicom.uid import UID

        name = header.path.name
        what = UID(kind).name if kind else "no SOP class"
        if "Image Storage" in what:
            raise FormatError(f"{name} ({what}) ends before its pixels do", code="file.truncated")
        if header.is_empty:
            raise FormatError(f"{name} holds no readable DICOM element", code="file.unreadable")
        if not uid:
            self._refuse(header.path, Fault("file.no_pixels", f"{name} ({what}) belongs to no series"))
            return
        self._documents.setdefault(uid, []).append(header)

    def _close(self, uid: str, frames: Sequence[Frame]) -> None:
        self._series.extend(image_series(uid, frames))

    def _close_slides(self) -> None:
        from hexscope.io.slide_dicom import scan_dicom_slide

        found = scan_dicom_slide([h.path for h in self._slides])
        self._series.extend(found.series)
        self._others.extend(found.others)

    def inventory(self) -> Inventory:
        """Close all series."""
        for uid, frames in self._frames.items():
            self.attempt(frames[0].header.path, partial(self._close, uid, frames))
        for uid, headers in self._documents.items():
            fault = Fault("series.report", f"{len(headers)} objects without pixels, as {headers[0].path.name}")
            self._series.append(unreadable_series(uid, headers, (fault,)))
        if self._slides:
            self.attempt(self._slides[0].path, self._close_slides)
        return Inventory(tuple(self._series), tuple(self._others))


def _same_content(one: Header, other: Header) -> bool:
    """Do two files of one SOP Instance UID hold the same pixels (the same bytes, where they have none)?"""
    return _content(one) == _content(other)


def _content(header: Header) -> bytes:
    with header.path.open("rb") as file:
        file.seek(header.pixel_offset or 0)
        return file.read(-1 if header.pixel_length is None else header.pixel_length)


DICOM = Dicom()
