"""Edges and patches: the second and third opinion on a pose, and the judge that asks all of them."""

from __future__ import annotations

import numpy as np
import pytest

from hexscope.core.image import Image
from hexscope.core.transform import Transform, rigid
from hexscope.core.warp import Warp
from hexscope.register.climb import climb
from hexscope.register.edges import Edges, edges
from hexscope.register.field import ready
from hexscope.register.judge import judge
from hexscope.register.motion import motion
from hexscope.register.patches import places
from hexscope.register.pyramid import Level
from tests.conftest import OBLIQUE
from tests.register import scene

FIXED = scene.grid((38, 50, 58), (3.0, 2.1, 1.9), OBLIQUE)
OTHER = scene.grid((34, 44, 48), (3.1, 2.3, 2.2), OBLIQUE[:, [1, 2, 0]])
MIDDLE = (0.0, 5.0, 95.0)


@pytest.fixture(scope="module")
def images() -> tuple[Image, Image]:
    return scene.seen(FIXED), scene.seen(OTHER, None, scene.folded)


@pytest.fixture(scope="module")
def sharp() -> Edges:
    fixed, moving = ready(scene.seen(FIXED), scene.seen(OTHER, None, lambda v: 900.0 - 700.0 * v))
    return edges(moving.level, fixed.level, 4.0)


def test_edges_agree_most_in_place_and_say_which_way_is_up(sharp: Edges) -> None:
    at = [sharp.score(rigid((0, 0, 0), (x, 0, 0), MIDDLE).matrix) for x in (0.0, 4.0, 9.0, 400.0)]
    assert at[0] > at[1] > at[2] > at[3] == 0.0
    pose = rigid((2, -1, 3), (2, 3, -2), MIDDLE).matrix
    _, push = sharp.push(pose)
    for axis in range(3):
        way = 0.2 * np.eye(3)[axis]
        there, back = (rigid((0, 0, 0), tuple(s * way), MIDDLE).matrix @ pose for s in (1, -1))
        assert (sharp.score(there) - sharp.score(back)) / 0.4 == pytest.approx(push.force[axis], rel=0.2, abs=5e-4)
    center = pose[:3, :3] @ sharp.samples.center_mm + pose[:3, 3]
    for axis in range(3):
        way = 0.3 * np.eye(3)[axis]
        there, back = (rigid(tuple(s * way), (0, 0, 0), tuple(center)).matrix @ pose for s in (1, -1))
        m = push.moment
        turn = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
        slope = (sharp.score(there) - sharp.score(back)) / np.radians(0.6)
        assert slope == pytest.approx(turn[axis], rel=0.2, abs=2e-2)


def test_edges_alone_find_a_small_motion(sharp: Edges) -> None:
    start = rigid((3, -2, 4), (3, -4, 2), MIDDLE)
    found = climb(sharp, start.matrix, motion("rigid"), step_mm=1.5, stop_mm=0.01, most=60)
    assert scene.error_mm(Transform(found.matrix), Transform()) < 0.5


def test_patches_stay_home_in_place_and_walk_back_where_they_are_shifted(images: tuple[Image, Image]) -> None:
    fixed, again = scene.seen(FIXED), scene.seen(OTHER)
    template, scenery = (field.level for field in ready(again, fixed))
    here = places(template, scenery, np.eye(4))
    assert here.home > 0.6 and here.apart_mm < 2.0
    shift = np.array([4.0, -5.0, 3.0])
    there = places(template, scenery, rigid((0, 0, 0), tuple(shift), MIDDLE).matrix)
    assert there.home < 0.3
    assert np.allclose(np.median(there.shifts_mm, axis=0), -shift, atol=1.5)


def test_patches_in_one_plane_and_on_nothing() -> None:
    rng = np.random.default_rng(3)
    affine = np.diag([1.0, 1.0, 1.0, 1.0])[:, [2, 1, 0, 3]]
    values = np.repeat(np.repeat(rng.random((1, 23, 31)), 3, axis=1), 3, axis=2).astype(np.float32)
    plane = Level(np.ascontiguousarray(values), affine)
    found = places(plane, plane, np.eye(4))
    assert found.home == 1.0 and np.all(found.shifts_mm[:, 2] == 0)
    blank = Level(np.zeros((9, 17, 13), np.float32), affine)
    nothing = places(blank, blank, np.eye(4))
    assert nothing.home == 0.0 and nothing.apart_mm == np.inf


def test_a_transform_of_any_tool_is_judged(images: tuple[Image, Image]) -> None:
    right = judge(*images, Transform(kind="rigid")).certificate
    wrong = judge(*images, rigid((6, -3, 5), (5, -6, 4), MIDDLE)).certificate
    assert right is not None and wrong is not None
    assert right.verdict == "accept" and wrong.verdict != "accept"
    assert right.score > 0.9 > 0.5 > wrong.score
    assert dict(wrong.evidence)["edge_mm"] > 3


def test_a_deformation_is_judged_where_it_brings_the_image(images: tuple[Image, Image]) -> None:
    fixed, moving = images
    still = np.zeros((*FIXED.shape, 3), np.float32)
    bump = still.copy()
    bump[12:26, 15:35, 20:40] = (0.0, 9.0, 0.0)  # torn at its border: it folds
    calm = judge(fixed, moving, Transform.deformable(np.eye(4), Warp(FIXED, still))).certificate
    torn = judge(fixed, moving, Transform.deformable(np.eye(4), Warp(FIXED, bump))).certificate
    assert calm is not None and torn is not None
    assert calm.verdict == "accept" and dict(calm.evidence)["folded"] == 0.0
    assert torn.verdict != "accept" and any("folds" in reason for reason in torn.reasons)


def test_planes_are_judged_too() -> None:
    def plane(image: Image) -> Image:
        grid = image.grid.crop((18, 0, 0), (19, *image.grid.shape[1:]))
        return Image.from_array(np.ascontiguousarray(image.array[18:19]), grid, modality="MR")

    fine = scene.grid((38, 110, 128), (3.0, 1.0, 0.9), OBLIQUE)
    fixed, moving = plane(scene.seen(fine)), plane(scene.seen(fine, None, scene.folded))
    right = judge(fixed, moving, Transform(kind="rigid")).certificate
    off = Transform(rigid((0, 0, 0), tuple(12.0 * OBLIQUE[:, 1]), MIDDLE).matrix, "rigid")
    wrong = judge(fixed, moving, off).certificate
    assert right is not None and wrong is not None
    assert right.verdict == "accept" and wrong.verdict != "accept"
    still = Warp(fixed.grid, np.zeros((*fixed.grid.shape, 3), np.float32))
    bent = judge(fixed, moving, Transform.deformable(np.eye(4), still)).certificate
    assert bent is not None and bent.verdict == "accept"
