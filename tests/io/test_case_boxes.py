"""Objects of a case as boxes, from boxes, from masks and from maps of objects; and findings as COCO."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.results import Finding, Findings
from hexscope.errors import InputError, UsageError
from hexscope.io.case_boxes import object_names, open_objects
from hexscope.io.cases import open_images, read_cases

GRID = Grid((7, 11))


def _table(folder: Path, header: str, row: str) -> Path:
    hx.save(Image.from_array(np.arange(77, dtype=np.uint8).reshape(7, 11), GRID), folder / "i.png")
    (folder / "cases.csv").write_text(f"case,group,image,{header}\nc,p,i.png,{row}\n")
    return folder / "cases.csv"


def test_boxes_are_cut_at_the_border(tmp_path: Path) -> None:
    table = read_cases(_table(tmp_path, "x,y,w,h,label", "8,2,9,3,cell"))
    image = open_images(table.cases[0])["image"]
    objects = open_objects(table.cases[0], table, "boxes", image)
    assert objects.boxes.tolist() == [[2.0, 8.0, 5.0, 11.0]] and objects.names == ("cell",)
    assert object_names(table, "boxes") == ("cell",)


def test_a_box_outside_is_refused(tmp_path: Path) -> None:
    table = read_cases(_table(tmp_path, "x,y,w,h,label", "30,2,9,3,cell"))
    with pytest.raises(InputError, match="outside its image of 11 x 7"):
        open_objects(table.cases[0], table, "boxes", open_images(table.cases[0])["image"])


def test_parts_of_a_mask_are_objects(tmp_path: Path) -> None:
    array = np.zeros((7, 11), np.uint8)
    array[1:3, 1:4] = array[4:6, 6:10] = 1
    array[6, 0] = 1  # a slip of the pen
    hx.save(Mask.from_array(array, GRID), tmp_path / "m.png")
    table = read_cases(_table(tmp_path, "mask", "m.png"))
    objects = open_objects(table.cases[0], table, "mask", open_images(table.cases[0])["image"])
    assert objects.boxes.tolist() == [[1, 1, 3, 4], [4, 6, 6, 10]]


def test_touching_objects_stay_apart(tmp_path: Path) -> None:
    array = np.zeros((7, 11), np.uint8)
    array[1:3, 1:4], array[1:3, 4:7] = 1, 2
    hx.save(Mask.from_array(array, GRID), tmp_path / "m.png")
    table = read_cases(_table(tmp_path, "instances", "m.png"))
    objects = open_objects(table.cases[0], table, "instances", open_images(table.cases[0])["image"])
    assert objects.boxes.tolist() == [[1, 1, 3, 4], [1, 4, 3, 7]]
    assert object_names(table, "instances") == ("object",)
    named = read_cases(_table(tmp_path, "instances", "m.png"), classes={1: "cell"})
    seen = open_objects(named.cases[0], named, "instances", open_images(named.cases[0])["image"])
    assert seen.names == ("cell", "cell") and object_names(named, "instances") == ("cell",)


def test_findings_as_coco_and_as_a_mask(tmp_path: Path) -> None:
    mask = Mask.from_array(np.pad(np.ones((2, 3), np.uint8), ((1, 4), (2, 6))), GRID, {1: "candidate 1"})
    finding = Finding(0.8, "cell", center_px=(2.0, 3.5), box_px=(1.0, 2.0, 3.0, 5.0), label=1)
    found = Findings((finding,), "by hand", mask=mask)
    hx.save(found, tmp_path / "f.coco.json")
    data = json.loads((tmp_path / "f.coco.json").read_text())
    assert data["annotations"][0]["bbox"] == [2.0, 1.0, 3.0, 2.0] and data["annotations"][0]["area"] == 6.0
    assert (data["images"][0]["width"], data["images"][0]["height"]) == (11, 7)
    assert data["categories"] == [{"id": 1, "name": "cell"}]
    hx.save(found, tmp_path / "f.png")
    assert np.array_equal(hx.read_mask(tmp_path / "f.png").array, mask.array)
    hx.save(found, tmp_path / "f.json")
    assert json.loads((tmp_path / "f.json").read_text())["findings"][0]["class"] == "cell"


def test_coco_of_a_volume_is_refused(tmp_path: Path, oblique_grid: Grid) -> None:
    mask = Mask.from_array(np.zeros(oblique_grid.shape, np.uint8), oblique_grid)
    with pytest.raises(UsageError, match="COCO"):
        hx.save(Findings((), "none", mask=mask), tmp_path / "f.coco.json")
