"""SEG and SR out: Dice 1.0 on oblique grids, read by others, accepted by dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity
from hexscope.core.results import Finding
from hexscope.errors import GeometryError, UsageError
from hexscope.io.dicom_write import save_series
from hexscope.io.dicom_write_seg import NOTE, concept, save_seg
from hexscope.io.dicom_write_sr import save_sr
from hexscope.io.reading import read_image, read_mask
from tests.io.test_dicom_write import dciodvfy_errors

DICE = np.random.default_rng(3)
PARTS = {name: DICE.random((5, 7, 11)) > cut for name, cut in (("lung left", 0.4), ("脾 spleen", 0.7), ("odd", 0.9))}


@pytest.fixture(name="source")
def _source(oblique_ct: Image, tmp_path: Path) -> Image:
    save_series(oblique_ct, tmp_path / "ct", facts={"PatientID": "P1", "StudyID": "one"})
    return read_image(tmp_path / "ct")


def _on(image: Image, oblique_ct: Image) -> dict[str, np.ndarray]:
    """The parts, in the order in which the reader put the slices."""
    turned = not np.array_equal(image.array, oblique_ct.array)
    assert turned  # the fixture counts its slices against the normal, so an order that is lost would show
    return {name: part[::-1] if turned else part for name, part in PARTS.items()}


def test_highdicom_reads_the_same(source: Image, oblique_ct: Image, tmp_path: Path) -> None:
    parts = _on(source, oblique_ct)
    save_seg(Mask.from_parts(parts, source.grid), tmp_path / "seg.dcm", source=source)
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    volume = seg.get_volume(combine_segments=False)
    assert [s.SegmentLabel for s in seg.SegmentSequence] == list(parts)
    for number, part in enumerate(parts.values()):
        there = np.argwhere(part)
        world = source.grid.to_world(there)
        found = np.round(volume.map_reference_to_indices(world)).astype(int)
        assert volume.array[(*found.T, number)].all()
        assert volume.array[..., number].sum() == len(there)
        assert np.abs(volume.map_indices_to_reference(found) - world).max() < 1e-4


def test_our_reader_reads_the_same(source: Image, oblique_ct: Image, tmp_path: Path) -> None:
    mask = Mask.from_parts(_on(source, oblique_ct), source.grid)
    save_seg(mask, tmp_path / "seg.dcm", source=source)
    back = read_mask(tmp_path / "seg.dcm", on=source)
    assert back.grid.same_as(mask.grid)
    for label in mask:
        assert np.array_equal(back.of(label.name), mask.of(label.name))


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="dcmtk is not installed")
def test_dcmtk_reads_it(source: Image, tmp_path: Path) -> None:
    save_seg(Mask.from_parts(PARTS, source.grid), tmp_path / "seg.dcm", source=source)
    done = subprocess.run(["dcmdump", str(tmp_path / "seg.dcm")], capture_output=True, text=True, check=True)
    assert "SegmentationStorage" in done.stdout


def test_seg_is_sound_and_says_what_it_is(source: Image, tmp_path: Path) -> None:
    save_seg(Mask.from_parts(PARTS, source.grid), tmp_path / "seg.dcm", source=source)
    assert dciodvfy_errors(tmp_path / "seg.dcm") == []
    header = pydicom.dcmread(tmp_path / "seg.dcm")
    assert header.SegmentationType == "BINARY"
    assert header.ContentDescription == NOTE
    assert header.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    assert header.SegmentSequence[0].SegmentAlgorithmName.startswith("Hexscope ")
    assert header.PatientID == "P1"
    assert header.FrameOfReferenceUID == source.grid.frame_of_reference


def test_tilted_and_empty(oblique_grid: Grid, tmp_path: Path) -> None:
    assert oblique_grid.affine is not None
    affine = oblique_grid.affine.copy()
    affine[:3, 0] += 0.9 * affine[:3, 1]
    grid = Grid((5, 7, 11), affine, frame_of_reference="1.2.3")
    image = Image.from_array(np.arange(385, dtype=np.int16).reshape(5, 7, 11), grid, modality="CT", quantity="HU")
    source = replace(image, files=tuple(map(str, save_series(image, tmp_path / "ct"))))
    save_seg(Mask.from_array(np.zeros((5, 7, 11)), grid, {1: "nothing"}), tmp_path / "empty.dcm", source=source)
    save_seg(Mask.from_parts(PARTS, grid), tmp_path / "seg.dcm", source=source)
    assert dciodvfy_errors(tmp_path / "empty.dcm") == []
    assert dciodvfy_errors(tmp_path / "seg.dcm") == []
    back = read_mask(tmp_path / "seg.dcm", on=grid)
    assert np.array_equal(back.of("lung left"), PARTS["lung left"])


def test_refusals(source: Image, oblique_ct: Image, tmp_path: Path) -> None:
    target = tmp_path / "seg.dcm"
    mask = Mask.from_parts(PARTS, source.grid)
    with pytest.raises(UsageError, match="no DICOM"):
        save_seg(mask, target, source=replace(source, files=()))
    with pytest.raises(UsageError, match="no label"):
        save_seg(Mask.from_array(np.zeros((5, 7, 11)), source.grid), target, source=source)
    shifted = source.grid.flip(0).flip(1)
    with pytest.raises(GeometryError, match="resample"):
        save_seg(Mask.from_parts(PARTS, shifted), target, source=source)
    text = tmp_path / "text.dcm"
    text.write_text("no image")
    with pytest.raises(UsageError, match=r"text\.dcm"):
        save_seg(mask, target, source=replace(source, files=(str(text),)))
    assert not target.exists()


def test_concepts_claim_no_more_than_the_name() -> None:
    assert concept("Lung left")[1].meaning == "Lung"
    assert concept("candidate 3")[1].meaning == "Lesion"
    assert concept("something")[0] == concept("something")[1]


FINDINGS = (
    Finding(
        0.83, "hot lesion candidate", volume_ml=3.25, label=2,
        measures={"suv_max": 9.5, "suv_peak": 8.0, "suv_mean": None, "mtv_ml": 3.25, "tlg": 16.0, "diameter_mm": 21.0},
    ),
    Finding(0.5, "hot lesion candidate", center_lps_mm=(-30.0, 18.0, 100.0)),
)  # fmt: skip


def test_report_holds_the_measures(source: Image, tmp_path: Path) -> None:
    pet = replace(source, modality="PT", quantity=Quantity.SUVBW)
    save_seg(Mask.from_parts(PARTS, source.grid), tmp_path / "seg.dcm", source=pet)
    save_sr(FINDINGS, tmp_path / "sr.dcm", source=pet, seg=tmp_path / "seg.dcm")
    assert dciodvfy_errors(tmp_path / "sr.dcm") == []
    report = hd.sr.srread(tmp_path / "sr.dcm")
    (outlined,) = report.content.get_volumetric_roi_measurement_groups()
    values = {
        (m.name.meaning, m.derivation.meaning if m.derivation else None): (m.value, m.unit.value)
        for m in outlined.get_measurements()
    }
    assert values["Volume", None] == (3.25, "ml")
    assert values["SUVbw", "Maximum"] == (9.5, "g/ml{SUVbw}")
    assert values["SUVbw", "Peak Value Within ROI"] == (8.0, "g/ml{SUVbw}")
    assert ("SUVbw", "Mean") not in values
    assert values["Total Lesion Glycolysis", None] == (16.0, "g")
    assert "no diagnosis" in outlined.finding_type.meaning
    assert len(report.content.get_image_measurement_groups()) == 1


def test_report_without_suv_or_outline(source: Image, tmp_path: Path) -> None:
    save_sr(FINDINGS, tmp_path / "sr.dcm", source=source)
    report = hd.sr.srread(tmp_path / "sr.dcm")
    groups = report.content.get_image_measurement_groups()
    names = {m.name.meaning for g in groups for m in g.get_measurements()}
    assert "SUVbw" not in names
    assert "Volume" in names
    assert dciodvfy_errors(tmp_path / "sr.dcm") == []
    with pytest.raises(UsageError, match="no finding"):
        save_sr((), tmp_path / "none.dcm", source=source)


def test_real_patients_get_sound_objects(shared_data: Path, tmp_path: Path) -> None:
    source = read_image(f"{shared_data / 'pet-ct-mr-sarcoma' / 'dicom' / 'STS_001' / 'CT'}#1")
    parts = {"low": source.array < 0, "high": source.array > 200}
    save_seg(Mask.from_parts(parts, source.grid), tmp_path / "seg.dcm", source=source)
    assert dciodvfy_errors(tmp_path / "seg.dcm") == []
    back = read_mask(tmp_path / "seg.dcm", on=source)
    assert all(np.array_equal(back.of(name), part) for name, part in parts.items())
