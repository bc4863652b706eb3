"""The picture is what its formula says, to the last of 255 steps, and the numbers beside it stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.resample import resample
from hexscope.core.transform import Certificate, Transform, rigid
from hexscope.errors import GeometryError, RefusedError, UsageError
from hexscope.fuse import fuse, palette, usual_window, window

FRAME = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture
def ct(oblique_grid: Grid) -> Image:
    values = np.random.default_rng(1).uniform(-400, 500, oblique_grid.shape).astype(np.float32)
    return Image.from_array(values, oblique_grid, modality="CT", quantity="HU", name="ct")


@pytest.fixture
def pet(oblique_grid: Grid) -> Image:
    values = np.random.default_rng(2).uniform(0, 9, oblique_grid.shape).astype(np.float32)
    return Image.from_array(values, oblique_grid, modality="PT", quantity="SUVbw", name="pet")


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.35, 0.5, 0.87, 1.0])
def test_overlay_is_linear_and_rounded_once(ct: Image, pet: Image, alpha: float) -> None:
    fused = fuse(ct, pet, alpha=alpha, window_base=(-160.0, 240.0), window_over=(0.0, 7.0), palette="pet")
    grey = np.clip((ct.array.astype(np.float64) + 160) / 400, 0, 1)[..., None] * 255
    entry = np.floor(np.clip(pet.array.astype(np.float64) / 7, 0, 1) * 255 + 0.5).astype(int)
    exact = (1 - alpha) * grey + alpha * palette("pet")[entry]
    assert fused.picture.dtype == np.uint8 and fused.picture.shape == (*ct.shape, 3)
    assert np.abs(fused.picture - exact).max() <= 0.5 + 1e-3
    assert np.array_equal(fused.rgb(3), fused.picture[3])


def test_the_numbers_stay(ct: Image, pet: Image) -> None:
    fused = fuse(ct, pet)
    assert np.array_equal(fused.base.array, ct.array) and fused.base.quantity == "HU"
    assert np.array_equal(fused.over.array, pet.array) and fused.over.quantity == "SUVbw"
    assert fused.window_base == (-160.0, 240.0)
    assert fused.over.grid.same_as(ct.grid)


def test_max_takes_the_brighter_and_of_one_quantity_the_larger(ct: Image, pet: Image) -> None:
    fused = fuse(ct, pet, how="max", window_base=(-160.0, 240.0), window_over=(0.0, 7.0))
    brighter = np.maximum(window(ct.array, -160, 240), window(pet.array, 0, 7)) * 255
    assert np.abs(fused.picture[..., 0] - brighter).max() <= 0.5 + 1e-3
    other = ct.with_array(ct.array[:, :, ::-1].copy(), "flipped")
    both = fuse(ct, other, how="max")
    larger = window(np.maximum(ct.array, other.array), *both.window_base) * 255
    assert both.window_base == both.window_over
    assert np.abs(both.picture[..., 1] - larger).max() <= 0.5 + 1e-3


def test_checkerboard_shows_each_in_turn(ct: Image, pet: Image) -> None:
    fused = fuse(ct, pet, how="checkerboard", palette="grey")
    below, above = fuse(ct, pet, alpha=0.0).picture, fuse(ct, pet, alpha=1.0, palette="grey").picture
    assert np.array_equal(fused.picture[:, 0, 0], below[:, 0, 0])
    assert np.array_equal(fused.picture[:, 0, 1], above[:, 0, 1])
    assert np.array_equal(fused.picture[:, 1, 1], below[:, 1, 1])


def test_below_the_threshold_the_base_shows(ct: Image, pet: Image) -> None:
    fused, plain = fuse(ct, pet, threshold=2.5), fuse(ct, pet)
    base = fuse(ct, pet, alpha=0.0).picture
    hot = pet.array >= 2.5
    assert hot.any() and not hot.all()
    assert np.array_equal(fused.picture[~hot], base[~hot])
    assert np.array_equal(fused.picture[hot], plain.picture[hot])


def test_outside_the_field_of_the_other_the_base_shows(ct: Image, pet: Image) -> None:
    part = pet.crop((1, 2, 3), (4, 6, 9))
    fused = fuse(ct, part)
    expected = np.zeros(ct.shape, bool)
    expected[1:4, 2:6, 3:9] = True
    assert np.array_equal(fused.covered, expected)
    base = fuse(ct, pet, alpha=0.0).picture
    assert np.array_equal(fused.picture[~expected], base[~expected])
    assert np.array_equal(fused.picture[expected], fuse(ct, pet).picture[expected])


def test_through_a_transform(ct: Image, pet: Image) -> None:
    motion = rigid((5, -8, 12), (4, -3, 2), (0, 0, 0))
    away = replace(pet.grid, affine=motion.matrix @ pet.grid.affine, frame_of_reference="1.2.3.4")
    elsewhere = replace(pet, grid=away)
    with pytest.raises(GeometryError, match="frames of reference"):
        fuse(ct, elsewhere)
    bare = replace(motion.inverse, moving_frame="1.2.3.4", fixed_frame=FRAME)
    with pytest.raises(RefusedError, match="no certificate"):
        fuse(ct, elsewhere, through=bare)
    back = replace(bare, certificate=Certificate("accept", 0.9, ()))
    fused = fuse(ct, elsewhere, through=back)
    assert np.allclose(fused.over.array, pet.array, atol=1e-4)
    assert np.array_equal(fused.over.array, resample(elsewhere, ct.grid, through=back).array)


def test_a_rejected_registration_is_refused_unless_forced(ct: Image, pet: Image) -> None:
    rejected = Transform(kind="identity", certificate=Certificate("reject", 0.05, ("halves disagree by 31 mm",)))
    with pytest.raises(RefusedError, match="31 mm") as caught:
        fuse(ct, pet, through=rejected)
    assert caught.value.code == "registration.rejected"
    forced = fuse(ct, pet, through=rejected, force=True)
    assert forced.certificate is not None and forced.certificate.verdict == "reject"
    review = replace(rejected, certificate=Certificate("review", 0.4, ("doubt",)))
    assert fuse(ct, pet, through=review).certificate == review.certificate


def test_what_is_saved(ct: Image, pet: Image) -> None:
    fused = fuse(ct, pet)
    volume, flat = fused.as_saved("fused.nii.gz"), fused.as_saved("fused.png")
    assert volume.quantity == "RGB" and volume.axes == ("z", "y", "x", "c")
    assert np.array_equal(flat.array, fused.rgb(2)) and flat.axes == ("y", "x", "c")
    assert np.allclose(flat.grid.to_world((4, 6)), ct.grid.to_world((2, 4, 6)))
    assert any("fused (overlay)" in step for step in flat.steps)


def test_planes_and_colour(pet: Image) -> None:
    colour = np.random.default_rng(3).integers(0, 256, (9, 13, 3)).astype(np.uint8)
    slide = Image.from_array(colour, modality="SM", quantity="RGB", axes=("y", "x", "c"))
    heat = Image.from_array(np.linspace(0, 1, 117, dtype=np.float32).reshape(9, 13))
    fused = fuse(slide, heat, alpha=0.25, window_over=(0.0, 1.0))
    entry = np.floor(heat.array * 255 + 0.5).astype(int)
    exact = 0.75 * colour + 0.25 * palette("hot iron")[entry]
    assert np.abs(fused.picture - exact).max() <= 0.5 + 1e-3
    assert fused.as_saved("x.nii.gz").axes == ("y", "x", "c")


def test_words_that_are_not_known(ct: Image, pet: Image) -> None:
    with pytest.raises(UsageError, match="checkerboard"):
        fuse(ct, pet, how="average")
    with pytest.raises(UsageError, match="alpha"):
        fuse(ct, pet, alpha=1.5)
    with pytest.raises(UsageError, match="palette"):
        fuse(ct, pet, palette="jet")


def test_the_usual_window(ct: Image, pet: Image) -> None:
    assert usual_window(ct) == (-160.0, 240.0) and usual_window(pet) == (0.0, 7.0)
    activity = Image.from_array(pet.array * 1000, pet.grid, modality="PT", quantity="Bq/ml")
    low, high = usual_window(activity)
    assert (low, high) == pytest.approx(np.percentile(activity.array, [1, 99]))
    same = usual_window(Image.from_array(np.full((5, 7, 11), 3.0)))
    assert same[0] == 3.0 < same[1]
