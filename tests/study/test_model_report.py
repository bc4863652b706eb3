"""The page of a model: figures, pictures and plan are on it, and what comes from files cannot run there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity
from hexscope.errors import InputError
from hexscope.evaluate.segmentation import evaluate_model
from hexscope.io.cases import read_cases
from hexscope.models.apply import Prediction
from hexscope.models.card import ModelCard
from hexscope.models.contract import Inputs
from hexscope.models.shelf import Model
from hexscope.study.canvas import COLOURS
from hexscope.study.charts import curves, dots
from hexscope.study.model_pictures import compared
from hexscope.study.model_report import Cases, write_model_report
from hexscope.trust.statistics import mean_interval

CARD = ModelCard("mine", "segment", "MR", Quantity.ARBITRARY, ("blob",), "<b>nothing</b>", "CC0-1.0", "a test's own")


class Eye(Model):
    """Finds what is bright; refuses an image that is too bright."""

    def predict(self, images: Inputs) -> Prediction:
        image = images if isinstance(images, Image) else images["image"]
        if image.array.max() > 50:
            raise InputError("too bright <script>")
        found = Mask.from_array((image.array > 10).astype(np.uint8), image.grid, {1: "blob"})
        return Prediction(found, np.zeros(1, np.uint8), {"blob": 0.9}, (), "eye")


@pytest.fixture
def folder(tmp_path: Path, oblique_grid: Grid) -> Path:
    """Cases a to d: the truth is one slice, of which the image shows more and more; d fails."""
    rows = ["case,group,image,mask"]
    for number, case in enumerate("abcd"):
        mask, image = np.zeros(oblique_grid.shape, np.uint8), np.zeros(oblique_grid.shape, np.float32)
        mask[1:4, 1:6, 2:9] = 1
        image[1:4, 1 : 3 + number, 2:9] = 20
        image[0, 0, 0] = 99 if case == "d" else 1
        hx.save(Image.from_array(mask, oblique_grid), tmp_path / f"m{case}.nii.gz")
        hx.save(Image.from_array(image, oblique_grid), tmp_path / f"{case}.nii.gz")
        rows.append(f"{case},{case},{case}.nii.gz,m{case}.nii.gz")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    model = tmp_path / "model"
    (model / "training").mkdir(parents=True)
    (model / "training/curve.csv").write_text("iteration,loss,dice,<script>\n1,0.9,,\n2,0.5,0.7,\n3,0.4,0.8,\n")
    choice = {"name": "levels", "value": 3, "why": "because <i>", "considered": "4", "overridden": True}
    (model / "plan.json").write_text(json.dumps({"choices": [choice]}))
    return tmp_path


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_holds_it_all(folder: Path, language: str) -> None:
    model, table = Eye(CARD, folder / "model"), read_cases(folder)
    evaluation = evaluate_model(model, table)
    path = write_model_report(model, evaluation, Cases(table, {}), language=language)
    page = path.read_text(encoding="utf-8")
    assert f'data-lang="{language}"' in page and "not a medical device" in page and "不是医疗器械" in page
    pictures = re.findall(r"(worst|middle|best) case, (\w): dice ([\d.]+)", page)
    assert [p[:2] for p in dict.fromkeys(pictures)] == [("worst", "a"), ("middle", "b"), ("best", "c")]
    assert page.count("data:image/png;base64,") == 3 and page.count("<svg") == 3
    assert "because &lt;i&gt;" in page and "&lt;b&gt;nothing" in page
    assert "too bright &lt;script&gt;" in page and page.count("<script>") == 1  # the page's own
    assert not re.search(r'(src|href)="https?:', page)


def test_a_bare_model_folder_has_a_page_too(folder: Path) -> None:
    model = Eye(CARD, folder / "bare")
    model.folder.mkdir()
    page = write_model_report(model, evaluate_model(model, read_cases(folder))).read_text(encoding="utf-8")
    assert "Plan:" not in page and "Training curve" not in page and "data:image" not in page


def test_pictures_show_both_outlines() -> None:
    from io import BytesIO

    from PIL import Image as Pillow

    grid = Grid((21, 31), plane="unknown")
    grey = Image.from_array(np.full((21, 31), 7, np.uint8), grid)
    truth, found = np.zeros((21, 31), np.uint8), np.zeros((21, 31), np.uint8)
    truth[2:10, 3:12], found[11:19, 15:28] = 1, 1
    png = compared(grey, Mask.from_array(truth, grid), Mask.from_array(found, grid))
    pixels = np.asarray(Pillow.open(BytesIO(png)).convert("RGB")).astype(int)
    right = pixels[:, pixels.shape[1] // 2 :]
    middles = [np.argwhere(np.abs(right - np.array(c)).sum(axis=-1) < 60).mean(axis=0) for c in COLOURS[:2]]
    assert middles[0][0] < right.shape[0] / 2 < middles[1][0] and middles[0][1] < middles[1][1]


def test_charts_hold_every_value_and_no_markup() -> None:
    values = [0.5, 0.71, 0.9, 0.9, 1.0]
    drawn = dots(values, mean_interval(values))
    assert drawn.count("<circle") == len(values) + 1 and ">1<" in drawn and ">1.1<" not in drawn
    lines = curves([0, 1, 2], {"<x>": [0.1, None, 0.3]}, "min")
    assert "&lt;x&gt;" in lines and "<x>" not in lines
