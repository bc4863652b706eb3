"""Compressed frames in a DICOM file: which bytes are which frame's (PS3.5 A.4).

A frame is one fragment or many. The Extended or the Basic Offset Table says where each begins; where there is none,
the fragments are counted, or parted at the markers that end a JPEG stream.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from hexscope.errors import FormatError

_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
#: A stream ends with this, and with at most so much filling behind it.
_END_MARKER, _FILLING = b"\xff\xd9", 10


class Encapsulated:
    """The frames of the encapsulated value at byte ``offset`` of a file.

    ``extended`` is the value of Extended Offset Table (7FE0,0001), empty where there is none.
    """

    def __init__(self, path: Path, offset: int, frames: int, extended: bytes = b"") -> None:
        self._path, self._offset, self._frames, self._extended = path, offset, frames, extended

    def read(self, indices: Sequence[int]) -> Iterator[bytes]:
        """The code stream of each wanted frame. FormatError where the file does not hold it."""
        with self._path.open("rb") as file:
            if self._frames == 1:
                _, first = self._table(file)
                file.seek(first)
                yield b"".join(self._fragments(file, None))
                return
            starts = self._starts
            for index in indices:
                file.seek(starts[index])
                yield b"".join(self._fragments(file, starts[index + 1] if index + 1 < len(starts) else None))

    @cached_property
    def _starts(self) -> list[int]:
        """The byte of each frame's first fragment."""
        with self._path.open("rb") as file:
            offsets, first = self._table(file)
            starts = [first + offset for offset in offsets]
            if len(starts) != self._frames or not self._is_sound(file, starts):
                starts = self._counted(file, first)
        if len(starts) != self._frames:
            raise FormatError(
                f"{self._path.name} promises {self._frames} frames and holds {len(starts)}", code="file.truncated"
            )
        return starts

    def _table(self, file: BinaryIO) -> tuple[tuple[int, ...], int]:
        """Offsets of the frames from the first fragment, if they are told, and where that fragment is."""
        file.seek(self._offset)
        length = self._mark(file)
        basic = b"" if length is None else file.read(length)
        if self._extended:
            return struct.unpack(f"<{len(self._extended) // 8}Q", self._extended), file.tell()
        return struct.unpack(f"<{len(basic) // 4}L", basic[: len(basic) // 4 * 4]), file.tell()

    def _is_sound(self, file: BinaryIO, starts: Sequence[int]) -> bool:
        """Do the offsets grow, and do the first and the last one point to a fragment?"""
        if any(b <= a for a, b in pairwise(starts)):
            return False
        for start in (starts[0], starts[-1]):
            file.seek(start)
            if file.read(4) != _ITEM:
                return False
        return True

    def _counted(self, file: BinaryIO, first: int) -> list[int]:
        """Frames by their fragments: one each, or parted behind the end of each code stream."""
        file.seek(first)
        starts, begins, is_new = [], [], True
        while (length := self._mark(file)) is not None:
            here = file.tell()
            starts.append(here - 8)
            if is_new:
                begins.append(here - 8)
            file.seek(here + max(length - _FILLING, 0))
            is_new = _END_MARKER in file.read(min(length, _FILLING))
        return starts if len(starts) == self._frames else begins

    def _fragments(self, file: BinaryIO, stop: int | None) -> Iterator[bytes]:
        while (stop is None or file.tell() < stop) and (length := self._mark(file)) is not None:
            data = file.read(length)
            if len(data) < length:
                raise self._cut_short()
            yield data

    def _mark(self, file: BinaryIO) -> int | None:
        """Length of the fragment that begins here; None at the end of the sequence."""
        head = file.read(8)
        if head[:4] == _ITEM and len(head) == 8:
            return int.from_bytes(head[4:], "little")
        if head[:4] == _END or not head:
            return None
        raise self._cut_short()

    def _cut_short(self) -> FormatError:
        return FormatError(f"{self._path.name}: its compressed frames are cut short or broken", code="file.truncated")
