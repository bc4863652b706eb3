"""The rules: on shapes whose truth is known, on crops, and on what they must refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.otsu import otsu
from hexscope.errors import GeometryError, NoModelError, QuantityError
from hexscope.segment import RULES, segment
from hexscope.segment.score import dice
from tests.segment.torso import torso


def test_body_lungs_and_bone_of_a_torso() -> None:
    image, truth = torso()
    mask = segment(image)
    assert [label.name for label in mask] == ["body", "lung left", "lung right", "bone"]
    assert mask.grid is image.grid
    for name, part in truth.items():
        assert dice(mask.of(name), part) > 0.93, name
    assert "warning" not in " ".join(mask.steps)


def test_what_chooses() -> None:
    image, _ = torso()
    assert [label.name for label in segment(image, ["bone"])] == ["bone"]
    assert [label.name for label in segment(image, ["lung"])] == ["lung left", "lung right"]


def test_touching_lungs_are_parted() -> None:
    image, truth = torso()
    array = image.array.copy()
    points = image.grid.to_world(np.stack(np.indices(image.shape), axis=-1)) - image.grid.center_mm
    array[(np.abs(points[..., 0]) < 40) & (np.abs(points[..., 1] + 10) < 9) & (np.abs(points[..., 2]) < 20)] = -800
    mask = segment(image.with_array(array, "bridge"), ["lung"])
    for name in ("lung left", "lung right"):
        assert dice(mask.of(name), truth[name]) > 0.9, name


def test_a_single_lung_keeps_its_side() -> None:
    image, truth = torso()
    array = np.where(truth["lung right"], 40.0, image.array)
    mask = segment(image.with_array(array, "pneumonectomy"), ["lung"])
    assert dice(mask.of("lung left"), truth["lung left"]) > 0.9
    assert not mask.of("lung right").any()
    assert "warning: no lung right was found" in mask.steps


@pytest.mark.parametrize("value", [40.0, -1000.0])
def test_crops_of_nothing_but_one_thing(oblique_grid: Grid, value: float) -> None:
    image = Image.from_array(np.full(oblique_grid.shape, value), oblique_grid, modality="CT", quantity="HU")
    mask = segment(image)
    assert mask.of("body").all() == (value > 0)
    assert not mask.of("lung left").any() and not mask.of("bone").any()
    assert any(step.startswith("warning") for step in mask.steps)


def test_body_on_mr_and_pet() -> None:
    image, truth = torso()
    rng = np.random.default_rng(1)
    signal = np.where(truth["body"], 300.0, 0.0) + 400 * truth["bone"]
    noisy = np.hypot(signal + rng.normal(0, 8, image.shape), rng.normal(0, 8, image.shape))
    mr = Image.from_array(noisy, image.grid, modality="MR")
    pet = Image.from_array(noisy / 300, image.grid, modality="PT", quantity="SUVbw")
    for scan in (mr, pet):
        assert dice(segment(scan).of("body"), truth["body"]) > 0.97


def picture() -> tuple[np.ndarray, np.ndarray]:
    """A sector with words and a grey bar beside it, 8 bit."""
    y, x = np.mgrid[:210, :330]
    radius, angle = np.hypot(y + 10, x - 150), np.arctan2(x - 150, y + 10)
    sector = (radius < 190) & (np.abs(angle) < 0.6)
    rng = np.random.default_rng(2)
    array = np.where(sector, rng.rayleigh(50, sector.shape), 0).clip(0, 255)
    array[20:180, 310:316] = 200
    array[5:12, 5:60:3] = 255
    return array.astype(np.uint8), sector


def test_fan_without_words_and_bars() -> None:
    array, sector = picture()
    mask = segment(Image.from_array(array, modality="US"))
    assert dice(mask.of("fan"), sector) > 0.97
    assert not mask.of("fan")[:, 300:].any() and not mask.of("fan")[5:12, 5:60].any()


def test_fan_of_a_colour_cine_is_what_any_frame_shows() -> None:
    array, sector = picture()
    frames = np.stack([np.where(np.arange(330) < 160, array, 0), np.where(np.arange(330) >= 140, array, 0)])
    cine = Image.from_array(
        np.stack([frames, frames // 2, frames], axis=-1), modality="US", quantity="RGB", axes=("t", "y", "x", "c")
    )
    mask = segment(cine)
    assert mask.grid.shape == (210, 330)
    assert dice(mask.of("fan"), sector) > 0.97


def test_black_picture_has_no_fan() -> None:
    mask = segment(Image.from_array(np.zeros((50, 70), np.uint8), modality="US"))
    assert not mask.of("fan").any() and "warning: no scan area was found" in mask.steps


def slide(shape: tuple[int, int]) -> tuple[Image, np.ndarray]:
    rng = np.random.default_rng(4)
    y, x = np.indices(shape) / np.array(shape)[:, None, None]
    tissue = ((y - 0.4) / 0.3) ** 2 + ((x - 0.6) / 0.25) ** 2 <= 1
    array = np.where(tissue[..., None], np.array([190, 90, 160]), np.array([242, 240, 243]))
    array = (array + rng.normal(0, 6, array.shape)).clip(0, 255).astype(np.uint8)
    array[10:14, 10:14] = 60  # dust
    array[-20:] = 0  # filling below the scan
    grid = Grid(shape, spacing_mm=(0.002, 0.002), plane="slide")
    return Image.from_array(array, grid, modality="SM", quantity="RGB", axes=("y", "x", "c")), tissue


def test_tissue_on_a_small_slide() -> None:
    image, tissue = slide((300, 420))
    mask = segment(image)
    assert mask.grid.same_as(image.grid)
    assert dice(mask.of("tissue"), tissue) > 0.98
    assert not mask.of("tissue")[-15:].any() and not mask.of("tissue")[5:20, 5:20].any()


def test_tissue_on_a_large_slide_is_on_a_coarser_grid() -> None:
    image, tissue = slide((2100, 1530))
    mask = segment(image)
    assert mask.grid.shape == (1050, 765)
    assert mask.grid.spacing_mm == pytest.approx((0.004, 0.004))
    assert dice(mask.of("tissue"), tissue[::2, ::2]) > 0.98


def test_refusals(oblique_ct: Image) -> None:
    raw = Image.from_array(oblique_ct.array, oblique_ct.grid, modality="CT")
    with pytest.raises(QuantityError, match="HU"):
        segment(raw)
    with pytest.raises(NoModelError, match="body, lung, bone") as caught:
        segment(oblique_ct, ["liver"])
    assert caught.value.exit_code == 4
    with pytest.raises(NoModelError, match="tissue"):
        segment(Image.from_array(oblique_ct.array, oblique_ct.grid, modality="XR"))
    flat = Image.from_array(oblique_ct.array[0], modality="CT", quantity="HU")
    with pytest.raises(GeometryError, match="volume"):
        segment(flat)
    becquerel = Image.from_array(oblique_ct.array, oblique_ct.grid, modality="PT", quantity="Bq/ml")
    with pytest.raises(QuantityError, match="quantify"):
        segment(becquerel)
    assert "XR" not in RULES


def test_otsu_parts_two_groups() -> None:
    values = np.r_[np.random.default_rng(0).normal(10, 2, 900), np.random.default_rng(1).normal(50, 5, 300)]
    assert 17 < otsu(values) < 38
    assert otsu(np.full(9, 3.5)) == 3.5


def test_real_ultrasound_keeps_the_fetal_head(shared_data: Path) -> None:
    from PIL import Image as Picture

    for path in sorted((shared_data / "us-fetal-head" / "images").glob("*.png"))[::20]:
        array = np.asarray(Picture.open(path).convert("L"))
        fan = segment(Image.from_array(array, modality="US")).of("fan")
        head = np.asarray(Picture.open(path.parents[1] / "masks" / path.name)) > 0
        assert (fan & head).sum() / head.sum() > 0.97, path.name
        assert 0.3 < fan.mean() < 1.0, path.name


def test_the_skull_is_bone_and_the_brain_is_not() -> None:
    """A closed ring of bone around soft tissue stays a ring; the marrow in a shaft beside it is filled."""
    z, y, x = np.mgrid[:8, :130, :170]
    hu = np.full(z.shape, -1000, np.int16)
    head = np.hypot((y - 65) / 1.15, x - 62)
    hu[head < 50] = 30
    hu[(head >= 40) & (head < 47)] = 900
    shaft = np.hypot(y - 60, x - 145)
    hu[shaft < 14] = 40
    hu[shaft < 11] = 1000
    hu[shaft < 6] = -60
    affine = np.array([[0, 0, 1.0, -80], [0, 1.1, 0, -60], [3.0, 0, 0, 5], [0, 0, 0, 1]])
    image = Image.from_array(hu, Grid(hu.shape, affine), modality="CT", quantity="HU")
    bone = segment(image, ["bone"]).of("bone")
    assert not bone[4, 65, 62] and bone[4, 65, 62 + 43]
    assert bone[4, 60, 145]
