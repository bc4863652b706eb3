"""Pixels of DICOM frames: stored bits to numbers in the file's own units, read by region.

Native (uncompressed) pixels are read by their offset straight into the volume, compressed ones frame by frame
through a decoder, several at a time. Values follow PS3.3 C.7.6.3 (bits), C.11.1 (rescale, Modality LUT) and C.7.9
(palette).
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.pixels import LazyPixels, Region
from hexscope.errors import FormatError
from hexscope.io.dicom_codec import decode
from hexscope.io.dicom_colour import rgb_from_ybr, unpacked_422
from hexscope.io.dicom_header import quiet
from hexscope.io.dicom_stored import Slice, Stored

_INTEGERS = (np.uint8, np.int16, np.uint16, np.int32, np.uint32)
_DECODING_THREADS = min(8, os.cpu_count() or 1)
#: Frames of one file that one thread decodes in a row.
_BATCH = 8
_LARGE_BYTES = 32 << 20


# ---- the whole and its parts ----------------------------------------------------------------------------


def output_dtype(slices: Sequence[Slice]) -> np.dtype[Any]:
    """The smallest type that holds every value; float32 where a slope is not 1 or an intercept no integer."""
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
    """Lazy pixels of slices in array order: (z or t, y, x[, c]); without the first axis where ``single``.

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
    out = _fresh_memory((len(slices), *slices[0].stored.shape), dtype)
    coded = []
    for places in by_file.values():
        if slices[places[0]].stored.is_native:
            _read_native(slices, places, out)
        else:
            coded += [places[k : k + _BATCH] for k in range(0, len(places), _BATCH)]
    if len(coded) == 1:
        _read_coded(slices, coded[0], out)
    elif coded:
        with ThreadPoolExecutor(_DECODING_THREADS) as pool:
            for _ in pool.map(lambda places: _read_coded(slices, places, out), coded):
                pass
    return out


def _fresh_memory(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array to fill. Large ones come from plain pages, all taken at once: numpy asks the kernel for huge ones,
    and where memory is fragmented finding those, or taking plain ones one by one, costs more than reading does."""
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE_BYTES or not hasattr(mmap, "MAP_POPULATE"):
        return np.empty(shape, dtype)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
    return np.frombuffer(pages, dtype).reshape(shape)


def _decode_first(part: Slice) -> None:
    """A compressed file may claim any size: one frame must decode to it before memory is taken."""
    claimed = part.stored.frame_bits // 8
    if not part.stored.is_native and claimed > 1 << 28:
        for data in part.stored.coded.read([part.index]):
            decode(data, part.stored)


def _read_native(slices: Sequence[Slice], places: Sequence[int], out: NDArray[Any]) -> None:
    stored = slices[places[0]].stored
    try:
        with _inflated(stored) if stored.is_deflated else stored.path.open("rb", buffering=0) as file:
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


def _inflated(stored: Stored) -> BytesIO:
    """The pixel value of a deflated data set, to be read as if it were a file of its own."""
    from pydicom import dcmread

    with quiet():
        try:
            return BytesIO(dcmread(stored.path)[stored.kind].value)
        except Exception as error:  # zlib.error, KeyError, whatever a broken stream leads to
            raise _cut_short(stored) from error


def _fits_in_place(part: Slice, out: NDArray[Any]) -> bool:
    """May the file's bytes land in the result as they are? Not where order, size or meaning differ."""
    stored = part.stored
    return (
        stored.bits_allocated > 1
        and stored.dtype.itemsize == out.dtype.itemsize
        and stored.dtype.isnative
        and (stored.is_float == (out.dtype.kind == "f"))
        and part.lut is None
        and stored.is_plain
        and stored.samples in (1, 3)
    )


def _read_into(file: FileIO | BytesIO, raw: NDArray[Any], part: Slice) -> None:
    file.seek((part.stored.offset or 0) + part.index * (part.stored.frame_bits // 8))
    view = raw.reshape(-1).view(np.uint8).data
    if file.readinto(view) != len(view):
        raise _cut_short(part.stored)


def _cut_short(stored: Stored) -> FormatError:
    return FormatError(f"{stored.path.name} ends before its pixels do", code="file.truncated")


def _scratch(file: FileIO | BytesIO, part: Slice) -> NDArray[Any]:
    """Stored numbers of one native frame in memory of their own, (y, x[, samples]), colours as RGB."""
    stored = part.stored
    start = part.index * stored.frame_bits
    stop = start + stored.frame_bits
    data = _bytes_between(file, stored, start // 8, (stop + 7) // 8)
    flat: NDArray[Any]
    if stored.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        flat = bits[start % 8 : start % 8 + stored.frame_bits]
    else:
        flat = np.frombuffer(data, stored.dtype).astype(stored.dtype.newbyteorder("="), copy=False)
    if stored.samples == 1:
        return flat.reshape(stored.rows, stored.columns)
    if stored.is_packed_422:
        return rgb_from_ybr(unpacked_422(flat, stored), stored)
    if stored.is_planar:
        planes = flat.reshape(stored.samples, stored.rows, stored.columns)
        return rgb_from_ybr(np.moveaxis(planes, 0, -1), stored)
    return rgb_from_ybr(flat.reshape(stored.rows, stored.columns, stored.samples), stored)


def _bytes_between(file: FileIO | BytesIO, stored: Stored, start: int, stop: int) -> bytes:
    """Bytes of the pixel value, in their right order."""
    begin, end = (start - start % 2, stop + stop % 2) if stored.is_swapped else (start, stop)
    file.seek((stored.offset or 0) + begin)
    data = file.read(end - begin)
    if len(data) < end - begin:
        raise _cut_short(stored)
    if not stored.is_swapped:
        return data
    return np.frombuffer(data, "<u2").byteswap().tobytes()[start - begin : stop - begin]


def _read_coded(slices: Sequence[Slice], places: Sequence[int], out: NDArray[Any]) -> None:
    stored = slices[places[0]].stored
    streams = stored.coded.read([slices[k].index for k in places])
    for k, data in zip(places, streams, strict=True):
        _finish(decode(data, stored), slices[k], out[k])


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
    if out.dtype.kind == "f":
        np.multiply(raw, out.dtype.type(part.slope), out=out, casting="unsafe")
        out += out.dtype.type(part.intercept)
    elif part.intercept != 0.0:
        if raw.dtype.itemsize == out.dtype.itemsize:  # the result fits: bits that run over come back
            raw = raw.view(out.dtype)
        np.add(raw, out.dtype.type(part.intercept), out=out, casting="unsafe", dtype=out.dtype)
    elif not np.may_share_memory(raw, out):
        out[...] = raw


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
        if shift := allocated - bits - left:
            raw >>= shift
        raw &= raw.dtype.type((1 << bits) - 1)
    return raw
