"""Siemens mosaics: tiles become slices where the private header says, or the file is refused by name."""

from __future__ import annotations

import contextlib
import gzip
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hexscope.core.image import Image
from hexscope.io.dicom_csa import parse_csa
from tests.io.dicom_files import COLUMN, MR, NORMAL, ORIGIN, ROW, SPACING, STEP, codes, ct_slice, only, scan, stack


def csa(values: dict[str, Sequence[str]], *, second: bool = True) -> bytes:
    """A CSA header as the scanners write it: six items a tag, those beyond the values empty."""
    out = (b"SV10\4\3\2\1" if second else b"") + struct.pack("<II", len(values), 77)
    for name, texts in values.items():
        out += struct.pack("<64si4siii", name.encode(), len(texts), b"FD\0\0", 4, 6, 77)
        for k in range(6):
            raw = texts[k].encode() + b"\0" if k < len(texts) else b""
            first = len(raw) if second else len(raw) + 6
            out += struct.pack("<iiii", first, len(raw), 77, first) + raw + b"\0" * (-len(raw) % 4)
    return out


def header(normal: Sequence[float], count: int = 5, **more: Sequence[str]) -> dict[str, Sequence[str]]:
    return {
        "EchoLinePosition": ["64"],
        "NumberOfImagesInMosaic": [str(count)],
        "SliceNormalVector": [f"{v:.8f}" for v in normal],
        **more,
    }


def mosaic(path: Path, tiles: np.ndarray, raw: bytes | None, **tags: Any) -> Path:
    """Tiles in a square of tiles; the position is the one that Siemens writes (of a picture of the mosaic's size)."""
    side = int(np.ceil(np.sqrt(len(tiles))))
    rows, columns = tiles.shape[1:]
    sheet = np.zeros((side * rows, side * columns), tiles.dtype)
    for k, tile in enumerate(tiles):
        r, c = divmod(k, side)
        sheet[r * rows : (r + 1) * rows, c * columns : (c + 1) * columns] = tile
    out = COLUMN * SPACING[0] * (side - 1) * rows / 2 + ROW * SPACING[1] * (side - 1) * columns / 2
    words = {"SOPClassUID": MR, "Modality": "MR", "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}
    ct_slice(path, sheet, ORIGIN - out, **{**words, "SpacingBetweenSlices": STEP, "SliceThickness": 2.5, **tags})
    if raw is not None:
        ds = pydicom.dcmread(path)
        ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", raw + b"\0" * (len(raw) % 2))
        ds.save_as(path)
    return path


@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
def test_tiles_become_slices_on_the_side_that_the_maker_says(tmp_path: Path, sign: int, second: bool) -> None:
    mosaic(tmp_path / "a", stack(), csa(header(sign * NORMAL), second=second))
    series = only(tmp_path)
    assert codes(series) == ["geometry.mosaic"] and "5 slices of 7 × 11" in series.faults[0].detail
    image = series.load()
    assert isinstance(image, Image) and image.shape == (5, 7, 11)
    for k, (y, x) in enumerate([(0, 0), (6, 10), (3, 1), (5, 9), (2, 7)]):
        there = ORIGIN + sign * NORMAL * STEP * k + COLUMN * SPACING[0] * y + ROW * SPACING[1] * x
        index = image.grid.to_index(there)
        np.testing.assert_allclose(index, np.round(index), atol=1e-4)
        assert image.array[tuple(np.round(index).astype(int))] == stack()[k, y, x]
    whole = image.array
    np.testing.assert_array_equal(series.load().crop((1, 2, 3), (4, 6, 9)).array, whole[1:4, 2:6, 3:9])
    assert image.facts["slice_gap_mm"] == pytest.approx(0.5)


def test_mosaics_in_time_make_the_axis_t(tmp_path: Path) -> None:
    for t in range(3):
        mosaic(tmp_path / f"{2 - t}", stack() + 100 * t, csa(header(NORMAL)), AcquisitionNumber=t + 1,
               AcquisitionDate="20260102", AcquisitionTime=f"10110{2 * t}.5")  # fmt: skip
    series = only(tmp_path)
    assert series.shape == (3, 5, 7, 11) and codes(series) == ["series.stacked", "geometry.mosaic"]
    image = series.load()
    assert isinstance(image, Image)
    np.testing.assert_array_equal(image.array, [stack() + 100 * t for t in range(3)])
    assert image.facts["frame_times_ms"] == [0.0, 2000.0, 4000.0] and len(image.facts["SOPInstanceUIDs"]) == 3


@pytest.mark.parametrize(
    ("values", "tags", "word"),
    [
        (None, {}, "(0029,1010)"),
        ({"NumberOfImagesInMosaic": ["5"]}, {}, "SliceNormalVector"),
        (header(NORMAL, 30), {}, "30 tiles do not fit"),
        (header(ROW), {}, "not the normal"),
        (header([0, 0, 0]), {}, "not the normal"),
        (header(NORMAL, ProtocolSliceNumber=["4"]), {}, "ProtocolSliceNumber"),
        (header(NORMAL), {"SpacingBetweenSlices": None}, "(0018,0088)"),
        (header(NORMAL), {"ImageOrientationPatient": None}, "ImageOrientationPatient"),
    ],
)
def test_what_cannot_be_placed_is_refused_by_name(
    tmp_path: Path, values: dict[str, Sequence[str]] | None, tags: dict[str, Any], word: str
) -> None:
    mosaic(tmp_path / "a", stack(), None if values is None else csa(values), **tags)
    found = scan(tmp_path)
    (fault,) = found.others[0].faults
    assert not found.series and fault.code == "geometry.mosaic_unplaced" and word in fault.detail


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_broken_csa_header_is_no_csa_header(data: st.DataObject) -> None:
    whole = bytearray(csa(header(NORMAL), second=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError, struct.error):
        assert isinstance(parse_csa(bytes(whole[: data.draw(st.integers(0, len(whole)))])), dict)


def _nibabel_files() -> list[Path]:
    import nibabel

    folder = Path(nibabel.__file__).parent / "nicom" / "tests" / "data"
    return [
        f
        for n in ("siemens_dwi_0.dcm.gz", "siemens_dwi_1000.dcm.gz", "csa_slice_norm.dcm")
        if (f := folder / n).exists()
    ]


def test_real_mosaics_lie_where_nibabel_puts_them(tmp_path: Path) -> None:
    """Three mosaics of two scanners; where pixels were taken out, numbers are put in."""
    files = _nibabel_files()
    if not files:
        pytest.skip("this nibabel came without its test files")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nibabel.nicom.dicomwrappers import MosaicWrapper

    for n, file in enumerate(files):
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        folder = tmp_path / str(n)
        folder.mkdir()
        (folder / "a").write_bytes(raw)
        ds = pydicom.dcmread(folder / "a")
        numbers = np.arange(ds.Rows * ds.Columns, dtype=np.uint32).astype(np.uint16)
        ds.PixelData = numbers.tobytes()
        ds["PixelData"].VR = "OW"
        ds.save_as(folder / "a")
        theirs = MosaicWrapper(ds)
        image = only(folder).load()
        assert isinstance(image, Image)
        np.testing.assert_array_equal(image.array, theirs.get_data().transpose(2, 0, 1))
        affine = theirs.affine[:, [2, 0, 1, 3]]  # theirs counts (row, column, slice)
        np.testing.assert_allclose(image.grid.affine, affine, atol=1e-4)
