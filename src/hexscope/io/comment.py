"""What Hexscope writes beside the numbers into formats that have no place for it: a line of JSON."""

from __future__ import annotations

import json
from typing import Any

from hexscope.core.image import Image, Label, Mask

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
    """The comment in ``text``; empty where it is none of ours, or broken."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and MARK in found else {}
