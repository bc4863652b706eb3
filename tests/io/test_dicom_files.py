"""Real files: every test file that pydicom ships, and the real data sets where they are at hand."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pydicom.data
import pytest

from hexscope.core.image import Image, Mask
from hexscope.errors import InputError
from hexscope.io.dicom import DICOM
from hexscope.io.series import Inventory
from tests.io.dicom_files import scan

SHIPPED = Path(pydicom.data.__file__).parent


@pytest.fixture(scope="module")
def shipped() -> Inventory:
    mine = []
    for path in sorted(p for p in SHIPPED.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            if DICOM.sniff(file.read(4096), path):
                mine.append(path)
    assert len(mine) > 150
    found = DICOM.scan(mine)
    told = {f for s in found.series for f in s.files} | {o.where for o in found.others}
    copies = [f for s in found.series for f in s.faults if f.code == "geometry.duplicate_slice"]
    assert len(mine) - len(told) <= 20 * len(copies)
    return found


def test_every_shipped_file_is_read_or_has_a_named_fault(shipped: Inventory) -> None:
    assert all(o.faults for o in shipped.others)
    read = 0
    for series in shipped.series:
        try:
            thing = series.load()
            if isinstance(thing, Image):
                assert thing.array.shape == series.shape
                read += 1
        except InputError as error:
            assert error.code or series.kind == "mask", (series.id, error)
    assert read > 60


def test_series_ids_are_unique(shipped: Inventory) -> None:
    images = [s.id for s in shipped.series if s.kind == "image"]
    assert len(set(images)) == len(images)


@pytest.mark.parametrize(
    ("name", "modality", "shape", "spacing", "quantity"),
    [
        ("CT_small.dcm", "CT", (1, 128, 128), (5.0, 0.661468, 0.661468), "HU"),
        ("MR_small.dcm", "MR", (1, 64, 64), (0.8, 0.3125, 0.3125), "arbitrary"),
        ("examples_palette.dcm", "US", (350, 800, 3), (0.262288, 0.262288), "RGB"),
        ("examples_ybr_color.dcm", "US", (30, 240, 320, 3), (0.510497, 0.510497), "RGB"),
        ("rtdose.dcm", "OT", (15, 10, 10), (5.0, 10.0, 10.0), "arbitrary"),
        ("JPGExtended.dcm", "OT", (1024, 256), (2.26, 2.26), "arbitrary"),
        ("image_dfl.dcm", "OT", (512, 512), None, "arbitrary"),
    ],
)
def test_shipped_files_say_what_they_are(
    name: str, modality: str, shape: tuple[int, ...], spacing: tuple[float, ...] | None, quantity: str
) -> None:
    (series,) = DICOM.scan([SHIPPED / "test_files" / name]).series
    assert (series.modality, series.shape, series.quantity) == (modality, shape, quantity)
    assert series.grid is not None
    assert series.grid.spacing_mm == (None if spacing is None else pytest.approx(spacing, abs=1e-4))
    image = series.load()
    assert isinstance(image, Image) and len(np.unique(image.array)) > 10


def test_sound_values_equal_those_of_pydicom() -> None:
    dataset = pydicom.dcmread(SHIPPED / "test_files" / "CT_small.dcm")
    (series,) = DICOM.scan([SHIPPED / "test_files" / "CT_small.dcm"]).series
    expected = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    np.testing.assert_array_equal(series.load().array[0], expected)
    assert series.facts["SOPInstanceUIDs"] == [dataset.SOPInstanceUID]


def test_whole_body_pet_and_its_seg(shared_data: Path) -> None:
    found = scan(shared_data / "pet-headneck-dicom")
    pet = next(s for s in found.series if s.kind == "image")
    seg = next(s for s in found.series if s.kind == "mask")
    assert pet.shape == (299, 128, 128) and not pet.faults and pet.quantity == "Bq/ml"
    assert seg.references == (pet.id,) and seg.load_on is not None and pet.grid is not None
    mask, image = seg.load_on(pet.grid), pet.load()
    assert isinstance(image, Image) and [mask.of(e.value).sum() for e in mask] == [54, 212]
    inside, outside = image.array[mask.any].mean(), image.array[image.array > 1000].mean()
    assert inside > 3 * outside


@pytest.mark.parametrize("modality", ["PT", "CT", "MR"])
def test_sarcoma_contours_fill_the_volume_of_the_published_mask(shared_data: Path, modality: str) -> None:
    root = shared_data / "pet-ct-mr-sarcoma"
    found = scan(root / "dicom" / "STS_001")
    image = next(s for s in found.series if s.modality == modality)
    contours = next(s for s in found.series if image.id in s.references)
    assert contours.load_on is not None and image.grid is not None
    mask = contours.load_on(image.grid)
    assert isinstance(mask, Mask) and len(mask.labels) == 1
    published = np.asarray(nibabel.load(root / "nifti" / "STS_001" / "PET_mask.nii.gz").dataobj).T > 0
    volume_ml = published.sum() * 4.6875 * 4.6875 * 3.27 / 1000  # of the PET grid, the only mask published
    assert mask.any.sum() * (image.grid.voxel_volume_ml or 0) == pytest.approx(volume_ml, rel=0.005)
    if modality == "PT":
        flipped = [published[:, ::a, ::b] for a in (1, -1) for b in (1, -1)]
        assert max(2 * (mask.any & p).sum() / (mask.any.sum() + p.sum()) for p in flipped) > 0.99
