"""Tables that others wrote: MSD, nnU-Net, COCO, one folder a class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.errors import FormatError, InputError, UsageError
from hexscope.io.case import Box
from hexscope.io.cases import open_images, open_mask, read_cases

SHAPE = (5, 7, 11)
V1_LABELS = {"0": "background", "1": "Anterior", "2": "Posterior"}


def volume(path: Path, grid: Grid, value: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    hx.save(Image.from_array(np.full(SHAPE, value, np.float32), grid), path)


def labels(path: Path, grid: Grid) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros(SHAPE, np.uint8)
    array[1, 2, 3], array[1, 2, 4], array[4, 0, 0] = 1, 2, 3
    hx.save(Image.from_array(array, grid), path)


def dataset(folder: Path, **fields: Any) -> Path:
    path = folder / "dataset.json"
    path.write_text(json.dumps(fields))
    return path


def test_decathlon(tmp_path: Path, oblique_grid: Grid) -> None:
    volume(tmp_path / "imagesTr/h_001.nii.gz", oblique_grid, 1)
    labels(tmp_path / "labelsTr/h_001.nii.gz", oblique_grid)
    training = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in ("h_001", "h_002")]
    dataset(tmp_path, modality={"0": "MRI"}, labels=V1_LABELS, training=training, test=["./imagesTs/h_003.nii.gz"])
    table = read_cases(tmp_path)
    assert table.inputs == ("MRI",) and table.kinds == {"MRI": "MR"}
    assert table.classes == {1: "Anterior", 2: "Posterior"}
    assert [c.case for c in table.cases] == ["h_001"] and "names no patients" in table.notes[0]
    assert table.refused[0].case == "h_002" and "not there" in table.refused[0].reason
    with pytest.raises(InputError, match=r"values 3 that dataset.json does not name; it names 1 Anterior, 2 Posterior"):
        open_mask(table.cases[0], table)
    named = read_cases(tmp_path, classes={**table.classes, 3: "other"})
    assert open_mask(named.cases[0], named).of("Posterior")[1, 2, 4]


def test_decathlon_channels_in_one_file(tmp_path: Path, oblique_grid: Grid) -> None:
    import nibabel

    (tmp_path / "imagesTr").mkdir()
    array = np.stack([np.full((11, 7, 5), v, np.float32) for v in (10, 20)], axis=-1)
    array[0, 0, 0] = 7
    nibabel.save(nibabel.Nifti1Image(array, np.diag([0.5, 0.7, 3.0, 1.0])), tmp_path / "imagesTr/p.nii.gz")
    labels(tmp_path / "labelsTr/p.nii.gz", oblique_grid)
    training = [{"image": "./imagesTr/p.nii.gz", "label": "./labelsTr/p.nii.gz"}]
    dataset(tmp_path, modality={"0": "T2", "1": "ADC"}, labels=V1_LABELS, training=training)
    images = open_images(read_cases(tmp_path).cases[0])
    assert [float(np.median(images[k].array)) for k in ("T2", "ADC")] == [10.0, 20.0]
    assert images["ADC"].shape == SHAPE
    only = read_cases(tmp_path, inputs=["ADC"]).cases[0]
    assert float(np.median(open_images(only)["ADC"].array)) == 20.0


def raw(folder: Path, grid: Grid, **labels_said: Any) -> Path:
    for case in ("liver_1", "liver_1_b"):  # one name begins with the other
        labels(folder / f"labelsTr/{case}.nii.gz", grid)
        for channel in (0, 1):
            volume(folder / f"imagesTr/{case}_000{channel}.nii.gz", grid, 10 * len(case) + channel)
    names = {"0": "CT", "1": "PET"}
    return dataset(folder, channel_names=names, labels=labels_said, numTraining=2, file_ending=".nii.gz")


def test_nnunet_raw(tmp_path: Path, oblique_grid: Grid) -> None:
    raw(tmp_path, oblique_grid, background=0, liver=1, tumour=2, ignore=3)
    table = read_cases(tmp_path)
    assert table.inputs == ("CT", "PET") and table.kinds == {"CT": "CT:HU"} and table.ignore == 3
    assert table.classes == {1: "liver", 2: "tumour"} and not table.regions
    for case in table.cases:
        images = open_images(case, table.kinds)
        assert [float(i.array.max()) for i in images.values()] == [10 * len(case.case), 10 * len(case.case) + 1]
        assert images["CT"].quantity == "HU"
    assert open_mask(table.cases[0], table).of("ignore")[4, 0, 0]


def test_nnunet_regions_overlap(tmp_path: Path, oblique_grid: Grid) -> None:
    raw(tmp_path, oblique_grid, background=0, whole=[1, 2, 3], core=[2, 3], enhancing=3)
    table = read_cases(tmp_path)
    assert table.classes == {1: "whole", 2: "core", 3: "enhancing"}
    mask = open_mask(table.cases[0], table)
    assert [int(mask.of(name).sum()) for name in ("whole", "core", "enhancing")] == [3, 2, 1]
    raw(tmp_path, oblique_grid, background=0, whole=[1, 2], core=2)
    with pytest.raises(InputError, match="values 3"):
        open_mask((short := read_cases(tmp_path)).cases[0], short)


def test_nnunet_with_a_channel_too_few(tmp_path: Path, oblique_grid: Grid) -> None:
    raw(tmp_path, oblique_grid, background=0, liver=1)
    volume(tmp_path / "imagesTr/liver_1_b_0002.nii.gz", oblique_grid, 1)
    (table := read_cases(tmp_path))
    assert [c.case for c in table.cases] == ["liver_1"]
    assert table.refused[0].reason == "3 image files for 2 channels"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"labels": V1_LABELS}, "lacks channel_names"),
        ({"modality": {"0": "MRI"}}, "lacks labels"),
        ({"modality": {"x": "MRI"}, "labels": V1_LABELS}, "numbered from 0"),
        ({"modality": {"0": "MRI"}, "labels": {"liver": "one"}}, "whole numbers"),
        ({"modality": {"0": "MRI"}, "labels": V1_LABELS}, "imagesTr and labelsTr"),
    ],
)
def test_a_dataset_file_that_lacks_something(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    dataset(tmp_path, **fields)
    with pytest.raises((FormatError, InputError), match=words):
        read_cases(tmp_path)


def test_json_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(FormatError, match="JSON"):
        read_cases(tmp_path)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(FormatError, match="no JSON object"):
        read_cases(tmp_path)


# ---- COCO -------------------------------------------------------------------------------------------------


def picture(path: Path, value: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    hx.save(Image.from_array(np.full((5, 7), value, np.uint8), Grid((5, 7), plane="unknown")), path)


def test_coco(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    picture(tmp_path / "b.png")
    coco = {
        "categories": [{"id": 7, "name": "nodule"}, {"id": 3, "name": "mass"}],
        "images": [
            {"id": 1, "file_name": "a.png", "patient_id": "p9"},
            {"id": 2, "file_name": "b.png"},
            {"id": 3, "file_name": "gone.png"},
        ],
        "annotations": [
            {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 2.5]},
            {"image_id": 1, "category_id": 3, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        ],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(coco))
    table = read_cases(path)
    assert table.classes == {1: "mass", 2: "nodule"} and table.targets == ("boxes",)
    first, second = table.cases
    assert first.group == "p9" and first.boxes == (Box(1, 2, 3, 2.5, "nodule"),) and second.boxes == ()
    assert table.refused[0].case == "gone.png" and "1 crowd" in table.notes[-1]
    with pytest.raises(UsageError, match="one input, image"):
        read_cases(path, inputs=["ct"])
    del coco["images"][0]["id"]
    path.write_text(json.dumps(coco))
    with pytest.raises(FormatError, match="no COCO file"):
        read_cases(path)


# ---- one folder a class -----------------------------------------------------------------------------------


def test_one_folder_a_class(tmp_path: Path) -> None:
    picture(tmp_path / "normal/a.png")
    picture(tmp_path / "pneumonia/b.png")
    (tmp_path / "pneumonia/notes.txt").write_text("not an image")
    table = read_cases(tmp_path)
    assert [(c.case, c.label) for c in table.cases] == [("normal/a.png", "normal"), ("pneumonia/b.png", "pneumonia")]
    assert table.classes == {1: "normal", 2: "pneumonia"} and table.refused[0].case == "pneumonia/notes.txt"


def test_class_folders_with_a_division(tmp_path: Path) -> None:
    picture(tmp_path / "train/normal/a.png")
    picture(tmp_path / "test/ill/b.png")
    table = read_cases(tmp_path)
    assert {(c.label, c.split) for c in table.cases} == {("normal", "train"), ("ill", "test")}
    picture(tmp_path / "other/c.png")
    with pytest.raises(InputError, match="mixes divisions"):
        read_cases(tmp_path)
