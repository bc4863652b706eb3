from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.resample import resample, straight, straightened, upright
from hexscope.core.transform import Transform, rigid
from hexscope.errors import GeometryError
from tests.core.strategies import grids, transforms


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
