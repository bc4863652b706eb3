"""From public sets as they come to tables of cases: one function a set, each gives the number of cases."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.image import Image
from hexscope.errors import FormatError
from hexscope.io.case_folders import read_dataset, read_json
from hexscope.io.reading import read_image
from hexscope.io.writing import save


def _write_table(folder: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    lines = list(rows)
    if not lines:
        raise FormatError("what came does not hold the files that this set is made of; it may have changed its layout")
    with (folder / "cases.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(lines)
    return len(lines)


def _plane(path: Path) -> NDArray[Any]:
    """A picture's numbers; of one in colours, the brightest at each pixel."""
    image = read_image(path)
    return image.array.max(axis=-1) if "c" in image.axes else image.array


def _save_plane(array: NDArray[Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(Image.from_array(array), path)


def decathlon(folder: Path) -> int:
    """A task of the Medical Segmentation Decathlon, as its ``dataset.json`` lists it."""
    for path in sorted(folder.rglob("dataset.json")):
        table = read_dataset(path, read_json(path))
        rows = [
            (c.case, c.group, *(p.relative_to(folder).as_posix() for p in (*c.inputs.values(), *c.masks.values())))
            for c in table.cases
        ]
        inputs = ["image"] if len(table.inputs) == 1 else list(table.inputs)
        return _write_table(folder, ("case", "group", *inputs, "mask"), rows)
    raise FormatError("what came holds no dataset.json; the set may have changed its layout")


def fetal_head(folder: Path) -> int:
    """HC18: the drawn ellipse is filled, its line counts as head. Several images of one fetus share a number."""
    sizes = {}
    for path in folder.rglob("*pixel_size_and_HC.csv"):
        with path.open(encoding="utf-8-sig", newline="") as stream:
            sizes = {row[0]: row[1:3] for row in csv.reader(stream) if len(row) >= 3}
    rows = []
    for image in sorted(folder.rglob("*HC.png")):
        outline = image.with_name(f"{image.stem}_Annotation.png")
        if not outline.is_file() or image.name not in sizes:
            continue
        mask = folder / "masks" / image.name
        _save_plane(ndimage.binary_fill_holes(_plane(outline) > 0).astype(np.uint8), mask)
        paths = (p.relative_to(folder).as_posix() for p in (image, mask))
        rows.append((image.stem, image.stem.partition("_")[0], *paths, *sizes[image.name]))
    return _write_table(folder, ("case", "group", "image", "mask", "spacing_mm", "hc_mm"), rows)


_BREAST = re.compile(r"(?P<label>benign|malignant|normal) \((?P<number>\d+)\)(?P<mask>_mask(_\d+)?)?\.png")


def breast(folder: Path) -> int:
    """BUSI: several masks of an image are joined. The source names no patients; each image counts as one."""
    images: dict[tuple[str, int], Path] = {}
    masks: dict[tuple[str, int], list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*.png")):
        if found := _BREAST.fullmatch(path.name):
            key = (found["label"], int(found["number"]))
            if found["mask"]:
                masks[key].append(path)
            else:
                images[key] = path
    rows = []
    for (label, number), image in sorted(images.items()):
        name = f"{label}-{number:03d}"
        target = folder / "masks" / f"{name}.png"
        outlines = [_plane(path) > 0 for path in masks[label, number]]
        joined = np.any(outlines, axis=0) if outlines else np.zeros(read_image(image).grid.shape, bool)
        _save_plane(joined.astype(np.uint8), target)
        paths = (p.relative_to(folder).as_posix() for p in (image, target))
        rows.append((name, name, *paths, label))
    return _write_table(folder, ("case", "group", "image", "mask", "label"), rows)


def nuclei(folder: Path) -> int:
    """Data Science Bowl 2018: a mask a nucleus becomes one map of objects."""
    rows = []
    for image in sorted(folder.rglob("images/*.png")):
        objects: NDArray[np.uint16] | None = None
        for number, path in enumerate(sorted((image.parent.parent / "masks").glob("*.png")), start=1):
            part = _plane(path) > 0
            objects = np.zeros(part.shape, np.uint16) if objects is None else objects
            objects[part] = number
        if objects is None:
            continue
        name = image.stem[:12]
        target = folder / "instances" / f"{name}.png"
        _save_plane(objects, target)
        rows.append((name, name, *(p.relative_to(folder).as_posix() for p in (image, target))))
    return _write_table(folder, ("case", "group", "image", "instances"), rows)


def pneumonia(folder: Path) -> int:
    """PneumoniaMNIST: pictures from its arrays, with the official split. It names no patients."""
    rows = []
    for path in folder.glob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            for split in ("train", "val", "test"):
                pairs = zip(arrays[f"{split}_images"], arrays[f"{split}_labels"].ravel(), strict=True)
                for number, (array, label) in enumerate(pairs):
                    name = f"{split}-{number:04d}"
                    _save_plane(array, folder / "images" / f"{name}.png")
                    rows.append((name, name, f"images/{name}.png", ("normal", "pneumonia")[int(label)], split))
    return _write_table(folder, ("case", "group", "image", "label", "split"), rows)


LAYOUTS: Mapping[str, Callable[[Path], int]] = {
    "decathlon": decathlon,
    "fetal head": fetal_head,
    "breast": breast,
    "nuclei": nuclei,
    "pneumonia": pneumonia,
}
