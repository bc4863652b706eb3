"""One slice in every transfer syntax that occurs, and frames however they were put into fragments."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import rle.rle
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, encapsulate_extended, itemize_frame
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from hexscope.core.image import Image
from hexscope.errors import FormatError
from hexscope.io.dicom_codec import DECODERS, Decoder
from tests.io.dicom_files import CT, ORIGIN, SC, US, codes, dataset, fill, only, pixel_tags, place, scan

RNG = np.random.default_rng(23)
Pixels = NDArray[Any]
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
KNOWN = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.201")
RLE = "1.2.840.10008.1.2.5"
DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"


def smooth_slice() -> NDArray[np.uint16]:
    """12 bits, no two rows or columns alike, smooth enough for a lossy coder to keep."""
    y, x = np.mgrid[:29, :43]
    values = 2000 + 900 * np.sin(x / 9 + y / 31) + 700 * np.cos(y / 7) + 3 * x
    return np.asarray(values + RNG.integers(0, 5, values.shape), np.uint16)


SLICE = smooth_slice()


def padded(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)


def deflated(array: Pixels) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(array.tobytes()) + coder.flush()


def run_length(array: Pixels) -> bytes:
    samples = 1 if array.ndim == 2 else array.shape[2]
    bits = array.dtype.itemsize * 8
    return bytes(rle.rle.encode_frame(array.tobytes(), *array.shape[:2], samples, bits, "<"))


def save_coded(path: Path, syntax: str, value: bytes, array: Pixels, sop: str = CT, **tags: Any) -> None:
    """A file whose Pixel Data is ``value``, encapsulated already, and whose words are those of ``array``."""
    ds = dataset(sop, {CT: "CT", US: "US", SC: "OT"}[sop], UID("1.2.840.10008.1.2.1"))
    where = {**place(ORIGIN), "RescaleSlope": 1, "RescaleIntercept": -1024} if sop == CT else {}
    fill(ds, {**pixel_tags(array), **where, **tags})
    ds.PixelData = value
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = UID(KNOWN[len(syntax) > 22])  # pydicom writes no syntax that it does not know
    ds.save_as(path, enforce_file_format=True)
    known, wanted = (padded(uid.encode()).ljust(22, b"\0") for uid in (ds.file_meta.TransferSyntaxUID, syntax))
    data = path.read_bytes()
    assert data.count(known) == 1 and len(known) == len(wanted)
    path.write_bytes(data.replace(known, wanted))


def load(folder: Path) -> Image:
    image = only(folder).load()
    assert isinstance(image, Image)
    return image


# ---- one slice in every syntax --------------------------------------------------------------------------

NATIVE = [ImplicitVRLittleEndian, UID("1.2.840.10008.1.2.1"), ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
#: How the slice is coded, and how far a value may then lie from the true one.
CODED: dict[str, tuple[Callable[[Pixels], bytes], int]] = {
    DEFLATED_FRAME: (deflated, 0),
    RLE: (run_length, 0),
    "1.2.840.10008.1.2.4.51": (lambda a: imagecodecs.jpeg8_encode(a, level=98, bitspersample=12), 12),
    "1.2.840.10008.1.2.4.57": (lambda a: imagecodecs.jpeg8_encode(a, lossless=True, predictor=5, bitspersample=12), 0),
    JPEG_LOSSLESS: (lambda a: imagecodecs.jpeg8_encode(a, lossless=True, predictor=1, bitspersample=12), 0),
    "1.2.840.10008.1.2.4.80": (imagecodecs.jpegls_encode, 0),
    "1.2.840.10008.1.2.4.81": (lambda a: imagecodecs.jpegls_encode(a, level=3), 3),
    "1.2.840.10008.1.2.4.90": (lambda a: imagecodecs.jpeg2k_encode(a, level=0, reversible=True, codecformat="j2k"), 0),
    "1.2.840.10008.1.2.4.91": (lambda a: imagecodecs.jpeg2k_encode(a, level=88, codecformat="j2k"), 12),
    "1.2.840.10008.1.2.4.110": (lambda a: imagecodecs.jpegxl_encode(a, lossless=True), 0),
    "1.2.840.10008.1.2.4.201": (lambda a: imagecodecs.htj2k_encode(a, reversible=True), 0),
    "1.2.840.10008.1.2.4.202": (lambda a: imagecodecs.htj2k_encode(a, reversible=True, tlm=True, resolutions=3), 0),
    "1.2.840.10008.1.2.4.203": (lambda a: imagecodecs.htj2k_encode(a, level=0.0001), 12),
}


@pytest.mark.parametrize("syntax", NATIVE)
def test_the_slice_uncompressed(tmp_path: Path, syntax: UID) -> None:
    array = SLICE.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2")
    ds = dataset(CT, "CT", syntax)
    fill(ds, {**pixel_tags(array), **place(ORIGIN), "RescaleSlope": 1, "RescaleIntercept": -1024})
    ds.save_as(tmp_path / "a", enforce_file_format=True)
    np.testing.assert_array_equal(load(tmp_path).array[0], SLICE.astype(int) - 1024)


@pytest.mark.parametrize("syntax", CODED)
def test_the_slice_compressed(tmp_path: Path, syntax: str) -> None:
    code, tolerance = CODED[syntax]
    save_coded(tmp_path / "a", syntax, encapsulate([code(SLICE)]), SLICE, BitsStored=12, HighBit=11)
    image = load(tmp_path)
    assert image.array.dtype == np.int16 and image.quantity == "HU"
    apart = np.abs(image.array[0] - (SLICE.astype(int) - 1024)).max()
    assert apart <= tolerance and (apart > 0) == (tolerance > 0)


@pytest.mark.parametrize("package", ["imagecodecs", "others"])
def test_every_decoder_of_the_table_gives_the_slice(tmp_path: Path, package: str, monkeypatch: Any) -> None:
    for number, (syntax, (code, tolerance)) in enumerate(CODED.items()):
        chosen = [d for d in DECODERS[syntax] if (d.package == "imagecodecs") == (package == "imagecodecs")]
        if not chosen or (
            syntax.endswith("4.51") and package == "others"
        ):  # GDCM does not take 12 bits through pydicom
            continue
        monkeypatch.setitem(DECODERS, syntax, tuple(chosen))
        folder = tmp_path / str(number)
        folder.mkdir()
        save_coded(folder / "a", syntax, encapsulate([code(SLICE)]), SLICE, BitsStored=12, HighBit=11)
        apart = np.abs(load(folder).array[0] - (SLICE.astype(int) - 1024)).max()
        assert apart <= tolerance, (syntax, chosen)


def test_baseline_jpeg_of_grey(tmp_path: Path) -> None:
    array = (SLICE >> 4).astype(np.uint8)
    save_coded(tmp_path / "a", JPEG_BASELINE, encapsulate([imagecodecs.jpeg8_encode(array, level=95)]), array)
    assert np.abs(load(tmp_path).array[0] + 1024 - array.astype(int)).max() <= 4


@pytest.mark.parametrize("syntax", [RLE, JPEG_LOSSLESS, "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.201"])
def test_signed_values_keep_their_sign(tmp_path: Path, syntax: str) -> None:
    true = SLICE.astype(np.int16) - 2000
    stored = (true & 0xFFF).astype(np.uint16)  # 12 bits, two's complement
    value = encapsulate([CODED[syntax][0](stored)])
    save_coded(tmp_path / "a", syntax, value, stored, BitsStored=12, HighBit=11, PixelRepresentation=1)
    np.testing.assert_array_equal(load(tmp_path).array[0], true - 1024)


# ---- colours --------------------------------------------------------------------------------------------


def colours() -> NDArray[np.uint8]:
    y, x = np.mgrid[:28, :42]
    return np.stack([60 + 3 * x, 40 + 6 * y, 220 - 2 * x - 2 * y], axis=-1).astype(np.uint8)


def ybr(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    r, g, b = np.moveaxis(rgb.astype(float), -1, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.stack([y, 128 + (b - y) / 1.772, 128 + (r - y) / 1.402], axis=-1).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("syntax", "photometric", "code", "tolerance"),
    [
        (JPEG_BASELINE, "YBR_FULL_422", lambda a: imagecodecs.jpeg8_encode(a, level=98, subsampling="422"), 12),
        (JPEG_BASELINE, "YBR_FULL", lambda a: imagecodecs.jpeg8_encode(a, level=98, subsampling="444"), 6),
        (JPEG_BASELINE, "RGB", lambda a: imagecodecs.jpeg8_encode(a, 98, colorspace="RGB", outcolorspace="RGB"), 6),
        (RLE, "RGB", run_length, 0),
        (RLE, "YBR_FULL", lambda a: run_length(ybr(a)), 2),
        ("1.2.840.10008.1.2.4.80", "RGB", imagecodecs.jpegls_encode, 0),
        ("1.2.840.10008.1.2.4.90", "YBR_RCT", lambda a: imagecodecs.jpeg2k_encode(a, level=0, reversible=True), 0),
        ("1.2.840.10008.1.2.4.91", "YBR_ICT", lambda a: imagecodecs.jpeg2k_encode(a, level=60), 6),
        ("1.2.840.10008.1.2.4.201", "YBR_RCT", lambda a: imagecodecs.htj2k_encode(a, reversible=True), 0),
        (DEFLATED_FRAME, "RGB", deflated, 0),
    ],
)  # fmt: skip
def test_colours_come_out_as_rgb(tmp_path: Path, syntax: str, photometric: str, code: Any, tolerance: int) -> None:
    value = encapsulate([code(colours())])
    save_coded(tmp_path / "a", syntax, value, colours(), SC, PhotometricInterpretation=photometric)
    image = load(tmp_path)
    assert image.quantity == "RGB" and image.axes == ("y", "x", "c")
    assert np.abs(image.array.astype(int) - colours()).max() <= tolerance


def test_a_jfif_stream_outweighs_a_header_that_says_rgb(tmp_path: Path) -> None:
    """JFIF is always YCbCr; scanners of slides are known to leave RGB in the header over it."""
    rgb = colours()
    stream = imagecodecs.jpeg8_encode(rgb, level=95, outcolorspace="YCbCr")
    assert stream[6:11] == b"JFIF\0"
    save_coded(tmp_path / "a", JPEG_BASELINE, encapsulate([stream]), rgb, SC, PhotometricInterpretation="RGB")
    assert np.abs(load(tmp_path).array.astype(int) - rgb).mean() < 3


@pytest.mark.parametrize("packed", [False, True])
def test_uncompressed_ybr_comes_out_as_rgb(tmp_path: Path, packed: bool) -> None:
    data = ybr(colours())
    tags = {**pixel_tags(colours()), "PhotometricInterpretation": "YBR_FULL", "PixelData": data.tobytes()}
    if packed:
        pairs = np.concatenate([data[:, 0::2, :1], data[:, 1::2, :1], data[:, 0::2, 1:]], axis=-1)
        tags |= {"PhotometricInterpretation": "YBR_FULL_422", "PixelData": pairs.tobytes()}
    ds = fill(dataset(SC, "OT"), tags)
    ds.save_as(tmp_path / "a", enforce_file_format=True)
    assert np.abs(load(tmp_path).array.astype(int) - colours()).max() <= (6 if packed else 2)


# ---- one bit a pixel ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("syntax", "is_packed"), [(RLE, True), (RLE, False), (DEFLATED_FRAME, True)])
def test_single_bits(tmp_path: Path, syntax: str, is_packed: bool) -> None:
    bits = RNG.integers(0, 2, (3, 7, 11)).astype(np.uint8)
    frames = [np.packbits(b, bitorder="little") if is_packed else b.ravel() for b in bits]
    code = deflated if syntax == DEFLATED_FRAME else lambda a: run_length(a[None])
    tags = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    save_coded(tmp_path / "a", syntax, encapsulate([code(f) for f in frames]), bits, US, **tags)
    np.testing.assert_array_equal(load(tmp_path).array, bits)


# ---- fragments ------------------------------------------------------------------------------------------

CINE = RNG.integers(0, 4000, (5, 7, 11)).astype(np.uint16)
STREAMS = [padded(imagecodecs.jpeg8_encode(a, lossless=True, predictor=1, bitspersample=16)) for a in CINE]


def parted(offsets: bool, pieces: int) -> bytes:
    items = [b"".join(itemize_frame(stream, pieces)) for stream in STREAMS]
    starts = np.cumsum([0, *[len(i) for i in items[:-1]]]).astype("<u4").tobytes() if offsets else b""
    table = b"\xfe\xff\x00\xe0" + len(starts).to_bytes(4, "little") + starts
    return table + b"".join(items) + b"\xfe\xff\xdd\xe0\0\0\0\0"


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("offsets", [True, False])
def test_frames_in_fragments(tmp_path: Path, offsets: bool, pieces: int) -> None:
    save_coded(tmp_path / "a", JPEG_LOSSLESS, parted(offsets, pieces), CINE, US)
    image = load(tmp_path)
    np.testing.assert_array_equal(image.frame(3).array, CINE[3])
    np.testing.assert_array_equal(image.array, CINE)


def test_an_extended_offset_table_is_followed(tmp_path: Path) -> None:
    value, starts, lengths = encapsulate_extended(STREAMS)
    tags = {"ExtendedOffsetTable": starts, "ExtendedOffsetTableLengths": lengths}
    save_coded(tmp_path / "a", JPEG_LOSSLESS, value, CINE, US, **tags)
    np.testing.assert_array_equal(load(tmp_path).array, CINE)


def test_a_table_that_points_beside_the_frames_is_not_followed(tmp_path: Path) -> None:
    value = bytearray(parted(True, 1))
    value[12:16] = (2).to_bytes(4, "little")
    value[24:28] = (10**6).to_bytes(4, "little")
    save_coded(tmp_path / "a", JPEG_LOSSLESS, bytes(value), CINE, US)
    np.testing.assert_array_equal(load(tmp_path).array, CINE)


def test_fewer_frames_than_promised_is_a_fault(tmp_path: Path) -> None:
    save_coded(tmp_path / "a", JPEG_LOSSLESS, parted(True, 1), CINE, US, NumberOfFrames=6)
    with pytest.raises(FormatError, match="promises 6 frames and holds 5") as error:
        _ = load(tmp_path).array
    assert error.value.code == "file.truncated"


def test_one_frame_of_a_cine_decodes_one_frame(tmp_path: Path, monkeypatch: Any) -> None:
    decoded: list[int] = []
    whole = DECODERS[JPEG_LOSSLESS][0]

    def counted(data: bytes, stored: Any) -> Pixels:
        decoded.append(len(data))
        return whole.decode(data, stored)

    monkeypatch.setitem(DECODERS, JPEG_LOSSLESS, (Decoder("imagecodecs", counted),))
    save_coded(tmp_path / "a", JPEG_LOSSLESS, parted(True, 1), CINE, US)
    np.testing.assert_array_equal(load(tmp_path).frame(2).array, CINE[2])
    assert len(decoded) == 1


# ---- refusals -------------------------------------------------------------------------------------------


def test_a_missing_codec_names_its_package(tmp_path: Path, monkeypatch: Any) -> None:
    def absent(data: bytes, stored: Any) -> Pixels:
        raise ImportError

    monkeypatch.setitem(DECODERS, JPEG_LOSSLESS, (Decoder("imagecodecs", absent), Decoder("python-gdcm", absent)))
    save_coded(tmp_path / "a", JPEG_LOSSLESS, parted(True, 1), CINE, US)
    with pytest.raises(FormatError, match="pip install imagecodecs or pip install python-gdcm") as error:
        _ = load(tmp_path).array
    assert error.value.code == "file.no_codec"


def test_a_private_syntax_is_refused_as_its_byte_order_is_unknown(tmp_path: Path) -> None:
    ds = fill(dataset(CT, "CT"), {**pixel_tags(SLICE), **place(ORIGIN)})
    ds.save_as(tmp_path / "a", enforce_file_format=True)
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0"))
    (other,) = scan(tmp_path).others
    assert [f.code for f in other.faults] == ["file.no_codec"] and "1.2.840.113619.5.2" in other.faults[0].detail


def test_video_is_refused_by_name(tmp_path: Path) -> None:
    save_coded(tmp_path / "a", "1.2.840.10008.1.2.4.102", parted(True, 1), CINE, US)
    with pytest.raises(FormatError, match=r"MPEG-4.*export it uncompressed") as error:
        _ = load(tmp_path).array
    assert error.value.code == "file.no_codec"


def test_plain_pixels_under_a_compressed_syntax_are_read_and_told(tmp_path: Path) -> None:
    ds = fill(dataset(CT, "CT"), {**pixel_tags(SLICE), **place(ORIGIN), "RescaleSlope": 1, "RescaleIntercept": -1024})
    ds.save_as(tmp_path / "a", enforce_file_format=True)
    data = (tmp_path / "a").read_bytes()
    said, wanted = (padded(b"1.2.840.10008.1.2.1").ljust(20, b"\0"), b"1.2.840.10008.1.2.5\0")
    assert data.count(said) == 1
    (tmp_path / "a").write_bytes(data.replace(said, wanted))
    assert codes(only(tmp_path)) == ["file.wrong_syntax"]
    np.testing.assert_array_equal(load(tmp_path).array[0], SLICE.astype(int) - 1024)


def test_segmented_palettes_become_colours(tmp_path: Path) -> None:
    index = RNG.integers(0, 256, (7, 11)).astype(np.uint8)
    ds = fill(dataset(SC, "OT"), {**pixel_tags(index), "PhotometricInterpretation": "PALETTE COLOR"})
    tables = []
    for number, colour in enumerate(("Red", "Green", "Blue")):
        top = 40_000 + 9_000 * number
        words = [0, 2, 257 * number, 514, 1, 254, top]  # two entries as they are, then a line of 254 up to the top
        table = np.concatenate([[257 * number, 514], np.linspace(514, top, 255)[1:]])
        tables.append(table)
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        ds[f"{colour}PaletteColorLookupTableDescriptor"].VR = "US"
        setattr(ds, f"Segmented{colour}PaletteColorLookupTableData", np.array(words, "<u2").tobytes())
    ds.save_as(tmp_path / "a", enforce_file_format=True)
    expected = np.stack([t[index] for t in tables], axis=-1) / 256
    assert np.abs(load(tmp_path).array - expected).max() <= 1.01


def test_a_broken_stream_is_a_fault_and_a_stream_of_another_size_too(tmp_path: Path) -> None:
    streams = [*STREAMS[:2], STREAMS[2][:40], *STREAMS[3:]]
    save_coded(tmp_path / "a", JPEG_LOSSLESS, encapsulate(streams), CINE, US)
    with pytest.raises(FormatError, match="do not decode") as error:
        _ = load(tmp_path).array
    assert error.value.code == "file.truncated"
    save_coded(tmp_path / "a", JPEG_LOSSLESS, encapsulate(STREAMS), CINE, US, Columns=12)
    with pytest.raises(FormatError, match="7 × 12, its pixels decode to 7 × 11"):
        _ = load(tmp_path).array


def test_no_decoder_is_under_a_licence_that_binds_others() -> None:
    packages = {d.package for decoders in DECODERS.values() for d in decoders}
    assert packages <= {
        "imagecodecs",
        "python-gdcm",
        "pylibjpeg-openjpeg",
        "pylibjpeg-rle",
        "pyjpegls",
        "pydicom",
        "hexscope",
    }
