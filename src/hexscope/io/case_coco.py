"""Boxes in COCO's JSON (Lin 2014, doi:10.1007/978-3-319-10602-1_48)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hexscope.errors import FormatError
from hexscope.io.case import Box, Case, CaseTable, Refusal, parted

#: Fields of an image entry that name its patient, in the order they are believed.
_PATIENT = ("patient_id", "patient", "group")


def read_coco(path: Path, data: Mapping[str, Any]) -> CaseTable:
    """Images with their boxes. Outlines and key points are left unread, crowds (``iscrowd``) left out."""
    try:
        names = {int(c["id"]): str(c["name"]) for c in data["categories"]}
        boxes, crowds = _boxes(data["annotations"], names)
        images = [(int(image["id"]), image) for image in data["images"]]
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path} is no COCO file: {type(error).__name__} {error}") from error
    cases, refused = parted(_case(path, number, image, boxes[number]) for number, image in images)
    ordered = [names[k] for k in sorted(names)]
    return CaseTable(
        source=path,
        cases=cases,
        inputs=("image",),
        targets=("boxes",),
        classes=dict(enumerate(ordered, start=1)),
        refused=refused,
        notes=_notes(path, cases, crowds),
    )


def _boxes(annotations: Any, names: Mapping[int, str]) -> tuple[dict[int, tuple[Box, ...]], int]:
    found: dict[int, tuple[Box, ...]] = defaultdict(tuple)
    crowds = 0
    for entry in annotations:
        if entry.get("iscrowd"):
            crowds += 1
            continue
        x, y, w, h = (float(v) for v in entry["bbox"])
        found[int(entry["image_id"])] += (Box(x, y, w, h, names[int(entry["category_id"])]),)
    return found, crowds


def _case(path: Path, number: int, image: Mapping[str, Any], boxes: tuple[Box, ...]) -> Case | Refusal:
    name = str(image.get("file_name", number))
    places = [path.parent / name, path.parent / "images" / name, path.parent.parent / "images" / name]
    file = next((p for p in places if p.is_file()), None)
    if file is None:
        return Refusal(name, f"{places[0]} is not there, nor under images/")
    flat = [box for box in boxes if box.w <= 0 or box.h <= 0]
    if flat:
        return Refusal(name, f"a box of {flat[0].w:g} × {flat[0].h:g} pixels holds nothing")
    group = next((str(image[key]) for key in _PATIENT if image.get(key)), name)
    return Case(name, group, {"image": file}, boxes=boxes)


def _notes(path: Path, cases: Sequence[Case], crowds: int) -> tuple[str, ...]:
    notes = []
    if all(case.group == case.case for case in cases):
        notes.append(f"{path.name} names no patients: every image counts as a patient of its own")
    if crowds:
        notes.append(f"{path.name}: {crowds} crowd annotations were left out")
    return tuple(notes)
