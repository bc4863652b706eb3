"""A classifier from a table to an answer, its evidence and its command: without torch once it is made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hexscope as hx
from hexscope.classify.held_out import CALIBRATION, HeldOutClasses
from hexscope.cli import main
from hexscope.core.results import Audited
from hexscope.evaluate.classification import evaluate_classifier
from hexscope.io.cases import read_cases
from hexscope.models.shelf import Model, import_model
from hexscope.study.looks import recognises
from hexscope.study.models import ask_models
from hexscope.study.report import render
from hexscope.study.result import Case, StudyResult
from hexscope.train.classify_choices import members
from hexscope.train.order import Order, Trained
from hexscope.train.session import train
from tests.classify.pictures import picture, write_table

_QUICK = {"members": '["kernels","trees"]'}


def make(folder: Path, minutes: float = 0.02, kind: str = "US", **table: Any) -> Trained:
    overrides = table.pop("overrides", _QUICK)
    cases = read_cases(write_table(folder / "data", **table))
    order = Order(name="made", minutes=minutes, kinds={"image": kind}, overrides=overrides)
    return train("classify", cases, folder / "model", order)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spots")
    assert make(folder).validation.metrics["auc"].mean > 0.9
    return folder


def image_of(marks: tuple[str, ...], seed: int = 9) -> hx.Image:
    array = picture(np.random.default_rng(seed), (33, 47), marks)
    return hx.Image.from_array(array, hx.Grid((33, 47), plane="unknown"), modality="US")


def test_the_folder_says_all(made: Path) -> None:
    model = Model.open(made / "model")
    card = model.card
    assert card.task == "classify" and card.classes == ("plain", "spot") and card.classifier is not None
    assert {"auc", "accuracy", "ece", "covered", "log_loss"} <= set(card.metrics) and card.metrics["auc"][3] == 30
    worth = hx.plan(model).choices["worth"]
    assert set(worth.value) == set(card.classifier.members) and "log-loss" in worth.why
    held = HeldOutClasses.read(made / "model")
    assert held is not None and len(held.probabilities) == 30 and len(set(held.groups.tolist())) == 15
    back = import_model(made / "model", made / "brought")
    assert hx.classify(image_of(("spot",)), back) == hx.classify(image_of(("spot",)), model)


def test_it_tells_a_spot(made: Path) -> None:
    right = 0
    for seed in range(6):
        for marks, name in ((("spot",), "spot"), ((), "plain")):
            scores = hx.classify(image_of(marks, 50 + seed), made / "model", coverage=0.8)
            right += max(scores.probabilities, key=lambda n: scores.probabilities[n]) == name
            assert sum(scores.probabilities.values()) == pytest.approx(1, abs=1e-4)
            assert scores.set is not None and scores.abstains == (len(scores.set) != 1)
    assert right >= 10


def test_evidence_lies_where_the_spot_is(made: Path) -> None:
    image = image_of(("spot",))
    shown = hx.evidence(image, made / "model", "spot")
    assert shown.grid.same_as(image.grid)
    bright = image.array > 170
    assert float(shown.array[bright].mean()) > float(shown.array[~bright].mean()) + 1e-3
    with pytest.raises(hx.UsageError, match="plain, spot"):
        hx.evidence(image, made / "model", "cat")


def test_a_training_case_is_its_own_nearest(made: Path) -> None:
    image = hx.read(made / "data" / "i3.png", kind="US")
    first, *others = hx.nearest(image, made / "model", 3)
    assert first.case == "c3" and first.likeness > 0.98 and len(others) == 2


def test_the_command_writes_what_it_says(made: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = [str(made / "data" / f"i{k}.png") for k in (0, 2)]
    common = ["--model", str(made / "model"), "--as", "US", "--json"]
    more = ["--evidence", str(tmp_path / "e.nii.gz"), "--nearest", "2", "--coverage", "0.8"]
    code = main(["classify", files[0], *common, "-o", str(tmp_path / "s.json"), *more])
    value = json.loads(capsys.readouterr().out)
    assert code == 0 and set(value) >= {"scores", "set", "abstains", "coverage", "nearest"} and value["coverage"] == 0.8
    assert json.loads((tmp_path / "s.json").read_text())["scores"] == value["scores"]
    assert hx.read(tmp_path / "e.nii.gz").array.shape == (33, 47)
    code = main(["classify", *files, str(made / "nothing.png"), *common])
    rows = json.loads(capsys.readouterr().out)
    assert code == 3 and ["scores" in row for row in rows] == [True, True, False]


def test_evaluate_measures_by_the_same_way(made: Path) -> None:
    figures = hx.evaluate(made / "model", made / "data" / "cases.csv", kinds="US")
    assert figures["accuracy"]["n"] == 30 and figures["auc"]["mean"] > 0.9


@pytest.mark.parametrize("strange", [False, True])
def test_evaluation_tells_where_patients_differ(made: Path, tmp_path: Path, strange: bool) -> None:
    rng = np.random.default_rng(12)
    rows = ["case,group,image,label"]
    for number in range(40):
        label = ("plain", "spot")[number % 2]
        image = hx.Image.from_array(picture(rng, (33, 47), (label,)), hx.Grid((33, 47), plane="unknown"))
        hx.save(image, tmp_path / f"{number}.png")
        rows.append(f"{number},{number},{number}.png,{label}")
    (tmp_path / "cases.csv").write_text("\n".join(rows))
    shutil.copytree(made / "model", tmp_path / "model")
    held = json.loads((tmp_path / "model" / CALIBRATION).read_text())  # thirty cases are few: here are 600
    held |= {name: 20 * held[name] for name in ("asked", "probabilities")} | {"group": list(range(600))}
    if strange:  # as though the model had been much less sure of the cases that it was calibrated on
        held["probabilities"] = [[0.55, 0.45]] * 600
    (tmp_path / "model" / CALIBRATION).write_text(json.dumps(held))
    model = Model.open(tmp_path / "model")
    result = evaluate_classifier(model, read_cases(tmp_path / "cases.csv"), kinds={"image": "US"})
    assert any("higher than" in note for note in result.notes) == strange


def test_prediction_needs_no_torch(made: Path) -> None:
    code = (
        "import sys; import hexscope as hx; "
        f"hx.classify(hx.read({str(made / 'data' / 'i0.png')!r}, kind='US'), {str(made / 'model')!r}); "
        "assert not {'torch', 'lightgbm', 'onnx', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_marks_that_do_not_exclude_each_other(tmp_path: Path) -> None:
    result = make(tmp_path, several=True, count=36)
    assert {"auc/spot", "auc/band"} <= set(result.validation.metrics)
    card = Model.open(result.model).card
    assert card.classifier is not None and not card.classifier.exclusive
    scores = hx.classify(image_of(("spot", "band")), result.model)
    assert sum(scores.probabilities.values()) > 1 and scores.set is not None


@pytest.mark.parametrize("more", [{"shape": (7, 21, 33), "kind": "MR"}, {"colour": True, "kind": "US"}])
def test_volumes_and_colours(tmp_path: Path, more: dict[str, Any]) -> None:
    result = make(tmp_path, count=20, overrides={"members": '["kernels"]'}, **more)
    assert result.validation.metrics["auc"].n == 20
    ending = "nii.gz" if "shape" in more else "png"
    image = hx.read(tmp_path / "data" / f"i0.{ending}", kind=more["kind"])
    scores = hx.classify(image, result.model)
    assert set(scores.probabilities) == {"plain", "spot"}


def test_a_network_learns_and_goes_on(tmp_path: Path) -> None:
    overrides = {"members": '["network"]', "iterations": "6"}
    first = make(tmp_path, 1.0, overrides=overrides)
    again = train(
        "classify",
        read_cases(tmp_path / "data" / "cases.csv"),
        tmp_path / "model",
        Order(name="made", minutes=1.0, kinds={"image": "US"}, overrides=overrides, resume=True),
    )
    assert again.validation.metrics["log_loss"].mean == pytest.approx(first.validation.metrics["log_loss"].mean)
    assert len(list((tmp_path / "model" / "training").glob("network*/training/checkpoint.pt"))) == 5


def test_trees_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(hx.UsageError, match="make no network"):
        make(tmp_path, count=12, overrides={"members": '["trees"]'})


def test_a_table_that_cannot_be_learnt_is_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path, 12)
    table.write_text(table.read_text().replace(",plain", ",spot"))
    with pytest.raises(hx.UsageError, match="two classes"):
        train("classify", read_cases(table), tmp_path / "m", Order(name="m", kinds={"image": "US"}))


@pytest.mark.parametrize(
    ("dims", "cases", "there", "tried"),
    [(2, 100, True, ("frozen", "kernels", "trees")), (2, 2000, True, ("frozen", "kernels", "network", "trees")),
     (2, 100, False, ("kernels", "network", "trees")), (3, 100, True, ("kernels", "network", "trees"))],
)  # fmt: skip
def test_what_is_tried_follows_from_the_cases(dims: int, cases: int, there: bool, tried: tuple[str, ...]) -> None:
    assert members(dims, cases, there, True, 10.0).value == tried


def test_a_study_shows_its_scores(made: Path) -> None:
    model = Model.open(made / "model")
    row = {
        "modality": "US",
        "description": "spots",
        "shape": [33, 47],
        "spacing_mm": None,
        "files": ["spots.png"],
        "format": "PNG",
    }
    case = Case("1", 1, "spots", "image", Audited("spots", True, "ok", ()), row, image_of(("spot",)))
    assert not ask_models([case], [model], [])[0].classified  # nothing says what the image shows
    (asked,) = ask_models([case], [model], ["made"])
    (said,) = asked.as_json()["classified"]
    assert said["model"] == "made" and said["scores"]["spot"] > said["scores"]["plain"] and not asked.problems
    page = render(StudyResult(made, (asked,), (), (), (), (), {}, "0"), "en")
    assert "made: plain" in page and "Scores, never a diagnosis." in page


def test_a_study_tells_where_header_and_picture_disagree(tmp_path: Path) -> None:
    table = write_table(tmp_path / "data", count=40)
    table.write_text(table.read_text().replace(",spot", ",CT spot").replace(",plain", ",MR plain"))
    order = Order(name="looks", minutes=0.02, overrides=_QUICK)
    model = Model.open(train("classify", read_cases(table), tmp_path / "model", order).model)

    def told(modality: str, *marks: str) -> set[str]:
        row = {"modality": modality}
        images = [replace(image_of(marks, seed=seed), modality=modality) for seed in range(11, 19)]
        cases = [Case("1", 1, "x", "image", Audited("x", True, "ok", ()), row, image) for image in images]
        return {problem.split(" (score")[0] for case in ask_models(cases, [model], []) for problem in case.problems}

    assert told("CT", "spot") == told("MR") == set()
    assert told("MR", "spot") == {"model looks: the header says MR; the picture looks like CT spot"}
    assert told("OT", "spot") == {"model looks: the header does not say what it is; the picture looks like CT spot"}
    assert not recognises(replace(model.card, classes=("CT spot", "plain")))
