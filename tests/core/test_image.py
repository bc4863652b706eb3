from __future__ import annotations

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.pixels import LazyPixels, PyramidPixels, full_region
from hexscope.core.quantity import Quantity
from hexscope.errors import GeometryError, InputError, QuantityError, UsageError


def test_an_image_does_not_change(oblique_ct: Image) -> None:
    with pytest.raises(ValueError, match="read-only"):
        oblique_ct.array[0, 0, 0] = 1
    with pytest.raises(TypeError):
        oblique_ct.facts["x"] = 1  # type: ignore[index]
    with pytest.raises(AttributeError):
        oblique_ct.modality = "MR"  # type: ignore[misc]


def test_crop_keeps_values_at_their_place(oblique_ct: Image) -> None:
    part = oblique_ct.crop((1, 2, 3), (4, 6, 10))
    assert part.shape == (3, 4, 7)
    assert part.array[0, 0, 0] == oblique_ct.array[1, 2, 3]
    assert part.grid.to_world((0, 0, 0)) == pytest.approx(oblique_ct.grid.to_world((1, 2, 3)))
    assert part.steps[-1].startswith("crop")


def test_pixels_must_fit_the_grid(oblique_grid: Grid) -> None:
    with pytest.raises(GeometryError, match="do not fit"):
        Image.from_array(np.zeros((5, 11, 7)), oblique_grid)


def test_quantities_do_not_mix(oblique_ct: Image) -> None:
    pet = Image.from_array(oblique_ct.array, oblique_ct.grid, modality="PT", quantity="SUVbw")
    with pytest.raises(QuantityError, match="HU and SUVbw"):
        _ = oblique_ct - pet
    assert np.all((oblique_ct - oblique_ct).array == 0)


def test_lazy_pixels_read_what_is_asked() -> None:
    asked = []
    data = np.arange(5 * 7 * 11).reshape(5, 7, 11)

    def read(region: tuple[slice, ...]) -> np.ndarray:
        asked.append(region)
        return data[region]

    pixels = LazyPixels((5, 7, 11), np.int64, read)
    assert np.array_equal(pixels.read((slice(1, 3),)), data[1:3])
    assert asked == [(slice(1, 3), slice(0, 7), slice(0, 11))]
    pixels.read()
    pixels.read((slice(4, 5),))
    assert len(asked) == 2, "once the whole was read, nothing is read again"


def test_levels_keep_the_extent() -> None:
    fine = np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3)
    levels = (fine, fine[::4, ::4])
    pixels = PyramidPixels([a.shape for a in levels], np.uint8, lambda r, level: levels[level][r])
    grid = Grid((8, 12), spacing_mm=(0.0005, 0.0004), plane="slide")
    slide = Image(pixels, grid, "SM", Quantity.RGB, axes=("y", "x", "c"))
    coarse = slide.at_level(1)
    assert coarse.grid.spacing == pytest.approx((0.002, 0.0016))
    assert slide.crop((0, 1), (2, 3), level=1).shape == (2, 2, 3)
    with pytest.raises(InputError, match="levels 0 to 1"):
        slide.at_level(2)


def test_frame_takes_one_time_point() -> None:
    cine = Image.from_array(np.arange(4 * 7 * 11).reshape(4, 7, 11), axes=("t", "y", "x"), modality="US")
    assert np.array_equal(cine.frame(2).array, cine.array[2])
    assert cine.frame(2).axes == ("y", "x")
    with pytest.raises(UsageError, match="time axis"):
        cine.frame(2).frame(0)


def test_regions_have_no_steps() -> None:
    with pytest.raises(InputError, match="step 1"):
        full_region((slice(0, 4, 2),), (5, 7))


def test_mask_names_and_values(oblique_grid: Grid) -> None:
    array = np.zeros(oblique_grid.shape, np.uint8)
    array[1, 2, 3:6] = 2
    mask = Mask.from_array(array, oblique_grid, {2: "liver"})
    assert mask.of("liver").sum() == 3 and mask.of(2).sum() == 3
    with pytest.raises(UsageError, match="2 liver"):
        mask.of("spleen")
    with pytest.raises(InputError, match="fractions"):
        Mask.from_array(array * 0.3, oblique_grid)


def test_overlapping_structures_get_layers(oblique_grid: Grid) -> None:
    body, tumour, apart = (np.zeros(oblique_grid.shape, bool) for _ in range(3))
    body[1:4] = True
    tumour[2, 3, 4:8] = True
    apart[0, 0, :2] = True
    mask = Mask.from_parts({"body": body, "tumour": tumour, "apart": apart}, oblique_grid)
    assert len(mask.layers) == 2, "apart fits beside body"
    assert np.array_equal(mask.of("body"), body) and np.array_equal(mask.of("tumour"), tumour)
    with pytest.raises(InputError, match="overlap"):
        _ = mask.array


def test_whole_slides_are_not_read_by_accident() -> None:
    pixels = LazyPixels((200_000, 300_000, 3), np.uint8, lambda r: np.zeros((1, 1, 3), np.uint8))
    slide = Image(pixels, Grid((200_000, 300_000)), "SM", Quantity.RGB, axes=("y", "x", "c"))
    with pytest.raises(InputError, match="GB"):
        _ = slide.array
