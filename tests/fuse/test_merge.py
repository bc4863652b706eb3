"""Ways to merge brightness: what they keep of two known sources, in 2-D and 3-D."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.fuse import HOWS, fuse, window
from hexscope.fuse.merge import MERGES, pyramid

SHAPES = [(33, 47), (9, 31, 43)]
STEPS = {2: (1.0, 1.0), 3: (4.0, 1.0, 1.0)}


def _smooth(shape: tuple[int, ...], seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).random(shape).astype(np.float32)
    for axis in range(len(shape)):
        values = (values + np.roll(values, 1, axis) + np.roll(values, -1, axis)) / 3
    return values


@pytest.mark.parametrize("name", sorted(MERGES))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shape_type_and_range(name: str, shape: tuple[int, ...]) -> None:
    a, b = _smooth(shape, 1), _smooth(shape, 2)
    merged = MERGES[name](a, b, STEPS[len(shape)])
    assert merged.shape == shape and merged.dtype == np.float32
    assert np.isfinite(merged).all() and merged.min() > -0.5 and merged.max() < 1.6


@pytest.mark.parametrize("name", ["max", "energy", "pyramid", "guided"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_two_equal_sources_stay_what_they_are(name: str, shape: tuple[int, ...]) -> None:
    a = _smooth(shape, 3)
    assert np.allclose(MERGES[name](a, a, STEPS[len(shape)]), a, atol=1e-5)


@given(st.integers(2, 40), st.integers(2, 40), st.floats(1.0, 6.0))
@settings(max_examples=30, deadline=None)
def test_a_pyramid_of_any_size_gives_its_picture_back(rows: int, columns: int, step: float) -> None:
    a = _smooth((rows, columns), rows * columns)
    assert np.allclose(pyramid(a, a, (step, 1.0)), a, atol=1e-5)


@pytest.mark.parametrize("name", ["max", "energy", "detail"])
def test_where_one_source_is_dark_the_other_is_seen(name: str) -> None:
    """Left only A has structure, right only B: the picture has both, unchanged away from the seam."""
    a, b = _smooth((41, 60), 5) * 0.8 + 0.1, _smooth((41, 60), 6) * 0.8 + 0.1
    a[:, 30:], b[:, :30] = 0, 0
    merged = MERGES[name](a, b, (1.0, 1.0))
    assert np.allclose(merged[:, :20], a[:, :20], atol=1e-4) and np.allclose(merged[:, 40:], b[:, 40:], atol=1e-4)


def test_difference_can_be_read_in_units(oblique_grid: Grid) -> None:
    rng = np.random.default_rng(7)
    before, after = (rng.uniform(-150, 200, oblique_grid.shape).astype(np.float32) for _ in "ab")
    one, two = (Image.from_array(v, oblique_grid, modality="CT", quantity="HU") for v in (before, after))
    fused = fuse(one, two, how="difference", window_base=(-160.0, 240.0))
    assert fused.window_over == fused.window_base
    assert np.allclose((2 * fused.grey - 1) * 400, after - before, atol=1e-3)
    part = two.crop((1, 2, 3), (4, 6, 9))
    outside = fuse(one, part, how="difference")
    assert np.all(outside.picture[~outside.covered] == 128)


@pytest.mark.parametrize("how", [h for h in HOWS if h in MERGES])
def test_through_fuse_in_a_volume(how: str, oblique_ct: Image) -> None:
    other = oblique_ct.with_array(oblique_ct.array[:, ::-1].copy(), "flipped")
    fused = fuse(oblique_ct, other, how=how, window_base=(-500.0, 700.0), window_over=(-500.0, 700.0))
    assert fused.grey.dtype == np.float32 and fused.grey.shape == oblique_ct.shape
    assert fused.grey.min() >= 0 and fused.grey.max() <= 1
    assert np.abs(fused.picture[..., 0] - 255.0 * fused.grey).max() <= 0.5 + 1e-3
    assert np.array_equal(fused.rgb(2), fused.picture[2])
    if how == "max":
        assert np.allclose(fused.grey, window(np.maximum(oblique_ct.array, other.array), -500, 700))


def test_merged_brightness_takes_the_hue_of_the_coloured_source() -> None:
    """As the literature fuses colour PET: brightness is merged, Cb and Cr stay."""
    rng = np.random.default_rng(8)
    mri = Image.from_array(rng.integers(60, 120, (31, 43)).astype(np.uint8))
    pet = Image.from_array(rng.integers(60, 120, (31, 43, 3)).astype(np.uint8), quantity="RGB", axes=("y", "x", "c"))
    fused = fuse(mri, pet, how="max", window_base=(0.0, 255.0))
    luma = np.array([0.299, 0.587, 0.114])
    brightness = np.maximum(mri.array, pet.array @ luma)
    assert np.allclose(255 * fused.grey, brightness, atol=1e-3)
    hue, wanted = (x - (x @ luma)[..., None] for x in (fused.picture.astype(float), pet.array.astype(float)))
    assert np.abs(hue - wanted).max() <= 1.0


def test_a_palette_colours_merged_brightness(oblique_ct: Image) -> None:
    other = oblique_ct.with_array(oblique_ct.array[:, ::-1].copy(), "flipped")
    warm = fuse(oblique_ct, other, how="energy", palette="hot iron", window_base=(-500.0, 700.0))
    assert (warm.picture[..., 0] > warm.picture[..., 2]).any()
