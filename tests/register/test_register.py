"""Known motions of a scene that is exact at every point are found, whatever the grids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.transform import Transform, rigid
from hexscope.errors import GeometryError, UncalibratedError, UsageError
from hexscope.register import check, register
from tests.conftest import OBLIQUE
from tests.register import scene

UPRIGHT = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
FIXED = scene.grid((38, 50, 58), (3.0, 2.1, 1.9), UPRIGHT)
MOTION = rigid((9.0, -12.0, 7.0), (11.0, -14.0, 8.0), (0.0, 5.0, 95.0))


@pytest.fixture(scope="module")
def fixed() -> Image:
    return scene.seen(FIXED)


def _error(found: Transform) -> float:
    """The moving image shows the scene moved by MOTION; found must take it back."""
    return scene.error_mm(found @ MOTION, Transform())


@pytest.mark.parametrize(
    ("shape", "spacing", "axes"),
    [
        ((38, 50, 58), (3.0, 2.1, 1.9), UPRIGHT),
        ((44, 40, 52), (2.5, 2.9, 2.2), OBLIQUE),
        ((52, 36, 46), (2.2, 3.1, 2.4), UPRIGHT[:, [2, 0, 1]] * np.array([-1.0, 1.0, -1.0])),
    ],
    ids=["same axes", "oblique", "permuted and flipped"],
)
def test_a_motion_is_found_across_contrasts(fixed: Image, shape, spacing, axes) -> None:
    moving = scene.seen(scene.grid(shape, spacing, axes), MOTION, scene.folded)
    found = register(fixed, moving)
    assert _error(found) < 0.6
    assert found.certificate is not None and found.certificate.verdict != "reject"


def test_a_sheared_grid_and_a_smaller_field(fixed: Image) -> None:
    tilted = UPRIGHT.copy()
    tilted[:, 0] = [0.0, np.sin(np.radians(12)), np.cos(np.radians(12))]
    moving = scene.seen(scene.grid((26, 34, 40), (2.8, 2.0, 2.2), tilted), MOTION, scene.folded)
    assert moving.grid.is_sheared
    assert _error(register(fixed, moving)) < 1.0
    assert scene.error_mm(register(moving, fixed), MOTION) < 1.0


def test_points_go_from_moving_to_fixed(fixed: Image) -> None:
    found = register(fixed, scene.seen(FIXED, MOTION))
    spots = scene.landmarks()
    assert np.linalg.norm(found.points(MOTION.points(spots)) - spots, axis=1).max() < 0.8
    assert np.linalg.norm(found.inverse.points(spots) - MOTION.points(spots), axis=1).max() < 0.8


def test_an_image_on_itself_stays(fixed: Image) -> None:
    found = register(fixed, fixed)
    assert scene.error_mm(found, Transform()) < 0.15  # a fifteenth of a voxel
    assert found.kind == "rigid" and found.certificate is not None


def test_the_seed_decides(fixed: Image) -> None:
    moving = scene.seen(FIXED, MOTION, scene.folded)
    first, second, other = (register(fixed, moving, seed=s).matrix for s in (3, 3, 4))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_frames_are_named_and_stages_told(fixed: Image) -> None:
    a = replace(fixed, grid=replace(FIXED, frame_of_reference="1.2.3"))
    b = replace(fixed, grid=replace(FIXED, frame_of_reference="1.2.4"))
    told: list[str] = []
    found = register(a, b, progress=told.append)
    assert (found.fixed_frame, found.moving_frame) == ("1.2.3", "1.2.4")
    assert len(told) >= 3 and told[0].startswith("comparing") and told[-1].startswith("gathering")


def test_affine_finds_a_stretch(fixed: Image) -> None:
    stretch = MOTION.matrix.copy()
    stretch[:3, :3] = stretch[:3, :3] @ np.diag([1.05, 0.96, 1.03])
    truth = Transform(stretch)
    moving = scene.seen(scene.grid((44, 56, 62), (3.0, 2.1, 1.9), UPRIGHT), truth, scene.folded)
    affine = scene.error_mm(register(fixed, moving, kind="affine") @ truth, Transform())
    rigid_only = scene.error_mm(register(fixed, moving) @ truth, Transform())
    assert affine < 0.7 < rigid_only


def test_images_in_place_are_checked_not_moved(fixed: Image) -> None:
    other = scene.seen(scene.grid((44, 40, 52), (2.5, 2.9, 2.2), OBLIQUE), None, scene.folded)
    verdict = check(fixed, other)
    assert np.array_equal(verdict.matrix, np.eye(4)) and verdict.kind == "identity"
    assert verdict.certificate is not None and verdict.certificate.verdict == "accept"


def test_images_out_of_place_are_not_accepted(fixed: Image) -> None:
    off = rigid((4.0, 0.0, -5.0), (6.0, -5.0, 4.0), (0.0, 5.0, 95.0))
    verdict = check(fixed, scene.seen(FIXED, off, scene.folded)).certificate
    assert verdict is not None and verdict.verdict != "accept"
    assert dict(verdict.evidence)["moved_mm"] > 6


def test_another_body_is_not_accepted(fixed: Image) -> None:
    rng = np.random.default_rng(7)
    rough = rng.normal(size=FIXED.shape)
    from scipy.ndimage import gaussian_filter

    other = Image.from_array(gaussian_filter(rough, 4).astype(np.float32), FIXED, modality="MR")
    verdict = register(fixed, other).certificate
    assert verdict is not None and verdict.verdict != "accept"


def test_not_a_number_is_no_obstacle(fixed: Image) -> None:
    array = scene.seen(FIXED, MOTION).array.copy()
    array[3:9, 4:9, 5:9] = np.nan
    found = register(fixed, Image.from_array(array, FIXED, modality="MR"))
    assert _error(found) < 0.8


def test_what_cannot_be_registered_is_refused(fixed: Image) -> None:
    flat = Image.from_array(np.zeros((20, 30), np.float32))
    with pytest.raises(GeometryError, match="placed volume"):
        register(fixed, flat)
    with pytest.raises(UncalibratedError, match="--spacing-mm"):
        register(flat, flat)
    unplaced = Image.from_array(np.zeros((20, 30, 10), np.float32))
    with pytest.raises(GeometryError, match="placed volume"):
        register(unplaced, fixed)
    thin = Image.from_array(np.zeros((3, 3, 31), np.float32), Grid((3, 3, 31), FIXED.affine))
    with pytest.raises(GeometryError, match="at least 4"):
        register(fixed, thin)
    with pytest.raises(UsageError, match="affine"):
        register(fixed, fixed, kind="elastic")


def test_an_empty_image_gives_a_rejected_answer(fixed: Image) -> None:
    empty = Image.from_array(np.zeros(FIXED.shape, np.float32), FIXED, modality="MR")
    found = register(fixed, empty)
    assert found.certificate is not None and found.certificate.verdict == "reject"
