"""The elements at the top of a data set, found by walking over its bytes (PS3.5 chapter 7): places, no values yet.

Little-endian data sets in good order are walked here; whatever is unusual is left to pydicom, which knows more
and takes longer.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from functools import cache
from itertools import pairwise
from typing import Any, BinaryIO

_CHUNK = 16 << 10
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_TEXTS = frozenset(b"AS CS DA DT LO SH TM UI".split())
_NUMBERS = {b"US": "H", b"SS": "h", b"UL": "L", b"SL": "l", b"FL": "f", b"FD": "d"}
#: Longer elements stay in the file: thousands of headers are held at once.
_LONGEST = 4096
_DEEPEST = 32


class Unusual(Exception):
    """Bytes that this walk does not follow. It does not mean that they are wrong."""


class Elements:
    """Elements in ascending order of tag, as they lie in the file. ``implicit``: without value representation."""

    __slots__ = ("_data", "_starts", "_tags", "implicit")

    def __init__(self, data: bytes, found: list[tuple[int, int]], end: int, implicit: bool) -> None:
        """From (tag, start) in ``data``, the last one ending at ``end``. What is too long to keep is left out."""
        self.implicit = implicit
        self._tags = array("I", [tag for tag, _ in found])
        self._starts = array("I")
        starts = [start for _, start in found] + [end]
        pieces, begin, cut = [], starts[0], starts[0]
        for start, stop in pairwise(starts):
            self._starts.append(start - cut)
            if stop - start > _LONGEST:
                pieces.append(data[begin:start])
                begin, cut = stop, cut + stop - start
        self._starts.append(end - cut)
        self._data = b"".join([*pieces, data[begin:end]])

    def __len__(self) -> int:
        return len(self._tags)

    def index(self, tag: int) -> int:
        """Where the element stands among the others; -1 where it is absent."""
        at = bisect_left(self._tags, tag)
        return at if at < len(self._tags) and self._tags[at] == tag else -1

    def encoded(self, at: int) -> bytes:
        """The whole element, tag and all; empty where it is absent (-1) or too long to be kept."""
        return b"" if at < 0 else self._data[self._starts[at] : self._starts[at + 1]]

    def value(self, at: int) -> Any:
        """Text, a number, or a list of them; None where it is empty. Unusual where it is nothing so plain."""
        element = self.encoded(at)
        vr = _dictionary_vr(self._tags[at]) if self.implicit else element[4:6]
        raw = element[8:]
        if vr in _TEXTS:
            return _one_or_all(_texts(raw))
        try:
            if vr == b"DS":
                return _one_or_all([float(text) for text in _texts(raw)])
            if vr == b"IS":
                return _one_or_all([int(text) for text in _texts(raw)])
            if (code := _NUMBERS.get(vr)) is not None:
                return _one_or_all([number for (number,) in struct.iter_unpack("<" + code, raw)])
        except (ValueError, struct.error) as error:
            raise Unusual from error
        raise Unusual


def _one_or_all(values: list[Any]) -> Any:
    return values if len(values) > 1 else values[0] if values else None


def _texts(raw: bytes) -> list[str]:
    """Plain ASCII, parted; other alphabets need the character set of the file."""
    if b"\x1b" in raw or not raw.isascii():
        raise Unusual
    text = raw.decode("ascii").rstrip(" \0")
    return text.split("\\") if text else []


@cache
def _dictionary_vr(tag: int) -> bytes:
    """The VR that the dictionary gives (PS3.6); empty where it gives none, or a choice."""
    from pydicom.datadict import dictionary_VR

    try:
        vr = str(dictionary_VR(tag))
    except KeyError:
        return b""
    return vr.encode() if len(vr) == 2 else b""


# ---- the walk -------------------------------------------------------------------------------------------


class Walk:
    """A walk over a file from its beginning; it reads on as far as it comes. Every step may raise Unusual."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.data = file.read(_CHUNK)

    def reaches(self, stop: int) -> bool:
        """Has the file a byte before ``stop``? It is read if so."""
        if stop > len(self.data):
            self.data += self._file.read(max(_CHUNK, len(self.data), stop - len(self.data)))
        return stop <= len(self.data)

    def elements(self, at: int, implicit: bool, limit: int) -> tuple[Elements, int]:
        """Those from byte ``at`` up to the first whose tag is ``limit`` or greater, and the byte where that is."""
        found: list[tuple[int, int]] = []
        last = 0
        while self.reaches(at + 8):
            group, element = struct.unpack_from("<HH", self.data, at)
            tag = group << 16 | element
            if tag <= last:
                raise Unusual
            if tag >= limit:
                break
            found.append((tag, at))
            at, last = self._behind(at, implicit), tag
        else:
            if at != len(self.data):
                raise Unusual
        return Elements(self.data, found, at, implicit), at

    def head(self, at: int, implicit: bool) -> tuple[bytes, int, int]:
        """VR (empty if implicit), start of the value, and its length, of the element at ``at``."""
        vr, length = struct.unpack_from("<2sH", self.data, at + 4)
        if implicit:
            return b"", at + 8, int.from_bytes(self.data[at + 4 : at + 8], "little")
        if vr in _SHORT:
            return vr, at + 8, length
        if vr not in _LONG or not self.reaches(at + 12):
            raise Unusual
        return vr, at + 12, int.from_bytes(self.data[at + 8 : at + 12], "little")

    def _behind(self, at: int, implicit: bool, depth: int = 0) -> int:
        """The byte behind the element at ``at``."""
        vr, value, length = self.head(at, implicit)
        if length != _UNDEFINED:
            return value + length
        if vr == b"UN" or depth > _DEEPEST:
            raise Unusual
        return self._behind_items(value, implicit, depth + 1)

    def _behind_items(self, at: int, implicit: bool, depth: int) -> int:
        """The byte behind a sequence without a length, whose first item is at ``at`` (PS3.5 7.5)."""
        while self.reaches(at + 8):
            tag, length = self._mark(at)
            at += 8
            if tag == _SEQUENCE_END:
                return at
            if tag != _ITEM:
                raise Unusual
            at = at + length if length != _UNDEFINED else self._behind_item(at, implicit, depth)
        raise Unusual

    def _behind_item(self, at: int, implicit: bool, depth: int) -> int:
        while self.reaches(at + 8):
            if self._mark(at)[0] == _ITEM_END:
                return at + 8
            at = self._behind(at, implicit, depth)
        raise Unusual

    def _mark(self, at: int) -> tuple[int, int]:
        group, element, length = struct.unpack_from("<HHL", self.data, at)
        return group << 16 | element, length
