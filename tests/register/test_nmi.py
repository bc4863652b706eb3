"""The score and its gradient, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from hexscope.core.image import Image
from hexscope.core.transform import rigid
from hexscope.kernels.histogram import count
from hexscope.register.nmi import Similarity, _gathered, _spread, draw
from hexscope.register.pyramid import VOID, Level, coarsen, scaled, soften
from tests.conftest import OBLIQUE
from tests.register import scene


@given(seed=st.integers(0, 2**31), flat=st.booleans())
@settings(max_examples=20, deadline=None)
def test_counts_and_slopes_are_what_scipy_says(seed: int, flat: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = np.array([1 if flat else 5, 7, 11])
    values = rng.random(shape).astype(np.float32)
    points = rng.uniform(-1.5, shape + 0.5, (300, 3)).astype(np.float32)
    rows = rng.integers(0, 9, 300).astype(np.int32)
    counts, felt = np.zeros((1, 9, 13), np.float32), np.empty((300, 8), np.float32)
    scene = values.ravel(), shape.astype(np.int64)
    count(points, rows, *scene, np.eye(3, 4, dtype=np.float32)[None], counts, felt, 300, 0, 1)
    inside = np.all((points >= -0.5) & (points <= shape - 0.5), axis=1)
    assert np.array_equal(felt[:, 3] >= 0, inside)
    held = np.clip(points[inside], 0, shape - 1)
    expected = map_coordinates(values, held.T, order=1, mode="nearest")
    assert np.allclose(felt[inside, 3] / 12, expected, atol=1e-5)
    margin = np.minimum(points, shape - 1 - points)[inside] + 0.5
    weights = np.prod(np.where(shape == 1, 1, np.minimum(margin / 2, 1)), axis=1)
    assert np.allclose(felt[inside, 4], weights, atol=1e-5)
    assert np.allclose(counts[0].sum(axis=1), np.bincount(rows[inside], weights, minlength=9), atol=1e-3)
    mean = (counts[0].sum(axis=0) * np.arange(13)).sum() / 12 / weights.sum()
    assert mean == pytest.approx((expected * weights).sum() / weights.sum(), abs=1e-5)
    step = np.float32(1e-2)
    for axis in range(3):
        there = points[inside].copy()
        there[:, axis] += step
        within = (there < shape - 1) & (points[inside] > 0)
        same_cell = np.all(within & (np.floor(there) == np.floor(held)), axis=1)
        moved = map_coordinates(values, there.T, order=1, mode="nearest")
        assert np.allclose((moved - expected)[same_cell] / step, felt[inside][same_cell, axis] / 12, atol=2e-3)


@pytest.mark.parametrize("bins", [3, 16, 71])
def test_a_window_loses_no_count(bins: int) -> None:
    rng = np.random.default_rng(bins)
    counts, slopes = rng.random((2, 3, bins, bins))
    apart = np.subtract.outer(np.arange(bins), np.arange(bins))
    window = np.exp(-0.5 * apart**2)
    window /= window.sum(axis=0)
    assert np.allclose(_spread(counts), window @ counts @ window.T, atol=2e-5)
    assert np.allclose(_gathered(slopes), window.T @ slopes @ window, atol=2e-5)
    assert np.allclose(_spread(counts).sum(axis=(1, 2)), counts.sum(axis=(1, 2)))


def test_what_touches_void_is_outside() -> None:
    values = np.ones((5, 7, 11), np.float32)
    values[2, 3, 4] = VOID
    level = Level(values, np.diag([3.0, 0.7, 0.5, 1.0]))
    similarity = Similarity(draw(Level(np.ones((5, 7, 11), np.float32), level.affine), 4000, 0), level, 8)
    spoilt = 8 / (4 * 6 * 10)  # the cells about one voxel
    whole = Similarity(similarity.samples, Level(np.ones((5, 7, 11), np.float32), level.affine), 8)
    assert similarity.overlap(np.eye(4)) == pytest.approx(whole.overlap(np.eye(4)) - spoilt, abs=0.01)
    assert len(draw(level, 4000, 0).values) == pytest.approx(4000 * (1 - spoilt), abs=40)


def test_blocks_and_threads_change_no_byte(pair: tuple[Level, Level], monkeypatch: pytest.MonkeyPatch) -> None:
    similarity = Similarity(draw(pair[1], 40_000, 1), pair[0], 32)
    pose = rigid((3, -2, 4), (2, 3, -2), (0, 0, 100)).matrix
    found = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("HEXSCOPE_THREADS", threads)
        score, push = similarity.push(pose)
        found.append((score, push.force.tobytes(), push.moment.tobytes()))
    assert found[0] == found[1] == found[2]


@pytest.fixture(scope="module")
def pair() -> tuple[Level, Level]:
    a = scene.grid((38, 50, 58), (3.0, 2.1, 1.9), OBLIQUE)
    b = scene.grid((30, 44, 48), (3.1, 2.3, 2.2), OBLIQUE[:, [1, 2, 0]])
    return _level(scene.seen(a)), _level(scene.seen(b, None, scene.folded))


def _level(image: Image) -> Level:
    return Level(scaled(image.array), image.grid.require_affine("a test"))


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


def test_the_gradient_knows_of_what_leaves_the_field(pair: tuple[Level, Level]) -> None:
    """Where a third of the samples is outside, the slope by a shift is that of the score, the toll among it."""
    for toll in (0.0, 1.0):
        similarity = Similarity(draw(coarsen(pair[1], 5.0), 40_000, 1), coarsen(pair[0], 5.0), 24, toll)
        pose = rigid((3, -2, 4), (38, -30, 33), (0, 0, 100)).matrix
        assert 0.2 < similarity.overlap(pose) < 0.6
        _, push = similarity.push(pose)
        for axis in range(3):
            way = 1.5 * np.eye(3)[axis]
            there, back = (rigid((0, 0, 0), tuple(s * way), (0, 0, 0)).matrix @ pose for s in (1, -1))
            slope = (similarity.score(there) - similarity.score(back)) / 3.0
            assert slope == pytest.approx(push.force[axis], rel=0.15, abs=4e-5)


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


def test_thinning_moves_no_point() -> None:
    """A ramp stays the same ramp, whatever is averaged: the grid is right to the voxel's fraction."""
    affine = np.eye(4)
    affine[:3, :3] = OBLIQUE * np.array([3.0, 0.7, 0.5])
    affine[:3, 3] = [-31.0, 12.0, 40.0]
    index = np.stack(np.meshgrid(*[np.arange(n) for n in (25, 47, 59)], indexing="ij"), axis=-1)
    slope = np.array([0.011, -0.004, 0.006])
    ramp = (5 + (index @ affine[:3, :3].T + affine[:3, 3]) @ slope).astype(np.float32)
    thin = coarsen(Level(ramp, affine), 3.6)
    assert thin.values.shape == (25, 9, 8)
    there = np.stack(np.meshgrid(*[np.arange(n) for n in thin.values.shape], indexing="ij"), axis=-1)
    assert np.allclose(5 + thin.world(there.astype(float)) @ slope, thin.values, atol=1e-4)


def test_thinning_keeps_void_apart() -> None:
    values = np.full((16, 16, 24), 0.5, np.float32)
    values[:, :5] = VOID
    thin = coarsen(Level(values, np.eye(4)), 2.0)
    assert thin.values.shape == (8, 8, 12)
    assert np.all(thin.values[:, :2] == VOID) and np.all(thin.values[:, 3:] == 0.5)


def test_averages_are_of_what_is_known() -> None:
    values = np.full((12, 30, 24), 0.5, np.float32)
    values[:, :7] = VOID
    level = Level(values, np.diag([3.0, 0.7, 0.5, 1.0]))
    assert level.known == pytest.approx(23 / 30) and level.volume_mm3 == pytest.approx(12 * 23 * 24 * 1.05)
    assert level.center_mm == pytest.approx([5.5 * 3.0, 18 * 0.7, 11.5 * 0.5])
    soft = soften(level, 0.9).values
    assert np.array_equal(soft == VOID, values == VOID) and np.allclose(soft[values >= 0], 0.5)
    for resolution_mm, void in (
        (1.4, 3),
        (2.1, 2),
    ):  # blocks of 2 and 3 rows: one is known by half or more
        thin = coarsen(level, resolution_mm).values
        assert np.all(thin[:, :void] == VOID) and np.allclose(thin[:, void:], 0.5)
