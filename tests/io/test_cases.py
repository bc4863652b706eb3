"""Tables of cases: roles of columns, words for what is wrong, and the pixels of a case."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.errors import GeometryError, HexscopeError, InputError, UsageError
from hexscope.io.case import Box
from hexscope.io.cases import ROUNDED, open_images, open_instances, open_mask, read_cases

SHAPE = (5, 7, 11)


def volume(path: Path, grid: Grid, seed: int = 0) -> None:
    hx.save(Image.from_array(np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32), grid), path)


def labels(path: Path, grid: Grid, values: dict[tuple[int, int, int], int]) -> None:
    array = np.zeros(SHAPE, np.uint8)
    for at, value in values.items():
        array[at] = value
    hx.save(Image.from_array(array, grid), path)


@pytest.fixture
def folder(tmp_path: Path, oblique_grid: Grid) -> Path:
    """Images a.nii.gz, b.nii.gz and masks ma, mb beside where a table will be written."""
    for number, name in enumerate("ab"):
        volume(tmp_path / f"{name}.nii.gz", oblique_grid, number)
        labels(tmp_path / f"m{name}.nii.gz", oblique_grid, {(1, 2, 3): 1, (4, 5, 6): 2 + number})
    return tmp_path


def table(folder: Path, text: str, name: str = "cases.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_columns_find_their_roles(folder: Path) -> None:
    path = table(
        folder,
        "case,group,image,mask,fold,split,kind,spacing_mm,hc_mm,note\n"
        'one,p1,a.nii.gz,ma.nii.gz,0,train,he,"3, 0.7, 0.5",44.3,nice\ntwo,p1,b.nii.gz,mb.nii.gz,1,val,he,2,,\n',
    )
    read = read_cases(path)
    assert read.inputs == ("image",) and read.targets == ("mask",) and read.target == "mask"
    assert read.groups == ("p1",) and not read.refused and not read.notes
    one, two = read.cases
    assert (one.fold, one.split, one.kind, one.spacing_mm) == (0, "train", "he", (3.0, 0.7, 0.5))
    assert one.extras == {"hc_mm": "44.3", "note": "nice"}
    assert two.spacing_mm == (2.0,) and two.masks == {"mask": folder / "mb.nii.gz"}


def test_the_callers_folder_does_not_matter(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table(folder, "case,group,image\none,p,a.nii.gz\n")
    monkeypatch.chdir("/")
    assert read_cases(folder).cases[0].inputs["image"] == folder / "a.nii.gz"


def test_semicolons_and_a_byte_order_mark(folder: Path) -> None:
    path = table(folder, "\ufeffcase;group;image;mask\none;p;a.nii.gz;ma.nii.gz\n\n")
    assert [c.case for c in read_cases(path).cases] == ["one"]


def test_inputs_and_blank_channels(folder: Path) -> None:
    path = table(folder, "case,group,pet,ct,mask\none,p,a.nii.gz,b.nii.gz,ma.nii.gz\ntwo,q,a.nii.gz,,ma.nii.gz\n")
    strict = read_cases(path)
    assert strict.inputs == ("pet", "ct") and [c.case for c in strict.cases] == ["one"]
    assert "row 3, column ct is blank" in strict.refused[0].reason and "--allow-missing" in strict.refused[0].reason
    assert set(read_cases(path, allow_missing=True).cases[1].inputs) == {"pet"}
    assert len(read_cases(path, inputs=["pet"]).cases) == 2
    assert read_cases(path, inputs=["ct", "pet"], allow_missing=True).inputs == ("ct", "pet")
    with pytest.raises(UsageError, match="no input column mr; it could be pet, ct"):
        read_cases(path, inputs=["mr"])


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("name,image\none,a.nii.gz\n", InputError, "no column case"),
        ("case,image\n", InputError, "no cases"),
        ("case,image,image\none,a.nii.gz,a.nii.gz\n", InputError, "column image more than once"),
        ("case,image\none,a.nii.gz,b\n", InputError, "row 2 has 3 cells for 2 columns"),
        ("case,image\none,a.nii.gz\none,b.nii.gz\n", InputError, "case one on rows 2, 3"),
        ("case,image\n,a.nii.gz\n", InputError, "row 2, column case is blank"),
        ("case,image\none,z.nii.gz\n", InputError, r"z\.nii\.gz is not there"),
        ("case,ct,pet,mask_ct,mask_liver\none,a.nii.gz,b.nii.gz,ma.nii.gz,mb.nii.gz\n", InputError, "mix structures"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(folder: Path, text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read_cases(table(folder, text))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("bad,,a.nii.gz,ma.nii.gz,0,1", "row 3, column group is blank"),
        ("bad,p,z.nii.gz,ma.nii.gz,0,1", "row 3, column image: .*z.nii.gz is not there"),
        ("bad,p,a.nii.gz,z.nii.gz,0,1", "row 3, column mask: .*z.nii.gz is not there"),
        ("bad,p,a.nii.gz,ma.nii.gz,1.5,1", "row 3, column fold is '1.5'"),
        ("bad,p,a.nii.gz,ma.nii.gz,x,1", "row 3, column fold is 'x'; a number"),
        ("bad,p,a.nii.gz,ma.nii.gz,0,-1", "row 3, column spacing_mm is '-1'"),
        ("bad,p,a.nii.gz,ma.nii.gz,0,nan", "row 3, column spacing_mm is 'nan'; a finite"),
    ],
)
def test_one_bad_case_never_stops_the_others(folder: Path, row: str, words: str) -> None:
    path = table(folder, f"case,group,image,mask,fold,spacing_mm\ngood,p,a.nii.gz,ma.nii.gz,0,1\n{row}\n")
    read = read_cases(path)
    assert [c.case for c in read.cases] == ["good"]
    assert read.refused[0].case == "bad"
    assert re.search(words, read.refused[0].reason), read.refused[0].reason


def test_a_table_with_no_usable_case_says_why(folder: Path) -> None:
    path = table(folder, "case,group,image,mask\none,,a.nii.gz,ma.nii.gz\n")
    with pytest.raises(InputError, match=r"1 refused.*group is blank"):
        read_cases(path)


def test_boxes(folder: Path) -> None:
    path = table(
        folder,
        "case,group,image,label,x,y,w,h\n"
        "one,p,a.nii.gz,RBC,1,2,3,4\none,p,a.nii.gz,WBC,5,6,7,8.5\nnone,q,b.nii.gz,,,,,\nhalf,r,b.nii.gz,RBC,1,2,,\n"
        "flat,s,b.nii.gz,RBC,1,2,0,4\nother,t,a.nii.gz,RBC,1,2,3,4\nother,t,b.nii.gz,RBC,1,2,3,4\n",
    )
    read = read_cases(path)
    assert read.targets == ("boxes",) and read.classes == {1: "RBC", 2: "WBC"}
    assert read.cases[0].boxes == (Box(1, 2, 3, 4, "RBC"), Box(5, 6, 7, 8.5, "WBC"))
    assert read.cases[1].boxes == () and read.cases[1].has("boxes")
    reasons = {r.case: r.reason for r in read.refused}
    assert "column w is blank" in reasons["half"] and "holds nothing" in reasons["flat"]
    assert "row 8, column image differs from row 7" in reasons["other"]


def test_labels_are_numbered_in_a_stated_order(folder: Path) -> None:
    path = table(folder, "case,image,label\n1,a.nii.gz,10\n2,b.nii.gz,9\n3,b.nii.gz,x\n")
    read = read_cases(path)
    assert read.classes == {1: "9", 2: "10", 3: "x"} and "no column group" in read.notes[0]


def test_an_asked_for_target_that_is_not_there(folder: Path) -> None:
    read = read_cases(table(folder, "case,image,label\n1,a.nii.gz,cat\n"))
    with pytest.raises(UsageError, match=r"no labels in columns mask or mask_INPUT or instances.*holds are: label"):
        read.require("mask", "instances")
    assert read.require("boxes", "label") == "label"


def test_masks_by_input_follow_the_chosen_inputs(folder: Path) -> None:
    path = table(
        folder, "case,pet,ct,mask_pet,mask_ct\none,a.nii.gz,b.nii.gz,ma.nii.gz,mb.nii.gz\ntwo,a.nii.gz,,ma.nii.gz,\n"
    )
    assert read_cases(path).masks_by == "input"
    pet = read_cases(path, inputs=["pet"])
    assert [set(c.masks) for c in pet.cases] == [{"pet"}, {"pet"}]
    mask = open_mask(pet.cases[0], pet, "pet")
    assert mask.of(1)[1, 2, 3]
    with pytest.raises(InputError, match="no mask 'ct'; its masks: pet"):
        open_mask(pet.cases[0], pet, "ct")


def test_structures_may_overlap_and_be_unlabelled(folder: Path, oblique_grid: Grid) -> None:
    labels(folder / "liver.nii.gz", oblique_grid, {(1, 2, 3): 1, (1, 2, 4): 1})
    labels(folder / "tumour.nii.gz", oblique_grid, {(1, 2, 3): 1})
    path = table(
        folder,
        "case,image,mask_liver,mask_tumour\none,a.nii.gz,liver.nii.gz,tumour.nii.gz\ntwo,b.nii.gz,liver.nii.gz,\n",
    )
    read = read_cases(path)
    assert read.masks_by == "structure" and read.classes == {1: "liver", 2: "tumour"}
    one, two = read.cases
    assert one.labelled is None and two.labelled == {"liver"}
    mask = open_mask(one, read)
    assert len(mask.layers) == 2
    assert mask.of("liver")[1, 2, 3] and mask.of("tumour")[1, 2, 3] and not mask.of("tumour")[1, 2, 4]
    assert not open_mask(two, read).of("tumour").any()


def test_structures_on_two_grids_are_refused(folder: Path, oblique_grid: Grid) -> None:
    labels(folder / "flipped.nii.gz", oblique_grid.flip(0), {(1, 2, 3): 1})
    path = table(folder, "case,image,mask_a,mask_b\none,a.nii.gz,ma.nii.gz,flipped.nii.gz\n")
    read = read_cases(path)
    with pytest.raises(GeometryError, match="different grids: a and b"):
        open_mask(read.cases[0], read)


def test_partly_labelled_by_a_column(folder: Path) -> None:
    path = table(folder, "case,image,mask,labelled\none,a.nii.gz,ma.nii.gz,liver; spleen\ntwo,a.nii.gz,ma.nii.gz,\n")
    one, two = read_cases(path, classes={1: "liver", 2: "spleen", 3: "kidney"}).cases
    assert one.labelled == {"liver", "spleen"} and two.labelled is None


def test_pictures_take_the_spacing_of_the_table(tmp_path: Path) -> None:
    grey = np.arange(35, dtype=np.uint8).reshape(5, 7)
    hx.save(Image.from_array(grey, Grid((5, 7), plane="unknown")), tmp_path / "i.png")
    hx.save(Image.from_array((grey > 20).astype(np.uint8), Grid((5, 7), plane="unknown")), tmp_path / "m.png")
    read = read_cases(table(tmp_path, "case,image,mask,spacing_mm\none,i.png,m.png,0.25\n"))
    image = open_images(read.cases[0], {"image": "US"})["image"]
    assert image.grid.spacing_mm == (0.25, 0.25) and image.modality == "US"
    mask = open_mask(read.cases[0], read, on=image)
    assert mask.grid.same_as(image.grid) and mask.of(1).sum() == (grey > 20).sum()


def test_a_file_that_knows_its_spacing_keeps_it(folder: Path, oblique_grid: Grid) -> None:
    read = read_cases(table(folder, "case,image,mask,spacing_mm\none,a.nii.gz,ma.nii.gz,9\n"))
    image = open_images(read.cases[0])["image"]
    assert image.grid.same_as(oblique_grid) and np.allclose(image.grid.spacing_mm or (), (3.0, 0.7, 0.5))
    mask = open_mask(read.cases[0], read, on=image)
    assert mask.grid.same_as(image.grid) and isinstance(mask, Mask)


def test_a_mask_that_is_off_by_rounding_takes_the_images_grid(folder: Path, oblique_grid: Grid) -> None:
    read = read_cases(table(folder, "case,image,mask\none,a.nii.gz,ma.nii.gz\n"))
    moved = np.array(oblique_grid.affine)
    for shift, taken in ((0.01, True), (0.1, False)):
        moved[:3, 3] = np.array(oblique_grid.affine)[:3, 3] + [shift, 0, 0]
        labels(folder / "ma.nii.gz", Grid(SHAPE, moved), {(1, 2, 3): 1})
        mask = open_mask(read.cases[0], read, on=oblique_grid)
        assert mask.grid.same_as(oblique_grid) is taken
        assert any(step.startswith(ROUNDED) for step in mask.steps) is taken


def test_instances(folder: Path) -> None:
    read = read_cases(table(folder, "case,image,instances\none,a.nii.gz,ma.nii.gz\n"))
    assert read.targets == ("instances",)
    assert [label.value for label in open_instances(read.cases[0])] == [1, 2]
    bare = read_cases(table(folder, "case,image\none,a.nii.gz\n"))
    with pytest.raises(InputError, match="no instances"):
        open_instances(bare.cases[0])
    with pytest.raises(UsageError, match="holds are: none"):
        _ = bare.target


@pytest.mark.parametrize("name", ["not_there.csv", "empty"])
def test_what_is_no_table(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"cases\.csv|does not exist"):
        read_cases(tmp_path / name)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_bytes(b"case,image\n\xff\xfe\x00\n")
    with pytest.raises(HexscopeError, match="UTF-8"):
        read_cases(tmp_path)


def test_the_real_tables(shared_data: Path) -> None:
    counts = {}
    for path in sorted(shared_data.glob("*/cases.csv")):
        read = read_cases(path)
        counts[path.parent.name] = (len(read.cases), read.inputs, read.targets)
    assert counts["mr-hippocampus"] == (208, ("image",), ("mask",))
    assert counts["us-breast"] == (105, ("image",), ("mask", "label"))
    assert counts["path-blood-cells"] == (150, ("image",), ("boxes",))
    assert counts["pet-ct-mr-sarcoma"] == (8, ("pet", "ct", "mr"), ("mask",))
    pets = read_cases(shared_data / "pet-ct-mr-sarcoma", inputs=["pet"])
    assert len(pets.cases) == 24
