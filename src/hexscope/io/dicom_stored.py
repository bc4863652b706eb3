"""How a DICOM file stores its frames, and what makes numbers of them. Claims are checked against the file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import FormatError
from hexscope.io.dicom_codec_frames import Encapsulated
from hexscope.io.dicom_header import Header, quiet, value_of

_DEFLATED = "1.2.840.10008.1.2.1.99"
_UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", _DEFLATED)
_COMPRESSED = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.")
#: The least that one compressed frame takes: the head of its fragment. And the most that deflate can shrink.
_LEAST_FRAME_BYTES = 8
_MOST_DEFLATED = 1032


@dataclass(frozen=True, eq=False)
class Stored:
    """How one file stores its frames. ``palette`` (colours, 3) turns indices into RGB, 8 bit; ``extended`` is the
    Extended Offset Table of compressed frames, if there is one; ``is_swapped``: bytes lie swapped in pairs."""

    path: Path
    syntax: str
    offset: int | None
    length: int | None
    kind: str
    frames: int
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    is_planar: bool
    photometric: str
    palette: NDArray[np.uint8] | None = None
    extended: bytes = b""
    is_swapped: bool = False

    @property
    def is_deflated(self) -> bool:
        """Is the whole data set one compressed stream, the pixels in it plain?"""
        return self.syntax == _DEFLATED

    @property
    def is_native(self) -> bool:
        """Are frames found by their offset and read without a decoder?"""
        return self.is_deflated or self.length is not None

    @property
    def is_mislabelled(self) -> bool:
        """Do plain pixels stand under a transfer syntax for compressed ones?"""
        return self.length is not None and self.syntax.startswith(_COMPRESSED)

    @cached_property
    def coded(self) -> Encapsulated:
        """Where the code streams of compressed frames are."""
        return Encapsulated(self.path, self.offset or 0, self.frames, self.extended)

    @property
    def is_packed_422(self) -> bool:
        """Do two neighbours share their colour in plain pixels?"""
        return self.is_native and self.photometric.endswith("422")

    @property
    def is_plain(self) -> bool:
        """Do the stored numbers need no other order, place or colour?"""
        is_odd = self.is_planar or self.is_swapped or self.photometric.startswith("YBR")
        return self.palette is None and not is_odd

    @property
    def is_colour(self) -> bool:
        return self.samples > 1 or self.palette is not None

    @property
    def is_float(self) -> bool:
        return self.kind != "PixelData"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one frame as it is given out: (y, x) or (y, x, c)."""
        return (self.rows, self.columns, 3) if self.is_colour else (self.rows, self.columns)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers as they lie in the file."""
        size = max(self.bits_allocated // 8, 1)
        letter = "f" if self.is_float else "i" if self.is_signed else "u"
        order = ">" if self.syntax == "1.2.840.10008.1.2.2" else "<"
        return np.dtype(f"{order}{letter}{size}")

    @property
    def frame_bits(self) -> int:
        return self.rows * self.columns * (2 if self.is_packed_422 else self.samples) * self.bits_allocated

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest number that the stored bits can hold."""
        bits = self.bits_stored
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if self.is_signed else (0, (1 << bits) - 1)


@dataclass(frozen=True, eq=False)
class Slice:
    """One frame of a file, and what makes numbers of it: slope and intercept, or a Modality LUT."""

    stored: Stored
    index: int
    slope: float = 1.0
    intercept: float = 0.0
    lut: NDArray[np.int32] | None = None
    lut_first: int = 0

    @property
    def keeps_integers(self) -> bool:
        return self.slope == 1.0 and self.intercept == round(self.intercept)


def stored_of(header: Header) -> Stored:
    """How the file stores its pixels. FormatError where the header claims what cannot be."""
    kind = header.pixels
    default = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(kind, 16)
    allocated = _count(header, "BitsAllocated", default)
    stored_bits = min(_count(header, "BitsStored", allocated), allocated)
    stored = Stored(
        header.path,
        header.syntax,
        header.pixel_offset,
        header.pixel_length,
        kind,
        max(_count(header, "NumberOfFrames", 1), 1),
        _count(header, "Rows", 0),
        _count(header, "Columns", 0),
        _count(header, "SamplesPerPixel", 1),
        allocated,
        stored_bits,
        max(_count(header, "HighBit", stored_bits - 1), stored_bits - 1),
        bool(_count(header, "PixelRepresentation", 0)),
        bool(_count(header, "PlanarConfiguration", 0)),
        str(header.get("PhotometricInterpretation") or "MONOCHROME2").strip(),
        _palette(header, stored_bits),
        b"" if header.is_native else bytes(header.get("ExtendedOffsetTable") or b""),
        header.is_swapped and allocated <= 8,
    )
    _check_claims(stored, header.size)
    return stored


def _count(header: Header, keyword: str, default: int) -> int:
    value = header.get(keyword)
    try:
        return default if value is None else int(value)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{header.path.name}: {keyword} is not a number", code="file.unreadable") from error


def _check_claims(stored: Stored, size: int) -> None:
    """What the header claims against what the file holds, before any memory is taken for it."""
    name = stored.path.name
    if stored.syntax not in _UNCOMPRESSED and not stored.syntax.startswith(_COMPRESSED):
        raise FormatError(
            f"{name}: how transfer syntax {stored.syntax} lays its pixels out is not known; export it as Explicit VR "
            "Little Endian",
            code="file.no_codec",
        )
    if stored.rows < 1 or stored.columns < 1:
        raise FormatError(f"{name} says it has {stored.rows} rows and {stored.columns} columns", code="file.unreadable")
    if stored.bits_stored < 1:
        raise FormatError(f"{name} says {stored.bits_stored} bits stored; wanted 1 or more", code="file.unreadable")
    if stored.bits_allocated not in (1, 8, 16, 32, 64) or stored.samples not in (1, 3, 4):
        raise FormatError(
            f"{name} says {stored.bits_allocated} bits allocated, {stored.samples} samples per pixel; "
            "wanted 1, 8, 16, 32 or 64 bits and 1, 3 or 4 samples",
            code="file.unreadable",
        )
    claimed = (stored.frame_bits * stored.frames + 7) // 8
    held = stored.length
    if held is None:
        claimed, held = _coded_claim(stored, claimed, size)
    if held < claimed:
        raise FormatError(
            f"{name} is cut short: {stored.frames} frames of {stored.rows} × {stored.columns} are "
            f"{claimed} bytes, the file holds {held}",
            code="file.truncated",
        )


def _coded_claim(stored: Stored, claimed: int, size: int) -> tuple[int, int]:
    """What compressed pixels must at least take, and what the file has for them."""
    if stored.offset is None:
        return claimed // _MOST_DEFLATED, size
    return stored.frames * _LEAST_FRAME_BYTES, size - stored.offset


def _palette(header: Header, bits: int) -> NDArray[np.uint8] | None:
    """The palette as a table over all stored values, (2**bits, 3); None where there is none."""
    if header.get("PhotometricInterpretation") != "PALETTE COLOR":
        return None
    from pydicom.pixels.processing import apply_color_lut

    index = np.arange(1 << min(bits, 16), dtype=np.uint16)
    try:
        with quiet():
            table = np.asarray(apply_color_lut(index, header.dataset))[..., :3]
    except Exception as error:
        raise FormatError(f"{header.path.name} has a broken palette", code="file.unreadable") from error
    if table.dtype.itemsize > 1 and table.max(initial=0) > 255:
        table = table >> 8
    return table.astype(np.uint8)


def modality_lut(dataset: Any) -> tuple[NDArray[np.int32], int] | None:
    """The Modality LUT (PS3.3 C.11.1) and the stored value of its first entry; None where there is none."""
    sequence = value_of(dataset, "ModalityLUTSequence")
    if not sequence:
        return None
    item = sequence[0]
    descriptor, data = value_of(item, "LUTDescriptor"), value_of(item, "LUTData")
    if descriptor is None or data is None:
        return None
    entries, first, bits = (int(v) for v in descriptor)
    if isinstance(data, bytes):
        wide = len(data) >= 2 * (entries or 1 << 16)
        data = np.frombuffer(data, "<u2" if wide else "u1")
    table = np.asarray(data, dtype=np.int64) & ((1 << max(bits, 8)) - 1)
    return table[: entries or 1 << 16].astype(np.int32), first
