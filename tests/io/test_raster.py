"""Plain pictures: numbers as they stand, no millimetre that nobody wrote, no memory for lies."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.errors import UsageError
from hexscope.io.raster import RASTER, save_picture

DICE = np.random.default_rng(9)
COLOURS = DICE.integers(0, 255, (7, 11, 4), dtype=np.uint8)
DEEP = DICE.integers(300, 60000, (7, 11), dtype=np.uint16)


def _load(path: Path) -> Any:
    found = RASTER.scan([path])
    assert len(found.series) == 1, found.others
    return found.series[0].load()


def _fault(path: Path) -> str:
    found = RASTER.scan([path])
    assert not found.series
    return found.others[0].faults[0].code


@pytest.mark.parametrize(
    ("mode", "shape", "step"),
    [
        ("L", (7, 11), ""),
        ("1", (7, 11), "black and white"),
        ("P", (7, 11, 3), "palette"),
        ("LA", (7, 11), "alpha"),
        ("RGB", (7, 11, 3), ""),
        ("RGBA", (7, 11, 3), "alpha"),
    ],
)
def test_png_modes(mode: str, shape: tuple[int, ...], step: str, tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(COLOURS if "A" in mode else COLOURS[..., :3]).convert(mode)
    picture.save(tmp_path / "a.png", dpi=(300, 300))
    image = _load(tmp_path / "a.png")
    assert image.shape == shape
    assert image.array.dtype == np.uint8
    assert image.quantity == ("RGB" if len(shape) == 3 else "arbitrary")
    assert step in " ".join(image.steps)
    assert bool(image.steps) == bool(step)
    assert image.grid.spacing_mm is None
    assert [f.code for f in image.faults] == ["geometry.no_spacing"]
    assert np.array_equal(image.array, np.array(picture.convert("RGB" if len(shape) == 3 else "L")))


def test_transparent_palette_is_told(tmp_path: Path) -> None:
    PIL.Image.fromarray(COLOURS).quantize().save(tmp_path / "a.png")
    image = _load(tmp_path / "a.png")
    assert image.shape == (7, 11, 3)
    assert image.steps == ("palette turned into RGB", "transparency left out")


def test_deep_pictures_keep_their_depth(tmp_path: Path) -> None:
    PIL.Image.fromarray(DEEP).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", DEEP, resolution=(72, 72))
    tifffile.imwrite(tmp_path / "f.tif", DEEP / np.float32(7))
    for name in ("a.png", "a.tif"):
        assert np.array_equal(_load(tmp_path / name).array, DEEP)
        assert _load(tmp_path / name).array.dtype == np.uint16
        assert _load(tmp_path / name).grid.spacing_mm is None
    assert _load(tmp_path / "f.tif").array.dtype == np.float32


def test_sixteen_bit_colour_is_told(tmp_path: Path) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(COLOURS[..., :3].astype(np.uint16) * 257))
    image = _load(tmp_path / "a.png")
    assert "16 to 8 bits" in image.steps[0]
    assert np.array_equal(image.array, COLOURS[..., :3])


def test_pages_and_units(tmp_path: Path) -> None:
    stack = DICE.integers(0, 60000, (5, 7, 11), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "t.tif", stack)
    pages = _load(tmp_path / "t.tif")
    assert pages.axes == ("t", "y", "x")
    assert "does not say" in pages.steps[0]
    meta = {"axes": "ZYX", "spacing": 3.0, "unit": "mm"}
    tifffile.imwrite(tmp_path / "z.tif", stack, imagej=True, metadata=meta, resolution=(1 / 0.5, 1 / 0.7))
    volume = _load(tmp_path / "z.tif")
    assert volume.axes == ("z", "y", "x")
    assert volume.grid.spacing_mm == pytest.approx((3.0, 0.7, 0.5), rel=1e-4)
    assert volume.faults == ()
    tifffile.imwrite(tmp_path / "u.tif", DEEP, imagej=True, metadata={"unit": "um"}, resolution=(1 / 0.5, 1 / 0.7))
    assert _load(tmp_path / "u.tif").grid.spacing_mm == pytest.approx((0.0007, 0.0005), rel=1e-4)
    assert np.array_equal(volume.array, stack)


def test_white_is_zero_is_kept_and_told(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", DEEP, photometric="miniswhite")
    image = _load(tmp_path / "a.tif")
    assert np.array_equal(image.array, DEEP)
    assert image.facts["PhotometricInterpretation"] == "MONOCHROME1"
    assert "value.inverted_polarity" in [f.code for f in image.faults]


def test_cmyk_and_orientation_are_told(tmp_path: Path) -> None:
    PIL.Image.fromarray(COLOURS[..., :3]).convert("CMYK").save(tmp_path / "a.jpg")
    assert "CMYK" in _load(tmp_path / "a.jpg").steps[0]
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(COLOURS[..., 0]).save(tmp_path / "b.jpg", exif=exif)
    turned = _load(tmp_path / "b.jpg")
    assert turned.shape == (7, 11)
    assert "orientation 6 not applied" in turned.steps[0]


def _png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [17_000, 200_000])
def test_bombs_are_refused_unopened(side: int, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(_png_claiming(side, side))
    assert _fault(tmp_path / "bomb.png") == "file.too_large"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_cut_files_are_seen_without_decoding(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    save_picture(COLOURS[..., :3], path)
    path.write_bytes(path.read_bytes()[:-30])
    assert _fault(path) == "file.truncated"


def test_cut_chain_of_pages_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for n in range(4):
            file.write(DEEP + n, contiguous=False, metadata=None)
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        third = file.pages[2].offset
    path.write_bytes(whole[: third - 4])
    assert _fault(path) == "file.truncated"


def test_saving_never_stretches(tmp_path: Path) -> None:
    grid = Grid((7, 11), spacing_mm=(0.7, 0.5))
    hounsfield = Image.from_array(DEEP.astype(np.int16) - 700, grid, modality="CT", quantity="HU")
    with pytest.raises(UsageError, match="unchanged"):
        save_picture(hounsfield, tmp_path / "a.png")
    with pytest.raises(UsageError, match="unchanged"):
        save_picture(DEEP, tmp_path / "a.jpg")
    with pytest.raises(UsageError, match="one slice"):
        save_picture(np.zeros((5, 7, 11), np.uint8), tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"\.gif"):
        save_picture(DEEP, tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []
    save_picture(hounsfield, tmp_path / "a.tif")
    back = _load(tmp_path / "a.tif")
    assert np.array_equal(back.array, hounsfield.array)
    assert back.quantity == "HU"


def test_jpeg_and_bmp(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(70), np.arange(110)).astype(np.uint8)
    image = Image.from_array(smooth, Grid((70, 110), spacing_mm=(0.7, 0.5)), modality="US", steps=("made",))
    save_picture(image, tmp_path / "a.jpg")
    back = _load(tmp_path / "a.jpg")
    assert np.abs(back.array.astype(int) - smooth).max() < 8
    assert (back.modality, back.steps, back.grid.spacing_mm) == ("US", ("made",), (0.7, 0.5))
    save_picture(image, tmp_path / "a.bmp")
    assert np.array_equal(_load(tmp_path / "a.bmp").array, smooth)


def test_masks_in_bytes(tmp_path: Path) -> None:
    mask = Mask.from_array(DEEP // 30000, Grid((7, 11)), {1: "bone"})
    save_picture(mask, tmp_path / "m.bmp")
    assert np.array_equal(_load(tmp_path / "m.bmp").array, mask.array)


def test_text_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "BMW.txt"
    path.write_text("BM is how this text begins, and it is no bitmap")
    assert not RASTER.sniff(path.read_bytes(), path)


@pytest.mark.parametrize("kind", ["lossless", "twelve bits", "JPEG-LS", "lossless RGB"])
def test_rare_jpegs(kind: str, tmp_path: Path) -> None:
    """What Pillow refuses is read all the same, number for number."""
    from imagecodecs import jpeg8_encode, jpegls_encode

    smooth = (np.add.outer(np.arange(7), np.arange(11)) * 100 + 300).astype(np.uint16)
    colours = np.ascontiguousarray(COLOURS[..., :3])
    path, (truth, data, slack) = (
        tmp_path / "a.jpg",
        {
            "lossless": (DEEP, jpeg8_encode(DEEP, lossless=True, bitspersample=16), 0),
            "twelve bits": (smooth, jpeg8_encode(smooth, level=95, bitspersample=12), 40),
            "JPEG-LS": (DEEP, jpegls_encode(DEEP), 0),
            "lossless RGB": (colours, jpeg8_encode(colours, lossless=True), 0),
        }[kind],
    )
    path.write_bytes(data)
    image = _load(path)
    assert image.array.shape == truth.shape
    assert np.abs(image.array.astype(int) - truth.astype(int)).max() <= slack
    path.write_bytes(data[: len(data) // 2])
    assert _fault(path) == "file.truncated"
