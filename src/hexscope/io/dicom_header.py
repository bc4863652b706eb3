"""The first pass over a DICOM file: its header, where its pixels begin, and whether they are all there."""

from __future__ import annotations

import logging
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from hexscope.errors import FormatError

#: Pixel Data, Float Pixel Data, Double Float Pixel Data (PS3.3 C.7.6.3, C.7.6.24, C.7.6.25).
_PIXEL_KEYWORDS = {0x7FE00010: "PixelData", 0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData"}
_UNDEFINED = 0xFFFFFFFF
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_IMPLICIT = "1.2.840.10008.1.2"
_EXPLICIT = "1.2.840.10008.1.2.1"
_DEFLATED = "1.2.840.10008.1.2.1.99"

#: Value representations of data sets that an explicit file without preamble may begin with.
_FIRST_VRS = (b"UI", b"UL", b"CS", b"SH", b"LO", b"DA", b"OB")


@dataclass(frozen=True, eq=False)
class Header:
    """A file's data set without its pixels.

    syntax        Transfer Syntax UID; guessed from the encoding where the file has no meta group
    pixels        keyword of the element that holds the pixels; empty where there is none
    pixel_offset  bytes from the start of the file to the pixel value; None in a deflated file
    pixel_length  bytes of the value; None for encapsulated (compressed) pixels
    """

    path: Path
    dataset: Any
    syntax: str
    size: int
    pixels: str
    pixel_offset: int | None
    pixel_length: int | None

    def get(self, keyword: str) -> Any:
        """The value of ``keyword``; None where it is absent, empty, or not of its kind."""
        return value_of(self.dataset, keyword)

    @property
    def is_big_endian(self) -> bool:
        return self.syntax == _BIG_ENDIAN

    @property
    def is_native(self) -> bool:
        """Do the pixels lie in the file as they are, to be read by offset?"""
        return self.pixel_offset is not None and self.pixel_length is not None


def value_of(dataset: Any, keyword: str) -> Any:
    """The value of ``keyword`` in a data set; None where it is absent, empty, or not of its kind."""
    tag = _tag_of(keyword)
    if tag not in dataset:
        return None
    try:
        value = dataset[tag].value
    except Exception:  # a value that breaks its own rules counts as absent; pydicom raises many kinds
        return None
    if value is None or (hasattr(value, "__len__") and len(value) == 0):
        return None
    return value


@cache
def _tag_of(keyword: str) -> Any:
    from pydicom.tag import Tag

    return Tag(keyword)


class _Quiet:
    """pydicom warns and logs about odd values, and such a line can hold patient data. Threads may nest here:
    the first one in sets the state of the process, the last one out restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._caught: Any = None
        self._mode: Any = None
        self._disabled = False

    def enter(self) -> None:
        from pydicom import config

        with self._lock:
            self._depth += 1
            if self._depth > 1:
                return
            self._caught = warnings.catch_warnings()
            self._caught.__enter__()
            warnings.simplefilter("ignore")
            self._mode = config.settings.reading_validation_mode
            config.settings.reading_validation_mode = config.IGNORE
            self._disabled = logging.getLogger("pydicom").disabled
            logging.getLogger("pydicom").disabled = True

    def leave(self) -> None:
        from pydicom import config

        with self._lock:
            self._depth -= 1
            if self._depth:
                return
            config.settings.reading_validation_mode = self._mode
            logging.getLogger("pydicom").disabled = self._disabled
            self._caught.__exit__(None, None, None)


_QUIET = _Quiet()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's remarks (they may name the patient) out of warnings and logs."""
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()


def looks_like_dicom(head: bytes) -> bool:
    """A preamble with DICM, or a bare data set that begins with group 0002 or 0008 (PS3.10 7.1)."""
    if head[128:132] == b"DICM":
        return True
    if len(head) < 16:
        return False
    vr = head[4:6]
    for order in ("<", ">"):
        group, element, length = struct.unpack(order + "HHL", head[:8])
        if group not in (0x0002, 0x0008) or element > 0x0100:
            continue
        if vr in _FIRST_VRS:
            return True
        if order == "<" and length <= 128:
            return head[8 + length : 10 + length] in (b"\x02\x00", b"\x08\x00", b"\x10\x00")
    return False


def read_header(path: Path) -> Header:
    """Read everything up to the pixels. FormatError with its code where that cannot be done."""
    from pydicom import dcmread

    try:
        size = path.stat().st_size
        if size == 0:
            raise FormatError(f"{path.name} holds no bytes", code="file.empty")
        with path.open("rb") as file, quiet():
            dataset = dcmread(file, stop_before_pixels=True, force=True)
            syntax = _syntax(dataset)
            keyword, offset, length = _find_pixels(file, dataset, syntax)
    except FormatError:
        raise
    except Exception as error:  # pydicom raises what its parts raise: struct.error, KeyError, ValueError …
        kind = type(error).__name__
        raise FormatError(f"{path.name} cannot be parsed as DICOM ({kind})", code="file.unreadable") from error
    header = Header(path, dataset, syntax, size, keyword, offset, length)
    _check_size(header)
    return header


def _syntax(dataset: Any) -> str:
    told = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if told:
        return str(told)
    implicit, little = dataset.original_encoding
    if not little:
        return _BIG_ENDIAN
    return _IMPLICIT if implicit else _EXPLICIT


def _find_pixels(file: BinaryIO, dataset: Any, syntax: str) -> tuple[str, int | None, int | None]:
    """Keyword, offset and length of the pixel element at which parsing stopped."""
    if syntax == _DEFLATED:
        return ("PixelData" if "Rows" in dataset else "", None, None)
    order = ">" if syntax == _BIG_ENDIAN else "<"
    head = file.read(12)
    if len(head) < 8:
        return "", None, None
    group, element = struct.unpack(order + "HH", head[:4])
    keyword = _PIXEL_KEYWORDS.get(group << 16 | element, "")
    if not keyword:
        return "", None, None
    implicit = not b"AA" <= head[4:6] <= b"ZZ"
    length = struct.unpack(order + "L", head[4:8] if implicit else head[8:12])[0]
    offset = file.tell() - len(head) + (8 if implicit else 12)
    return keyword, offset, None if length == _UNDEFINED else length


def _check_size(header: Header) -> None:
    if header.pixel_length is None or header.pixel_offset is None:
        return
    end = header.pixel_offset + header.pixel_length
    if end > header.size:
        raise FormatError(
            f"{header.path.name} is cut short: it has {header.size} bytes, its pixels end at byte {end}",
            code="file.truncated",
        )
