"""The first pass over a DICOM file: its header, where its pixels begin, and whether they are all there."""

from __future__ import annotations

import logging
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from hexscope.errors import FormatError
from hexscope.io.dicom_elements import Elements, Unusual, Walk

#: Pixel Data, Float Pixel Data, Double Float Pixel Data (PS3.3 C.7.6.3, C.7.6.24, C.7.6.25).
_PIXEL_KEYWORDS = {0x7FE00010: "PixelData", 0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData"}
_UNDEFINED = 0xFFFFFFFF
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_IMPLICIT = "1.2.840.10008.1.2"
_EXPLICIT = "1.2.840.10008.1.2.1"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_TRANSFER_SYNTAX, _META_SOP_CLASS, _SOP_CLASS = 0x00020010, 0x00020002, 0x00080016
_BEHIND_META, _FIRST_PIXELS = 0x00030000, min(_PIXEL_KEYWORDS)
#: Specific Character Set and Pixel Representation: what other elements mean hangs on them.
_CONTEXT = (0x00080005, 0x00280103)

_PIECE, _LARGEST_INFLATED = 1 << 16, 1 << 30

#: Value representations of data sets that an explicit file without preamble may begin with.
_FIRST_VRS = (b"UI", b"UL", b"CS", b"SH", b"LO", b"DA", b"OB")


@dataclass(frozen=True, eq=False)
class Header:
    """A file's data set without its pixels.

    syntax        Transfer Syntax UID; guessed from the encoding where the file has no meta group
    sop_class     SOP Class UID, from the meta group where the data set has none; empty where neither tells
    pixels        keyword of the element that holds the pixels; empty where there is none
    pixel_offset  bytes from the start of the file to the pixel value; None in a deflated file
    pixel_length  bytes of the value; None for encapsulated (compressed) pixels
    elements      the data set's elements in short form; None where only pydicom can read them
    is_swapped    do bytes of pixels lie swapped in pairs (words of a big-endian file, PS3.5 A.3)?
    """

    path: Path
    syntax: str
    sop_class: str
    size: int
    pixels: str
    pixel_offset: int | None
    pixel_length: int | None
    elements: Elements | None
    is_swapped: bool = False

    @cached_property
    def dataset(self) -> Any:
        """The whole data set as pydicom gives it, read when it is asked for: ``get`` does without it."""
        with quiet(), _told(self.path), self.path.open("rb") as file:
            return _parsed(file)

    def get(self, keyword: str) -> Any:
        """The value of ``keyword``; None where it is absent, empty, or not of its kind."""
        if self.elements is None or "dataset" in self.__dict__:
            return value_of(self.dataset, keyword)
        at = self.elements.index(_number_of(keyword))
        if at < 0:
            return None
        try:
            return self.elements.value(at)
        except Unusual:
            return value_of(self._alone(at), keyword)

    def _alone(self, at: int) -> Any:
        """A data set of this element and of those that its reading depends on (PS3.5 6.1.2, PS3.3 C.7.6.3.1)."""
        from pydicom.filereader import read_dataset

        assert self.elements is not None
        element = self.elements.encoded(at)
        if not element:
            return self.dataset
        context = b"".join(self.elements.encoded(self.elements.index(tag)) for tag in _CONTEXT)
        with quiet(), _told(self.path):
            return read_dataset(BytesIO(context + element), self.elements.implicit, True)

    @property
    def is_empty(self) -> bool:
        """Does it hold no element that can be read?"""
        return not len(self.dataset if self.elements is None else self.elements)

    @property
    def is_native(self) -> bool:
        """Do the pixels lie in the file as they are, to be read by offset?"""
        return self.pixel_offset is not None and self.pixel_length is not None


def value_of(holder: Any, keyword: str) -> Any:
    """The value of ``keyword`` in a header or a data set; None where it is absent, empty, or not of its kind."""
    if isinstance(holder, Header):
        return holder.get(keyword)
    tag = _tag_of(keyword)
    if tag not in holder:
        return None
    try:
        value = holder[tag].value
    except Exception:  # a value that breaks its own rules counts as absent; pydicom raises many kinds
        return None
    if value is None or (hasattr(value, "__len__") and len(value) == 0):
        return None
    return value


@cache
def _tag_of(keyword: str) -> Any:
    from pydicom.tag import Tag

    return Tag(keyword)


@cache
def _number_of(keyword: str) -> int:
    return int(_tag_of(keyword))


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
    with _told(path), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise FormatError(f"{path.name} holds no bytes", code="file.empty")
        try:
            header = _walked(file, path, size)
        except Unusual:
            file.seek(0)
            with quiet():
                header = _parsed_header(file, path, size)
    _check_size(header)
    return header


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong with a file's header, as a FormatError."""
    try:
        yield
    except FormatError:
        raise
    except OSError as error:
        raise FormatError(f"{path.name} cannot be read: {error.strerror}", code="file.unreadable") from error
    except Exception as error:  # pydicom raises what its parts raise: struct.error, KeyError, ValueError …
        kind = type(error).__name__
        raise FormatError(f"{path.name} cannot be parsed as DICOM ({kind})", code="file.unreadable") from error


def _walked(file: BinaryIO, path: Path, size: int) -> Header:
    """The short way: a little-endian file with preamble and meta group, its elements in order."""
    walk = Walk(file)
    if walk.data[128:132] != b"DICM":
        raise Unusual
    meta, start = walk.elements(132, False, _BEHIND_META)
    syntax = _text(meta, _TRANSFER_SYNTAX)
    if syntax == _DEFLATED:
        _check_inflated(file, path, start)
    if syntax in ("", _BIG_ENDIAN, _DEFLATED):
        raise Unusual
    implicit = syntax == _IMPLICIT
    elements, at = walk.elements(start, implicit, _FIRST_PIXELS)
    sop_class = _text(elements, _SOP_CLASS) or _text(meta, _META_SOP_CLASS)
    if not walk.reaches(at + 8):
        return Header(path, syntax, sop_class, size, "", None, None, elements)
    group, element = struct.unpack_from("<HH", walk.data, at)
    keyword = _PIXEL_KEYWORDS.get(group << 16 | element, "")
    if not keyword:
        return Header(path, syntax, sop_class, size, "", None, None, elements)
    _, offset, length = walk.head(at, implicit)
    held = None if length == _UNDEFINED else length
    return Header(path, syntax, sop_class, size, keyword, offset, held, elements)


def _check_inflated(file: BinaryIO, path: Path, start: int) -> None:
    """A deflated data set may swell a thousandfold, and pydicom inflates it whole: measure it piece by piece first."""
    file.seek(start)
    inflate, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while piece := file.read(_PIECE):
        total += len(inflate.decompress(piece))
        if total > _LARGEST_INFLATED:
            raise FormatError(f"{path.name} inflates to more than {_LARGEST_INFLATED} bytes", code="file.too_large")


def _text(elements: Elements, tag: int) -> str:
    at = elements.index(tag)
    return "" if at < 0 else str(elements.value(at) or "")


def _parsed(file: BinaryIO) -> Any:
    from pydicom import dcmread

    return dcmread(file, stop_before_pixels=True, force=True)


def _parsed_header(file: BinaryIO, path: Path, size: int) -> Header:
    """The long way, through pydicom."""
    dataset = _parsed(file)
    syntax = _syntax(dataset)
    keyword, offset, length, vr = _find_pixels(file, dataset, syntax)
    meta = value_of(getattr(dataset, "file_meta", {}), "MediaStorageSOPClassUID")
    sop_class = str(value_of(dataset, "SOPClassUID") or meta or "")
    is_swapped = vr == b"OW" and syntax == _BIG_ENDIAN
    header = Header(path, syntax, sop_class, size, keyword, offset, length, None, is_swapped)
    header.__dict__["dataset"] = dataset
    return header


def _syntax(dataset: Any) -> str:
    told = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if told:
        return str(told)
    implicit, little = dataset.original_encoding
    if not little:
        return _BIG_ENDIAN
    return _IMPLICIT if implicit else _EXPLICIT


def _find_pixels(file: BinaryIO, dataset: Any, syntax: str) -> tuple[str, int | None, int | None, bytes]:
    """Keyword, offset, length and VR of the pixel element at which parsing stopped."""
    if syntax == _DEFLATED:
        return ("PixelData" if "Rows" in dataset else "", None, None, b"")
    order = ">" if syntax == _BIG_ENDIAN else "<"
    head = file.read(12)
    if len(head) < 8:
        return "", None, None, b""
    group, element = struct.unpack(order + "HH", head[:4])
    keyword = _PIXEL_KEYWORDS.get(group << 16 | element, "")
    if not keyword:
        return "", None, None, b""
    implicit = not b"AA" <= head[4:6] <= b"ZZ"
    length = struct.unpack(order + "L", head[4:8] if implicit else head[8:12])[0]
    offset = file.tell() - len(head) + (8 if implicit else 12)
    return keyword, offset, None if length == _UNDEFINED else length, b"" if implicit else head[4:6]


def _check_size(header: Header) -> None:
    if header.pixel_length is None or header.pixel_offset is None:
        return
    end = header.pixel_offset + header.pixel_length
    if end > header.size:
        raise FormatError(
            f"{header.path.name} is cut short: it has {header.size} bytes, its pixels end at byte {end}",
            code="file.truncated",
        )
