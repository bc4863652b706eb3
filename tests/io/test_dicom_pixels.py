"""From stored bits to true numbers: bits, byte order, rescale, lookup tables, colours, and files that lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.pixels import apply_color_lut
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from hexscope.core.image import Image
from hexscope.errors import FormatError
from tests.io.dicom_files import (
    CR,
    CT,
    MR,
    NORMAL,
    ORIGIN,
    PT,
    SC,
    STEP,
    US,
    codes,
    ct_slice,
    dataset,
    item,
    only,
    pixel_tags,
    place,
    save,
    scan,
    stack,
    write_stack,
)

RNG = np.random.default_rng(11)


def load(folder: Path) -> Image:
    image = only(folder).load()
    assert isinstance(image, Image)
    return image


def test_integer_rescale_stays_integer_and_exact(tmp_path: Path) -> None:
    array = RNG.integers(0, 4096, (5, 7, 11)).astype(np.uint16)
    write_stack(tmp_path, array, [STEP * k for k in range(5)], BitsStored=12, HighBit=11, RescaleIntercept=-1024)
    image = load(tmp_path)
    assert image.array.dtype == np.int16
    np.testing.assert_array_equal(image.array, array.astype(int) - 1024)


def test_sixteen_signed_bits_with_an_intercept_do_not_overflow(tmp_path: Path) -> None:
    array = np.array([[-32768, 32767, 0, 2], [5, -7, 1, 9]], dtype=np.int16)
    ct_slice(tmp_path / "a", array, ORIGIN, RescaleIntercept=-1024)
    np.testing.assert_array_equal(load(tmp_path).array[0], array.astype(int) - 1024)


def test_pet_has_a_slope_for_each_slice(tmp_path: Path) -> None:
    array = RNG.integers(0, 30000, (5, 7, 11)).astype(np.int16)
    slopes = [0.11, 2.3, 0.07, 5.0, 1.9]
    for k in range(5):
        tags = {**pixel_tags(array[k]), **place(ORIGIN + NORMAL * STEP * k), "Units": "BQML"}
        ds = dataset(PT, "PT")
        injected = item(RadionuclideTotalDose=3.7e8, RadionuclideHalfLife=6586.2)
        weight = {} if k == 2 else {"PatientWeight": 70.5}
        save(
            ds,
            tmp_path / f"{(3 * k) % 5}",
            **tags,
            **weight,
            RescaleSlope=slopes[k],
            RescaleIntercept=0,
            RadiopharmaceuticalInformationSequence=Items([injected]),
        )
    image = load(tmp_path)
    assert image.quantity == "Bq/ml" and image.array.dtype == np.float32
    np.testing.assert_allclose(image.array, array * np.array(slopes)[:, None, None], rtol=1e-6)
    assert image.facts["missing_in"]["PatientWeight"] == 1
    assert "RadionuclideTotalDose" not in image.facts["missing_in"]
    assert image.facts["RadionuclideTotalDose"] == 3.7e8


@pytest.mark.parametrize("signed", [False, True])
def test_bits_outside_the_stored_ones_are_dropped(tmp_path: Path, signed: bool) -> None:
    true = RNG.integers(-2048 if signed else 0, 2048, (7, 11))
    overlay = RNG.integers(0, 16, (7, 11)) << 12
    raw = ((true & 0xFFF) | overlay).astype(np.uint16)
    tags = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": int(signed)}
    ct_slice(tmp_path / "a", raw, ORIGIN, **tags)
    np.testing.assert_array_equal(load(tmp_path).array[0], true)


def test_high_bit_may_lie_high(tmp_path: Path) -> None:
    true = RNG.integers(0, 4096, (7, 11))
    ct_slice(tmp_path / "a", (true << 4).astype(np.uint16), ORIGIN, BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(load(tmp_path).array[0], true)


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, ImplicitVRLittleEndian])
def test_byte_orders_and_implicit_representations(tmp_path: Path, syntax: Any) -> None:
    true = RNG.integers(-3000, 3000, (7, 11)).astype(np.int16)
    order = ">i2" if syntax == ExplicitVRBigEndian else "<i2"
    ds = dataset(CT, "CT", syntax)
    tags = {**pixel_tags(true.astype(order)), **place(ORIGIN), "RescaleSlope": 1, "RescaleIntercept": 3}
    save(ds, tmp_path / "a", **tags)
    np.testing.assert_array_equal(load(tmp_path).array[0], true + 3)


def test_a_bare_data_set_without_preamble_is_read(tmp_path: Path) -> None:
    ds = dataset(CT, "CT", ImplicitVRLittleEndian)
    array = stack()[0]
    tags = {**pixel_tags(array), **place(ORIGIN), "RescaleSlope": 1, "RescaleIntercept": 0}
    save(ds, tmp_path / "whole", **tags)
    ds.save_as(tmp_path / "bare", implicit_vr=True, little_endian=True, enforce_file_format=False)
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "whole").unlink()
    bare = whole[whole.index(b"\x08\x00\x16\x00") :]
    (tmp_path / "bare").write_bytes(bare)
    from hexscope.io.dicom import DICOM

    assert DICOM.sniff(bare[:4096], tmp_path / "bare")
    np.testing.assert_array_equal(load(tmp_path).array[0], array)


def test_monochrome1_is_kept_as_stored(tmp_path: Path) -> None:
    array = RNG.integers(0, 255, (7, 11)).astype(np.uint8)
    tags = {
        **pixel_tags(array),
        "PhotometricInterpretation": "MONOCHROME1",
        "ImagerPixelSpacing": [0.2, 0.15],
    }
    save(dataset(CR, "CR"), tmp_path / "a", **tags)
    series = only(tmp_path)
    assert codes(series) == ["geometry.detector_plane", "value.inverted_polarity"]
    assert series.modality == "XR" and series.grid is not None and series.grid.plane == "detector"
    assert series.grid.spacing_mm == (0.2, 0.15)
    np.testing.assert_array_equal(load(tmp_path).array, array)


def test_the_modality_lut_is_applied(tmp_path: Path) -> None:
    raw = RNG.integers(8, 40, (7, 11)).astype(np.uint16)
    table = (np.arange(20) ** 2 + 3).astype(np.uint16)
    lut = item(LUTDescriptor=[20, 12, 16], ModalityLUTType="US", LUTData=table.tolist())
    lut["LUTDescriptor"].VR = lut["LUTData"].VR = "US"
    tags = {"RescaleSlope": None, "RescaleIntercept": None, "ModalityLUTSequence": Items([lut])}
    ct_slice(tmp_path / "a", raw, ORIGIN, **tags)
    np.testing.assert_array_equal(load(tmp_path).array[0], table[np.clip(raw.astype(int) - 12, 0, 19)])


@pytest.mark.parametrize("slope", ["0", "nan", None])
def test_a_broken_rescale_is_told_and_gives_no_hu(tmp_path: Path, slope: str | None) -> None:
    ct_slice(tmp_path / "a", stack()[0], ORIGIN, RescaleSlope=1)
    if slope is not None:
        path = tmp_path / "a"
        data = path.read_bytes()
        where = data.index(b"\x28\x00\x53\x10DS")
        size = data[where + 6]
        value = slope.encode().ljust(size + len(slope) % 2, b" ")
        assert len(value) >= size
        path.write_bytes(data[: where + 6] + bytes([len(value), 0]) + value + data[where + 8 + size :])
        assert codes(only(tmp_path)) == ["value.unknown_rescale"]
        assert only(tmp_path).quantity == "arbitrary"
        np.testing.assert_array_equal(load(tmp_path).array[0], stack()[0])
    else:
        assert only(tmp_path).quantity == "HU"


def test_colours_interleaved_and_planar(tmp_path: Path) -> None:
    array = RNG.integers(0, 255, (7, 11, 3)).astype(np.uint8)
    for planar in (0, 1):
        folder = tmp_path / str(planar)
        folder.mkdir()
        data = np.moveaxis(array, -1, 0).tobytes() if planar else array.tobytes()
        tags = {**pixel_tags(array), "PlanarConfiguration": planar, "PixelData": data + b"\0"}
        save(dataset(SC, "OT"), folder / "a", **tags)
        image = load(folder)
        assert image.axes == ("y", "x", "c") and image.quantity == "RGB" and image.grid.spacing_mm is None
        np.testing.assert_array_equal(image.array, array)


def test_palettes_become_colours(tmp_path: Path) -> None:
    index = RNG.integers(0, 255, (7, 11)).astype(np.uint8)
    tags = {**pixel_tags(index), "PhotometricInterpretation": "PALETTE COLOR"}
    ds = dataset(SC, "OT")
    for number, colour in enumerate(("Red", "Green", "Blue")):
        table = ((np.arange(256) * (number + 2) * 77) % 256).astype(np.uint16) * 257
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        ds[f"{colour}PaletteColorLookupTableDescriptor"].VR = "US"
        setattr(ds, f"{colour}PaletteColorLookupTableData", table.tobytes())
    save(ds, tmp_path / "a", **tags)
    expected = apply_color_lut(index, ds) >> 8
    image = load(tmp_path)
    assert image.array.dtype == np.uint8 and image.quantity == "RGB"
    np.testing.assert_array_equal(image.array, expected)


def test_cine_is_read_by_frame(tmp_path: Path) -> None:
    array = RNG.integers(0, 255, (4, 7, 11)).astype(np.uint8)
    save(dataset(US, "US"), tmp_path / "a", **pixel_tags(array), FrameTime=33.3)
    image = load(tmp_path)
    assert image.axes == ("t", "y", "x") and image.facts["frame_time_ms"] == 33.3
    np.testing.assert_array_equal(image.frame(2).array, array[2])


def test_run_length_coded_stack_equals_the_plain_one(tmp_path: Path) -> None:
    array = stack()
    for k in range(5):
        ds = dataset(CT, "CT")
        tags = {**pixel_tags(array[k]), **place(ORIGIN + NORMAL * STEP * k)}
        save(ds, tmp_path / f"{(2 * k) % 5}", **tags, RescaleSlope=1, RescaleIntercept=-3)
        ds.compress(RLELossless)
        ds.save_as(tmp_path / f"{(2 * k) % 5}", enforce_file_format=True)
    np.testing.assert_array_equal(load(tmp_path).array, array - 3)


def test_float_pixels_may_hold_nan(tmp_path: Path) -> None:
    array = RNG.normal(size=(7, 11)).astype(np.float32)
    array[2, 3], array[4, 5] = np.nan, np.inf
    ds = dataset(MR, "MR")
    tags = {**pixel_tags(array), **place(ORIGIN), "FloatPixelData": array.tobytes(), "PixelData": None}
    save(ds, tmp_path / "a", **tags)
    image = load(tmp_path)
    assert [f.code for f in image.faults] == ["value.not_finite"] and image.array[0, 2, 3] == 0
    np.testing.assert_array_equal(np.isfinite(array), image.array[0] != 0)


# ---- files that lie -------------------------------------------------------------------------------------


def faults_of_others(folder: Path) -> list[str]:
    found = scan(folder)
    assert not found.series
    return [f.code for o in found.others for f in o.faults]


def test_a_header_that_claims_sixteen_gigabytes_is_a_fault(tmp_path: Path) -> None:
    ct_slice(tmp_path / "a", stack()[0], ORIGIN, Rows=65535, Columns=65535, NumberOfFrames=2)
    assert faults_of_others(tmp_path) == ["file.truncated"]


def test_compressed_frames_that_cannot_be_there_are_a_fault(tmp_path: Path) -> None:
    ds = dataset(CT, "CT")
    save(ds, tmp_path / "a", **pixel_tags(stack()[0]), **place(ORIGIN))
    ds.compress(RLELossless)
    ds.NumberOfFrames = 2_000_000_000
    ds.save_as(tmp_path / "a", enforce_file_format=True)
    assert faults_of_others(tmp_path) == ["file.truncated"]


@pytest.mark.parametrize("left", [0.999, 0.7, 0.3])
def test_truncated_files_are_faults_and_stop_nothing(tmp_path: Path, left: float) -> None:
    paths = write_stack(tmp_path, stack(), [STEP * k for k in range(5)])
    data = paths[4].read_bytes()
    paths[4].write_bytes(data[: int(len(data) * left)])
    found = scan(tmp_path)
    assert [f.code for o in found.others for f in o.faults] == ["file.truncated"]
    assert [s.shape for s in found.series] == [(4, 7, 11)]


def test_a_file_cut_after_the_scan_is_an_error_by_name(tmp_path: Path) -> None:
    paths = write_stack(tmp_path, stack(), [STEP * k for k in range(5)])
    image = load(tmp_path)
    paths[1].write_bytes(paths[1].read_bytes()[:-9])
    with pytest.raises(FormatError, match=paths[1].name) as error:
        _ = image.array
    assert error.value.code == "file.truncated"


def test_junk_behind_the_magic_word_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0" * 128 + b"DICM" + RNG.bytes(3000))
    (tmp_path / "b").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "c").write_bytes(b"")
    found = scan(tmp_path)
    assert not [s for s in found.series if s.kind == "image"]
    assert len(found.others) + len(found.series) == 3
