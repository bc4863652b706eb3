"""Blank surroundings of a volume that was turned and resampled, and what only looks like them."""

from __future__ import annotations

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.resample import resample
from hexscope.core.transform import Transform, rigid
from hexscope.register import register
from hexscope.register.field import ready
from hexscope.register.padding import beside_padding
from hexscope.register.pair import paired, stretched
from hexscope.register.search import find, ladder
from tests.register import scene
from tests.register.test_register import FIXED, MOTION, UPRIGHT

TURN = rigid((31.0, -17.0, 24.0), (6.0, -4.0, 9.0), (0.0, 5.0, 95.0))


@pytest.fixture(scope="module")
def still() -> Image:
    return scene.seen(scene.grid((30, 44, 48), (3.1, 2.3, 2.2), UPRIGHT), MOTION, scene.folded)


@pytest.fixture(scope="module")
def turned(still: Image) -> Image:
    """Turned, and resampled into a field of other spacing that holds all of it: zeros about it."""
    affine = UPRIGHT * np.array([2.9, 2.4, 2.1])
    corners = TURN.points(still.grid.corners_mm())
    index = (corners - corners.mean(axis=0)) @ np.linalg.inv(affine).T
    low, high = np.floor(index.min(axis=0)) - 2, np.ceil(index.max(axis=0)) + 2
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = affine, corners.mean(axis=0) + affine @ low
    shape = tuple(int(n) for n in high - low + 1)
    return resample(still, Grid((shape[0], shape[1], shape[2]), matrix), through=TURN)


def test_what_is_known_is_the_box(still: Image, turned: Image) -> None:
    known = beside_padding(np.asarray(turned.array))
    assert known is not None
    sides = turned.grid.to_world(np.argwhere(known)), turned.grid.to_world(np.argwhere(~known))
    inside, outside = (still.grid.to_index(TURN.inverse.points(points)) for points in sides)
    last = np.array(still.grid.shape) - 1
    assert np.all((inside > -0.51) & (inside < last + 0.51))
    deep = np.all((outside > 2) & (outside < last - 2), axis=1)
    assert not deep.any()


def test_a_motion_of_the_pixels_is_undone(still: Image, turned: Image) -> None:
    def found(moving: Image) -> Transform:
        rungs = ladder(*ready(scene.seen(FIXED), moving), 0)
        return Transform(rungs.moving_to_fixed(find(rungs)[0].matrix))

    assert scene.error_mm(found(turned) @ TURN, found(still)) < 0.8


def test_it_counts_in_no_deformation_and_is_told(still: Image, turned: Image) -> None:
    known = beside_padding(np.asarray(turned.array))
    assert known is not None
    pair = paired(turned, turned, np.eye(4))
    low = pair.affine[:3, 3] - np.asarray(turned.grid.affine)[:3, 3]
    start = np.round(np.linalg.solve(np.asarray(turned.grid.affine)[:3, :3], low)).astype(int)
    part = known[tuple(slice(a, a + n) for a, n in zip(start, pair.weight.shape, strict=True))]
    assert not pair.weight[~part].any() and pair.weight[part].any()
    inside = np.asarray(turned.array)[known]
    assert np.percentile(stretched(np.asarray(turned.array), known)[known], 50) == pytest.approx(
        (np.median(inside) - np.percentile(inside, 0.5)) / np.ptp(np.percentile(inside, [0.5, 99.5])), abs=0.02
    )
    notes = [field.notes for field in ready(still, turned)]
    assert notes[0] == () and "blank surroundings" in notes[1][0]
    assert any("blank surroundings" in step for step in register(still, turned).steps)


def _blank_but(inside: np.ndarray) -> np.ndarray:
    values = np.random.default_rng(0).normal(100, 10, inside.shape)
    return np.where(inside, values, 0.0)


def test_what_is_no_box_stays() -> None:
    z, y, x = np.meshgrid(np.linspace(-1, 1, 31), np.linspace(-1, 1, 44), np.linspace(-1, 1, 52), indexing="ij")
    head = (z / 0.9) ** 2 + (y / 0.8) ** 2 + (x / 0.7) ** 2 < 1
    tube = (y / 0.8) ** 2 + (x / 0.8) ** 2 < 1
    notched = (abs(z) < 0.7) & (abs(y) < 0.7) & (abs(x) < 0.7) & ~((z > 0) & (y > 0))
    box = (abs(z + 0.2 * x) < 0.6) & (abs(y - 0.3 * z) < 0.6) & (abs(x) < 0.6)
    everywhere = np.ones(box.shape, bool)
    told = [beside_padding(_blank_but(shape)) is not None for shape in (head, tube, notched, everywhere, box)]
    assert told == [False, False, False, False, True]


@pytest.mark.parametrize("array", [np.zeros((9, 10, 11)), np.eye(12)[None].repeat(12, axis=0), np.zeros((1, 20, 20))])
def test_nothing_to_see_is_no_box(array: np.ndarray) -> None:
    assert beside_padding(array) is None
