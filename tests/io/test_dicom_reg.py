"""DICOM registration objects: what stands in them is what the standard's formulas make of it (PS3.3 C.20.2, C.20.3)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.transform import Certificate, Transform, rigid
from hexscope.errors import FormatError, GeometryError, UsageError
from tests.core.strategies import smooth_warp
from tests.io.test_dicom_write import dciodvfy_errors

TURN = rigid((10, -7, 4), (3, -2, 5), (-20, 25, 110))
SURE = Certificate("accept", 0.97, ("halves agree",))


@pytest.fixture
def pair(oblique_grid: Grid, tmp_path: Path) -> tuple[Image, Image]:
    """CT and MR of one patient, in two frames of reference, read from DICOM."""
    made = []
    for name, frame, modality in (("fixed", "1.2.3", "CT"), ("moving", "1.2.4", "MR")):
        grid = Grid(oblique_grid.shape, oblique_grid.affine, frame_of_reference=frame)
        array = np.arange(385, dtype=np.int16).reshape(5, 7, 11)
        quantity = "HU" if modality == "CT" else "arbitrary"
        facts = {"PatientName": "Synthetic^One", "PatientID": "7", "StudyInstanceUID": "1.2.9"}
        image = Image.from_array(array, grid, modality=modality, quantity=quantity, name=name, facts=facts)
        hx.save(image, tmp_path / name)
        made.append(hx.read(tmp_path / name))
    return made[0], made[1]


def deformed(pair: tuple[Image, Image]) -> Transform:
    return Transform.deformable(TURN.matrix, smooth_warp(pair[0].grid, 1), certificate=SURE)


@pytest.mark.parametrize("kind", ["rigid", "affine", "deformable"])
def test_headers_are_sound(kind: str, pair: tuple[Image, Image], tmp_path: Path) -> None:
    whole = deformed(pair) if kind == "deformable" else Transform(TURN.matrix, kind, certificate=SURE)
    path = hx.save(whole, tmp_path / "t.dcm", source=pair)
    assert dciodvfy_errors(path) == []
    found = pydicom.dcmread(path)
    assert (found.Modality, found.PatientName, found.StudyInstanceUID) == ("REG", "Synthetic^One", "1.2.9")
    assert "not a medical device" in found.SeriesDescription
    assert found.ContentDescription.startswith(f"{kind}: accept, score 0.97")
    named = {i.ReferencedSOPInstanceUID for s in found.ReferencedSeriesSequence for i in s.ReferencedInstanceSequence}
    assert named == {pydicom.dcmread(f).SOPInstanceUID for image in pair for f in image.files}


def test_dcmtk_reads_them(pair: tuple[Image, Image], tmp_path: Path) -> None:
    if shutil.which("dcmdump") is None:
        pytest.skip("dcmdump (Debian dcmtk) is not installed")
    path = hx.save(deformed(pair), tmp_path / "t.dcm", source=pair)
    done = subprocess.run(["dcmdump", "+P", "0064,0007", str(path)], capture_output=True, text=True, check=True)
    assert "11\\7\\5" in done.stdout and not done.stderr


def test_the_matrix_brings_moving_points_into_the_fixed_frame(pair: tuple[Image, Image], tmp_path: Path) -> None:
    found = pydicom.dcmread(hx.save(TURN, tmp_path / "t.dcm", source=pair))
    assert found.FrameOfReferenceUID == "1.2.3"
    still, moved = found.RegistrationSequence
    assert (still.FrameOfReferenceUID, moved.FrameOfReferenceUID) == ("1.2.3", "1.2.4")
    (entry,) = moved.MatrixRegistrationSequence[0].MatrixSequence
    matrix = np.array(entry.FrameOfReferenceTransformationMatrix, dtype=float).reshape(4, 4)
    point = np.array([5.0, -60.0, 33.0])
    assert (matrix @ [*point, 1])[:3] == pytest.approx(TURN.points(point), abs=1e-9)
    assert entry.FrameOfReferenceTransformationMatrixType == "RIGID"


@pytest.mark.parametrize("is_flipped", [False, True])
def test_the_grid_says_what_the_standard_reads(is_flipped: bool, pair: tuple[Image, Image], tmp_path: Path) -> None:
    """Source point = post (pre (position of grid cell) + vector), the cell found by the standard's own formula."""
    grid = pair[0].grid.flip(1) if is_flipped else pair[0].grid
    whole = Transform.deformable(TURN.matrix, smooth_warp(grid, 2))
    item = pydicom.dcmread(hx.save(whole, tmp_path / "t.dcm", source=pair)).DeformableRegistrationSequence[0]
    assert item.SourceFrameOfReferenceUID == "1.2.4"
    cells = item.DeformableRegistrationGridSequence[0]
    row, column = np.array(cells.ImageOrientationPatient, dtype=float).reshape(2, 3)
    nx, ny, nz = cells.GridDimensions
    vectors = np.frombuffer(cells.VectorGridData, "<f4").reshape(nz, ny, nx, 3)
    i, j, k = 9, 2, 3
    dx, dy, dz = cells.GridResolution
    place = np.array(cells.ImagePositionPatient, dtype=float)
    place = place + i * dx * row + j * dy * column + k * dz * np.cross(row, column)
    pre = item.PreDeformationMatrixRegistrationSequence[0].FrameOfReferenceTransformationMatrix
    post = item.PostDeformationMatrixRegistrationSequence[0].FrameOfReferenceTransformationMatrix
    middle = np.array(pre, dtype=float).reshape(4, 4) @ [*place, 1] + [*vectors[k, j, i].astype(float), 0]
    source = np.array(post, dtype=float).reshape(4, 4) @ middle
    assert source[:3] == pytest.approx(whole.inverse.points(place), abs=1e-5)


def test_a_matrix_before_and_unknown_vectors_of_others_are_read(pair: tuple[Image, Image], tmp_path: Path) -> None:
    whole = deformed(pair)
    path = hx.save(whole, tmp_path / "t.dcm", source=pair)
    found = pydicom.dcmread(path)
    item = found.DeformableRegistrationSequence[0]
    before = rigid((2, 3, 4), (0.5, 0.2, -0.3), pair[0].grid.center_mm)
    item.PreDeformationMatrixRegistrationSequence[0].FrameOfReferenceTransformationMatrix = [
        f"{v:.12g}" for v in before.matrix.ravel()
    ]
    cells = item.DeformableRegistrationGridSequence[0]
    vectors = np.frombuffer(cells.VectorGridData, "<f4").reshape(5, 7, 11, 3).copy()
    vectors[0, 0, 0] = np.nan
    cells.VectorGridData = vectors.tobytes()
    found.save_as(path)
    back = hx.read_transform(path)
    place = pair[0].grid.to_world((2, 3, 5))
    assert back.inverse.points(place) == pytest.approx(
        TURN.inverse.points(before.points(place) + vectors[2, 3, 5]), abs=1e-4
    )
    corner = pair[0].grid.to_world((0, 0, 0))
    assert back.inverse.points(corner) == pytest.approx(TURN.inverse.points(before.points(corner)), abs=1e-4)


def test_one_frame_for_both_images(pair: tuple[Image, Image], tmp_path: Path) -> None:
    """PET and CT of one gantry share a frame; the transform between them is still found."""
    path = hx.save(Transform(TURN.matrix, "rigid"), tmp_path / "t.dcm", source=(pair[0], pair[0]))
    assert np.allclose(hx.read_transform(path).matrix, TURN.matrix, atol=1e-9)


def test_refusals(pair: tuple[Image, Image], oblique_ct: Image, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no DICOM file"):
        hx.save(TURN, tmp_path / "t.dcm", source=(oblique_ct, oblique_ct))
    with pytest.raises(GeometryError, match=r"joins frame 1\.9"):
        hx.save(Transform(TURN.matrix, "rigid", "1.9", "1.2.4"), tmp_path / "t.dcm", source=pair)
    with pytest.raises(UsageError, match="not a registration"):
        hx.read_transform(Path(pair[0].files[0]))
    path = hx.save(TURN, tmp_path / "t.dcm", source=pair)
    found = pydicom.dcmread(path)
    moved = found.RegistrationSequence[1]
    third = pydicom.Dataset()
    third.update(moved)
    third.FrameOfReferenceUID = "1.2.5"
    found.RegistrationSequence.append(third)
    found.save_as(path)
    with pytest.raises(UsageError, match="2 images"):
        hx.read_transform(path)
    del moved.MatrixRegistrationSequence
    found.RegistrationSequence.pop()
    found.save_as(path)
    with pytest.raises(FormatError, match="broken"):
        hx.read_transform(path)


def test_what_is_kept_privately_is_json(pair: tuple[Image, Image], tmp_path: Path) -> None:
    found = pydicom.dcmread(hx.save(deformed(pair), tmp_path / "t.dcm", source=pair))
    told = json.loads(found.private_block(0x0077, "HEXSCOPE")[0x01].value)
    assert told["certificate"]["verdict"] == "accept" and told["kind"] == "deformable"
