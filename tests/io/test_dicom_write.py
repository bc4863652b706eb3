"""Classic DICOM out: geometry to the last digit, numbers kept, headers that dciodvfy accepts."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.pixels import ArrayPixels
from hexscope.core.quantity import Quantity
from hexscope.errors import GeometryError, MissingFact, QuantityError, UsageError
from hexscope.io.dicom_write import decimal_string, save_file, save_secondary_capture, save_series
from hexscope.io.reading import read_image

PET_FACTS: dict[str, Any] = {
    "SeriesDate": "20260115", "SeriesTime": "094400", "AcquisitionDate": "20260115", "AcquisitionTime": "094400",
    "DecayCorrection": "START", "DecayFactor": 1.02, "CorrectedImage": ["ATTN", "DECY"], "PatientWeight": 71.5,
    "RadionuclideTotalDose": 3.7e8, "RadionuclideHalfLife": 6586.2, "RadiopharmaceuticalStartTime": "084400",
    "ActualFrameDuration": 60000, "PatientPosition": "HFS",
}  # fmt: skip
DICE = np.random.default_rng(11)


def _bytes(*shape: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return DICE.integers(0, 255, shape, dtype=np.uint8)


def _cases(grid: Grid) -> dict[str, tuple[Image, dict[str, Any]]]:
    ramp = np.arange(385, dtype=np.int16).reshape(5, 7, 11)
    detector = Grid((7, 11), spacing_mm=(0.2, 0.15), plane="detector")
    probe = Grid((7, 11), spacing_mm=(0.2, 0.15))
    make = Image.from_array
    cine = {"quantity": "RGB", "axes": ("t", "y", "x", "c"), "modality": "US"}
    return {
        "ct": (make(ramp * 3 - 500, grid, modality="CT", quantity="HU"), {}),
        "mr": (make(ramp, grid, modality="MR"), {"MagneticFieldStrength": 3}),
        "mr-real": (make((ramp / 7).astype(np.float32), grid, modality="MR"), {}),
        "pt": (make(DICE.gamma(2, 1e3, (5, 7, 11)), grid, modality="PT", quantity="Bq/ml"), PET_FACTS),
        "suv": (make(DICE.gamma(2, 1, (5, 7, 11)), grid, modality="PT", quantity="SUVbw"), PET_FACTS),
        "dx": (make(ramp[0].astype(np.uint16), detector, modality="XR"), {"PatientOrientation": ["L", "F"]}),
        "cr": (make(ramp[0].astype(np.uint16), modality="XR"), {"PhotometricInterpretation": "MONOCHROME1"}),
        "cr-real": (make(ramp[0] / 3.0, detector, modality="XR"), {}),
        "us": (make(_bytes(7, 11), probe, modality="US"), {}),
        "us-cine": (make(_bytes(3, 7, 11, 3), **cine), {}),
        "sc": (make(_bytes(7, 11, 3), quantity="RGB", axes=("y", "x", "c")), {}),
        "sc-grey": (make(_bytes(7, 11)), {}),
    }


def as_read(image: Image) -> Image:
    """The same image with slices in the reader's order: along the normal of rows and columns."""
    affine = image.grid.affine
    if affine is None or np.cross(affine[:3, 2], affine[:3, 1]) @ affine[:3, 0] > 0:
        return image
    return replace(image, pixels=ArrayPixels(image.array[::-1]), grid=image.grid.flip(0))


NAMES = ("ct", "mr", "mr-real", "pt", "suv", "dx", "cr", "cr-real", "us", "us-cine", "sc", "sc-grey")


def dciodvfy_errors(path: Path) -> list[str]:
    """What dicom3tools' validator calls an error; the test skips where it is absent."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian dicom3tools) is not installed")
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("name", NAMES)
def test_headers_are_sound(name: str, oblique_grid: Grid, tmp_path: Path) -> None:
    image, facts = _cases(oblique_grid)[name]
    for path in save_series(image, tmp_path, facts={"PatientName": "Synthetic^One", **facts})[:2]:
        assert dciodvfy_errors(path) == []


def test_the_validator_can_fail(oblique_ct: Image, tmp_path: Path) -> None:
    path = save_series(oblique_ct, tmp_path)[0]
    broken = pydicom.dcmread(path)
    del broken.ImagePositionPatient
    broken.save_as(path)
    assert dciodvfy_errors(path)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read(name: str, oblique_grid: Grid, tmp_path: Path) -> None:
    image, facts = _cases(oblique_grid)[name]
    save_series(image, tmp_path, facts=facts)
    image, back = as_read(image), read_image(tmp_path)
    step = {"mr-real": 55 / 65535, "cr-real": 26 / 65535, "pt": 2e4 / 32767, "suv": 20 / 32767}.get(name, 0.0)
    assert np.abs(back.array.astype(np.float64) - image.array).max() <= 0.51 * step
    assert back.axes == image.axes
    assert back.quantity == image.quantity
    assert back.modality == image.modality
    assert back.grid.spacing_mm == pytest.approx(image.grid.spacing_mm)
    if image.grid.affine is not None:
        assert np.abs(back.grid.corners_mm() - image.grid.corners_mm()).max() < 1e-6


def test_pet_has_a_slope_a_slice(oblique_grid: Grid, tmp_path: Path) -> None:
    array = np.stack([np.full((7, 11), 10.0**i) for i in range(5)])
    image = Image.from_array(array, oblique_grid, modality="PT", quantity="Bq/ml")
    slopes = [float(pydicom.dcmread(p).RescaleSlope) for p in save_series(image, tmp_path, facts=PET_FACTS)]
    assert len(set(slopes)) == 5
    item = pydicom.dcmread(tmp_path / "IM0001.dcm").RadiopharmaceuticalInformationSequence[0]
    assert float(item.RadionuclideTotalDose) == 3.7e8
    assert np.allclose(read_image(tmp_path).array, as_read(image).array, rtol=1e-4)


@st.composite
def _grids(draw: st.DrawFn) -> Grid:
    seed = draw(st.integers(0, 2**32 - 1))
    dice = np.random.default_rng(seed)
    shape = tuple(int(n) for n in dice.integers(2, 9, 3))
    axes = np.linalg.qr(dice.normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = axes * dice.uniform(0.2, 6.0, 3)
    affine[:3, 3] = dice.uniform(-900, 900, 3)
    return Grid(shape, affine, frame_of_reference="1.2.3")


@settings(max_examples=40, deadline=None)
@given(grid=_grids())
def test_no_voxel_moves(grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("series")
    array = np.arange(np.prod(grid.shape), dtype=np.int16).reshape(grid.shape)
    save_series(Image.from_array(array, grid, modality="CT", quantity="HU"), folder)
    back = read_image(folder)
    for value in (0, array.size // 2, array.size - 1):
        was, now = (np.argwhere(a == value)[0] for a in (array, back.array))
        assert np.abs(grid.to_world(was) - back.grid.to_world(now)).max() < 1e-4


@given(value=st.floats(-1e9, 1e9).filter(lambda v: v == 0 or abs(v) > 1e-9))
def test_decimal_strings_fit(value: float) -> None:
    text = decimal_string(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-8)


def test_tilted_gantry_is_kept(oblique_grid: Grid, tmp_path: Path) -> None:
    assert oblique_grid.affine is not None
    affine = oblique_grid.affine.copy()
    affine[:3, 0] += affine[:3, 1]
    image = Image.from_array(np.arange(385, dtype=np.int16).reshape(5, 7, 11), Grid((5, 7, 11), affine), modality="CT")
    save_series(image, tmp_path)
    assert np.abs(read_image(tmp_path).grid.corners_mm() - as_read(image).grid.corners_mm()).max() < 1e-6


def test_skewed_rows_are_refused(oblique_grid: Grid, tmp_path: Path) -> None:
    assert oblique_grid.affine is not None
    affine = oblique_grid.affine.copy()
    affine[:3, 1] += 0.1 * affine[:3, 2]
    image = Image.from_array(np.zeros((5, 7, 11), np.int16), Grid((5, 7, 11), affine), modality="CT", quantity="HU")
    with pytest.raises(GeometryError, match="right angles"):
        save_series(image, tmp_path)


def test_seed_makes_the_same_bytes(oblique_ct: Image, tmp_path: Path) -> None:
    one = save_series(oblique_ct, tmp_path / "a", uid_seed="x")
    two = save_series(oblique_ct, tmp_path / "b", uid_seed="x", names=lambda i: f"slice{i}")
    other = save_series(oblique_ct, tmp_path / "c", uid_seed="y")
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
    assert two[4].name == "slice4"
    assert one[0].read_bytes() != other[0].read_bytes()


def test_history_and_facts_stand_in_the_header(oblique_ct: Image, tmp_path: Path) -> None:
    facts = {"SeriesDescription": "made", "RescaleSlope": 9.0, "StudyID": "longer than sixteen characters", "odd": 1}
    image = replace(oblique_ct, facts=facts, steps=("cleaned", "cropped"))
    header = pydicom.dcmread(save_series(image, tmp_path)[0])
    assert header.SeriesDescription == "made"
    assert header.DerivationDescription == "cleaned; cropped"
    assert header.RescaleSlope == 1
    assert header.StudyID == "longer than sixt"


def test_ultrasound_regions_are_written(tmp_path: Path) -> None:
    region = {
        "RegionSpatialFormat": 1, "RegionDataType": 1, "RegionFlags": 0, "RegionLocationMinX0": 2,
        "RegionLocationMinY0": 1, "RegionLocationMaxX1": 9, "RegionLocationMaxY1": 6, "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3, "PhysicalDeltaX": 0.031, "PhysicalDeltaY": 0.027,
    }  # fmt: skip
    image = Image.from_array(_bytes(7, 11), modality="US")
    path = save_file(image, tmp_path / "us.dcm", facts={"ultrasound_regions": [region]})
    assert read_image(path).grid.spacing_mm == pytest.approx((0.27, 0.31))
    bare = save_file(image, tmp_path / "bare.dcm")
    assert read_image(bare).grid.spacing_mm is None


def test_refusals_name_the_remedy(oblique_grid: Grid, oblique_ct: Image, tmp_path: Path) -> None:
    make = Image.from_array
    pet = make(np.ones((5, 7, 11)), oblique_grid, modality="PT", quantity="Bq/ml")
    with pytest.raises(MissingFact, match="SeriesDate"):
        save_series(pet, tmp_path)
    with pytest.raises(QuantityError, match="NaN"):
        save_series(make(np.full((5, 7, 11), np.nan), oblique_grid, modality="MR"), tmp_path)
    with pytest.raises(QuantityError, match="16 bits"):
        save_series(oblique_ct.with_array(oblique_ct.array.astype(float) * 1e5, "loud"), tmp_path)
    with pytest.raises(UsageError, match="keyword"):
        save_series(oblique_ct, tmp_path, facts={"PatientWieght": 70})
    with pytest.raises(UsageError, match="folder"):
        save_file(oblique_ct, tmp_path / "a.dcm")
    with pytest.raises(GeometryError):
        save_series(make(np.ones((5, 7, 11), np.int16), modality="CT"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_secondary_capture_joins_the_study(oblique_ct: Image, tmp_path: Path) -> None:
    source = replace(oblique_ct, facts={"StudyInstanceUID": "1.2.3.4", "PatientID": "P1", "KVP": 120})
    picture = _bytes(20, 30, 3)
    path = save_secondary_capture(picture, tmp_path / "sc.dcm", source=source, description="PET on CT")
    header = pydicom.dcmread(path)
    assert (header.StudyInstanceUID, header.PatientID, header.Modality) == ("1.2.3.4", "P1", "OT")
    assert "KVP" not in header
    assert "not a medical device" in header.ImageComments
    assert dciodvfy_errors(path) == []
    back = read_image(path)
    assert back.quantity is Quantity.RGB
    assert np.array_equal(back.array, picture)


@pytest.mark.slow
def test_thousand_oblique_grids(tmp_path: Path) -> None:
    """No voxel centre moves through DICOM by more than 1e-3 mm, over 1,000 random oblique affines."""
    dice, worst = np.random.default_rng(2026), 0.0
    for n in range(1000):
        affine = np.eye(4)
        affine[:3, :3] = np.linalg.qr(dice.normal(size=(3, 3)))[0] * dice.uniform(0.2, 6.0, 3)
        affine[:3, 3] = dice.uniform(-900, 900, 3)
        shape = (3, 5, 7)
        array = np.arange(105, dtype=np.int16).reshape(shape)
        grid = Grid(shape, affine)
        save_series(Image.from_array(array, grid, modality="MR"), tmp_path / str(n))
        back = read_image(tmp_path / str(n))
        order = np.argsort(back.array, axis=None)
        now = back.grid.to_world(np.stack(np.unravel_index(order, shape), axis=1))
        was = grid.to_world(np.stack(np.unravel_index(np.arange(105), shape), axis=1))
        worst = max(worst, float(np.abs(now - was).max()))
        shutil.rmtree(tmp_path / str(n))
    assert worst < 1e-3
