"""A model on an image: the answer on the image's own grid, whatever its order, size and spacing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.patches import tiles
from hexscope.core.quantity import Quantity
from hexscope.errors import FormatError, NoModelError, UsageError
from hexscope.models.apply import predict, probabilities, squashed
from hexscope.models.card import ModelCard
from hexscope.models.instances import instance_planes
from hexscope.models.prepare import prepare
from hexscope.models.recipe import Channel, Normalise
from hexscope.models.runtime import Network, Timing
from hexscope.models.tiling import slabs
from tests.models.networks import PLAIN, card_for, threshold_network, write_network
from tests.models.test_prepare import stored_differently


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return Network(threshold_network(tmp_path_factory.mktemp("net") / "net.onnx", 3, (0.0, 10.0, 20.0)))


@pytest.fixture
def steps_ct(oblique_grid: Grid) -> Image:
    """Values near 0, 10 and 20 on the oblique grid, without any symmetry."""
    rng = np.random.default_rng(11)
    array = 10 * rng.integers(0, 3, oblique_grid.shape) + rng.normal(0, 1, oblique_grid.shape)
    return Image.from_array(array.astype(np.float32), oblique_grid, modality="CT", quantity="HU", name="steps")


def test_native_answer_is_exact_and_on_the_own_grid(steps_ct: Image, three: Network) -> None:
    found = predict(card_for(values=(3, 7)), three, steps_ct)
    wanted = np.array([0, 3, 7])[np.clip(np.round(steps_ct.array / 10), 0, 2).astype(int)]
    assert np.array_equal(found.mask.array, wanted)
    assert found.mask.grid is steps_ct.grid
    assert [(e.value, e.name) for e in found.mask] == [(3, "low"), (7, "high")]
    assert "model tiny" in found.mask.steps[-1] and found.engine in found.mask.steps[-1]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("spacing", [None, (1.5, 1.0, 0.8)])
def test_the_answer_turns_with_the_file(
    steps_ct: Image, three: Network, order: tuple[int, ...], spacing: tuple[float, ...] | None
) -> None:
    card = card_for(spacing_mm=spacing)
    one = predict(card, three, steps_ct)
    for axes in ((1,), (0, 2)):
        two = predict(card, three, stored_differently(steps_ct, order, axes))
        same = np.flip(np.transpose(one.mask.array, order), axes) == two.mask.array
        assert same.mean() > 0.99
        assert abs(np.flip(np.transpose(one.certainty, order), axes).astype(int) - two.certainty).max() <= 2


@settings(max_examples=30)
@given(
    st.lists(st.integers(3, 29), min_size=2, max_size=3),
    st.integers(4, 9),
    st.integers(0, 3),
)
def test_slabs_of_tiles_are_the_whole(shape: list[int], side: int, overlap: int) -> None:
    array = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    tile = [side] * len(shape)
    regions = list(tiles(shape, tile, [overlap] * len(shape)))
    rows = list(slabs(array, regions, lambda part: np.concatenate([part, part[:1] * 2])))
    whole = np.concatenate(rows, axis=1)
    assert np.allclose(whole, np.concatenate([array, array[:1] * 2]), atol=1e-5)
    assert all(row.shape[1] <= side for row in rows) or len(regions) == 1


def test_tiles_blend_without_a_seam(tmp_path: Path) -> None:
    """With a network that sees its neighbours, tiles with overlap give nearly what one pass gives."""
    kernel = np.random.default_rng(2).normal(0, 0.3, (3, 1, 3, 3)).astype(np.float32)
    network = Network(write_network(tmp_path / "net.onnx", kernel, np.zeros(3, np.float32)))
    channel = Channel("image", "US", Quantity.ARBITRARY)
    picture = Image.from_array(
        ndimage.gaussian_filter(np.random.default_rng(1).normal(0, 9, (61, 83)), 2), modality="US"
    )
    one = predict(card_for(2, channels=(channel,), tile=96), network, picture)
    many = predict(card_for(2, channels=(channel,), tile=16, overlap=8), network, picture)
    assert (one.mask.array == many.mask.array).mean() > 0.97
    assert 0 < (one.mask.array > 0).mean() < 1


def test_what_the_network_sees_is_padded_and_cut_back(three: Network) -> None:
    """Sides below the tile and no multiple of two."""
    array = np.zeros((3, 5, 7), np.float32)
    array[2, 4, 6] = 20
    image = Image.from_array(array, modality="CT", quantity="HU")
    assert np.argwhere(predict(card_for(), three, image).mask.array == 2).tolist() == [[2, 4, 6]]


def test_slices_of_a_volume_go_through_a_flat_network(steps_ct: Image, tmp_path: Path, three: Network) -> None:
    flat = Network(threshold_network(tmp_path / "net.onnx", 2, (0.0, 10.0, 20.0)))
    found = predict(card_for(2), flat, steps_ct)
    assert np.array_equal(found.mask.array, predict(card_for(), three, steps_ct).mask.array)
    seen = predict(card_for(2, spacing_mm=(1.0, 1.0)), flat, steps_ct)
    assert seen.mask.grid is steps_ct.grid and any("slice by slice" in step for step in seen.mask.steps)


def test_structures_may_overlap(steps_ct: Image, tmp_path: Path) -> None:
    kernel = np.array([1.0, 1.0], np.float32).reshape(2, 1, 1, 1, 1)
    network = Network(write_network(tmp_path / "net.onnx", kernel, np.array([-5.0, -15.0], np.float32)))
    found = predict(card_for(target="overlapping", classes=("organ", "lesion")), network, steps_ct)
    assert np.array_equal(found.mask.of("organ"), steps_ct.array > 5)
    assert np.array_equal(found.mask.of("lesion"), steps_ct.array > 15)


def test_certainty_and_expected_dice(oblique_grid: Grid, tmp_path: Path) -> None:
    """Probabilities that are known: p is 0.8 in the left half and 0.2 in the right."""
    array = np.zeros(oblique_grid.shape, np.float32)
    array[..., :5] = 1
    image = Image.from_array(array, oblique_grid, modality="CT", quantity="HU", name="halves")
    logit = np.log(0.8 / 0.2)
    kernel = np.array([0.0, 2 * logit], np.float32).reshape(2, 1, 1, 1, 1)
    network = Network(write_network(tmp_path / "net.onnx", kernel, np.array([0.0, -logit], np.float32)))
    card = replace(card_for(classes=("half",)), warn_below=0.9)
    found = predict(card, network, image)
    assert np.array_equal(found.mask.array, array)
    assert np.all(found.certainty == round(255 * 0.8))
    assert np.allclose(found.uncertainty.array, 0.2, atol=0.003) and found.uncertainty.grid is oblique_grid
    expected = 2 * 5 * 0.8 / (5 * 0.8 + 6 * 0.2 + 5)
    assert found.expected_dice == {"half": pytest.approx(expected, abs=1e-3)}
    assert "expected Dice" in found.warnings[0] and "warning: half" in found.mask.steps[-1]
    sharper = predict(replace(card, recipe=replace(card.recipe, temperature=0.25)), network, image)  # type: ignore[type-var]
    assert sharper.expected_dice["half"] == pytest.approx(1.0, abs=0.01) and not sharper.warnings
    nothing = predict(card, network, image.with_array(np.zeros_like(array), "emptied"))
    assert nothing.expected_dice == {"half": None} and nothing.warnings == ("no half was found",)


def test_a_mirror_image_is_a_second_look(tmp_path: Path) -> None:
    """A network that leans to the right; with the mirror image it leans to neither side."""
    rng = np.random.default_rng(6)
    kernel = rng.normal(0, 0.4, (3, 1, 3, 3)).astype(np.float32)
    network = Network(write_network(tmp_path / "net.onnx", kernel, np.zeros(3, np.float32)))
    picture = ndimage.gaussian_filter(rng.normal(0, 9, (24, 32)), 1).astype(np.float32)
    card = card_for(2, channels=(Channel("image", "US", Quantity.ARBITRARY, PLAIN),), tile=32)
    assert card.recipe is not None
    twice = replace(card, recipe=replace(card.recipe, mirror=True))

    def said(card: ModelCard, array: NDArray[np.float32]) -> NDArray[np.uint8]:
        return predict(card, network, Image.from_array(array, modality="US")).certainty

    there, back = said(twice, picture), said(twice, picture[:, ::-1].copy())[:, ::-1]
    assert np.array_equal(there, back)
    assert not np.array_equal(said(card, picture), said(card, picture[:, ::-1].copy())[:, ::-1])
    assert ModelCard.from_data(twice.as_data(), tmp_path) == twice


def test_directions_of_a_mirror_image_are_turned_back(tmp_path: Path) -> None:
    """Slopes point the other way in a mirror image: turned back, both looks are one."""
    kernel = np.zeros((3, 1, 3, 3), np.float32)
    kernel[0, 0, 1, 1], kernel[1, 0, ::2, 1], kernel[2, 0, 1, ::2] = 1, (-1, 1), (-1, 1)
    network = Network(write_network(tmp_path / "net.onnx", kernel, np.zeros(3, np.float32)))
    card = card_for(
        2, channels=(Channel("image", "US", Quantity.ARBITRARY, PLAIN),), classes=("cell",), target="instances", tile=32
    )
    assert card.recipe is not None
    picture = Image.from_array(np.random.default_rng(6).normal(0, 2, (20, 28)).astype(np.float32), modality="US")
    seen = prepare(picture, card.recipe)
    once, twice = (
        np.concatenate(list(probabilities(network, seen, replace(card.recipe, mirror=m))[0]), axis=1)
        for m in (False, True)
    )
    assert np.allclose(once, twice, atol=1e-5)


def test_objects_that_touch_are_told_apart(tmp_path: Path) -> None:
    y, x = np.mgrid[:40, :70]
    truth = np.where(np.hypot(y - 20, x - 20) < 13, 1, 0) + np.where(np.hypot(y - 23, x - 45) < 12, 2, 0)
    shares = instance_planes(truth).clip(0.002, 0.998)
    coloured = np.moveaxis(np.log(shares / (1 - shares)), 0, -1).astype(np.float32)
    image = Image.from_array(coloured, modality="SM", quantity="RGB", axes=("y", "x", "c"))
    kernel = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    network = Network(write_network(tmp_path / "net.onnx", kernel, np.zeros(3, np.float32)))
    plain = Normalise(False, (-1e6, 1e6), (0.0,) * 3, (1.0,) * 3)
    channels = (Channel("image", "SM", Quantity.RGB, plain),)
    found = predict(card_for(2, channels=channels, classes=("nucleus",), target="instances", tile=32), network, image)
    assert [e.name for e in found.mask] == ["nucleus 1", "nucleus 2"]
    assert np.mean(found.mask.array == truth) > 0.99
    assert np.array_equal(found.mask.any, truth > 0)


def test_weights_may_be_stored_as_halves(steps_ct: Image, tmp_path: Path) -> None:
    kernel = np.array([0.0, 10.0, 20.0], np.float32).reshape(3, 1, 1, 1, 1)
    bias = np.array([0.0, -50.0, -200.0], np.float32)
    whole = Network(write_network(tmp_path / "whole.onnx", kernel, bias))
    half = Network(write_network(tmp_path / "half.onnx", kernel, bias, halves=True))
    assert np.array_equal(
        predict(card_for(), whole, steps_ct).mask.array, predict(card_for(), half, steps_ct).mask.array
    )


def test_both_engines_answer_alike(steps_ct: Image, three: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    plain = predict(card_for(), three, steps_ct)
    monkeypatch.setenv("HEXSCOPE_ENGINE", "openvino")
    other = predict(card_for(), three, steps_ct)
    assert (plain.engine, other.engine) == ("onnxruntime", "openvino")
    assert (plain.mask.array == other.mask.array).mean() > 0.99
    monkeypatch.setenv("HEXSCOPE_ENGINE", "tensorrt")
    with pytest.raises(UsageError, match="tensorrt"):
        predict(card_for(), three, steps_ct)


def test_a_graph_is_made_ready_once_for_images_of_one_size(three: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("openvino")
    made = []
    compile_model = openvino.Core.compile_model
    monkeypatch.setattr(openvino.Core, "compile_model", lambda *a: made.append(a) or compile_model(*a))
    monkeypatch.setenv("HEXSCOPE_ENGINE", "openvino")
    for shape in ((1, 3, 4, 5), (1, 3, 4, 5), (1, 4, 4, 6)):
        sample = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        assert three.engine_for(sample, 1).run(sample).shape[1:] == shape[1:]
    assert len(made) == 2


def test_the_faster_engine_must_pay_for_its_start_and_agree() -> None:
    assert Timing(1.0, 0.4, 2.0, 1.0).prefers_openvino(4)
    assert not Timing(1.0, 0.4, 2.0, 1.0).prefers_openvino(3)
    assert not Timing(1.0, 0.4, 2.0, 0.99).prefers_openvino(100)
    assert not Timing(0.4, 1.0, 2.0, 1.0).prefers_openvino(100)


def test_what_is_no_network_is_refused(steps_ct: Image, tmp_path: Path) -> None:
    (tmp_path / "weights.onnx").write_bytes(b"not a graph")
    with pytest.raises(FormatError, match=r"weights\.onnx"):
        predict(card_for(), Network(tmp_path / "weights.onnx"), steps_ct)
    paper = ModelCard("liver", "segment", "CT", Quantity.HU, ("liver",), "x", "y", "z")
    with pytest.raises(NoModelError, match="liver"):
        predict(paper, Network(tmp_path / "weights.onnx"), steps_ct)


def test_probabilities_are_probabilities() -> None:
    logits = np.random.default_rng(0).normal(0, 50, (3, 4, 5)).astype(np.float32)
    recipe = card_for().recipe
    assert recipe is not None
    assert np.allclose(squashed(logits, recipe).sum(axis=0), 1, atol=1e-5)
    each = squashed(logits, replace(recipe, target="overlapping"))
    assert np.all((each >= 0) & (each <= 1)) and np.isfinite(each).all()
    assert PLAIN.per_image is False
