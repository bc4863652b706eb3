"""Evaluation: figures against masks whose agreement is known, names that meet, and cases that fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity
from hexscope.errors import InputError, UsageError
from hexscope.evaluate.segmentation import Answer, cases_for, evaluate_masks, evaluate_model
from hexscope.io.cases import read_cases
from hexscope.models.apply import Prediction
from hexscope.models.card import ModelCard
from hexscope.models.contract import Inputs
from hexscope.models.shelf import Model

SHAPE = (5, 7, 11)


@pytest.fixture
def folder(tmp_path: Path, oblique_grid: Grid) -> Path:
    """Three cases of two patients; each image is 10 × its own mask of values 1 and 2. The last truth is empty."""
    rows = ["case,group,image,mask"]
    for number, (case, group) in enumerate((("a", "p"), ("b", "p"), ("c", "q"))):
        mask = np.zeros(SHAPE, np.uint8)
        if case != "c":
            mask[1:3, 1:5, 1 : 6 + number], mask[3:5, 1:5, 1:6] = 1, 2
        hx.save(Image.from_array(mask, oblique_grid), tmp_path / f"m{case}.nii.gz")
        hx.save(Image.from_array(mask.astype(np.float32) * 10, oblique_grid), tmp_path / f"{case}.nii.gz")
        rows.append(f"{case},{group},{case}.nii.gz,m{case}.nii.gz")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def labels_of(image: Image) -> NDArray[np.uint8]:
    return np.round(image.array / 10).astype(np.uint8)


def perfect(images: Mapping[str, Image]) -> Answer:
    image = images["image"]
    return Answer(Mask.from_array(labels_of(image), image.grid, {1: "front", 2: "back"}))


def test_a_perfect_answer_scores_one(folder: Path) -> None:
    found = evaluate_masks(perfect, read_cases(folder, classes={1: "front", 2: "back"}))
    assert {found.metrics[k].mean for k in ("dice", "iou", "surface_dice_1mm", "dice/front", "left_empty")} == {1.0}
    assert found.metrics["hd95_mm"].mean == 0 and found.metrics["dice"].n == 3 and found.metrics["dice"].patients == 2
    assert found.metrics["dice_where_present"].n == 2
    assert not found.failed and list(found.as_json()["dice"]) == ["mean", "low", "high", "n"]


def test_a_known_answer_scores_what_is_known(folder: Path) -> None:
    def half(images: Mapping[str, Image]) -> Answer:
        mask = labels_of(images["image"])
        mask[mask == 2] = 0
        mask[0, 6, 10] = 1
        return Answer(Mask.from_array(mask, images["image"].grid, {1: "front"}))

    found = evaluate_masks(half, read_cases(folder, classes={1: "front", 2: "back"}))
    front = [2 * n / (2 * n + 1) for n in (40, 48)]
    assert found.cases[0].figures["dice"] == pytest.approx((front[0] + 0) / 2)
    assert found.metrics["dice/front"].mean == pytest.approx((front[0] + front[1] + 0) / 3)
    assert found.metrics["dice/back"].mean == pytest.approx((0 + 0 + 1) / 3)
    assert found.metrics["lesion_false_positives/front"].mean == 1.0
    rows = found.as_json(per_case=True)["cases"]
    assert [r["case"] for r in rows] == ["a", "b", "c"] and rows[0]["lesions/front"] == 1


def test_a_case_that_fails_is_listed_and_the_others_go_on(folder: Path) -> None:
    def moody(images: Mapping[str, Image]) -> Answer:
        if images["image"].array.max() == 0:
            raise InputError("an empty image")
        return perfect(images)

    (folder / "mb.nii.gz").write_bytes(b"broken")
    found = evaluate_masks(moody, read_cases(folder))
    assert [c.case for c in found.cases] == ["a"]
    assert {r.case for r in found.failed} == {"b", "c"} and "an empty image" in str(found.as_json()["failed"])


def test_instances(tmp_path: Path) -> None:
    objects = np.zeros((7, 11), np.uint16)
    objects[1:3, 1:4], objects[4:6, 6:9] = 1, 300
    hx.save(Image.from_array(objects, Grid((7, 11), plane="unknown")), tmp_path / "i.png")
    hx.save(Image.from_array((objects > 0).astype(np.uint8), Grid((7, 11), plane="unknown")), tmp_path / "g.png")
    (tmp_path / "cases.csv").write_text("case,group,image,instances\na,p,g.png,i.png\n")

    def one(images: Mapping[str, Image]) -> Answer:
        seen = images["image"].array.astype(np.uint16)
        seen[:3] = 0
        return Answer(Mask.from_array(seen, images["image"].grid))

    found = evaluate_masks(one, read_cases(tmp_path))
    assert found.metrics["f1_50"].mean == pytest.approx(2 / 3) and np.isnan(found.metrics["f1_50"].low)
    assert found.as_json()["f1_50"]["low"] is None


# ---- models -----------------------------------------------------------------------------------------------


CARD = ModelCard("m", "segment", "MR", Quantity.ARBITRARY, ("front", "back"), "none", "CC0-1.0", "a test's own")


class Stub(Model):
    """A model whose network is its eye: it reads the labels off the image."""

    def predict(self, images: Inputs) -> Prediction:
        image = images if isinstance(images, Image) else images["image"]
        mask = Mask.from_array(
            labels_of(image), image.grid, dict(zip(self.card.values, self.card.classes, strict=True))
        )
        sure = np.full(mask.grid.shape, 255, np.uint8)
        return Prediction(mask, sure, {"front": 0.9, "back": None}, ("no back was found",), "eye")


def test_a_model_meets_values_where_the_table_has_no_names(folder: Path, tmp_path: Path) -> None:
    found = evaluate_model(Stub(CARD, tmp_path), cases_for(CARD, folder))
    assert found.metrics["dice/front"].mean == 1.0 and found.cases[0].facts["expected_dice/front"] == 0.9
    assert found.cases[0].warnings == ("no back was found",)
    swapped = evaluate_model(Stub(replace(CARD, values=(2, 1)), tmp_path), cases_for(CARD, folder))
    assert swapped.metrics["dice"].mean == 1.0


def test_a_model_meets_names_where_the_table_has_some(folder: Path, tmp_path: Path) -> None:
    named = replace(cases_for(CARD, folder), classes={1: "back", 2: "front"})
    assert evaluate_model(Stub(CARD, tmp_path), named).metrics["dice_where_present"].mean == 0.0
    some = replace(named, classes={1: "front", 2: "spleen"})
    found = evaluate_model(Stub(CARD, tmp_path), some)
    assert found.metrics["dice"].mean == 1.0 and "not measured: back" in found.notes[-1]
    with pytest.raises(UsageError, match=r"finds front, back; .* outlines liver, spleen"):
        evaluate_model(Stub(CARD, tmp_path), replace(named, classes={1: "liver", 2: "spleen"}))


def test_the_only_input_may_go_by_another_name(folder: Path, tmp_path: Path) -> None:
    table = folder / "cases.csv"
    table.write_text(table.read_text().replace("image", "t1"))
    found = evaluate_model(Stub(CARD, tmp_path), cases_for(CARD, folder))
    assert found.metrics["dice"].mean == 1.0
    two = folder / "two.csv"
    two.write_text("case,group,t1,t2,mask\na,p,a.nii.gz,b.nii.gz,ma.nii.gz\n")
    with pytest.raises(UsageError, match=r"needs the inputs image; .* has t1, t2"):
        evaluate_model(Stub(CARD, tmp_path), cases_for(CARD, two))


def test_patients_of_the_training_are_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training/split.csv").write_text("case,group,split\na,p,train\nz,q,validation\n")
    found = evaluate_model(Stub(CARD, tmp_path), cases_for(CARD, folder))
    assert "1 patients bear names that the model was trained on (p)" in found.notes[-1]
