"""Decoders: one table from transfer syntax (PS3.5 chapter 10 and annex A) to what turns a code stream into numbers.

The fastest correct decoder of a free licence stands first; benchmarks/reading.py has the figures. A later one is
asked where the first is not installed, or does not take the stream.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import FormatError
from hexscope.io.codestream import size_claimed
from hexscope.io.dicom_colour import rgb_from_ybr
from hexscope.io.dicom_header import quiet
from hexscope.io.dicom_stored import Stored

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Decoder:
    """``decode`` makes the numbers of one frame, (y, x[, c]) with colours as RGB; ``package`` has to be installed."""

    package: str
    decode: Callable[[bytes, Stored], Pixels]


_LOSSY_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")


def _jpeg(data: bytes, stored: Stored) -> Pixels:
    """Baseline, extended and lossless, 8 to 16 bits (libjpeg-turbo). Markers in the stream say how colours were
    coded; where there is none, the header does."""
    from imagecodecs import jpeg8_decode

    if stored.samples == 1:
        return np.asarray(jpeg8_decode(data))
    is_ybr = _says_ybr(data, stored)
    if is_ybr is None:
        is_ybr = stored.photometric.startswith("YBR")
    return np.asarray(jpeg8_decode(data, colorspace="YCbCr" if is_ybr else "RGB", outcolorspace="RGB"))


def _jpeg_ls(data: bytes, stored: Stored) -> Pixels:
    from imagecodecs import jpegls_decode

    return rgb_from_ybr(np.asarray(jpegls_decode(data)), stored)


def _jpeg_2000(data: bytes, stored: Stored) -> Pixels:
    """OpenJPEG, which undoes the colour transforms of JPEG 2000 (ICT, RCT) itself."""
    from imagecodecs import jpeg2k_decode

    return rgb_from_ybr(np.asarray(jpeg2k_decode(data)), stored)


def _says_ybr(data: bytes, stored: Stored) -> bool | None:
    """What a JPEG stream says of its own colours: Adobe's marker (ISO/IEC 10918-6), then, in the lossy kinds, JFIF's,
    which is always YCbCr (ITU-T T.871). It outweighs the header: some writers leave RGB there over YCbCr."""
    adobe = data.find(b"\xff\xee\x00\x0eAdobe", 0, 1 << 16)
    if adobe >= 0:
        return data[adobe + 15] == 1
    is_jfif = data[2:4] == b"\xff\xe0" and data[6:11] == b"JFIF\0"
    return True if is_jfif and stored.syntax in _LOSSY_JPEG else None


def _ht_jpeg_2000(data: bytes, stored: Stored) -> Pixels:
    from imagecodecs import htj2k_decode

    return rgb_from_ybr(np.asarray(htj2k_decode(data)), stored)


def _jpeg_xl(data: bytes, stored: Stored) -> Pixels:
    from imagecodecs import jpegxl_decode

    return np.asarray(jpegxl_decode(data))


def _run_length(data: bytes, stored: Stored) -> Pixels:
    """PS3.5 annex G. Bits are packed eight to a byte before they are coded, or given a byte each."""
    from rle.rle import decode_frame, decode_segment

    if stored.bits_allocated == 1:
        first = int.from_bytes(data[4:8], "little")
        return _from_bits(decode_segment(data[first:]), stored)
    count = stored.rows * stored.columns
    flat = np.frombuffer(decode_frame(data, count * stored.samples, stored.bits_allocated, "<"), stored.dtype)
    if stored.samples == 1:
        return flat.reshape(stored.rows, stored.columns)
    planes = flat.reshape(stored.samples, stored.rows, stored.columns)
    return rgb_from_ybr(np.moveaxis(planes, 0, -1), stored)


def _deflated(data: bytes, stored: Stored) -> Pixels:
    """Each frame a deflate stream of its own (PS3.5 A.4.13)."""
    wanted = (stored.frame_bits + 7) // 8
    raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, wanted + 1)
    if len(raw) < wanted:
        raise ValueError("a deflated frame is too short")
    if stored.bits_allocated == 1:
        return _from_bits(raw, stored)
    flat = np.frombuffer(raw[:wanted], stored.dtype)
    if stored.samples == 1:
        return flat.reshape(stored.rows, stored.columns)
    if stored.is_planar:
        return rgb_from_ybr(np.moveaxis(flat.reshape(stored.samples, stored.rows, stored.columns), 0, -1), stored)
    return rgb_from_ybr(flat.reshape(stored.rows, stored.columns, stored.samples), stored)


def _from_bits(raw: bytes, stored: Stored) -> Pixels:
    count = stored.rows * stored.columns
    flat = np.frombuffer(raw, np.uint8)
    if len(flat) < count:
        flat = np.unpackbits(flat, bitorder="little")
    return flat[:count].reshape(stored.rows, stored.columns)


def _through_pydicom(plugin: str, data: bytes, stored: Stored) -> Pixels:
    """A decoder that pydicom knows, by the name of its plugin; any other might end the process on a broken stream."""
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    options = {
        "rows": stored.rows,
        "columns": stored.columns,
        "samples_per_pixel": stored.samples,
        "bits_allocated": stored.bits_allocated,
        "bits_stored": stored.bits_stored,
        "photometric_interpretation": stored.photometric,
        "pixel_representation": int(stored.is_signed),
        "planar_configuration": int(stored.is_planar),
        "number_of_frames": 1,
        "pixel_keyword": stored.kind,
    }
    decoder = get_decoder(UID(stored.syntax))
    if plugin not in decoder.available_plugins:
        raise ImportError(plugin)
    with quiet():
        return np.asarray(decoder.as_array(encapsulate([data]), index=0, decoding_plugin=plugin, **options)[0])


_TURBO = Decoder("imagecodecs", _jpeg)
_CHARLS = Decoder("imagecodecs", _jpeg_ls)
_OPENJPEG = Decoder("imagecodecs", _jpeg_2000)
_OPENJPH = Decoder("imagecodecs", _ht_jpeg_2000)
_JXL = Decoder("imagecodecs", _jpeg_xl)
_GDCM = Decoder("python-gdcm", partial(_through_pydicom, "gdcm"))
_PYLIBJPEG = Decoder("pylibjpeg-openjpeg", partial(_through_pydicom, "pylibjpeg"))
_PYJPEGLS = Decoder("pyjpegls", partial(_through_pydicom, "pyjpegls"))
_RLE = Decoder("pylibjpeg-rle", _run_length)

DECODERS: dict[str, tuple[Decoder, ...]] = {
    "1.2.840.10008.1.2.4.50": (_TURBO, _GDCM),  # JPEG baseline
    "1.2.840.10008.1.2.4.51": (_TURBO, _GDCM),  # JPEG extended, 8 and 12 bits
    "1.2.840.10008.1.2.4.57": (_TURBO, _GDCM),  # JPEG lossless, process 14
    "1.2.840.10008.1.2.4.70": (_TURBO, _GDCM),  # the same, first-order prediction
    "1.2.840.10008.1.2.4.80": (_CHARLS, _PYJPEGLS),  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81": (_CHARLS, _PYJPEGLS),  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.90": (_OPENJPEG, _PYLIBJPEG),  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91": (_OPENJPEG, _PYLIBJPEG),  # JPEG 2000
    "1.2.840.10008.1.2.4.110": (_JXL,),  # JPEG XL lossless
    "1.2.840.10008.1.2.4.111": (_JXL,),  # JPEG XL made of JPEG
    "1.2.840.10008.1.2.4.112": (_JXL,),  # JPEG XL
    "1.2.840.10008.1.2.4.201": (_OPENJPH, _OPENJPEG),  # High-Throughput JPEG 2000 lossless
    "1.2.840.10008.1.2.4.202": (_OPENJPH, _OPENJPEG),  # the same, with resolutions in order
    "1.2.840.10008.1.2.4.203": (_OPENJPH, _OPENJPEG),  # High-Throughput JPEG 2000
    "1.2.840.10008.1.2.5": (_RLE, Decoder("pydicom", partial(_through_pydicom, "pydicom"))),  # RLE
    "1.2.840.10008.1.2.8.1": (Decoder("hexscope", _deflated),),  # each frame deflated
}


def decode(data: bytes, stored: Stored) -> Pixels:
    """The numbers of one frame from its code stream, (y, x[, c]), colours as RGB.

    FormatError: ``file.no_codec`` where no decoder is installed, ``file.truncated`` where none takes the stream,
    ``file.unreadable`` where it decodes to another size than the header says.
    """
    decoders = DECODERS.get(stored.syntax, ())
    claimed = size_claimed(data)
    if claimed is not None and claimed != (stored.rows, stored.columns):
        raise _other_size(stored, claimed)
    failure: BaseException | None = None
    for decoder in decoders:
        try:
            frame = decoder.decode(data, stored)
        except (
            ImportError,
            NotImplementedError,
        ):  # not installed, or it says that it does not know this kind: the next
            continue
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:  # decoders raise what they like; a panic in Rust is no Exception
            failure = failure or error
            continue
        return _checked(frame, stored)
    if failure is None:
        raise _no_codec(stored, decoders)
    raise FormatError(
        f"{stored.path.name}: its compressed pixels do not decode ({type(failure).__name__}); "
        "the file is cut short or broken",
        code="file.truncated",
    ) from failure


def _checked(frame: Pixels, stored: Stored) -> Pixels:
    wanted = (stored.rows, stored.columns) + ((stored.samples,) if stored.samples > 1 else ())
    if frame.shape != wanted:
        raise _other_size(stored, frame.shape)
    return frame.astype(stored.dtype, copy=False)


def _other_size(stored: Stored, shape: tuple[int, ...]) -> FormatError:
    wanted = (stored.rows, stored.columns, stored.samples)[: len(shape)]
    says, decodes = (" × ".join(map(str, numbers)) for numbers in (wanted, shape))
    return FormatError(f"{stored.path.name} says {says}, its pixels decode to {decodes}", code="file.unreadable")


def _no_codec(stored: Stored, decoders: tuple[Decoder, ...]) -> FormatError:
    from pydicom.uid import UID

    name = UID(stored.syntax).name
    called = stored.syntax if name == stored.syntax else f"{stored.syntax} ({name})"
    remedy = " or ".join(f"pip install {d.package}" for d in decoders) or "none is known; export it uncompressed"
    return FormatError(f"{stored.path.name}: no decoder for transfer syntax {called}: {remedy}", code="file.no_codec")
