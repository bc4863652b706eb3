"""On real PET: the tumours that experts drew are among the candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity
from hexscope.detect import detect
from hexscope.detect.score import hits
from hexscope.io.reading import read
from hexscope.modality import PT


def test_sarcoma_stored_as_suv(shared_data: Path) -> None:
    folder = shared_data / "pet-ct-mr-sarcoma" / "nifti" / "STS_002"
    image, mask = read(folder / "PET_image.nii.gz"), read(folder / "PET_mask.nii.gz")
    assert isinstance(image, Image)
    drawn = mask.any if isinstance(mask, Mask) else mask.array > 0
    pet = Image.from_array(image.array, image.grid, modality="PT", quantity="SUVbw")
    found = detect(pet)
    assert hits(found, Mask.from_array(drawn, pet.grid)).sensitivity == 1.0
    assert found.items[0].measures["suv_max"] == pytest.approx(float(pet.array[drawn].max()))


def test_whole_body_in_becquerel(shared_data: Path) -> None:
    image = read(shared_data / "pet-headneck-dicom" / "PET")
    assert isinstance(image, Image)
    pet, ledger = PT.convert(image, Quantity.SUVBW)
    assert float(pet.array.max()) == pytest.approx(19.51, abs=0.02)
    assert {"dose", "weight", "half-life"} <= {entry.name for entry in ledger}
    body = pet.array[pet.array > 0.2]
    assert float(np.mean(body)) == pytest.approx(1.0, abs=0.1)
    truth = read(next((shared_data / "pet-headneck-dicom" / "SEG").rglob("*.dcm")), on=pet)
    assert isinstance(truth, Mask)
    result = hits(detect(pet), truth)
    assert all(result.found.values()) and len(result.found) == 2
