"""The digital patient: where things are, and that the same seed gives the same patient."""

from __future__ import annotations

import numpy as np
import pytest

from hexscope.phantom.anatomy import Patient, make_patient
from hexscope.phantom.lesion import STATED_SIZE_MM
from hexscope.phantom.mr import spin_echo
from hexscope.phantom.scan import ScanGrid, merge
from hexscope.phantom.scene import draw_motion
from hexscope.phantom.shape import turned
from hexscope.phantom.tissue import FIRST_LESION, Tissue, lookup


@pytest.fixture(scope="module")
def patient() -> Patient:
    return make_patient(np.random.default_rng(3))


def _around(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    ways = np.random.default_rng(0).normal(size=(300, 3))
    return np.asarray(centre) + radius * ways / np.linalg.norm(ways, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("point", "tissue"),
    [
        ((-80.0, 0.0, 40.0), Tissue.LUNG_RIGHT),
        ((95.0, -20.0, 30.0), Tissue.LUNG_LEFT),
        ((-75.0, -20.0, -60.0), Tissue.LIVER),
        ((104.0, 38.0, -66.0), Tissue.SPLEEN),
        ((0.0, 300.0, 0.0), Tissue.AIR),
    ],
)
def test_sides_are_those_of_lps(patient: Patient, point: tuple[float, float, float], tissue: Tissue) -> None:
    """The liver lies on the patient's right, which is x < 0; the spleen on the left."""
    ways = point + np.random.default_rng(1).uniform(-4.0, 4.0, (200, 3))
    labels, counts = np.unique(patient.label_at(ways), return_counts=True)
    assert labels[np.argmax(counts)] == tissue


@pytest.mark.parametrize("seed", range(4))
def test_lesions_lie_in_their_organs(seed: int) -> None:
    patient = make_patient(np.random.default_rng(seed))
    bed = {
        "lung nodule": {Tissue.LUNG_RIGHT, Tissue.LUNG_LEFT, Tissue.LUNG_VESSEL},
        "liver lesion": {Tissue.LIVER, Tissue.LIVER_VESSEL},
        "lymph node": {Tissue.FAT, Tissue.VESSEL, Tissue.LUNG_RIGHT, Tissue.AIRWAY},
    }
    for lesion in patient.lesions:
        around = {Tissue(int(v)) for v in patient.label_at(_around(lesion.centre_mm, max(lesion.radii_mm) + 1.5))}
        assert around <= bed[lesion.kind], lesion.name
        assert patient.label_at(np.asarray(lesion.centre_mm)[None])[0] == lesion.label


def test_the_small_lesion_is_below_the_stated_size(patient: Patient) -> None:
    missed = [lesion for lesion in patient.lesions if not lesion.detectable]
    assert [lesion.diameter_mm < STATED_SIZE_MM for lesion in missed] == [True]
    assert patient.lesions[0].label == FIRST_LESION


def test_lesion_volume_is_that_of_its_diameter(patient: Patient) -> None:
    lesion = patient.lesions[2]
    grid = ScanGrid((80, 70, 90), (0.6, 0.7, 0.5), lesion.centre_mm, turned((10.0, 20.0, 30.0)))
    found = (patient.label_on(grid.affine, grid.shape) == lesion.label).sum() * 0.6 * 0.7 * 0.5
    assert found == pytest.approx(np.pi / 6.0 * lesion.diameter_mm**3, rel=0.01)


def test_a_pose_moves_the_patient(patient: Patient) -> None:
    """Scanning through a motion finds at p what the unmoved patient has at the moved p."""
    grid = ScanGrid((5, 7, 11), (30.0, 17.0, 15.0), (2.0, 5.0, -20.0), turned((3.0, -4.0, 7.0)))
    pose = draw_motion(np.random.default_rng(5))
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    points = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    moved = points @ pose[:3, :3].T + pose[:3, 3]
    assert np.array_equal(patient.label_on(grid.affine, grid.shape, pose), patient.label_at(moved))


def test_motion_is_rigid_and_within_bounds() -> None:
    for seed in range(20):
        motion = draw_motion(np.random.default_rng(seed))
        assert np.allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3))
        angle = np.degrees(np.arccos((np.trace(motion[:3, :3]) - 1.0) / 2.0))
        assert 5.0 <= angle <= 8.0
        pivot = np.array([5.0, 8.0, -30.0])
        assert 8.0 <= np.linalg.norm(motion[:3, :3] @ pivot + motion[:3, 3] - pivot) <= 15.0


def test_same_seed_same_patient_other_seed_other_patient() -> None:
    grid = ScanGrid((9, 21, 33), (30.0, 11.0, 11.0), (0.0, 0.0, -20.0), np.eye(3))
    one, again, other = (make_patient(np.random.default_rng(seed)) for seed in (7, 7, 8))
    first = one.label_on(grid.affine, grid.shape)
    assert np.array_equal(first, again.label_on(grid.affine, grid.shape))
    assert not np.array_equal(first, other.label_on(grid.affine, grid.shape))


def test_refined_grid_keeps_the_box() -> None:
    grid = ScanGrid((5, 7, 11), (3.0, 0.7, 0.5), (1.0, -2.0, 3.0), turned((11.0, -7.0, 5.0)))
    fine = grid.refined((2, 1, 3))
    first_voxel = np.stack(np.meshgrid([0, 1], [0], [0, 1, 2], indexing="ij"), axis=-1).reshape(-1, 3)
    mean = (first_voxel @ fine[:3, :3].T + fine[:3, 3]).mean(axis=0)
    assert np.allclose(mean, grid.affine[:3, 3])
    assert merge(np.ones((10, 7, 33), np.float32), (2, 1, 3)).shape == (5, 7, 11)


def test_a_forgotten_tissue_is_refused() -> None:
    with pytest.raises(ValueError, match="OESOPHAGUS"):
        lookup({tissue: 1.0 for tissue in Tissue if tissue is not Tissue.OESOPHAGUS})


def test_fat_is_bright_on_t1_and_fluid_on_t2() -> None:
    fat, fluid = (290.0, 68.0, 0.92), (3600.0, 700.0, 1.0)
    assert spin_echo(fat, 520.0, 11.0) > 3.0 * spin_echo(fluid, 520.0, 11.0)
    assert spin_echo(fluid, 4200.0, 92.0) > 2.0 * spin_echo(fat, 4200.0, 92.0)
