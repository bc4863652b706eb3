"""Deformable transforms: the same laws as linear ones, and figures that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hexscope.core.geometry import Grid
from hexscope.core.transform import Transform, rigid
from hexscope.core.warp import Affine, Unwarp, Warp, sampled
from hexscope.errors import GeometryError
from tests.core.strategies import chains, grids, smooth_warp, transforms

POINTS = np.array([[10.0, -20.0, 35.0], [0.0, 7.0, -3.0], [-120.0, 44.0, 80.5]])


def stretched(grid: Grid, factors: tuple[float, float, float]) -> Warp:
    """x → diag(factors) x about the grid's middle: linear, so the field says it exactly."""
    return Warp(grid, (grid.to_world(_index(grid)) - grid.center_mm) * (np.array(factors) - 1))


def inside(grid: Grid, seed: int, count: int = 50) -> np.ndarray:
    share = np.random.default_rng(seed).uniform(0, 1, (count, grid.ndim))
    return grid.to_world(share * (np.array(grid.shape) - 1))


@given(chains(), chains())
@settings(max_examples=40, deadline=None)
def test_compose_is_apply_in_turn(a: Transform, b: Transform) -> None:
    assert np.allclose((a @ b).points(POINTS), a.points(b.points(POINTS)), atol=1e-6)


@given(chains(), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_inverse_undoes(t: Transform, seed: int) -> None:
    p = POINTS if t.is_linear else inside(t.grid, seed)
    assert np.allclose(t.inverse.points(t.points(p)), p, atol=2e-4)
    assert np.allclose(t.points(t.inverse.points(p)), p, atol=2e-4)
    assert (t @ t.inverse).is_linear and np.allclose((t @ t.inverse).matrix, np.eye(4), atol=1e-6)


@given(grids(), transforms(), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_what_registration_finds_maps_back_by_its_field(grid: Grid, move: Transform, seed: int) -> None:
    warp = smooth_warp(grid, seed)
    t = Transform.deformable(move.matrix, warp)
    index = tuple(np.array(grid.shape) // 2)
    start = grid.to_world(index)
    assert np.allclose(t.inverse.points(start), move.inverse.points(start + warp.displacement_mm[index]), atol=1e-6)


def test_the_field_is_trilinear_and_held_at_its_edge(oblique_grid: Grid) -> None:
    warp = smooth_warp(oblique_grid, 3)
    u = warp.displacement_mm
    back = Transform.deformable(np.eye(4), warp).inverse
    halfway = oblique_grid.to_world((2.0, 3.5, 4.0))
    assert np.allclose(back.points(halfway) - halfway, (u[2, 3, 4] + u[2, 4, 4]) / 2, atol=1e-6)
    beyond = oblique_grid.to_world((-20.0, 3.0, 300.0))
    assert np.allclose(back.points(beyond) - beyond, u[0, 3, 10], atol=1e-6)


@given(grids(), transforms())
@settings(max_examples=25, deadline=None)
def test_jacobian_of_a_known_stretch(grid: Grid, move: Transform) -> None:
    t = Transform.deformable(move.matrix, stretched(grid, (1.2, 0.9, 1.1)))
    assert np.allclose(t.jacobian(), 1.2 * 0.9 * 1.1, atol=1e-3)
    assert t.folds() == 0 and t.sd_log_jacobian() < 1e-3
    still = Transform.deformable(np.eye(4), t.parts[1].warp)  # type: ignore[union-attr]
    shrunk = Grid(grid.shape, grid.affine).with_shape((2, 2, 2), spacing_mm=np.array(grid.spacing_mm) / 20)
    assert np.allclose(still.inverse.jacobian(shrunk), 1 / (1.2 * 0.9 * 1.1), atol=1e-3)


def test_jacobian_needs_no_grid_of_the_warp_and_slabs_do_not_show(oblique_grid: Grid, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    t = Transform.deformable(np.eye(4), smooth_warp(oblique_grid, 1))
    whole = t.jacobian()
    monkeypatch.setattr("hexscope.core.jacobian._POINTS", 1)
    assert np.array_equal(t.jacobian(), whole)
    inner = t.jacobian(oblique_grid.crop((1, 1, 1), (4, 6, 10)))
    assert np.allclose(inner[1, 1:-1, 1:-1], whole[2, 2:-2, 2:-2], atol=1e-5)
    doubled = Transform.deformable(np.diag([0.5, 0.5, 0.5, 1.0]), smooth_warp(oblique_grid, 1))
    assert np.allclose(doubled.jacobian(), 8 * whole, rtol=1e-5)


def test_roughness_is_that_of_the_logarithm(oblique_grid: Grid) -> None:
    t = Transform.deformable(np.eye(4), smooth_warp(oblique_grid, 5))
    j = t.jacobian().astype(np.float64)
    assert t.sd_log_jacobian() == pytest.approx(np.log(j).std(), rel=1e-6)
    assert t.sd_log_jacobian(plus=3) == pytest.approx(np.log(j + 3).std(), rel=1e-6)
    part = np.zeros(oblique_grid.shape, bool)
    part[1:3, 2:5, 3:8] = True
    assert t.sd_log_jacobian(inside=part) == pytest.approx(np.log(j[part]).std(), rel=1e-6)


def test_a_fold_is_counted_and_cannot_be_undone(oblique_grid: Grid) -> None:
    field = np.zeros((*oblique_grid.shape, 3), np.float32)
    assert oblique_grid.affine is not None
    field[2, 3, 5] = 2.5 * oblique_grid.affine[:3, 2]  # past its second neighbour along x
    t = Transform.deformable(np.eye(4), Warp(oblique_grid, field))
    assert 1 <= t.folds() <= 3
    assert np.all(np.isfinite(t.inverse.points(inside(oblique_grid, 0))))
    flipped = Transform.deformable(np.eye(4), stretched(oblique_grid, (-1.0, 1.0, 1.0)))
    assert flipped.folds() == oblique_grid.shape[0] * oblique_grid.shape[1] * oblique_grid.shape[2]
    noise = Warp(oblique_grid, np.random.default_rng(0).normal(size=field.shape) * 3)
    with pytest.raises(GeometryError, match="folds"):
        Transform.deformable(np.eye(4), noise).points(inside(oblique_grid, 1, 2000))


def _index(grid: Grid) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)


def test_planes_deform_in_space(oblique_grid: Grid) -> None:
    plane = Grid((7, 11), oblique_grid.affine[:, 1:])  # type: ignore[index]
    t = Transform.deformable(rigid((5, 7, -3), (1, 2, 3), (4, 5, 6)).matrix, smooth_warp(plane, 2))
    p = inside(plane, 1)
    assert np.allclose(t.points(t.inverse.points(p)), p, atol=2e-4)
    assert t.jacobian().shape == (7, 11) and t.folds() == 0
    thin = Grid((1, 7, 11), oblique_grid.affine)
    volume = Warp(thin, t.parts[1].warp.displacement_mm[None])  # type: ignore[union-attr]
    assert np.allclose(Transform.deformable(np.eye(4), volume).jacobian()[0], t.jacobian(), atol=1e-4)


def test_boxes_hold_what_is_in_them(oblique_grid: Grid) -> None:
    t = Transform.deformable(rigid((20, 30, 40), (1, 2, 3), (-30, 18, 104)).matrix, smooth_warp(oblique_grid, 4))
    low, high = oblique_grid.corners_mm().min(axis=0), oblique_grid.corners_mm().max(axis=0)
    (box,) = t.boxes([[low, high]])
    found = t.points(low + (high - low) * np.random.default_rng(0).uniform(0, 1, (400, 3)))
    assert np.all(found > box[0] - 0.1) and np.all(found < box[1] + 0.1)
    assert np.allclose(rigid((0, 0, 90), (0, 0, 0), (0, 0, 0)).boxes([[1, 2, 3], [4, 6, 8]]), [[-6, 1, 3], [-2, 4, 8]])
    with pytest.raises(GeometryError, match="least corner"):
        t.boxes([[high, low]])


def test_a_deformable_transform_has_no_matrix(oblique_grid: Grid) -> None:
    t = Transform.deformable(np.eye(4), smooth_warp(oblique_grid, 0))
    with pytest.raises(GeometryError, match="no matrix"):
        _ = t.matrix
    assert t.resampling_matrix is None and t.kind == "deformable" and (t @ rigid((1, 2, 3), (4, 5, 6), (0, 0, 0))).kind
    move = rigid((1, 2, 3), (4, 5, 6), (7, 8, 9))
    assert move.resampling_matrix == pytest.approx(np.linalg.inv(move.matrix))
    with pytest.raises(GeometryError, match="no grid"):
        _ = move.grid


def test_sampled_on_its_own_grid_nothing_is_lost(oblique_grid: Grid) -> None:
    warp, move = smooth_warp(oblique_grid, 6), rigid((3, 2, 1), (1, 0, 2), (-30, 18, 104))
    one = sampled([warp, Affine(move.matrix)], oblique_grid)
    p = inside(oblique_grid, 2)
    together = Transform(kind="deformable", parts=[warp, Affine(move.matrix)]).points(p)
    assert np.allclose(Transform(parts=[one]).points(p), together, atol=1e-5)


def test_impossible_fields_are_refused(oblique_grid: Grid) -> None:
    field = np.zeros((*oblique_grid.shape, 3), np.float32)
    with pytest.raises(GeometryError, match="shape"):
        Warp(oblique_grid, field[1:])
    field[1, 2, 3, 1] = np.nan
    with pytest.raises(GeometryError, match="NaN"):
        Warp(oblique_grid, field)
    with pytest.raises(GeometryError):
        Warp(Grid((5, 7, 11)), np.zeros((5, 7, 11, 3)))
    assert isinstance(smooth_warp(oblique_grid, 0).inverse, Unwarp)
