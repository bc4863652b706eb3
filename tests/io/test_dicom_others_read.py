"""What we write, read by dcmqi: a second, independent reader of SEG and SR TID 1500."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hexscope as hx


def tool(name: str) -> str:
    """Path of a dcmqi program of this environment; the test skips where it is absent."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} of dcmqi is not installed")
    return found


@pytest.fixture
def written(tmp_path: Path, oblique_grid: hx.Grid) -> tuple[hx.Image, hx.Mask]:
    """A PET on an oblique grid as DICOM files, and a mask of two lesions on it."""
    rng = np.random.default_rng(3)
    array = rng.uniform(0, 3, oblique_grid.shape).astype(np.float32)
    array[1:4, 2:5, 3:8] += 6
    facts = {
        "SeriesDate": "20260115", "SeriesTime": "094400", "AcquisitionDate": "20260115", "AcquisitionTime": "094400",
        "DecayCorrection": "ADMIN", "Units": "GML", "SUVType": "BW", "DecayFactor": 1.0,
        "CorrectedImage": ["DECY", "ATTN"], "SeriesType": ["STATIC", "IMAGE"],
    }  # fmt: skip
    pet = hx.Image.from_array(array, oblique_grid, modality="PT", quantity="SUVbw", facts=facts)
    hx.save(pet, tmp_path / "pet")
    image = hx.read(tmp_path / "pet")
    assert isinstance(image, hx.Image)
    labels = np.zeros(image.shape, np.uint8)
    labels[image.array > 5.5] = 1
    labels[0, 5:7, 9:11] = 2
    return image, hx.Mask.from_array(labels, image.grid, {1: "candidate 1", 2: "candidate 2"}, files=image.files)


def test_seg(written: tuple[hx.Image, hx.Mask], tmp_path: Path) -> None:
    image, mask = written
    hx.save(mask, tmp_path / "seg.dcm", source=image)
    out = tmp_path / "back"
    out.mkdir()
    command = [tool("segimage2itkimage"), "--inputDICOM", str(tmp_path / "seg.dcm"), "--outputDirectory", str(out)]
    subprocess.run([*command, "--outputType", "nii"], check=True, capture_output=True)
    for label in mask:
        theirs = hx.read_mask(out / f"{label.value}.nii.gz")
        there = hx.resample(theirs, hx.Grid(image.grid.shape, image.grid.affine)).any
        ours = mask.of(label.value)
        assert 2 * (there & ours).sum() / (there.sum() + ours.sum()) == 1.0


def test_sr(written: tuple[hx.Image, hx.Mask], tmp_path: Path) -> None:
    from hexscope.io.dicom_write_sr import save_sr

    image, _ = written
    found = hx.detect(image, minimum_ml=0.001)
    assert found.mask is not None and len(found) >= 1
    hx.save(found.mask, tmp_path / "seg.dcm", source=image)
    save_sr(tuple(found), tmp_path / "sr.dcm", source=image, seg=tmp_path / "seg.dcm")
    command = [tool("tid1500reader"), "--inputDICOM", str(tmp_path / "sr.dcm"), "--outputMetadata"]
    subprocess.run([*command, str(tmp_path / "sr.json")], check=True, capture_output=True)
    groups = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    assert len(groups) == len(found)
    values = {
        item["quantity"]["CodeMeaning"]: float(item["value"])
        for item in groups[0]["measurementItems"]
        if "derivationModifier" not in item
    }
    assert values["Volume"] == pytest.approx(found.items[0].volume_ml, rel=1e-5)
    assert "no diagnosis" in groups[0]["Finding"]["CodeMeaning"]
