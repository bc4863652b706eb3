"""detect on the command line: a model's findings in each format, its promise, and what goes with what."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hexscope as hx
from hexscope.cli import main
from hexscope.models.detector import Detector
from hexscope.models.recipe import Channel
from hexscope.trust.promise import HeldOut
from tests.models.networks import PLAIN, card_for, write_network


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEXSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that calls what is bright a spot, 6 x 10 pixels about it."""
    channels = (Channel("image", "US", hx.Quantity.ARBITRARY, PLAIN),)
    card = card_for(2, channels=channels, classes=("spot",), target="peaks", tile=64)
    folder = tmp_path / "spots"
    folder.mkdir()
    kernel = np.zeros((7, 1, 3, 3), np.float32)
    kernel[:2, 0, 1, 1] = 0.08
    bias = np.array([-8, -8, 2, *np.log([3, 5, 3, 5])], np.float32)
    write_network(folder / "weights.onnx", kernel, bias)
    (folder / "card.toml").write_text(replace(card, task="detect", detector=Detector(score=0.5)).to_toml())
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Two hills of light; the brighter at row 12, column 30, the fainter at 25, 11."""
    y, x = np.mgrid[0:36, 0:52]
    hills = 230 * np.exp(-((y - 12) ** 2 + (x - 30) ** 2) / 18) + 130 * np.exp(-((y - 25) ** 2 + (x - 11) ** 2) / 18)
    hx.save(hx.Image.from_array(hills.astype(np.uint8)), tmp_path / "i.png")
    return tmp_path / "i.png"


def test_findings_in_each_format(run: Any, model: Path, picture: Path, tmp_path: Path) -> None:
    code, value = run("detect", picture, "--as", "US", "--model", model, "-o", tmp_path / "f.json")
    assert code == 0 and value["model"] == "tiny" and value["promise"] is None
    bright, faint = value["findings"]
    assert bright["class"] == "spot" and bright["center_px"] == [12.5, 30.5]
    assert bright["box_px"] == [9.5, 25.5, 15.5, 35.5] and bright["score"] > faint["score"] > 0.5
    assert json.loads((tmp_path / "f.json").read_text())["findings"] == value["findings"]
    code, _ = run("detect", picture, "--as", "US", "--model", model, "--score", 0.92, "-o", tmp_path / "f.coco.json")
    boxes = json.loads((tmp_path / "f.coco.json").read_text())["annotations"]
    assert code == 0 and [b["bbox"] for b in boxes] == [[25.5, 9.5, 10.0, 6.0]]
    assert run("detect", picture, "--as", "US", "--model", model, "-o", tmp_path / "f.png")[0] == 0
    mask = hx.read_mask(tmp_path / "f.png").array
    assert mask[12, 30] == 1 and mask[25, 11] == 2 and mask[0, 0] == 0


def test_a_promise_needs_patients(
    run: Any, capsys: pytest.CaptureFixture[str], model: Path, picture: Path, tmp_path: Path
) -> None:
    asked = (picture, "--as", "US", "--model", model, "-o", tmp_path / "f.json", "--sensitivity", 0.8)
    assert run("detect", *asked)[0] == 3, "nothing is kept of held-out patients: nothing can be promised"
    n = 40
    scores = np.linspace(0.55, 0.99, n)
    held = HeldOut(tuple(range(n)), tuple(range(n)), tuple(scores), (9.0,) * n, (0, 1), (0.6, 0.9), "px", "by hand")
    (model / "calibration.json").write_text(json.dumps(held.as_data()))
    code, value = run("detect", *asked)
    assert code == 0 and value["promise"]["patients"] == n and value["promise"]["target"] == 0.8
    assert len(value["findings"]) >= 1 and all(f["score"] >= value["promise"]["score"] for f in value["findings"])
    assert main(["detect", *map(str, asked)]) == 0
    said = capsys.readouterr().out
    assert "promise: of the lesions of a patient like the 40 held-out ones at least 0.8" in said
    assert run("detect", *asked, "--confidence", 0.9999999)[0] == 3


def test_what_goes_with_what(run: Any, model: Path, picture: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "f.json", "--as", "US")
    assert run("detect", picture, *out, "--sensitivity", 0.9)[0] == 2
    assert run("detect", picture, *out, "--model", model, "--suv", 3)[0] == 2
    assert run("detect", *out, "--model", model)[0] == 2, "no image at all"
    assert run("detect", *out, "--model", model, "--input", f"image={picture}")[0] == 0
