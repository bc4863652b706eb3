"""The score and its gradient, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from hexscope.core.transform import rigid
from hexscope.register.nmi import Similarity, draw, trilinear
from hexscope.register.pyramid import Level, coarsen, prepare
from tests.conftest import OBLIQUE
from tests.register import scene


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_trilinear_is_what_scipy_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((5, 7, 11)).astype(np.float32)
    index = rng.uniform(-1, [5, 7, 11], (200, 3)).astype(np.float32)
    found, slopes, inside = trilinear(values, index, slopes=True)
    assert np.array_equal(inside, np.all((index >= 0) & (index <= [4, 6, 10]), axis=1))
    expected = map_coordinates(values, index[inside].T, order=1)
    assert np.allclose(found, expected, atol=1e-5)
    step = np.float32(1e-2)
    for axis in range(3):
        there = index[inside].copy()
        there[:, axis] += step
        same_cell = np.all((there <= [4, 6, 10]) & (np.floor(there) == np.floor(index[inside])), axis=1)
        moved = map_coordinates(values, there.T, order=1)
        assert np.allclose((moved - expected)[same_cell] / step, slopes[same_cell, axis], atol=2e-3)


def test_the_corner_voxel_counts_as_inside() -> None:
    values = np.arange(5 * 7 * 11, dtype=np.float32).reshape(5, 7, 11)
    found, _, inside = trilinear(values, np.array([[4, 6, 10], [4, 6, 10.01]], np.float32), slopes=False)
    assert inside.tolist() == [True, False] and found[0] == values[4, 6, 10]


@pytest.fixture(scope="module")
def pair() -> tuple[Level, Level]:
    a = scene.grid((38, 50, 58), (3.0, 2.1, 1.9), OBLIQUE)
    b = scene.grid((30, 44, 48), (3.1, 2.3, 2.2), OBLIQUE[:, [1, 2, 0]])
    return prepare(scene.seen(a)), prepare(scene.seen(b, None, scene.folded))


def test_the_gradient_is_the_slope_of_the_score(pair: tuple[Level, Level]) -> None:
    similarity = Similarity(draw(coarsen(pair[1], 5.0), 20_000, 1), coarsen(pair[0], 5.0), 24)
    pose = rigid((3, -2, 4), (2, 3, -2), (0, 0, 100)).matrix
    _, push = similarity.push(pose)
    center = pose[:3, :3] @ similarity.samples.center_mm + pose[:3, 3]
    for axis in range(3):
        way = np.eye(3)[axis]
        there, back = (rigid((0, 0, 0), tuple(s * 0.3 * way), (0, 0, 0)).matrix @ pose for s in (1, -1))
        slope = (similarity.score(there) - similarity.score(back)) / 0.6
        assert slope == pytest.approx(push.force[axis], rel=0.15, abs=1e-4)
        there, back = (rigid(tuple(s * 0.5 * way), (0, 0, 0), tuple(center)).matrix @ pose for s in (1, -1))
        slope = (similarity.score(there) - similarity.score(back)) / np.radians(1.0)
        m = push.moment
        turn = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
        assert slope == pytest.approx(turn[axis], rel=0.15, abs=4e-3)


def test_the_score_is_best_in_place_and_falls_without_overlap(pair: tuple[Level, Level]) -> None:
    similarity = Similarity(draw(coarsen(pair[1], 5.0), 8000, 0), coarsen(pair[0], 5.0), 24)
    at = [similarity.score(rigid((0, 0, 0), (x, 0, 0), (0, 0, 0)).matrix) for x in (0.0, 5.0, 10.0, 500.0)]
    assert at[0] > at[1] > at[2] > at[3] == 0.0


def test_samples_fill_the_field_evenly(pair: tuple[Level, Level]) -> None:
    level = pair[0]
    samples = draw(level, 8000, 5)
    index = np.linalg.solve(level.affine[:3, :3], (samples.points_mm + samples.center_mm - level.affine[:3, 3]).T).T
    unit = index / (np.array(level.values.shape) - 1)
    counts, _ = np.histogramdd(unit, bins=5, range=[(0, 1)] * 3)
    assert abs(counts / 64 - 1).max() < 0.15


def test_thinning_moves_no_point(pair: tuple[Level, Level]) -> None:
    level = pair[0]
    thin = coarsen(level, 9.0)
    assert thin.values.size < level.values.size / 20
    assert np.linalg.norm(thin.center_mm - level.center_mm) < 3.0
    index = np.array(thin.values.shape) // 2
    there = np.linalg.solve(level.affine[:3, :3], thin.world(index.astype(float)) - level.affine[:3, 3])
    assert np.allclose(there, np.round(there), atol=1e-9)
