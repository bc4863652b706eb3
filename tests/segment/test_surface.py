"""Surfaces: by hand, against the published implementation, and laws that hold for any two structures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hexscope.core.geometry import Array, Grid
from hexscope.core.measure import axes_mm
from hexscope.segment.score import Part
from hexscope.segment.surface import surface, surface_distances

SPACING = np.diag([3.0, 0.7, 0.5])
parts_3d = arrays(bool, (5, 7, 11), elements=st.booleans())
parts_2d = arrays(bool, (7, 11), elements=st.booleans())


def block(*bounds: slice) -> Part:
    part = np.zeros((5, 7, 11), bool)
    part[bounds] = True
    return part


def test_the_area_of_a_block_is_its_sides_less_the_bevel() -> None:
    points, area = surface(block(slice(1, 4), slice(1, 6), slice(2, 9)), SPACING)
    a, b, c = 3 * 3.0, 5 * 0.7, 7 * 0.5  # marching cubes cut edges and corners off
    assert 0.85 * 2 * (a * b + b * c + a * c) < area.sum() < 2 * (a * b + b * c + a * c)
    assert points.min(axis=0) == pytest.approx([0.5 * 3, 0.5 * 0.7, 1.5 * 0.5])
    assert points.max(axis=0) == pytest.approx([3.5 * 3, 5.5 * 0.7, 8.5 * 0.5])


def test_the_outline_of_a_disc_is_its_circumference() -> None:
    y, x = np.mgrid[:101, :161]
    disc = ((y - 50) * 0.7) ** 2 + ((x - 80) * 0.5) ** 2 <= 30.0**2
    _, length = surface(disc, np.diag([0.7, 0.5]))
    assert length.sum() == pytest.approx(2 * np.pi * 30, rel=0.07)  # diagonal steps are longer than the arc


def test_a_shift_is_seen_in_mm() -> None:
    a, b = block(slice(1, 3), slice(1, 4), slice(2, 6)), block(slice(2, 4), slice(1, 4), slice(2, 6))
    apart = surface_distances(a, b, SPACING)
    assert apart.hausdorff(100) == 3.0
    assert apart.dice(2.99) < apart.dice(3.0) == 1.0


def test_empty_structures() -> None:
    nothing, something = block(slice(0, 0)), block(slice(1, 3))
    both = surface_distances(nothing, nothing, SPACING)
    assert (both.dice(1), both.hausdorff(), both.mean()) == (1.0, 0.0, 0.0)
    for a, b in ((nothing, something), (something, nothing)):
        one = surface_distances(a, b, SPACING)
        assert (one.dice(1), one.hausdorff(), one.mean()) == (0.0, None, None)


def smooth(seed: int, shape: tuple[int, ...]) -> Part:
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.0)
    return np.asarray(noise > np.quantile(noise, 0.7))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # theirs
@pytest.mark.parametrize("spacing", [(3.0, 0.7, 0.5), (1.0, 1.0, 1.0), (0.7, 0.5)])
def test_against_the_published_implementation(spacing: tuple[float, ...]) -> None:
    published = pytest.importorskip("surface_distance", reason="pip install hexscope[test] brings surface-distance")
    shape = (15, 27, 31)[-len(spacing) :]
    for seed in range(6):
        a, b = smooth(2 * seed, shape), smooth(2 * seed + 1, shape)
        ours = surface_distances(a, b, np.diag(spacing))
        theirs = published.compute_surface_distances(a, b, spacing)
        # planes: the same to the last digit; volumes: areas of bent polygons differ a little
        near = 1e-9 if len(spacing) == 2 else 0.003
        for tolerance in (0.5, 1.0, 2.0):
            wanted = published.compute_surface_dice_at_tolerance(theirs, tolerance)
            assert ours.dice(tolerance) == pytest.approx(wanted, abs=near)
        assert ours.hausdorff(100) == pytest.approx(published.compute_robust_hausdorff(theirs, 100), abs=1e-9)
        assert ours.hausdorff(95) == pytest.approx(published.compute_robust_hausdorff(theirs, 95), rel=0.03)
        one, other = published.compute_average_surface_distance(theirs)
        assert min(one, other) - 0.02 <= (ours.mean() or 0) <= max(one, other) + 0.02


@settings(max_examples=25)
@given(parts_3d, parts_3d, st.sampled_from([0.5, 0.7, 3.0]))
def test_symmetry_bounds_and_flips(a: Part, b: Part, tolerance: float) -> None:
    apart, back = surface_distances(a, b, SPACING), surface_distances(b, a, SPACING)
    assert 0.0 <= apart.dice(tolerance) <= 1.0 + 1e-12
    assert apart.dice(tolerance) == pytest.approx(back.dice(tolerance))
    assert apart.hausdorff() == pytest.approx(back.hausdorff())
    for axis in range(3):
        flipped = surface_distances(np.flip(a, axis), np.flip(b, axis), SPACING)
        assert flipped.dice(tolerance) == pytest.approx(apart.dice(tolerance))
        assert flipped.mean() == pytest.approx(apart.mean())


@given(parts_2d)
def test_a_structure_agrees_with_itself(a: Part) -> None:
    apart = surface_distances(a, a, np.diag([0.7, 0.5]))
    assert apart.dice(0.0) == 1.0 and apart.hausdorff() == apart.mean() == 0.0


@settings(max_examples=40)
@given(parts_3d, parts_3d, st.floats(0.1, 10))
def test_distances_grow_with_the_spacing(a: Part, b: Part, scale: float) -> None:
    one, scaled = surface_distances(a, b, SPACING), surface_distances(a, b, scale * SPACING)
    for small, large in ((one.hausdorff(100), scaled.hausdorff(100)), (one.mean(), scaled.mean())):
        assert (small is None) == (large is None)
        if small is not None and large is not None:
            assert large == pytest.approx(scale * small)


def test_a_turned_volume_has_the_same_distances(oblique_grid: Grid) -> None:
    a, b = smooth(1, (5, 7, 11)), smooth(2, (5, 7, 11))
    turned: Array = axes_mm(oblique_grid)
    straight, oblique = surface_distances(a, b, SPACING), surface_distances(a, b, turned)
    assert oblique.hausdorff() == pytest.approx(straight.hausdorff())
    assert oblique.dice(0.6) == pytest.approx(straight.dice(0.6))


def test_a_sheared_grid_is_measured_where_its_pixels_lie() -> None:
    sheared = np.array([[3.0, 0, 0], [2.0, 0.7, 0], [0, 0, 0.5]])
    a, b = block(slice(1, 2), slice(2, 5), slice(3, 7)), block(slice(2, 3), slice(2, 5), slice(3, 7))
    exact = surface_distances(a, b, sheared).of_truth
    points, _ = surface(a, sheared)
    others, _ = surface(b, sheared)
    brute = np.linalg.norm(points[:, None] - others[None], axis=-1).min(axis=1)
    assert exact == pytest.approx(brute)
