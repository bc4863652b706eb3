"""What Hexscope writes beside the numbers into formats that have no place for it: a line of JSON."""

from __future__ import annotations

import json
from typing import Any, get_args

from hexscope.core.geometry import Plane
from hexscope.core.image import Image, Label, Mask
from hexscope.core.quantity import Quantity
from hexscope.errors import FormatError

#: Key that marks the JSON as ours; its value is the version of the layout.
MARK = "hexscope"


def comment_of(thing: Image | Mask) -> dict[str, Any]:
    """Kind, meaning, place and history of an image or mask. No patient data: facts stay behind."""
    grid = thing.grid
    out: dict[str, Any] = {
        MARK: 1,
        "kind": "mask" if isinstance(thing, Mask) else "image",
        "axes": list(("z", "y", "x")[-grid.ndim :] if isinstance(thing, Mask) else thing.axes),
        "spacing_mm": None if grid.spacing_mm is None else list(grid.spacing_mm),
        "placed": grid.affine is not None,
        "plane": grid.plane,
        "frame_of_reference": grid.frame_of_reference,
        "steps": list(thing.steps),
    }
    if isinstance(thing, Mask):
        out |= {"layers": len(thing.layers), "labels": [[e.value, e.name, e.layer] for e in thing.labels]}
        return out
    return out | {"modality": thing.modality, "quantity": thing.quantity.value}


def labels_of(comment: dict[str, Any]) -> tuple[Label, ...]:
    """The structures of a mask's comment."""
    return tuple(Label(int(v), str(n), int(i)) for v, n, i in comment["labels"])


def dump(comment: dict[str, Any]) -> str:
    return json.dumps(comment, ensure_ascii=True, separators=(",", ":"))


def parse(text: str | bytes) -> dict[str, Any]:
    """The comment in ``text``; empty where it is none of ours. FormatError where ours holds what we never write."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(found, dict) or MARK not in found:
        return {}
    if not _is_sound(found):
        raise FormatError("what Hexscope wrote beside the numbers is broken", code="file.unreadable")
    return found


def _is_sound(found: dict[str, Any]) -> bool:
    """Does it hold what `comment_of` writes, each of its kind?"""
    spacing, labels = found.get("spacing_mm"), found.get("labels")
    tests = [
        _is_list(found.get("axes"), str) and _is_list(found.get("steps"), str),
        spacing is None or _is_list(spacing, int | float),
        isinstance(found.get("placed"), bool),
        found.get("plane") in get_args(Plane),
        isinstance(found.get("frame_of_reference"), str | None),
    ]
    if found.get("kind") == "mask":
        tests.append(isinstance(found.get("layers"), int) and found["layers"] > 0)
        tests.append(_is_list(labels, list) and all(_is_label(label) for label in labels or ()))
    else:
        tests.append(found.get("kind") == "image" and isinstance(found.get("modality"), str))
        tests.append(found.get("quantity") in [q.value for q in Quantity])
    return all(tests)


def _is_list(value: Any, kind: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, kind) for v in value)


def _is_label(label: list[Any]) -> bool:
    return [type(v) for v in label] == [int, str, int]
