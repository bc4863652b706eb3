from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.resample import resample, straight, straightened, upright
from hexscope.core.transform import Transform, rigid
from hexscope.core.warp import Warp
from hexscope.errors import GeometryError, UncalibratedError, UsageError
from tests.core.strategies import grids, smooth_warp, transforms


def ramp(grid: Grid, weights: tuple[float, float, float] = (0.7, -1.3, 2.1)) -> Image:
    """An image that is a linear function of the world: linear interpolation gives it exactly, wherever it is asked."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    values = grid.to_world(index) @ np.array(weights) + 5.0
    return Image.from_array(values.astype(np.float64), grid)


@given(grids())
@settings(max_examples=25, deadline=None)
def test_onto_its_own_grid_is_identity(grid: Grid) -> None:
    image = ramp(grid)
    assert np.array_equal(resample(image, grid).array, image.array)


@given(grids(), transforms())
@settings(max_examples=25, deadline=None)
def test_values_follow_their_world_points(grid: Grid, move: Transform) -> None:
    """Move the grid in the world, bring the image back through the move: every value is where it was."""
    image = ramp(grid)
    assert grid.affine is not None
    moved = Image.from_array(image.array, Grid(grid.shape, move.matrix @ grid.affine))
    back = resample(moved, grid, through=move.inverse)
    assert np.allclose(back.array, image.array, atol=1e-3)


def test_half_a_voxel_is_half_a_step(oblique_grid: Grid) -> None:
    image = ramp(oblique_grid)
    inner = oblique_grid.crop((1, 1, 1), (4, 6, 10))
    assert inner.affine is not None
    affine = inner.affine.copy()
    affine[:3, 3] += 0.5 * affine[:3, 2]
    shifted = Grid(inner.shape, affine, frame_of_reference=oblique_grid.frame_of_reference)
    expected = ramp(shifted).array
    assert np.allclose(resample(image, shifted).array, expected, atol=1e-9)
    assert np.allclose(resample(image, shifted, how="cubic").array, expected, atol=0.2)


def test_a_mask_stays_a_mask(oblique_grid: Grid) -> None:
    labels = np.zeros(oblique_grid.shape, np.uint8)
    labels[1:4, 2:5, 3:8] = 3
    mask = Mask.from_array(labels, oblique_grid, {3: "node"})
    fine = resample(mask, oblique_grid.with_spacing((1.0, 0.35, 0.25)))
    assert set(np.unique(fine.array)) == {0, 3}
    assert fine.grid.voxel_volume_ml is not None and oblique_grid.voxel_volume_ml is not None
    before, after = (
        (labels > 0).sum() * oblique_grid.voxel_volume_ml,
        fine.of("node").sum() * fine.grid.voxel_volume_ml,
    )
    assert after == pytest.approx(before, rel=0.15)


def test_shrinking_is_anti_aliased() -> None:
    """A checker of single pixels becomes grey, not a moiré of whichever pixels were hit."""
    checker = np.indices((3, 60, 84)).sum(axis=0) % 2 * 100.0
    affine = np.array([[0, 0, 0.5, 1], [0, 0.5, 0, 2], [2.0, 0, 0, 3], [0, 0, 0, 1]])
    image = Image.from_array(checker, Grid((3, 60, 84), affine))
    small = resample(image, image.grid.with_spacing((2.0, 2.5, 2.5))).array
    assert small.std() < 3 and small.mean() == pytest.approx(50, abs=2)


def test_a_shear_alone_does_not_blur() -> None:
    """A tilted gantry brought onto straight axes of the same steps keeps its finest lines."""
    lines = np.broadcast_to(np.arange(40)[:, None] % 2 * 100.0, (6, 40, 9))
    affine = np.array([[0, 0, 0.5, -10], [1.4, 0.7, 0, 20], [3.0, 0, 0, 30], [0, 0, 0, 1.0]])
    tilted = Image.from_array(lines.copy(), Grid((6, 40, 9), affine))
    straight = Grid((6, 28, 9), np.array([[0, 0, 0.5, -10], [0, 0.7, 0, 28.4], [3.0, 0, 0, 30], [0, 0, 0, 1.0]]))
    assert np.ptp(resample(tilted, straight).array[2]) == pytest.approx(100)


def test_outside_is_air_for_ct(oblique_ct: Image) -> None:
    far = Grid((2, 3, 4), np.diag([1.0, 1, 1, 1])[:, [2, 1, 0, 3]] + 0.0)
    moved = resample(oblique_ct, far, through=rigid((0, 0, 0), (900, 900, 900), (0, 0, 0)))
    assert np.all(moved.array == -1000)


def test_frames_are_not_mixed_in_silence(oblique_ct: Image) -> None:
    other = Grid(oblique_ct.grid.shape, oblique_ct.grid.affine, frame_of_reference="1.2.3.4")
    with pytest.raises(GeometryError, match="frames of reference"):
        resample(oblique_ct, other)
    assert np.array_equal(resample(oblique_ct, other, through=Transform(kind="identity")).array, oblique_ct.array)


def test_colour_and_time_come_along(oblique_grid: Grid) -> None:
    values = np.arange(2 * 7 * 11 * 3, dtype=np.float32).reshape(2, 7, 11, 3)
    cine = Image.from_array(values, axes=("t", "y", "x", "c"), modality="US", quantity="RGB")
    half = resample(cine, Grid((4, 5), plane="unknown"))
    assert half.shape == (2, 4, 5, 3) and half.axes == ("t", "y", "x", "c")
    assert half.array[1].mean() - half.array[0].mean() == pytest.approx(7 * 11 * 3, rel=0.02)


def test_upright_covers_an_oblique_grid(oblique_grid: Grid) -> None:
    box = upright(oblique_grid)
    assert box.spacing == pytest.approx((0.5, 0.5, 0.5))
    index = box.to_index(oblique_grid.corners_mm())
    assert index.min() > -1e-6 and np.all(index < np.array(box.shape))


@given(grids(), st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5)))
@settings(max_examples=40, deadline=None)
def test_a_sheared_image_is_straightened_without_moving_a_point(grid: Grid, slant: tuple[float, float]) -> None:
    """Slices slide along their rows and columns: every value of a linear image stays at its world point."""
    assert grid.affine is not None
    affine = grid.affine.copy()
    affine[:3, 0] += slant[0] * affine[:3, 1] + slant[1] * affine[:3, 2]
    image = ramp(Grid(grid.shape, affine))
    out = straightened(image)
    assert not out.grid.is_sheared and out.array.dtype == np.float64
    assert out.grid.shape[0] == grid.shape[0] and np.allclose(out.grid.spacing_mm, grid.spacing_mm)  # type: ignore[arg-type]
    index = np.stack(np.meshgrid(*map(np.arange, out.shape), indexing="ij"), axis=-1)
    points = out.grid.to_world(index)
    source = image.grid.to_index(points)
    inside = np.all((source >= -1e-6) & (source <= np.array(grid.shape) - 1 + 1e-6), axis=-1)
    assert np.allclose(out.array[inside], (points @ np.array([0.7, -1.3, 2.1]) + 5.0)[inside], atol=1e-6)
    corners = out.grid.to_index(image.grid.corners_mm())
    assert corners.min() > -1e-3 and np.all(corners < np.array(out.shape) - 1 + 1e-3)


def test_straightening_blurs_nothing_and_leaves_straight_grids_alone(oblique_grid: Grid) -> None:
    assert straight(oblique_grid) is oblique_grid
    plane = Grid((7, 11), oblique_grid.affine[:, 1:])  # type: ignore[index]
    assert straight(plane) is plane
    affine = oblique_grid.affine.copy()  # type: ignore[union-attr]
    affine[:3, 0] += 2 * affine[:3, 1]
    array = np.zeros((5, 7, 11), np.int16)
    array[3, 2, 4] = 1000
    out = straightened(Image.from_array(array, Grid((5, 7, 11), affine), quantity="HU"))
    assert out.shape == (5, 15, 11) and out.array.max() == pytest.approx(1000, abs=0.01)
    assert np.count_nonzero(out.array > 1) == 1 and np.count_nonzero(out.array == -1000) == 5 * 8 * 11


# ---- through deformations -------------------------------------------------------------------------------------


def bent(grid: Grid, seed: int = 0) -> Transform:
    turn = rigid((4, -3, 5), (0.4, -0.3, 0.6), grid.center_mm)
    return Transform.deformable(turn.matrix, smooth_warp(grid, seed, 1.0))


@given(grids(), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_images_follow_points(grid: Grid, seed: int) -> None:
    """Of a linear image, the value at a fixed pixel is that of the moving point that lands on it."""
    through = bent(grid, seed)
    image = ramp(grid)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    came_from = through.inverse.points(grid.to_world(index))
    source = grid.to_index(came_from)
    inner = np.all((source >= 0) & (source <= np.array(grid.shape) - 1), axis=-1)
    expected = (came_from @ np.array([0.7, -1.3, 2.1]) + 5.0)[inner]
    assert np.allclose(resample(image, grid, through=through).array[inner], expected, atol=1e-5)
    single = Image.from_array(image.array.astype(np.float32), grid)
    size = 1e-5 * float(np.abs(image.array).max())
    assert np.allclose(resample(single, grid, through=through).array[inner], expected, atol=size + 1e-5)
    back = resample(image, grid, through=through.inverse).array
    assert np.all(np.isfinite(back))


def test_how_many_threads_and_rows_at_a_time_does_not_show(oblique_grid: Grid, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    to = oblique_grid.with_spacing((0.21, 0.21, 0.21))
    image = Image.from_array(np.random.default_rng(0).normal(size=oblique_grid.shape).astype(np.float32), oblique_grid)
    labels = Mask.from_array((image.array * 3).astype(np.int16).clip(0), oblique_grid)

    def all_ways() -> list[np.ndarray]:
        through = bent(oblique_grid)
        images = [resample(image, to, through=through, how=how).array for how in ("linear", "cubic", "nearest")]
        return [*images, *(resample(labels, to, through=through, how=how).array for how in ("nearest", "vote"))]

    monkeypatch.setenv("HEXSCOPE_THREADS", "1")
    one = all_ways()
    monkeypatch.setenv("HEXSCOPE_THREADS", "3")
    monkeypatch.setattr("hexscope.core.pull._POINTS", 20000)
    assert all(np.array_equal(a, b) for a, b in zip(one, all_ways(), strict=True))


def test_votes_are_the_largest_of_interpolated_indicators(oblique_grid: Grid) -> None:
    labels = np.random.default_rng(1).integers(0, 4, oblique_grid.shape).astype(np.uint16)
    to, through = oblique_grid.with_spacing((1.1, 0.4, 0.3)), bent(oblique_grid)
    voted = resample(Mask.from_array(labels, oblique_grid), to, through=through, how="vote").array
    shares = np.stack([
        resample(Image.from_array((labels == v).astype(np.float64), oblique_grid), to, through=through).array
        for v in range(4)
    ])  # fmt: skip
    best = np.sort(shares, axis=0)
    clear = best[-1] - best[-2] > 0.05  # anti-aliasing of the indicators is nothing here: the grid is finer
    assert clear.mean() > 0.5 and np.array_equal(voted[clear], shares.argmax(axis=0)[clear])
    with pytest.raises(UsageError, match="vote"):
        resample(ramp(oblique_grid), to, how="vote")


def test_planes_go_through_deformations(oblique_grid: Grid) -> None:
    plane = Grid((7, 11), oblique_grid.affine[:, 1:])  # type: ignore[index]
    through = Transform.deformable(np.eye(4), smooth_warp(plane, 2))
    image = ramp_2d(plane)
    index = np.stack(np.meshgrid(*map(np.arange, plane.shape), indexing="ij"), axis=-1)
    source = plane.to_index(through.inverse.points(plane.to_world(index)))
    inner = np.all((source >= 0) & (source <= np.array(plane.shape) - 1), axis=-1)
    expected = source @ np.array([2.0, -3.0])
    assert inner.mean() > 0.4
    assert np.allclose(resample(image, plane, through=through).array[inner], expected[inner], atol=1e-6)


def test_a_volume_is_cut_along_a_plane(oblique_grid: Grid) -> None:
    slices = oblique_grid.affine
    assert slices is not None
    across = np.stack([0.6 * slices[:, 0] + 0.5 * slices[:, 1], 0.7 * slices[:, 2], slices @ [0.6, 1.0, 2.0, 1.0]])
    plane = Grid((4, 12), across.T)
    move = rigid((4, -3, 8), (1.0, -0.7, 0.4), tuple(oblique_grid.center_mm))
    index = np.stack(np.meshgrid(*map(np.arange, plane.shape), indexing="ij"), axis=-1)
    for through, way in ((None, Transform()), (move, move)):
        cut = resample(ramp(oblique_grid), plane, through=through)
        assert cut.grid is plane and cut.axes == ("y", "x")
        source = oblique_grid.to_index(way.inverse.points(plane.to_world(index)))
        inner = np.all((source >= 0) & (source <= np.array(oblique_grid.shape) - 1), axis=-1)
        assert inner.mean() > 0.25
        expected = way.inverse.points(plane.to_world(index)) @ [0.7, -1.3, 2.1] + 5.0
        assert np.allclose(cut.array[inner], expected[inner], atol=1e-5)
        labels = Mask.from_array(np.indices(oblique_grid.shape)[0].astype(np.uint16) + 1, oblique_grid)
        nearest = np.floor(source[..., 0] + 0.5) + 1
        sure = inner & (np.abs(source[..., 0] % 1 - 0.5) > 1e-6)
        assert np.array_equal(resample(labels, plane, through=through).array[sure], nearest[sure])
    nowhere = Grid((4, 12), spacing_mm=(0.5, 0.6))
    with pytest.raises(UncalibratedError, match="where the image lies"):
        resample(ramp(oblique_grid), nowhere)
    assert resample(ramp(oblique_grid), nowhere, through=move).grid is nowhere


def test_pictures_with_a_spacing_are_moved_in_their_own_mm() -> None:
    """An X-ray or a slide knows no patient: x runs along its rows, y down, from its first pixel."""
    y, x = np.indices((40, 50))
    image = Image.from_array(2.0 * y - 3.0 * x, Grid((40, 50), spacing_mm=(0.5, 0.4), plane="detector"))
    to = Grid((20, 30), spacing_mm=(0.3, 0.2), plane="detector")
    move = rigid((0, 0, 10), (-2.0, -3.0, 0), (5, 6, 0))
    moved = resample(image, to, through=move)
    assert moved.grid is to
    row, column = 7, 11
    source = move.inverse.points((column * 0.2, row * 0.3, 0.0))
    assert moved.array[row, column] == pytest.approx(2.0 * source[1] / 0.5 - 3.0 * source[0] / 0.4, abs=1e-6)
    with pytest.raises(UncalibratedError, match="spacing"):
        resample(Image.from_array(np.zeros((4, 5))), to, through=move)
    with pytest.raises(GeometryError, match="axes"):
        resample(image, Grid((3, 4, 5), np.eye(4)), through=move)


def ramp_2d(plane: Grid) -> Image:
    y, x = np.indices(plane.shape)
    return Image.from_array(2.0 * y - 3.0 * x, plane)


def test_the_way_costs_little_memory() -> None:
    """Beside the image and its result, no more than a fixed room; 24 bytes a voxel on the way would be ten times it."""
    shape = (60, 300, 280)
    affine = np.array([[0, 0, 0.5, 1], [0, 0.7, 0, 2], [2.0, 0, 0, 3], [0, 0, 0, 1]])
    grid = Grid(shape, affine)
    image = Image.from_array(np.ones(shape, np.float32), grid)
    field = np.ones((*shape, 3), np.float32)
    through = Transform.deformable(rigid((1, 2, 3), (1, 0, 2), (0, 0, 0)).matrix, Warp(grid, field))
    resample(ramp(Grid((3, 4, 5), affine)), Grid((3, 4, 5), affine), through=bent(Grid((3, 4, 5), affine)))  # loads
    tracemalloc.start()
    out = resample(image, grid, through=through)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert out.array.nbytes == 4 * 60 * 300 * 280
    assert peak < out.array.nbytes + 24 * (1 << 18) + (4 << 20)
