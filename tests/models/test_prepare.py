"""From an image to what a network sees and back: orientation, spacing, channels, colours, and the contract."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity
from hexscope.core.resample import resample
from hexscope.errors import GeometryError, InputError, QuantityError, UncalibratedError, UsageError
from hexscope.models.prepare import Turn, padded, prepare, prepare_labels, restore
from hexscope.models.recipe import Channel, Normalise, Recipe
from tests.core.strategies import grids

AS_STORED = Normalise(per_image=False, clip=(-1e9, 1e9), mean=(0.0,), std=(1.0,))
CT = Channel("ct", "CT", Quantity.HU, AS_STORED)
PET = Channel("pet", "PT", Quantity.SUVBW, AS_STORED)


def recipe(*channels: Channel, dims: int = 3, **more: object) -> Recipe:
    side = (4,) * dims
    return Recipe(channels or (CT,), dims, side, tuple(8 * s for s in side), (0,) * dims, **more)  # type: ignore[arg-type]


def stored_differently(image: Image, order: tuple[int, ...], axes: tuple[int, ...]) -> Image:
    """The same pixels at the same places, counted in another order."""
    grid = image.grid.permute(order)
    for axis in axes:
        grid = grid.flip(axis)
    return Image.from_array(
        np.flip(np.transpose(image.array, order), axes), grid, modality=image.modality, quantity=image.quantity
    )


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("spacing", [None, (2.0, 1.1, 0.9)])
def test_the_network_sees_the_same_however_the_file_counts(
    oblique_ct: Image, order: tuple[int, ...], spacing: tuple[float, ...] | None
) -> None:
    seen = prepare(oblique_ct, recipe(spacing_mm=spacing))
    for axes in ((), (0,), (1, 2), (0, 1, 2)):
        other = stored_differently(oblique_ct, order, axes)
        assert np.allclose(prepare(other, recipe(spacing_mm=spacing)).array, seen.array, atol=1e-2)
        answer = seen.array > 0  # any answer of a network: where the numbers are above zero
        one = restore(answer.astype(np.float32), seen)[0]
        two = restore(answer.astype(np.float32), prepare(other, recipe(spacing_mm=spacing)))[0]
        assert np.allclose(np.flip(np.transpose(one, order), axes), two, atol=1e-4)


@given(grids())
def test_native_pixels_come_back_exactly(grid: Grid) -> None:
    labels = np.random.default_rng(7).integers(0, 4, grid.shape)
    image = Image.from_array(labels.astype(np.int16), grid, modality="CT", quantity="HU")
    seen = prepare(image, recipe())
    assert np.array_equal(seen.array[0], prepare_labels(Mask.from_array(labels, grid), seen))
    assert np.array_equal(restore(seen.array, seen)[0], labels)


@given(grids(), st.sampled_from([0.7, 1.0, 1.6]))
def test_a_place_is_the_same_place_in_what_the_network_sees(grid: Grid, factor: float) -> None:
    """A ramp in the world is the same ramp there: rescaling moves nothing."""
    slope = np.array([0.31, -0.17, 0.23])
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    image = Image.from_array(grid.to_world(index) @ slope, grid, modality="CT", quantity="HU")
    assert grid.spacing_mm is not None
    order, _ = grid.patient_order()
    spacing = tuple(grid.spacing_mm[a] * factor for a in order)
    seen = prepare(image, recipe(spacing_mm=spacing))
    there = np.stack(np.meshgrid(*map(np.arange, seen.grid.shape), indexing="ij"), axis=-1)
    inside = grid.to_index(seen.grid.to_world(there))
    margin = 1.01 * max(1.0, factor) - 0.01
    whole = np.all((inside >= margin - 1) & (inside <= np.array(grid.shape) - margin), axis=-1)
    expected = seen.grid.to_world(there) @ slope
    assert np.allclose(seen.array[0][whole], expected[whole], atol=1e-2)


@pytest.mark.parametrize("spacing", [(1.1, 0.9, 0.6), (2.0, 0.35, 0.4), (3.0, 1.0, 1.0)])
def test_labels_come_back_within_a_pixel(oblique_grid: Grid, spacing: tuple[float, ...]) -> None:
    grid = Grid((20, 28, 44), oblique_grid.affine)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1) * grid.spacing_mm
    radius = np.linalg.norm(index - np.array([28.0, 9.0, 10.0]), axis=-1)
    labels = np.where(radius < 4, 3, np.where(radius < 8, 1, 0))
    image = Image.from_array(np.zeros(grid.shape, np.int16), grid, modality="CT", quantity="HU")
    seen = prepare(image, recipe(spacing_mm=spacing))
    small = prepare_labels(Mask.from_array(labels, grid), seen)
    shares = np.stack([small == v for v in (0, 1, 3)]).astype(np.float32)
    back = np.array([0, 1, 3])[restore(shares, seen).argmax(axis=0)]
    step = max(*spacing, *(grid.spacing_mm or ()))
    off = back != labels
    assert off.mean() < 0.06
    assert np.all(np.minimum(abs(radius - 4), abs(radius - 8))[off] < step)


def test_channels_on_grids_of_their_own_meet_on_the_first(oblique_ct: Image) -> None:
    fine = Grid((9, 13, 17), oblique_ct.grid.affine, frame_of_reference=oblique_ct.grid.frame_of_reference)
    pet = Image.from_array(np.random.default_rng(1).random(fine.shape), fine, modality="PT", quantity="SUVbw")
    seen = prepare({"pet": pet, "ct": oblique_ct}, recipe(CT, PET))
    assert seen.array.shape == (2, *seen.grid.shape) and seen.source is oblique_ct.grid
    assert np.allclose(seen.array[1], resample(pet, seen.grid).array, atol=1e-6)
    swapped = prepare({"pet": pet, "ct": oblique_ct}, recipe(PET, CT))
    assert swapped.source is fine
    with pytest.raises(UsageError, match=r"lacks pet.*--input"):
        prepare(oblique_ct, recipe(CT, PET))
    with pytest.raises(UsageError, match="does not know mr"):
        prepare({"ct": oblique_ct, "pet": pet, "mr": pet}, recipe(CT, PET))


def test_a_frame_keeps_the_aspect_and_comes_back() -> None:
    picture = Image.from_array(np.random.default_rng(3).integers(0, 255, (37, 90)).astype(np.uint8), modality="US")
    channel = Channel("image", "US", Quantity.ARBITRARY)
    seen = prepare(picture, recipe(channel, dims=2, frame=(24, 32)))
    assert seen.array.shape == (1, 13, 32)
    assert restore(seen.array, seen).shape == (1, 37, 90)
    grown, inside = padded(seen.array, (24, 32), (4, 4))
    assert grown.shape == (1, 24, 32) and np.array_equal(grown[(slice(None), *inside)], seen.array)


def test_colours_are_three_planes() -> None:
    colours = np.random.default_rng(3).integers(0, 255, (5, 7, 3)).astype(np.uint8)
    image = Image.from_array(colours, modality="SM", quantity="RGB", axes=("y", "x", "c"))
    how = Normalise(False, (0, 255), (100.0, 110.0, 120.0), (10.0, 20.0, 40.0))
    seen = prepare(image, recipe(Channel("image", "SM", Quantity.RGB, how), dims=2))
    assert np.allclose(seen.array[2], (colours[..., 2] - 120.0) / 40.0, atol=1e-5)
    grey = Image.from_array(colours[..., 0])
    told = prepare(grey, recipe(Channel("image", "SM", Quantity.RGB, how), dims=2))
    assert "grey" in told.steps[0] and np.allclose(told.array[0] * 10 + 100, colours[..., 0], atol=1e-4)


def test_numbers_per_image_do_not_depend_on_their_scale(oblique_grid: Grid) -> None:
    array = np.random.default_rng(5).normal(50, 9, oblique_grid.shape)
    channel = Channel("image", "MR", Quantity.ARBITRARY)
    one = prepare(Image.from_array(array, oblique_grid, modality="MR"), recipe(channel))
    two = prepare(Image.from_array(3 * array - 20, oblique_grid, modality="MR"), recipe(channel))
    assert np.allclose(one.array, two.array, atol=1e-4)
    assert abs(one.array.mean()) < 1e-3 and abs(one.array.std() - 1) < 1e-3


def test_what_a_channel_does_not_cover_is_not_among_its_numbers(oblique_ct: Image) -> None:
    """A small MR beside a CT that shows far more: it looks the same as beside a CT of its own size."""
    grid = oblique_ct.grid
    array = np.random.default_rng(5).normal(500, 90, grid.shape)
    small = Image.from_array(array[1:4, 2:6, 3:9], grid.crop((1, 2, 3), (4, 6, 9)), modality="MR")
    seen = prepare({"ct": oblique_ct, "mr": small}, recipe(CT, Channel("mr", "MR", Quantity.ARBITRARY)))
    alone = prepare(small, recipe(Channel("mr", "MR", Quantity.ARBITRARY)))
    covered = restore(seen.array, seen)[1, 1:4, 2:6, 3:9]
    assert np.allclose(covered, restore(alone.array, alone)[0], atol=1e-4)


def test_a_contract_is_kept(oblique_ct: Image, oblique_grid: Grid) -> None:
    bq = Image.from_array(np.ones(oblique_grid.shape), oblique_grid, modality="PT", quantity="Bq/ml", name="pet")
    with pytest.raises(QuantityError, match=r"SUVbw.*Bq/ml"):
        prepare(bq, recipe(PET))
    with pytest.raises(QuantityError, match=r"is CT; pet is PT"):
        prepare(bq, recipe(CT))
    silent = replace(oblique_ct, modality="OT", quantity=Quantity.ARBITRARY)
    with pytest.raises(QuantityError, match="--as CT:HU"):
        prepare(silent, recipe(CT))
    taken = prepare(silent, recipe(Channel("image", "MR", Quantity.ARBITRARY)))
    assert "taken as MR" in taken.steps[0]
    plane = Image.from_array(np.zeros((7, 11), np.int16), modality="CT", quantity="HU")
    with pytest.raises(GeometryError, match="3 axes"):
        prepare(plane, recipe(CT))
    flat = Image.from_array(np.zeros((5, 7, 11), np.int16), modality="CT", quantity="HU")
    with pytest.raises(UncalibratedError, match="spacing"):
        prepare(flat, recipe(CT, spacing_mm=(1.0, 1.0, 1.0)))


def test_labels_from_another_grid_come_through_space(oblique_ct: Image) -> None:
    seen = prepare(oblique_ct, recipe(spacing_mm=(2.0, 0.7, 0.5)))
    labels = (oblique_ct.array > 0).astype(np.uint8)
    turned = Mask.from_array(labels[:, ::-1], oblique_ct.grid.flip(1))
    same = prepare_labels(Mask.from_array(labels, oblique_ct.grid), seen)
    assert np.mean(prepare_labels(turned, seen) != same) < 0.05
    parts = Mask.from_parts({"a": labels > 0, "b": labels < 2}, oblique_ct.grid)
    with pytest.raises(InputError, match="overlap"):
        prepare_labels(parts, seen)


def test_turns_are_views() -> None:
    grid = Grid((5, 7, 11), np.array([[0, 0, -0.5, 9], [0, 0.7, 0, 1], [3.0, 0, 0, 2], [0, 0, 0, 1]]))
    array = np.zeros(grid.shape, np.uint8)
    Turn.of(grid, 3).array(array)[0, 0, 0] = 1
    assert array[0, 0, 10] == 1
