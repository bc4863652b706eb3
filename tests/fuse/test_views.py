"""Planes, slabs and turning projections of a fused pair: where they lie, and that the numbers stay beside them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.transform import Transform, rigid
from hexscope.errors import UsageError
from hexscope.fuse import View, fuse, named_window, palette, slab, turn
from tests.conftest import OBLIQUE

#: A ball near the right (−x), front (−y) and feet (−z) of the field.
BALL = np.array([-12.0, 31.0, 88.0])
CENTER = np.array([4.0, 41.0, 105.0])


def _grid() -> Grid:
    shape = (21, 25, 31)
    affine = np.eye(4)
    affine[:3, :3] = OBLIQUE * (2.4, 2.1, 1.9)
    affine[:3, 3] = CENTER - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine, frame_of_reference="1.2.3")


def _ball(height: float, width_mm: float = 5.0, at: np.ndarray = BALL) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, _grid().shape), indexing="ij"), axis=-1)
    apart = np.linalg.norm(_grid().to_world(index) - at, axis=-1)
    return (height * np.exp(-((apart / width_mm) ** 2))).astype(np.float32)


@pytest.fixture
def ct() -> Image:
    return Image.from_array(_ball(800.0, 12.0) - 200, _grid(), modality="CT", quantity="HU", name="ct")


@pytest.fixture
def pet() -> Image:
    return Image.from_array(_ball(9.0), _grid(), modality="PT", quantity="SUVbw", name="pet")


@pytest.mark.parametrize(
    "view",
    [View("axial", 88.0), View("coronal", 31.0), View("sagittal", -12.0), View((0.4, 0.8, 0.3), tuple(BALL))],
    ids=str,
)
def test_a_plane_lies_where_it_says_with_both_values(ct: Image, pet: Image, view: View) -> None:
    fused = fuse(ct, pet, view=view)
    assert fused.base.grid.ndim == 2 and fused.base.grid.frame_of_reference == "1.2.3"
    hottest = np.unravel_index(fused.over.array.argmax(), fused.over.array.shape)
    assert np.linalg.norm(fused.over.grid.to_world(hottest) - BALL) < 1.6
    assert fused.over.array.max() == pytest.approx(9.0, rel=0.15) and fused.over.quantity == "SUVbw"
    assert fused.base.array[hottest] == pytest.approx(600, abs=60)
    assert fused.picture.shape == (*fused.base.grid.shape, 3)
    assert "alignment: not checked" in fused.as_image().steps[-1]


def test_an_oblique_plane_is_seen_from_the_side_it_looks_from() -> None:
    """Nearly axial, front up; nearly coronal, head up; and always right-handed."""
    for look, down in (((0.1, 0.2, 0.9), (0, 1, 0)), ((0.2, 0.9, -0.1), (0, 0, -1)), ((-0.9, 0.1, 0.2), (0, 0, -1))):
        axes = slab(_grid(), View(look)).affine[:3, :3] / 1.9
        assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-9)
        assert axes[:, 0] @ look > 0.9 * np.linalg.norm(look) and axes[:, 1] @ down > 0.9
        assert np.allclose(np.cross(axes[:, 2], axes[:, 1]), axes[:, 0])


def test_a_slab_shows_mean_max_or_min_of_its_layers(ct: Image, pet: Image) -> None:
    where = slab(pet.grid, View("axial", 88.0, slab_mm=12.0))
    assert where.shape[0] == round(12 / 1.9)
    assert where.to_world(((where.shape[0] - 1) / 2, 0, 0))[2] == pytest.approx(88.0)
    thin, mean, high, low = (
        fuse(ct, pet, view=View("axial", 88.0, slab_mm=mm, project=p)).over.array
        for mm, p in ((0.0, "mean"), (12.0, "mean"), (12.0, "max"), (12.0, "min"))
    )
    middle = np.unravel_index(thin.argmax(), thin.shape)
    assert low[middle] < mean[middle] < high[middle]
    assert high.max() == pytest.approx(9.0, rel=0.15)


def test_a_transform_moves_the_plane_of_the_other(ct: Image, pet: Image) -> None:
    motion = rigid((5, -8, 12), (14, -3, 9), tuple(CENTER))
    away = replace(pet, grid=replace(pet.grid, affine=motion.matrix @ pet.grid.affine))
    view = View("coronal", 31.0)
    still, moved = fuse(ct, pet, view=view), fuse(ct, away, through=motion.inverse, view=view)
    assert np.allclose(still.over.array, moved.over.array, atol=1e-4)
    assert not np.allclose(still.over.array, fuse(ct, away, through=Transform(), view=view).over.array, atol=1.0)


def test_a_ct_seen_through_is_shown_in_its_bone_window(ct: Image, pet: Image) -> None:
    through = View("coronal", slab_mm=math.inf, project="max")
    assert fuse(ct, pet, view=through).window_base == named_window(ct, "bone")
    assert fuse(ct, pet, view=through, window_base="lung").window_base == named_window(ct, "lung")
    assert fuse(ct, pet).window_base == named_window(ct, "soft tissue")
    with pytest.raises(UsageError, match="mediastinum"):
        named_window(ct, "kidney")


def test_a_mask_is_laid_over_and_outlined(ct: Image) -> None:
    part = _ball(1.0, 8.0) > 0.3
    mask = Mask.from_parts({"core": _ball(1.0, 3.0) > 0.3, "rim": part}, _grid())
    view = View("axial", 88.0)
    flat, outlined = fuse(ct, mask, alpha=1.0, view=view), fuse(ct, mask, how="contour", view=view)
    plain = fuse(ct, mask, alpha=0.0, view=view).picture
    inside = flat.over.any
    assert inside.any() and not np.array_equal(flat.picture[inside], plain[inside])
    assert np.array_equal(flat.picture[~inside], plain[~inside])
    drawn = np.any(outlined.picture != plain, axis=-1)
    assert 0 < drawn.sum() < inside.sum() and np.all(inside[drawn])
    with pytest.raises(UsageError, match="mask has no brightness"):
        fuse(ct, mask, how="max")


def test_contours_lie_on_the_level_and_not_on_the_edge_of_the_field(ct: Image, pet: Image) -> None:
    part = replace(pet.crop((4, 4, 6), (17, 21, 25)), name="part")
    fused = fuse(ct, part, how="contour", levels=(2.0, 6.0))
    plain = fuse(ct, part, alpha=0.0).picture
    drawn = np.any(fused.picture != plain, axis=-1)
    values = fused.over.array[drawn]
    assert drawn.any() and values.min() >= 2.0
    z, y, x = np.nonzero(drawn)
    neighbours = [
        fused.over.array[z, np.clip(y + j, 0, 24), np.clip(x + i, 0, 30)] for j, i in ((1, 0), (-1, 0), (0, 1), (0, -1))
    ]
    level = np.where(values >= 6, 6.0, 2.0)
    assert np.all(np.min(neighbours, axis=0) < level)


def test_modulated_grows_with_the_value(ct: Image, pet: Image) -> None:
    fused = fuse(
        ct, pet, how="modulated", alpha=0.8, window_base=(-200.0, 600.0), window_over=(0.0, 9.0), palette="pet"
    )
    level = np.clip(pet.array / 9.0, 0, 1)[..., None]
    grey = np.clip((ct.array + 200) / 800, 0, 1)[..., None] * 255
    entry = np.floor(level[..., 0] * 255 + 0.5).astype(int)
    exact = (1 - 0.8 * level) * grey + 0.8 * level * palette("pet")[entry]
    assert np.abs(fused.picture - exact).max() <= 0.5 + 1e-2


def test_interpolation_of_the_values_can_be_chosen(ct: Image, pet: Image) -> None:
    coarse = Image.from_array(
        pet.array[::2, ::2, ::2].copy(), pet.grid.with_shape((11, 13, 16)), modality="PT", quantity="SUVbw"
    )
    nearest = fuse(ct, coarse, interpolate="nearest").over.array
    assert np.isin(nearest[nearest > 0], coarse.array).all()
    assert not np.isin(fuse(ct, coarse).over.array, coarse.array).all()


def test_turning_goes_round_the_patient(ct: Image, pet: Image) -> None:
    """The ball, at the right front, is on the viewer's left from the front, and on the right from the back."""
    moving = turn(fuse(ct, pet, threshold=3.0, alpha=1.0, palette="pet"), frames=8)
    assert moving.axes == ("t", "y", "x", "c") and moving.shape[0] == 8 and moving.quantity == "RGB"
    assert moving.facts["FrameTime"] == 450
    frames = moving.array.astype(int)
    tinted = np.abs(frames - frames.mean(axis=-1, keepdims=True)).max(axis=-1) > 30
    columns = [np.nonzero(t)[1].mean() / t.shape[1] for t in tinted]
    rows = [np.nonzero(t)[0].mean() / t.shape[0] for t in tinted]
    assert columns[0] < 0.45 and columns[4] > 0.55 and min(rows) > 0.5
    assert np.abs(frames[4] - frames[0][:, ::-1]).max() <= 1
    assert columns[2] == pytest.approx(1 - columns[6], abs=0.02)
    with pytest.raises(UsageError, match="whole volume"):
        turn(fuse(ct, pet, view=View("axial")))


def test_views_that_are_not_known(ct: Image, pet: Image) -> None:
    for view, word in (
        (View("oblique"), "direction"),
        (View((0, 0, 0)), "looks along"),
        (View((0, 1, 1), 5.0), "point"),
        (View(project="median"), "projection"),
    ):
        with pytest.raises(UsageError, match=word):
            fuse(ct, pet, view=view)
