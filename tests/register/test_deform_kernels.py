"""The compiled loops of the deformable engine against plain NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.kernels import choice
from hexscope.kernels import field as field_kernels
from hexscope.register.context import Context
from hexscope.register.flow import Correlation, Flow, Room, blur, taps
from hexscope.register.stages import SPEEDS, Stage, cells_of, shrunk
from hexscope.register.unfold import corner_volumes, inverse, made_mutual, refined, unfolded

Floats = NDArray[np.float32]
SHAPE = (13, 18, 23)


def stage(cells: tuple[int, int, int]) -> Stage:
    return Stage((1, 1, 1), cells, np.array([1.0, 1.0, 1.0]), np.ones(3), 3, 0, SPEEDS["fast"].large)


def smooth_noise(seed: int, sigma: float, shape: tuple[int, ...] = SHAPE) -> Floats:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)
    return np.asarray((noise - noise.min()) / (noise.max() - noise.min()), dtype=np.float32)


def smooth_field(seed: int, longest: float, shape: tuple[int, ...] = SHAPE, sigma: float = 3.0) -> Floats:
    rng = np.random.default_rng(seed)
    field = np.stack([ndimage.gaussian_filter(rng.standard_normal(shape), sigma) for _ in range(3)])
    return np.asarray(field * longest / np.sqrt((field**2).sum(axis=0)).max(), dtype=np.float32)


def at(volume: Floats, field: Floats) -> Floats:
    places = np.indices(volume.shape).astype(np.float64) + field
    return np.asarray(ndimage.map_coordinates(volume.astype(np.float64), places, order=1, mode="nearest"))


@pytest.mark.parametrize("cells", [(1, 1, 1), (2, 2, 2), (1, 2, 2)])
@pytest.mark.parametrize("likeness", [Correlation, Context])
def test_the_slope_is_that_of_the_value(likeness: Callable[..., Correlation], cells: tuple[int, int, int]) -> None:
    """Along each axis the likeness rises as the slope says, but for one factor: the two are coded apart."""
    still = smooth_noise(0, 3.0)
    moving = at(smooth_noise(0, 3.0), smooth_field(1, 0.8)).astype(np.float32)
    count = cells_of(SHAPE, cells)
    weight = np.ones(count, np.float32)
    similarity = likeness(still, moving, weight, stage(cells), Room(SHAPE, count, 8))
    field = smooth_field(2, 0.3, count)
    slope = similarity.slope(field).copy()
    inner = np.zeros(count, np.float32)
    inner[3:-3, 3:-3, 3:-3] = 1  # at the faces the slope is left out
    shares = []
    for axis in range(3):
        way = np.zeros_like(field)
        way[axis] = ndimage.gaussian_filter(slope[axis] * inner, 1.0)
        way *= np.float32(0.03) / np.abs(way).max()
        values = []
        for sign in (1, -1):
            similarity.slope((field + sign * way).astype(np.float32))
            values.append(similarity.value)
        voxels = way * np.array(cells, np.float32)[:, None, None, None]
        shares.append((values[0] - values[1]) / float((slope * voxels).sum()))
    assert min(shares) > 0
    assert max(shares) < 1.35 * min(shares)


def test_correlation_of_an_image_with_itself_is_one_and_wants_no_change() -> None:
    image = smooth_noise(3, 1.5)
    weight = np.ones(SHAPE, np.float32)
    similarity = Correlation(image, 0.5 * image + np.float32(0.2), weight, stage((1, 1, 1)), Room(SHAPE, SHAPE, 8))
    slope = np.linalg.norm(similarity.slope(np.zeros((3, *SHAPE), np.float32)), axis=0).mean()
    assert similarity.value == pytest.approx(1.0, abs=0.02)
    moved = np.linalg.norm(similarity.slope(smooth_field(3, 1.0)), axis=0).mean()
    assert slope < 0.1 * moved and similarity.value < 0.97


def test_blur_is_a_gaussian() -> None:
    field = smooth_field(4, 2.0)
    weights = taps(np.array([0.9, 1.7, 1.7]))
    done = field.copy()
    blur(done, weights, np.empty_like(done), np.empty((SHAPE[0], 1, SHAPE[2] + 20), np.float32))
    expected = field.astype(np.float64)
    for axis, w in enumerate(weights, start=1):
        expected = ndimage.correlate1d(expected, np.concatenate([w[:0:-1], w]), axis=axis, mode="nearest")
    assert np.abs(done - expected).max() < 1e-5
    assert sum(w[0] + 2 * w[1:].sum() for w in weights) == pytest.approx(3.0, abs=1e-5)


def composed(outer: Floats, inner: Floats) -> Floats:
    """The field of outer ∘ inner."""
    out = np.empty_like(outer)
    as_it_is = np.array([1, 1, 1, 1, 1, 1, 1e9], np.float32)
    field_kernels.compose(outer, inner, as_it_is, out, 0, outer.shape[1])
    return out


def test_composing_reads_the_outer_field_where_the_inner_leads() -> None:
    outer, inner = smooth_field(5, 2.0), smooth_field(6, 3.0)
    expected = np.stack([at(component, inner) for component in outer]) + inner
    assert np.abs(composed(outer, inner) - expected).max() < 1e-4


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), longest=st.floats(0.1, 2.5))
def test_the_inverse_is_one(seed: int, longest: float) -> None:
    field = smooth_field(seed, longest, (16, 19, 23))
    if corner_volumes(field).min() < 0.2:
        return
    back = inverse(field)
    left = np.linalg.norm(composed(field, back), axis=0)[3:-3, 3:-3, 3:-3]
    assert left.max() < 0.1


def test_two_directions_are_made_mutual() -> None:
    there, back = smooth_field(8, 1.5, sigma=4.0), smooth_field(9, 1.5, sigma=4.0)
    both = made_mutual(there, back)
    gap = [np.linalg.norm(composed(a, b), axis=0)[4:-4, 4:-4, 4:-4].mean() for a, b in ((there, back), both)]
    assert gap[1] < 0.3 * gap[0]


def test_corner_volumes_are_determinants_at_corners() -> None:
    field = smooth_field(10, 2.0, sigma=2.0)
    z, y, x = 5, 7, 9
    least = np.inf
    for steps in np.ndindex(2, 2, 2):
        jacobian = np.eye(3)
        for axis, before in enumerate(steps):
            low = np.array([z, y, x]) - np.eye(3, dtype=int)[axis] * before
            high = low + np.eye(3, dtype=int)[axis]
            jacobian[:, axis] += field[(slice(None), *high)] - field[(slice(None), *low)]
        least = min(least, float(np.linalg.det(jacobian)))
    assert corner_volumes(field)[z, y, x] == pytest.approx(least, abs=1e-4)


def test_folds_are_smoothed_away_and_nothing_else_is_touched() -> None:
    field = smooth_field(11, 0.8, (20, 24, 30))
    field[2, 8:10, 10:12, 12] += 2.5
    assert corner_volumes(field).min() < 0
    mended, count = unfolded(field.copy())
    assert corner_volumes(mended).min() > 0 and count > 0
    assert np.array_equal(mended[:, :, :, 25:], field[:, :, :, 25:])
    same, none = unfolded(smooth_field(11, 0.8, (20, 24, 30)))
    assert none == 0 and np.array_equal(same, smooth_field(11, 0.8, (20, 24, 30)))


@pytest.mark.parametrize("factors", [(2, 2, 2), (1, 2, 2), (1, 4, 2)])
def test_a_refined_field_leads_the_same_way(factors: tuple[int, int, int]) -> None:
    """A linear field, whose refinement is known: its cells' centres lie in the middle of their voxels."""
    fine = tuple(n * k - (k > 1) for n, k in zip((6, 7, 8), factors, strict=True))
    slopes = np.array([[0.1, -0.2, 0.05], [0.0, 0.1, 0.3], [0.2, 0.0, -0.1]])
    k = np.array(factors)[:, None, None, None]
    centers = np.indices((6, 7, 8)) * k + (k - 1) / 2
    field = (np.tensordot(slopes, centers, 1) / k).astype(np.float32)
    found = refined(field, np.array(factors, np.int64), fine)
    expected = np.tensordot(slopes, np.indices(fine).astype(np.float64), 1)
    inner = tuple(slice(k, n - k) for n, k in zip(fine, factors, strict=True))
    assert np.abs(found - expected)[(slice(None), *inner)].max() < 1e-4


def test_shrinking_takes_the_mean_of_what_is_there() -> None:
    volume = smooth_noise(12, 1.0, (5, 7, 11))
    small = shrunk(volume, (2, 2, 4))
    assert small.shape == (3, 4, 3)
    assert small[0, 0, 0] == pytest.approx(volume[:2, :2, :4].mean(), abs=1e-6)
    assert small[2, 3, 2] == pytest.approx(volume[4:, 6:, 8:].mean(), abs=1e-6)


class Nothing:
    """A likeness that wants no change."""

    active, value = 1.0, 0.0

    def slope(self, field: Floats) -> Floats:
        return np.zeros_like(field)


def test_swelling_is_evened_out_and_shear_left_alone() -> None:
    """One round is a step down the sum of squared divergences, along its exact slope; a shear has none."""
    mm = np.array([3.0, 1.5, 2.0])
    effort = replace(SPEEDS["fast"].small, field_sigma=0.0, step_sigma=0.0, evens=0.1)
    here = Stage((1, 1, 1), (1, 1, 1), mm, np.ones(3), 1, 0, effort)
    field = smooth_field(5, 2.0)
    flow = Flow(Nothing(), field.copy(), here, Room(SHAPE, SHAPE, 8))
    flow.rounds(1)
    swelling = sum(np.diff(field[a], axis=a, prepend=field[a].take([0], axis=a)) for a in range(3))
    assert not isinstance(swelling, int)
    for axis in range(3):
        rate = 0.1 * (mm.min() / mm[axis]) ** 2
        expected = rate * np.diff(swelling, axis=axis, append=swelling.take([-1], axis=axis))
        assert np.allclose(flow.field[axis] - field[axis], expected, atol=1e-5)
    shear = np.zeros_like(field)
    shear[0] = np.sin(np.arange(SHAPE[2]) / 2)
    flow = Flow(Nothing(), shear.copy(), here, Room(SHAPE, SHAPE, 8))
    flow.rounds(3)
    assert np.allclose(flow.field, shear, atol=1e-6)


def test_of_many_steps_the_one_that_costs_least_is_chosen() -> None:
    rng = np.random.default_rng(3)
    steps = np.stack(np.meshgrid(*[np.arange(-r, r + 1.0) for r in (1, 2, 4)], indexing="ij"), axis=-1).reshape(-1, 3)
    costs = rng.random((3, 5, 7, len(steps))).astype(np.float32)
    field = rng.normal(0, 1, (3, 3, 5, 7)).astype(np.float32)
    tie = 0.05
    away = (steps - np.moveaxis(field, 0, -1)[..., None, :]) ** 2
    expected = steps[(costs + tie * away.sum(axis=-1)).argmin(axis=-1)]

    known = np.stack([*steps.T, (steps**2).sum(axis=1)]).astype(np.float32)
    found, apart = np.empty_like(field), np.empty(costs.shape[:3], np.float32)
    choice.closest(costs, known, tie, field, np.empty((3, len(steps)), np.float32), found, 0, 3)
    choice.deviations(costs, apart, 0, 3)
    assert np.array_equal(np.moveaxis(found, 0, -1), expected.astype(np.float32))
    assert apart == pytest.approx(costs.std(axis=-1), rel=1e-5)
