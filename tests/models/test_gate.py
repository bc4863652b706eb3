"""The input gate before a model: fingerprints of images, what is refused, and --force."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hexscope as hx
from hexscope.cli import main
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.errors import FormatError, RefusedError
from hexscope.models.fingerprint import fingerprint
from hexscope.models.gatekeeper import GATE
from hexscope.models.recipe import Channel, Normalise, Recipe
from hexscope.models.shelf import Model, import_model
from hexscope.trust.gate import TELLS, gate
from tests.models.networks import card_for, write_model

FLAT = Recipe((Channel("image", "US", Quantity.ARBITRARY, Normalise()),), 2, (8, 8), (32, 32), (8, 8))
DEEP = replace(FLAT, dims=3, multiple=(8,) * 3, tile=(32,) * 3, overlap=(8,) * 3)


def scene(seed: int, shape: tuple[int, ...] = (61, 83), modality: str = "US") -> Image:
    """A smooth bright patch above the middle, on noise: never symmetric, each seed a little different."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    middle = [-0.4, 0.2, 0.1][: len(shape)]
    away = sum((a - m - rng.normal(0, 0.05)) ** 2 for a, m in zip(axes, middle, strict=True))
    array = 40 + 150 * np.exp(-4 * away) + rng.normal(0, 4, shape)
    grid = Grid(shape, None) if len(shape) == 2 else Grid(shape, np.diag([0.5, 0.7, 3.0, 1.0])[:, [2, 1, 0, 3]])
    return Image.from_array(array.clip(0, 255).astype(np.uint8), grid, modality=modality, quantity="arbitrary")


@pytest.mark.parametrize("shape", [(61, 83), (9, 31, 43), (5, 7, 11)])
def test_every_number_is_finite_and_has_a_meaning(shape: tuple[int, ...]) -> None:
    numbers = fingerprint(scene(0, shape), FLAT if len(shape) == 2 else DEEP)
    assert len(numbers) > 80 and np.all(np.isfinite(list(numbers.values())))
    assert {name.partition("_")[0] for name in numbers} <= set(TELLS)


def test_numbers_do_not_depend_on_a_scale_that_says_nothing() -> None:
    image = scene(1)
    other = image.with_array(image.array.astype(np.float32) * 17.5 - 300, "another scale")
    one, two = fingerprint(image, FLAT), fingerprint(other, FLAT)
    assert max(abs(one[k] - two[k]) for k in one) < 0.02
    fixed = replace(FLAT, channels=(replace(FLAT.channels[0], normalise=Normalise(False, (0, 255), (60.0,), (30.0,))),))
    one, two = fingerprint(image, fixed), fingerprint(other, fixed)
    assert abs(one["level_50"] - two["level_50"]) > 10


def test_a_volume_is_turned_to_the_patient_first() -> None:
    """The same patient stored in another order of axes has the same numbers."""
    image = scene(2, (9, 31, 43))
    order = (2, 0, 1)
    turned = Image.from_array(
        np.flip(image.array.transpose(order), 0), image.grid.permute(order).flip(0), modality="US", quantity="arbitrary"
    )
    one, two = fingerprint(image, DEEP), fingerprint(turned, DEEP)
    assert one == pytest.approx(two, abs=1e-4)


def test_a_volume_before_a_flat_model_is_seen_by_its_middle_slice() -> None:
    image = scene(3, (9, 31, 43))
    middle = Image.from_array(image.array[4], Grid((31, 43), None), modality="US", quantity="arbitrary")
    one, two = fingerprint(image, FLAT), fingerprint(middle, FLAT)
    assert {k: one[k] for k in two} == pytest.approx(two, abs=1e-5)


def test_colours_are_told_apart() -> None:
    recipe = replace(FLAT, channels=(Channel("image", "SM", Quantity.RGB, Normalise()),))
    rng = np.random.default_rng(0)
    array = rng.integers(90, 255, (40, 50, 3)).astype(np.uint8)
    array[..., 0] //= 2
    image, swapped = (
        Image.from_array(a, Grid((40, 50), None), modality="SM", quantity="RGB", axes="yxc")
        for a in (array, array[..., ::-1].copy())
    )
    one, two = fingerprint(image, recipe), fingerprint(swapped, recipe)
    assert one["hue_r"] == pytest.approx(two["hue_b"], abs=1e-5) and one["hue_r"] - two["hue_r"] > 0.1
    assert one["detail_0"] == pytest.approx(two["detail_0"], abs=1e-4)


@pytest.fixture
def gated(tmp_path: Path) -> Path:
    """A model folder whose gate knows 40 scenes."""
    card = card_for(2, channels=FLAT.channels, tile=32, overlap=8)
    folder = write_model(tmp_path / "gated", card)
    assert card.recipe is not None
    known = gate([fingerprint(scene(i), card.recipe) for i in range(40)], list(range(40)))
    (folder / GATE).write_text(json.dumps(known.as_data()))
    return folder


def test_it_lets_pass_warns_and_refuses(gated: Path) -> None:
    model = Model.open(gated)
    alarms = [len(model.admit(scene(1000 + i))) for i in range(20)]
    assert sum(alarms) <= 4
    odd = scene(5).with_array(255 - scene(5).array, "inverted")
    with pytest.raises(RefusedError, match=r"far from the 40 training images .*--force"):
        hx.predict(odd, model)
    made = hx.predict(odd, model, force=True)
    assert any(w.startswith("input gate: ") for w in made.warnings)
    assert any(s.startswith("warning: input gate: ") for s in made.mask.steps)
    with pytest.raises(RefusedError):
        hx.segment(odd, model=gated)
    assert hx.segment(odd, model=gated, force=True).grid.same_as(odd.grid)


def test_on_the_command_line(gated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = scene(5).with_array(255 - scene(5).array, "inverted")
    hx.save(odd, tmp_path / "odd.png")
    call = ["segment", str(tmp_path / "odd.png"), "--as", "US", "--model", str(gated), "-o", str(tmp_path / "m.nii.gz")]
    assert main([*call, "--json"]) == 3
    assert "far from the 40 training images" in capsys.readouterr().err
    assert main([*call, "--force", "--json"]) == 0
    assert "input gate" in json.loads(capsys.readouterr().out)["warnings"][0]


def test_it_travels_with_the_model_and_a_broken_one_is_told(gated: Path, tmp_path: Path) -> None:
    copy = import_model(gated, tmp_path / "copy")
    assert copy.gate is not None and copy.gate.patients == 40
    (gated / GATE).write_text("{")
    with pytest.raises(FormatError, match=GATE.replace(".", r"\.")):
        hx.predict(scene(0), gated)
