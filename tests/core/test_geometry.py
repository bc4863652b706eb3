from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexscope.core.geometry import Grid, flip_lps_ras, reverse_axes
from hexscope.errors import GeometryError, UncalibratedError
from tests.core.strategies import grids


def every_index(grid: Grid) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1).reshape(-1, grid.ndim)


@given(grids())
def test_index_to_mm_to_index_is_identity(grid: Grid) -> None:
    index = every_index(grid)
    assert np.allclose(grid.to_index(grid.to_world(index)), index, atol=1e-6)


@given(grids(), st.integers(0, 2))
def test_flip_moves_no_voxel(grid: Grid, axis: int) -> None:
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    before = {v: tuple(p) for v, p in zip(array.ravel(), grid.to_world(every_index(grid)).round(6), strict=True)}
    flipped = np.flip(array, axis)
    after = grid.flip(axis).to_world(every_index(grid)).round(6)
    assert all(np.allclose(before[v], p, atol=1e-5) for v, p in zip(flipped.ravel(), after, strict=True))


@given(grids(), st.permutations([0, 1, 2]))
def test_permute_moves_no_voxel(grid: Grid, order: list[int]) -> None:
    index = every_index(grid)
    assert np.allclose(grid.permute(order).to_world(index[:, order]), grid.to_world(index), atol=1e-6)


@given(grids())
def test_crop_moves_no_voxel(grid: Grid) -> None:
    start = tuple(n // 3 for n in grid.shape)
    part = grid.crop(start, grid.shape)
    assert np.allclose(part.to_world((0, 0, 0)), grid.to_world(start), atol=1e-9)
    assert part.shape == tuple(n - s for n, s in zip(grid.shape, start, strict=True))


@given(grids())
def test_with_shape_keeps_centre_and_extent(grid: Grid) -> None:
    other = grid.with_shape((4, 9, 15))
    assert np.allclose(other.center_mm, grid.center_mm, atol=1e-6)
    assert grid.spacing_mm is not None and other.spacing_mm is not None
    assert np.allclose(np.multiply(other.shape, other.spacing_mm), np.multiply(grid.shape, grid.spacing_mm))


@given(grids())
def test_lps_to_ras_and_back(grid: Grid) -> None:
    assert grid.affine is not None
    assert np.allclose(flip_lps_ras(flip_lps_ras(grid.affine)), grid.affine)
    points = grid.corners_mm()
    assert np.allclose(flip_lps_ras(points), points * [-1, -1, 1])
    assert np.allclose(reverse_axes(reverse_axes(grid.affine)), grid.affine)


def test_known_place(oblique_grid: Grid) -> None:
    assert oblique_grid.spacing == pytest.approx((3.0, 0.7, 0.5))
    assert oblique_grid.to_world((0, 0, 0)) == pytest.approx((-31.5, 17.25, 102.0))
    assert oblique_grid.voxel_volume_ml == pytest.approx(3.0 * 0.7 * 0.5 / 1000)
    assert oblique_grid.affine_lps_mm is not None


def test_tilted_gantry_is_sheared_and_measured_right() -> None:
    affine = np.array([[0, 0, 0.5, -10], [0, 0.7, 0, 20], [3.0, 0, 0, 30], [0, 0, 0, 1.0]])
    assert not Grid((5, 7, 11), affine).is_sheared
    affine[1, 0] = 1.2  # each slice is shifted along y
    tilted = Grid((5, 7, 11), affine)
    assert tilted.is_sheared
    assert tilted.voxel_volume_ml == pytest.approx(3.0 * 0.7 * 0.5 / 1000)


def test_a_plane_in_space() -> None:
    affine = np.array([[0.0, 0.5, -10], [0.7, 0, 20], [0, 0, 30], [0, 0, 1]])
    plane = Grid((7, 11), affine)
    assert plane.spacing == pytest.approx((0.7, 0.5))
    assert plane.to_world((2, 4)) == pytest.approx((-8, 21.4, 30))
    assert plane.to_index((-8, 21.4, 999)) == pytest.approx((2, 4))
    assert plane.voxel_volume_ml is None and plane.affine_lps_mm is None


def test_uncalibrated_says_what_to_do() -> None:
    grid = Grid((7, 11), plane="unknown")
    assert grid.spacing is None
    with pytest.raises(UncalibratedError, match="spacing_mm"):
        grid.require_spacing("a diameter in mm")
    assert grid.calibrated((0.7, 0.5)).spacing == (0.7, 0.5)


def test_a_calibration_never_overrules_the_file(oblique_grid: Grid) -> None:
    with pytest.raises(GeometryError, match="file says"):
        oblique_grid.calibrated((1, 1, 1))


@pytest.mark.parametrize(
    "affine",
    [np.zeros((4, 4)), np.full((4, 4), np.nan), np.diag([1.0, 1, 0, 1]), np.ones((4, 4)), np.eye(3)],
    ids=["zero", "nan", "flat", "parallel", "3x3"],
)
def test_impossible_affines_are_refused(affine: np.ndarray) -> None:
    with pytest.raises(GeometryError):
        Grid((5, 7, 11), affine)


@pytest.mark.parametrize("spacing", [(0.0, 1.0), (-1.0, 1.0), (np.nan, 1.0), (1.0, 1.0, 1.0)])
def test_impossible_spacings_are_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(GeometryError):
        Grid((7, 11), spacing_mm=spacing)


def test_same_as_sees_a_hundredth_of_a_millimetre(oblique_grid: Grid) -> None:
    assert oblique_grid.affine is not None
    moved = oblique_grid.affine.copy()
    moved[0, 3] += 0.01
    assert oblique_grid.same_as(Grid(oblique_grid.shape, oblique_grid.affine))
    assert not oblique_grid.same_as(Grid(oblique_grid.shape, moved))
