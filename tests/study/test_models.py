"""Models in a study: used where image and card say that they fit, or where they are asked for by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hexscope as hx
from hexscope.models.card import ModelCard
from hexscope.models.detector import Detector
from hexscope.models.fit import misfit
from hexscope.models.recipe import Channel
from hexscope.trust.promise import HeldOut
from tests.models.networks import PLAIN, card_for, write_model

CARD = replace(card_for(), anatomy=("knee",), fingerprint={"extent_mm": [5.5, 4.9, 15.0]})


def knee(image: hx.Image, **facts: str) -> hx.Image:
    return replace(image, facts={"BodyPartExamined": "KNEE", **facts})


@pytest.mark.parametrize(
    ("card", "why"),
    [
        (CARD, None),
        (replace(CARD, anatomy=("Hip", "KNEE")), None),
        (replace(CARD, anatomy=()), "does not name"),
        (replace(CARD, anatomy=("hip",)), "made for hip"),
        (replace(CARD, recipe=None), "no network"),
        (replace(card_for(2), anatomy=("knee",)), "2 axes"),
        (replace(CARD, fingerprint={"extent_mm": [15.0, 4.9, 55.0]}), "was trained on about"),
    ],
)
def test_silence_is_no(oblique_ct: hx.Image, card: ModelCard, why: str | None) -> None:
    said = misfit(card, knee(oblique_ct))
    assert said is None if why is None else said is not None and why in said
    assert misfit(card, oblique_ct) is not None
    other = replace(oblique_ct, modality="MR", quantity=hx.Quantity.ARBITRARY)
    assert misfit(card, knee(other)) is not None


@pytest.fixture
def folder(tmp_path: Path, oblique_grid: hx.Grid, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CT and a PET of one frame of reference, named after the knee, and a shelf of two models."""
    rng = np.random.default_rng(8)
    for name, modality, quantity in (("knee-ct", "CT", "HU"), ("knee-pet", "PT", "SUVbw")):
        array = rng.choice([0, 10, 20], oblique_grid.shape).astype(np.float32)
        image = hx.Image.from_array(array, oblique_grid, modality=modality, quantity=quantity)
        hx.save(image, tmp_path / "in" / f"{name}.nii.gz")
    write_model(tmp_path / "shelf" / "alone", replace(CARD, name="alone"))
    channels = (Channel("ct", "CT", hx.Quantity.HU, PLAIN), Channel("pet", "PT", hx.Quantity.SUVBW, PLAIN))
    two = replace(card_for(channels=channels), name="two", anatomy=("shoulder",))
    write_model(tmp_path / "shelf" / "two", two)
    from tests.models.networks import write_network

    kernel = np.array([[0, 0], [5, 5], [10, 10]], np.float32).reshape(3, 2, 1, 1, 1)
    write_network(tmp_path / "shelf" / "two" / "weights.onnx", kernel, np.array([0, -50, -200], np.float32))
    monkeypatch.setenv("HEXSCOPE_MODELS", str(tmp_path / "shelf"))
    return tmp_path / "in"


def test_a_model_that_fits_is_used(folder: Path, tmp_path: Path) -> None:
    result = hx.study(folder, tmp_path / "report")
    value = {c["modality"]: c for c in result.as_json()["series"]}
    assert [m["model"] for m in value["CT"]["models"]] == ["alone"] and "models" not in value["PT"]
    rows = [m for m in value["CT"]["measures"] if m.get("model") == "alone"]
    assert {m["name"] for m in rows} == {"low", "high"}
    mask = hx.read_mask(tmp_path / "report" / value["CT"]["outputs"]["model-alone.nii.gz"])
    image = hx.read(folder / "knee-ct.nii.gz")
    assert isinstance(image, hx.Image) and np.array_equal(mask.array, image.array / 10)
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "outlined by model alone: low, high" in page and "模型 alone" in page


def test_a_model_is_asked_for_by_name(folder: Path, tmp_path: Path) -> None:
    result = hx.study(folder, tmp_path / "report", models=["two"])
    value = {c["modality"]: c for c in result.as_json()["series"]}
    assert {m["model"] for m in value["CT"]["models"]} == {"alone", "two"}
    with pytest.raises(hx.NoModelError, match="three"):
        hx.study(folder, tmp_path / "other", models=["three"])


def test_a_detector_that_fits_is_used(folder: Path, tmp_path: Path) -> None:
    from tests.models.networks import write_network

    detector = Detector(score=0.4)
    card = replace(card_for(classes=("spot",), target="peaks"), task="detect", name="spots", anatomy=("knee",))
    place = tmp_path / "shelf" / "spots"
    place.mkdir()
    (place / "card.toml").write_text(replace(card, detector=detector).to_toml(), encoding="utf-8")
    kernel = np.zeros((9, 1, 3, 3, 3), np.float32)
    kernel[0, 0, 1, 1, 1] = 0.2
    bias = np.array([-2, 0, 1, *np.log([1.5] * 6)], np.float32)
    write_network(place / "weights.onnx", kernel, bias)
    result = hx.study(folder, tmp_path / "report")
    found = [f for f in result.as_json()["findings"] if f["class"] == "spot"]
    assert found and all(f["score"] >= 0.4 and len(f["center_lps_mm"]) == 3 for f in found)
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "<td>spot</td>" in page and "model spots" in page


@pytest.mark.parametrize(("patients", "promised"), [(40, 0.9), (5, 0.8), (3, None)])
def test_a_study_prints_the_promise_that_can_be_made(
    patients: int, promised: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain picture and a detector asked for by name: the greatest promise, the candidate drawn, no false problem."""
    from PIL import Image as Picture

    from tests.models.networks import write_network

    array = np.full((40, 48), 20, np.uint8)
    array[12:16, 30:34] = 200
    folder = tmp_path / "in"
    folder.mkdir()
    Picture.fromarray(array).save(folder / "slice.png")
    channel = (Channel("image", "MR", hx.Quantity.ARBITRARY, PLAIN),)
    card = replace(card_for(2, classes=("spot",), target="peaks", channels=channel), task="detect", name="spots")
    place = tmp_path / "shelf" / "spots"
    place.mkdir(parents=True)
    (place / "card.toml").write_text(replace(card, detector=Detector(score=0.05)).to_toml(), encoding="utf-8")
    kernel = np.zeros((7, 1, 3, 3), np.float32)
    kernel[0, 0, 1, 1] = 0.01
    write_network(place / "weights.onnx", kernel, np.array([-2, 0, 1, *np.log([1.5] * 4)], np.float32))
    every = tuple(range(patients))
    held = HeldOut(every, every, (0.3,) * patients, (9.0,) * patients, (0,), (0.2,), "px", "its middle is in the box")
    (place / "calibration.json").write_text(json.dumps(held.as_data()), encoding="utf-8")
    monkeypatch.setenv("HEXSCOPE_MODELS", str(tmp_path / "shelf"))
    result = hx.study(folder, tmp_path / "report", kinds={"*": "MR"}, models=["spots"])
    (case,) = result.as_json()["series"]
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert result.findings() and "outlined: candidate 1" in page and case["problems"] == []
    assert (case["promise"]["target"] if case["promise"] else None) == promised
    assert ("are found (its middle is in the box)" in page) == (promised is not None)
