"""The search over all poses: orientations given wrong, parts of a field, masks, planes, other sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.transform import Transform, rigid
from hexscope.register import register
from hexscope.register.climb import Pose
from hexscope.register.field import ready
from hexscope.register.local import LocalCorrelation, polished
from hexscope.register.motion import exponential, motion
from hexscope.register.pyramid import coarsen
from hexscope.register.search import find, ladder
from hexscope.register.starts import _turns
from tests.register import scene
from tests.register.test_register import FIXED, MOTION, UPRIGHT


@pytest.fixture(scope="module")
def fixed() -> Image:
    return scene.seen(FIXED)


@pytest.fixture(scope="module")
def moving() -> Image:
    return scene.seen(scene.grid((30, 44, 48), (3.1, 2.3, 2.2), UPRIGHT), MOTION, scene.folded)


def _found(fixed: Image, moving: Image, kind: str = "rigid", mask: Mask | None = None) -> Transform:
    """As `register` finds it, without the certificate."""
    rungs = ladder(*ready(fixed, moving, None, mask), 0)
    return Transform(rungs.moving_to_fixed(find(rungs, kind=kind)[0].matrix), kind)


def _placed(image: Image, by: Transform) -> Image:
    """The same pixels elsewhere: only the header changes."""
    return replace(image, grid=replace(image.grid, affine=by.matrix @ image.grid.require_affine("a test")))


def _about(turn: np.ndarray, image: Image) -> Transform:
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = image.grid.center_mm - turn @ image.grid.center_mm
    return Transform(matrix, "rigid")


@pytest.mark.parametrize("number", [0, 5, 10, 16, 22])
def test_an_orientation_given_wrong_is_found(fixed: Image, moving: Image, number: int) -> None:
    """Other axes laid on the axes: five of the 23 wrong ways here, all in the benchmark."""
    wrong = _about(_turns()[1][27 * number + 13], moving)
    found = _found(fixed, _placed(moving, wrong))
    assert scene.error_mm(found @ wrong @ MOTION, Transform()) < 0.6


@given(st.tuples(*[st.floats(-80, 80)] * 3), st.tuples(*[st.floats(-40, 40)] * 3))
@settings(max_examples=4, deadline=None)
def test_a_motion_of_the_header_is_undone(turn: tuple[float, ...], shift: tuple[float, ...]) -> None:
    """register(fixed, moved(M)) @ M is register(fixed, moving): any M ends in one place."""
    still = scene.seen(scene.grid((30, 44, 48), (3.1, 2.3, 2.2), UPRIGHT), MOTION, scene.folded)
    by = rigid(turn, shift, tuple(still.grid.center_mm))
    fixed = scene.seen(FIXED)
    assert scene.error_mm(_found(fixed, _placed(still, by)) @ by, _found(fixed, still)) < 0.3


@pytest.mark.parametrize("part", [((14, 0, 0), (24, 44, 48)), ((0, 0, 0), (30, 44, 26))])
def test_a_part_is_found_in_the_whole(fixed: Image, part: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """A slab, one half."""
    small = rigid((3.0, -4.0, 5.0), (6.0, -5.0, 4.0), (0.0, 5.0, 95.0))
    seen = scene.seen(scene.grid((30, 44, 48), (3.1, 2.3, 2.2), UPRIGHT), small, scene.folded).crop(*part)
    assert scene.error_mm(_found(fixed, seen) @ small, Transform()) < 1.2
    assert scene.error_mm(_found(seen, fixed), small) < 1.2


def test_a_mask_keeps_out_what_does_not_belong(fixed: Image, moving: Image) -> None:
    array = np.array(moving.array)
    array[:, 30:, :] = 900 * np.random.default_rng(0).random(array[:, 30:, :].shape)
    spoilt = moving.with_array(array, "a table")
    keep = np.ones(array.shape, np.uint8)
    keep[:, 29:, :] = 0
    masked = _found(fixed, spoilt, mask=Mask.from_array(keep, moving.grid))
    assert scene.error_mm(masked @ MOTION, Transform()) < 0.8


def test_similarity_grows_evenly(fixed: Image) -> None:
    truth = MOTION.matrix.copy()
    truth[:3, :3] *= 1.06
    moving = scene.seen(scene.grid((44, 56, 62), (3.0, 2.1, 1.9), UPRIGHT), Transform(truth), scene.folded)
    found = _found(fixed, moving, "similarity")
    assert scene.error_mm(found @ Transform(truth), Transform()) < 0.6
    sizes = np.linalg.svd(found.matrix[:3, :3])[1]
    assert np.allclose(sizes, sizes[0], rtol=1e-9) and sizes[0] == pytest.approx(1 / 1.06, abs=0.005)


def _plane(angle: float, size: float, *, contrast: bool, spacing: tuple[float, float], shape: tuple[int, int]) -> Image:
    """A slice of the scene, turned and grown about its middle, as a picture that knows no patient."""
    turn = rigid((0, 0, angle), (0, 0, 0), (0, 0, 0)).matrix[:2, :2] * size
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    xy = (index * np.array(spacing))[..., ::-1] - np.array(shape)[::-1] * np.array(spacing)[::-1] / 2
    points = np.concatenate([xy @ np.linalg.inv(turn).T, np.full((*shape, 1), 105.0)], axis=-1)
    values = scene.value(points)
    values = scene.folded(values) if contrast else 1000 * values
    noise = np.random.default_rng(shape[0]).normal(0, 10, shape)
    return Image.from_array((values + noise).astype(np.float32), Grid(shape, spacing_mm=spacing), modality="XR")


@pytest.mark.parametrize(("kind", "angle", "size"), [("rigid", 130.0, 1.0), ("similarity", -50.0, 1.15)])
def test_planes_without_a_patient(kind: str, angle: float, size: float) -> None:
    fixed = _plane(0.0, 1.0, contrast=False, spacing=(1.3, 1.1), shape=(95, 110))
    moving = _plane(angle, size, contrast=True, spacing=(1.2, 1.4), shape=(112, 98))
    found = register(fixed, moving, kind=kind)
    spots = np.array([[-20.0, 5, 0], [15, -12, 0], [8, 25, 0], [-5, -20, 0]])
    turn = np.diag([size, size, 1.0]) @ rigid((0, 0, angle), (0, 0, 0), (0, 0, 0)).matrix[:3, :3]
    ours = spots + np.array([110 * 1.1 / 2, 95 * 1.3 / 2, 0])
    theirs = spots @ turn.T + np.array([98 * 1.4 / 2, 112 * 1.2 / 2, 0])
    assert np.linalg.norm(found.points(theirs) - ours, axis=1).max() < 0.6
    assert found.certificate is not None


def test_a_plane_with_a_place_in_a_volume(fixed: Image) -> None:
    """One slice as a 2-D image that says where it lies: a volume of one slice."""
    small = rigid((2.0, -3.0, 4.0), (4.0, -3.0, 5.0), (0.0, 5.0, 95.0))
    whole = scene.seen(scene.grid((30, 44, 48), (3.1, 2.3, 2.2), UPRIGHT), small, scene.folded)
    affine = whole.grid.require_affine("a test")
    place = np.concatenate([affine[:, 1:3], affine @ np.array([[15.0], [0], [0], [1]])], axis=1)
    slice_ = Image.from_array(np.array(whole.array[15]), Grid((44, 48), place), modality="MR")
    assert scene.error_mm(_found(fixed, slice_) @ small, Transform()) < 2.5  # all of the scene, from one smooth slice


@given(st.lists(st.floats(-0.5, 0.5), min_size=9, max_size=9))
def test_the_exponential_undoes_itself(values: list[float]) -> None:
    small = np.array(values).reshape(3, 3)
    assert np.allclose(exponential(small) @ exponential(-small), np.eye(3), atol=1e-9)
    skew = small - small.T
    turned = exponential(skew)
    assert np.allclose(turned @ turned.T, np.eye(3), atol=1e-9) and np.linalg.det(turned) > 0


@pytest.mark.parametrize(
    ("kind", "flat", "freedom"),
    [("rigid", False, 6), ("similarity", False, 7), ("affine", False, 12), ("rigid", True, 3), ("affine", True, 6)],
)
def test_kinds_of_motion_are_orthonormal(kind: str, flat: bool, freedom: int) -> None:
    free = motion(kind, flat=flat)
    assert len(free) == freedom
    assert np.allclose(np.einsum("kij,lij->kl", free.linear, free.linear), np.eye(len(free.linear)))


def test_local_correlation_rises_the_way_it_says(fixed: Image) -> None:
    """Climbed from 2 mm off it comes back; between two contrasts, and on a small volume, it is left alone."""
    rungs = ladder(*ready(fixed, scene.seen(scene.grid((36, 46, 52), (3.0, 2.2, 2.0), UPRIGHT))), 0)
    off = rigid((0, 0, 0), (1.4, -1.0, 1.1), (0, 0, 0)).matrix
    local = LocalCorrelation(coarsen(rungs.template, 4.0), coarsen(rungs.scene, 4.0), off)
    score, push = local.push(off)
    ahead = rigid((0, 0, 0), tuple(0.2 * push.force / np.linalg.norm(push.force)), (0, 0, 0)).matrix @ off
    rise = (local.push(ahead)[0] - score) / 0.2
    assert local.same_contrast and rise == pytest.approx(np.linalg.norm(push.force), rel=0.5)
    assert np.dot(push.force, off[:3, 3]) < 0
    assert polished(rungs.template, rungs.scene, Pose(0.5, off), "affine").matrix is off
    other = scene.seen(scene.grid((36, 46, 52), (3.0, 2.2, 2.0), UPRIGHT), None, scene.folded)
    crossed = ladder(*ready(fixed, other), 0)
    assert not LocalCorrelation(coarsen(crossed.template, 4.0), coarsen(crossed.scene, 4.0), np.eye(4)).same_contrast
