"""Cards, model folders, and how a name finds one."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.quantity import Quantity
from hexscope.errors import FormatError, InputError, NoModelError, UsageError
from hexscope.models.card import ModelCard
from hexscope.models.recipe import Channel, Normalise, Recipe
from hexscope.models.shelf import Model, find_model, import_model, shelf
from hexscope.models.toml import dump
from tests.models.networks import PLAIN, card_for, threshold_network, write_model

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
_SCALARS = st.one_of(st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), _TEXT)
_TABLES = st.recursive(
    st.dictionaries(_TEXT, st.one_of(_SCALARS, st.lists(_SCALARS, max_size=3)), max_size=3),
    lambda inner: st.dictionaries(
        _TEXT, st.one_of(_SCALARS, inner, st.lists(inner, min_size=1, max_size=2)), max_size=3
    ),
    max_leaves=6,
)


@given(_TABLES)
def test_toml_reads_back_as_it_was(data: dict[str, Any]) -> None:
    assert tomllib.loads(dump(data)) == data


def test_a_card_reads_back_as_it_was(tmp_path: Path) -> None:
    channels = (
        Channel("pet", "PT", Quantity.SUVBW, Normalise(False, (0.0, 25.0), (1.5,), (2.25,))),
        Channel("mr", "MR", Quantity.ARBITRARY),
    )
    recipe = Recipe(channels, 3, (4, 4, 4), (32, 48, 32), (8, 8, 8), spacing_mm=(3.0, 1.5, 1.5), temperature=1.3)
    card = ModelCard(
        "sarcoma", "segment", "PT", Quantity.SUVBW, ("tumour",), "eight cases", "CC BY 3.0", 'no "lymphoma"\n',
        {"dice": (0.7, 0.5, 0.8, 8)}, (2,), "leave one out", {"cases": 8, "spacing_mm": [3.0, 1.5, 1.5]}, recipe,
        {"seed": 0, "cpu_s": 180.5}, 0.4,
    )  # fmt: skip
    file = tmp_path / "card.toml"
    file.write_text(card.to_toml(), encoding="utf-8")
    assert ModelCard.from_toml(file) == card
    assert [c.name for c in card.inputs] == ["pet", "mr"] and card.outputs == 2


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("[recipe]", "[recipes]\nx = 1\n[recipe]\nspacing_mm = [1.0]"), "spacing_mm"),
        (("dims = 3", ""), "dims"),
        (('modality = "CT"\ntrained', 'modality = "MR"\ntrained'), "its recipe says CT"),
        (("values = [1, 2]", "values = [1]"), "values"),
        (("per_image = false", "per_image = true"), "per image need neither"),
        (("tile = [8, 8, 8]", "tile = [7, 8, 8]"), "multiple"),
    ],
)
def test_a_broken_card_says_what_is_wrong(tmp_path: Path, change: tuple[str, str], match: str) -> None:
    text = card_for().to_toml()
    assert change[0] in text
    (tmp_path / "card.toml").write_text(text.replace(*change, 1))
    with pytest.raises(FormatError, match=match):
        ModelCard.from_toml(tmp_path / "card.toml")


@pytest.fixture
def my_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEXSCOPE_MODELS", str(tmp_path / "shelf"))
    write_model(tmp_path / "shelf" / "mine", card_for())
    return tmp_path / "shelf"


def test_a_name_finds_a_model(my_shelf: Path) -> None:
    assert find_model("mine").folder == find_model("tiny").folder == my_shelf / "mine"
    assert find_model(my_shelf / "mine").card.name == "tiny"
    (my_shelf / "bad").mkdir()
    (my_shelf / "bad" / "card.toml").write_text("name = 1")
    found = shelf()
    assert my_shelf / "mine" in [m.folder for m in found.models]
    assert len(found.broken) == 1 and "bad" in found.broken[0]
    with pytest.raises(NoModelError, match=r"yours.*tiny"):
        find_model("yours")


def test_a_model_is_brought_in(my_shelf: Path, tmp_path: Path) -> None:
    (my_shelf / "mine" / "training").mkdir()
    (my_shelf / "mine" / "training" / "last.pt").write_bytes(b"\x80")
    model = import_model(my_shelf / "mine", tmp_path / "in" / "copy")
    assert sorted(p.name for p in model.folder.iterdir()) == ["card.toml", "weights.onnx"]
    with pytest.raises(UsageError, match="not empty"):
        import_model(my_shelf / "mine", tmp_path / "in" / "copy")


def test_what_is_no_sound_model_is_not_brought_in(my_shelf: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"card\.toml"):
        import_model(tmp_path, out)
    wrong = write_model(tmp_path / "wrong", card_for(classes=("a", "b", "c")))
    with pytest.raises(FormatError, match="another network"):
        import_model(wrong, out)
    foreign = tmp_path / "nnunet"
    foreign.mkdir()
    for name in ("plans.json", "dataset.json"):
        (foreign / name).write_text("{}")
    with pytest.raises(UsageError, match="nnU-Net"):
        import_model(foreign, out)
    (my_shelf / "mine" / "weights.onnx").unlink()
    (my_shelf / "mine" / "weights.onnx").symlink_to(wrong / "weights.onnx")
    with pytest.raises(FormatError, match="link"):
        import_model(my_shelf / "mine", out)
    assert not out.exists() and not list(tmp_path.glob(".*"))


def test_a_card_without_weights_is_listed_and_does_not_run(tmp_path: Path, oblique_ct: hx.Image) -> None:
    (tmp_path / "card.toml").write_text(card_for().to_toml())
    with pytest.raises(NoModelError, match="no weights"):
        Model.open(tmp_path).predict(oblique_ct)


# ---- the command line ---------------------------------------------------------------------------------------


@pytest.fixture
def scan(tmp_path: Path, oblique_grid: Grid) -> Path:
    array = np.random.default_rng(4).choice([0, 10, 20], oblique_grid.shape).astype(np.float32)
    return hx.save(hx.Image.from_array(array, oblique_grid, modality="CT", quantity="HU"), tmp_path / "scan.nii.gz")


def test_segment_with_a_model(run: Any, my_shelf: Path, scan: Path, tmp_path: Path) -> None:
    out, unsure = tmp_path / "mask.nii.gz", tmp_path / "unsure.nii.gz"
    code, value = run("segment", scan, "--model", "mine", "-o", out, "--uncertainty", unsure)
    assert code == 0 and value["model"] == "tiny" and value["engine"] and value["warnings"] == []
    mask, image = hx.read_mask(out), hx.read(scan)
    assert isinstance(image, hx.Image)
    assert np.array_equal(mask.array, image.array / 10) and mask.grid.same_as(image.grid)
    assert {e["name"]: e["area_px"] for e in value["labels"]} == {n: int(mask.of(n).sum()) for n in ("low", "high")}
    assert 0.9 < value["expected_dice"]["high"] <= 1
    assert np.array_equal(hx.segment(image, model="mine").array, mask.array)
    doubt = hx.read(unsure)
    assert isinstance(doubt, hx.Image) and 0 <= doubt.array.max() <= 1


def test_one_bad_case_does_not_stop_the_others(run: Any, my_shelf: Path, scan: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no image")
    code, rows = run("segment", bad, scan, "--model", "mine", "-o", tmp_path / "out")
    assert code == 3 and "error" in rows[0] and Path(rows[1]["out"]).is_file()


def test_inputs_by_name(run: Any, scan: Path, tmp_path: Path, oblique_grid: Grid) -> None:
    channels = (Channel("ct", "CT", Quantity.HU, PLAIN), Channel("pet", "PT", Quantity.SUVBW, PLAIN))
    folder = write_model(tmp_path / "two", card_for(channels=channels, classes=("low", "high")))
    kernel = np.array([[0, 0], [10, 0], [20, 0]], np.float32).reshape(3, 2, 1, 1, 1)
    from tests.models.networks import write_network

    write_network(folder / "weights.onnx", kernel, np.array([0, -50, -200], np.float32))
    pet = hx.save(hx.Image.from_array(np.ones(oblique_grid.shape, np.float32), oblique_grid), tmp_path / "pet.nii.gz")
    mixed = ("segment", scan, "--model", folder, "--input", f"pet={pet}", "-o", tmp_path / "m.nii.gz")
    code, value = run(*mixed)
    assert code == 3 and "SUVbw" in value["error"]["message"] and "arbitrary" in value["error"]["message"]
    code, value = run(*mixed, "--as", "pet=PT:SUVbw")
    assert code == 0 and value["labels"][0]["area_px"] > 0
    both = ("segment", "--model", folder, "--input", f"pet={pet}", "--input", f"ct={scan}", "-o", tmp_path / "m.nii.gz")
    assert run(*both, "--as", "pet=PT:SUVbw")[0] == 0
    assert run("segment", scan, "--model", folder, "-o", tmp_path / "m.nii.gz")[0] == 2
    assert run(*mixed, "--as", "mr=MR")[0] == 2
    assert run("segment", scan, "--model", "unknown", "-o", tmp_path / "m.nii.gz")[0] == 4


def test_models_are_listed_and_brought_in(run: Any, my_shelf: Path, tmp_path: Path) -> None:
    code, cards = run("models")
    mine = next(c for c in cards if c["folder"] == str(my_shelf / "mine"))
    assert code == 0 and mine["metrics"]["dice"] == {"mean": 0.9, "low": 0.8, "high": 0.95, "n": 7}
    assert mine["licence"] == "Apache-2.0" and mine["limits"] == "a test"
    code, card = run("models", "import", my_shelf / "mine", "-o", tmp_path / "copy")
    assert code == 0 and card["folder"] == str(tmp_path / "copy")
    assert run("models", "import", my_shelf / "mine")[0] == 2
    code, rows = run("models", "--matrix")
    assert {"task", "modality", "by", "measured_on", "metrics"} <= set(rows[0])
    assert any(r["by"] == "rule" and (r["task"], r["modality"]) == ("detect", "PT") for r in rows)
    assert any(r["by"] == "tiny" and r["metrics"]["dice"]["n"] == 7 for r in rows)


def test_prediction_loads_neither_torch_nor_scipy(my_shelf: Path, scan: Path, tmp_path: Path) -> None:
    script = (
        f"import sys; from hexscope.cli import main; main(['segment', {str(scan)!r}, '--model', 'mine', '-o', "
        f"{str(tmp_path / 'm.nii.gz')!r}]); print(' '.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {*done.stderr.split()}
    assert "onnxruntime" in loaded and (tmp_path / "m.nii.gz").is_file()
    assert not loaded & {
        "torch",
        "onnx",
        "scipy.ndimage",
        "scipy.special",
        "skimage",
        "SimpleITK",
        "highdicom",
        "numba",
    }


def test_a_network_of_two_axes_is_not_taken_for_one_of_three(tmp_path: Path, oblique_ct: hx.Image) -> None:
    folder = write_model(tmp_path / "flat", card_for(3))
    threshold_network(folder / "weights.onnx", 2, (0.0, 10.0, 20.0))
    with pytest.raises(FormatError, match="another network"):
        import_model(folder, tmp_path / "out")
