"""Models on the command line: train, plan, evaluate, data; the same figures by every way."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hexscope as hx
from hexscope.models.recipe import Channel
from tests.models.networks import card_for, write_model


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEXSCOPE_CACHE", str(tmp_path / "cache"))


def write_cases(folder: Path, count: int, *, side: tuple[int, int] = (36, 52)) -> Path:
    """Ultrasound-like pictures of a bright blob on noise, with its mask; no two alike, none symmetric."""
    rng = np.random.default_rng(3)
    rows = []
    y, x = np.mgrid[: side[0], : side[1]]
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cy, cx, r = rng.uniform(10, side[0] - 10), rng.uniform(12, side[1] - 12), rng.uniform(5, 8)
        blob = np.hypot((y - cy) * 1.2, x - cx) < r
        picture = np.clip(rng.normal(60, 20, side) + 110 * blob, 0, 255).astype(np.uint8)
        hx.save(hx.Image.from_array(picture), folder / f"i{number}.png")
        hx.save(hx.Mask.from_array(blob, hx.Grid(side, plane="unknown")), folder / f"m{number}.png")
        rows.append({"case": f"c{number}", "group": f"g{number}", "image": f"i{number}.png", "mask": f"m{number}.png"})
    with (folder / "cases.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "cases.csv"


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    """A model folder that finds what is brighter than its picture's middle by far."""
    channels = (Channel("image", "US", hx.Quantity.ARBITRARY),)
    return write_model(tmp_path / "bright", card_for(2, channels=channels, classes=("blob",), tile=64), (0.0, 2.6))


def test_evaluate_gives_every_figure_with_its_interval(run: Any, bright: Path, tmp_path: Path) -> None:
    table = write_cases(tmp_path / "data", 7)
    code, value = run("evaluate", bright, table, "--as", "US", "--per-case")
    assert code == 0 and set(value["dice"]) == {"mean", "low", "high", "n"} and value["dice"]["n"] == 7
    assert value["dice"]["low"] <= value["dice"]["mean"] <= value["dice"]["high"]
    assert [row["case"] for row in value["cases"]] == [f"c{n}" for n in range(7)]
    assert hx.evaluate(bright, table, kinds="US") == {k: v for k, v in value.items() if k != "cases"}


def test_the_same_answer_by_every_way(run: Any, bright: Path, tmp_path: Path) -> None:
    """Python, command line and evaluation see one mask."""
    table = write_cases(tmp_path / "data", 3)
    _, value = run("evaluate", bright, table, "--as", "US", "--per-case")
    for number, row in enumerate(value["cases"]):
        picture, truth = (tmp_path / "data" / f"{letter}{number}.png" for letter in "im")
        run("segment", picture, "--model", bright, "--as", "US", "-o", tmp_path / "m.png")
        written = hx.read_mask(tmp_path / "m.png").any
        image = hx.read(picture, kind="US")
        assert isinstance(image, hx.Image)
        assert np.array_equal(written, hx.segment(image, model=bright).any)
        drawn = hx.read_mask(truth).any
        assert row["dice"] == pytest.approx(2 * (written & drawn).sum() / (written.sum() + drawn.sum()), abs=1e-4)


def test_a_case_that_fails_is_told_and_the_others_measured(run: Any, bright: Path, tmp_path: Path) -> None:
    table = write_cases(tmp_path / "data", 4)
    (tmp_path / "data" / "i2.png").write_bytes(b"\x89PNG broken")
    code, value = run("evaluate", bright, table, "--as", "US")
    assert code == 3 and value["dice"]["n"] == 3 and [f["case"] for f in value["failed"]] == ["c2"]


def test_train_plan_and_use(run: Any, tmp_path: Path) -> None:
    """A training of a few iterations: every paper is there, and the model runs."""
    pytest.importorskip("torch")
    table, out = write_cases(tmp_path / "data", 10), tmp_path / "model"
    small = ("--set", "iterations=6", "--set", "width=8", "--minutes", 0.05, "--as", "US", "--classes", "1=blob")
    order = ("train", "segment", table, "--name", "blobs", "--licence", "CC0-1.0", *small)
    code, value = run(*order, "-o", out)
    assert code == 0 and {"model", "plan", "validation", "cpu_s"} <= set(value)
    assert value["model"] == str(out) and set(value["validation"]["dice"]) == {"mean", "low", "high", "n"}
    assert all({"name", "value", "why"} <= set(choice) for choice in value["plan"]["choices"])
    card = hx.ModelCard.from_toml(out / "card.toml")
    assert (card.name, card.licence, card.classes, card.modality) == ("blobs", "CC0-1.0", ("blob",), "US")
    assert card.metrics["dice"][3] == value["validation"]["dice"]["n"] and (out / "report.html").is_file()
    code, plan = run("plan", out)
    assert code == 0 and plan["choices"] == json.loads(json.dumps(value["plan"]["choices"]))
    assert run("plan", out, out) == (0, [])
    code, made = run("segment", tmp_path / "data" / "i0.png", "--model", out, "-o", tmp_path / "m.png")
    assert code == 0 and made["model"] == "blobs" and "blob" in made["expected_dice"]
    assert run(*order, "-o", out)[0] == 2  # a model stands there already


def test_train_says_what_it_lacks(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = write_cases(tmp_path / "data", 3)
    monkeypatch.setattr("hexscope.model_verbs.find_spec", lambda name: None)
    code, value = run("train", "segment", table, "--name", "x", "-o", tmp_path / "x")
    assert code == 2 and "hexscope[train]" in value["error"]["message"]


def test_public_sets_are_listed_and_fetched_by_name(run: Any, tmp_path: Path) -> None:
    code, rows = run("data", "list")
    assert code == 0 and all({"name", "licence"} <= set(row) for row in rows)
    code, value = run("data", "get", "no-such-set", "-o", tmp_path / "set")
    assert code == 2 and rows[0]["name"] in value["error"]["message"]
    assert run("data", "get", rows[0]["name"])[0] == 2
