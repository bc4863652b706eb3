"""DICOM: the format object that sorts files by what they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hexscope.core.faults import Fault
from hexscope.core.results import Audited
from hexscope.errors import FormatError
from hexscope.io.dicom_frames import Frame, frames_of
from hexscope.io.dicom_header import Header, looks_like_dicom, quiet, read_header
from hexscope.io.dicom_series import image_series, unreadable_series
from hexscope.io.series import Inventory, Series

_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


class Dicom:
    """DICOM files of every kind (PS3.10), and bare data sets without a preamble."""

    name = "DICOM"

    def sniff(self, head: bytes, path: Path) -> bool:
        return looks_like_dicom(head)

    def scan(self, paths: Sequence[Path], *, progress: Callable[[int], object] | None = None) -> Inventory:
        others: list[Audited] = []
        headers: list[Header] = []
        for done, path in enumerate(paths, start=1):
            try:
                headers.append(read_header(path))
            except FormatError as error:
                others.append(_audited(path, Fault(error.code or "file.unreadable", str(error))))
            if progress is not None:
                progress(done)
        with quiet():
            series = _sorted_out(headers, others)
        return Inventory(tuple(series), tuple(others))


def _audited(path: Path, fault: Fault) -> Audited:
    return Audited(str(path), False, fault.kind.verdict, (fault,))


def _sorted_out(headers: Sequence[Header], others: list[Audited]) -> list[Series]:
    frames: dict[str, list[Frame]] = {}
    series: list[Series] = []
    for header in headers:
        uid = str(header.get("SeriesInstanceUID") or header.path.name)
        if not header.pixels:
            fault = Fault("series.report", f"{header.path.name} has no pixels")
            series.append(unreadable_series(uid, (header,), (fault,)))
            continue
        try:
            frames.setdefault(uid, []).extend(frames_of(header))
        except FormatError as error:
            others.append(_audited(header.path, Fault(error.code or "file.unreadable", str(error))))
    for uid, own in frames.items():
        if own:
            series.extend(image_series(uid, own))
    return series


DICOM = Dicom()
