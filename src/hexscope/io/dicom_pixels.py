"""Pixels of DICOM frames: stored bits to numbers in the file's own units, read by region.

Native (uncompressed) pixels are read by their offset straight into the volume; the rest goes through pydicom's
decoders. Values follow PS3.3 C.7.6.3 (bits), C.11.1 (rescale, Modality LUT) and C.7.9 (palette).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hexscope.core.pixels import LazyPixels, Region
from hexscope.errors import FormatError
from hexscope.io.dicom_header import Header, quiet, value_of

_NATIVE_COLOURS = ("MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR")
_INTEGERS = (np.uint8, np.int16, np.uint16, np.int32, np.uint32)
_MISSING_CODEC = ("missing dependencies", "not supported", "no available", "unable to decode as a plugin")
_DECODING_THREADS = 2


@dataclass(frozen=True, eq=False)
class Stored:
    """How one file stores its frames. ``palette`` (colours, 3) turns indices into RGB, 8 bit."""

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

    @property
    def is_native(self) -> bool:
        """Can frames be read by offset, without a decoder?"""
        return self.offset is not None and self.length is not None and self.photometric in _NATIVE_COLOURS

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
        return self.rows * self.columns * self.samples * self.bits_allocated

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
    )
    _check_claims(stored)
    return stored


def _count(header: Header, keyword: str, default: int) -> int:
    value = header.get(keyword)
    try:
        return default if value is None else int(value)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{header.path.name}: {keyword} is not a number", code="file.unreadable") from error


def _check_claims(stored: Stored) -> None:
    """What the header claims against what the file holds, before any memory is taken for it."""
    name = stored.path.name
    if stored.rows < 1 or stored.columns < 1:
        raise FormatError(
            f"{name} says it has {stored.rows} rows and {stored.columns} columns", code="file.unreadable"
        )
    if stored.bits_allocated not in (1, 8, 16, 32, 64) or stored.samples not in (1, 3, 4):
        raise FormatError(
            f"{name} says {stored.bits_allocated} bits allocated, {stored.samples} samples per pixel; "
            "wanted 1, 8, 16, 32 or 64 bits and 1, 3 or 4 samples",
            code="file.unreadable",
        )
    claimed = (stored.frame_bits * stored.frames + 7) // 8
    if stored.photometric == "YBR_FULL_422":
        claimed = claimed * 2 // 3
    if stored.length is not None and stored.length < claimed:
        raise FormatError(
            f"{name} is cut short: {stored.frames} frames of {stored.rows} × {stored.columns} are "
            f"{claimed} bytes, the file holds {stored.length}",
            code="file.truncated",
        )


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


# ---- the whole and its parts ----------------------------------------------------------------------------


def output_dtype(slices: Sequence[Slice]) -> np.dtype[Any]:
    """The smallest type that holds every value of the stack; float32 where any slope or intercept is no integer."""
    first = slices[0].stored
    if first.palette is not None:
        return np.dtype(np.uint8)
    if first.is_colour or first.is_float:
        return first.dtype.newbyteorder("=")
    if any(s.lut is None and not s.keeps_integers for s in slices):
        return np.dtype(np.float32)
    bounds = [_bounds(s) for s in slices]
    low, high = min(b[0] for b in bounds), max(b[1] for b in bounds)
    for kind in _INTEGERS:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.dtype(kind)
    return np.dtype(np.float64)


def _bounds(part: Slice) -> tuple[int, int]:
    if part.lut is not None:
        return int(part.lut.min()), int(part.lut.max())
    low, high = part.stored.limits
    return low + round(part.intercept), high + round(part.intercept)


def stack_pixels(slices: Sequence[Slice], *, single: bool = False) -> LazyPixels:
    """Lazy pixels over slices in array order: (z or t, y, x[, c]), or without the first axis where ``single``.

    A region along the first axis reads only the files it needs.
    """
    shape = slices[0].stored.shape if single else (len(slices), *slices[0].stored.shape)
    dtype = output_dtype(slices)

    def read_region(region: Region) -> NDArray[Any]:
        if single:
            return np.ascontiguousarray(read_slices(slices, dtype)[0][region])
        array = read_slices(slices[region[0]], dtype)
        inner = array[(slice(None), *region[1:])]
        return inner if inner.shape == array.shape else np.ascontiguousarray(inner)

    return LazyPixels(shape, dtype, read_region)


def read_slices(slices: Sequence[Slice], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The numbers of some slices, (n, y, x[, c]) in ``dtype``. FormatError names the file that fails."""
    if not slices:
        raise FormatError("no slice was asked for")
    by_file: dict[Path, list[int]] = {}
    for k, part in enumerate(slices):
        by_file.setdefault(part.stored.path, []).append(k)
    _decode_first(slices[0])
    out = np.empty((len(slices), *slices[0].stored.shape), dtype)
    coded = []
    for places in by_file.values():
        if slices[places[0]].stored.is_native:
            _read_native(slices, places, out)
        else:
            coded.append(places)
    if coded:
        with quiet(), ThreadPoolExecutor(_DECODING_THREADS) as pool:
            for _ in pool.map(lambda places: _read_coded(slices, places, out), coded):
                pass
    return out


def _decode_first(part: Slice) -> None:
    """A compressed file may claim any size: one frame must decode to what is claimed before memory is taken."""
    claimed = part.stored.frame_bits // 8
    if not part.stored.is_native and claimed > 1 << 28:
        with quiet():
            for _ in _decode(part.stored, [part.index]):
                pass


def _read_native(slices: Sequence[Slice], places: Sequence[int], out: NDArray[Any]) -> None:
    stored = slices[places[0]].stored
    try:
        with stored.path.open("rb", buffering=0) as file:
            for k in places:
                part = slices[k]
                if _fits_in_place(part, out):
                    raw = out[k].view(part.stored.dtype)
                    _read_into(file, raw, part)
                else:
                    raw = _scratch(file, part)
                _finish(raw, part, out[k])
    except OSError as error:
        raise FormatError(f"{stored.path.name} cannot be read: {error.strerror}", code="file.unreadable") from error


def _fits_in_place(part: Slice, out: NDArray[Any]) -> bool:
    """May the file's bytes land in the result as they are? Not where order, size or meaning differ."""
    stored = part.stored
    return (
        stored.bits_allocated > 1
        and stored.dtype.itemsize == out.dtype.itemsize
        and stored.dtype.isnative
        and (stored.is_float == (out.dtype.kind == "f"))
        and part.lut is None
        and stored.palette is None
        and not stored.is_planar
        and stored.samples in (1, 3)
    )


def _read_into(file: BinaryIO, raw: NDArray[Any], part: Slice) -> None:
    assert part.stored.offset is not None  # noqa: S101  is_native was asked before
    file.seek(part.stored.offset + part.index * (part.stored.frame_bits // 8))
    view = memoryview(raw).cast("B")
    if file.readinto(view) != len(view):  # type: ignore[attr-defined]
        raise _cut_short(part.stored)


def _cut_short(stored: Stored) -> FormatError:
    return FormatError(f"{stored.path.name} ends before its pixels do", code="file.truncated")


def _scratch(file: BinaryIO, part: Slice) -> NDArray[Any]:
    """Stored numbers of one native frame in memory of their own, (y, x[, samples])."""
    stored = part.stored
    assert stored.offset is not None  # noqa: S101
    start = part.index * stored.frame_bits
    stop = start + stored.frame_bits
    file.seek(stored.offset + start // 8)
    data = file.read((stop + 7) // 8 - start // 8)
    if len(data) * 8 < stored.frame_bits:
        raise _cut_short(stored)
    flat: NDArray[Any]
    if stored.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        flat = bits[start % 8 : start % 8 + stored.frame_bits]
    else:
        flat = np.frombuffer(data, stored.dtype).astype(stored.dtype.newbyteorder("="))
    if stored.samples == 1:
        return flat.reshape(stored.rows, stored.columns)
    if stored.is_planar:
        return np.moveaxis(flat.reshape(stored.samples, stored.rows, stored.columns), 0, -1)
    return flat.reshape(stored.rows, stored.columns, stored.samples)


def _read_coded(slices: Sequence[Slice], places: Sequence[int], out: NDArray[Any]) -> None:
    indices = [slices[k].index for k in places]
    frames = _decode(slices[places[0]].stored, indices)
    for k, frame in zip(places, frames, strict=True):
        _finish(frame, slices[k], out[k])


def _decode(stored: Stored, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
    """Frames through pydicom's decoders, YBR turned into RGB. FormatError where they fail."""
    from pydicom import dcmread
    from pydicom.pixels import iter_pixels
    from pydicom.uid import UID

    try:
        dataset = dcmread(stored.path, force=True)
        dataset.file_meta.TransferSyntaxUID = UID(stored.syntax)
        for frame in iter_pixels(dataset, indices=list(indices)):
            if frame.shape[:2] != (stored.rows, stored.columns):
                raise FormatError(
                    f"{stored.path.name} says {stored.rows} × {stored.columns}, its pixels decode to {frame.shape}",
                    code="file.unreadable",
                )
            yield frame
    except FormatError:
        raise
    except Exception as error:  # decoders raise what they like
        raise _decode_error(stored, error) from error


def _decode_error(stored: Stored, error: Exception) -> FormatError:
    text = str(error).lower()
    if isinstance(error, NotImplementedError) or any(words in text for words in _MISSING_CODEC):
        return FormatError(
            f"{stored.path.name}: no decoder for transfer syntax {stored.syntax} is installed",
            code="file.no_codec",
        )
    return FormatError(
        f"{stored.path.name}: its compressed pixels do not decode ({type(error).__name__}); "
        "the file is cut short or broken",
        code="file.truncated",
    )


def _finish(raw: NDArray[Any], part: Slice, out: NDArray[Any]) -> None:
    """Stored numbers to values, into ``out``; ``raw`` may be the same memory."""
    stored = part.stored
    raw = _mend_bits(raw, stored)
    if stored.palette is not None:
        out[...] = stored.palette[raw]
        return
    if stored.is_colour:
        out[...] = raw[..., :3]
        return
    if part.lut is not None:
        out[...] = part.lut[np.clip(raw.astype(np.int64) - part.lut_first, 0, len(part.lut) - 1)]
        return
    if not np.shares_memory(raw, out):
        out[...] = raw
    if out.dtype.kind == "f":
        if part.slope != 1.0:
            out *= part.slope
        if part.intercept != 0.0:
            out += part.intercept
    elif part.intercept != 0.0:
        out += out.dtype.type(part.intercept)


def _mend_bits(raw: NDArray[Any], stored: Stored) -> NDArray[Any]:
    """Drop what lies outside the stored bits (old overlays) and extend the sign, in place."""
    allocated, bits = raw.dtype.itemsize * 8, stored.bits_stored
    if stored.is_float or stored.bits_allocated == 1 or bits >= allocated:
        return raw
    if not raw.flags.writeable:
        raw = raw.copy()
    left = allocated - 1 - min(stored.high_bit, allocated - 1)
    if stored.is_signed and raw.dtype.kind == "i":
        raw <<= left
        raw >>= allocated - bits
    else:
        raw >>= allocated - bits - left
        raw &= raw.dtype.type((1 << bits) - 1)
    return raw
