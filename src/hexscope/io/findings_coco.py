"""Findings as COCO: boxes x, y, width, height in pixels, with scores, as other tools read results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hexscope.core.results import Findings
from hexscope.errors import UsageError


def coco_of(findings: Findings) -> dict[str, Any]:
    """Images, annotations and categories of one picture's findings. UsageError for a volume: COCO has boxes of pictures
    only."""
    mask = findings.mask
    if mask is None or mask.grid.ndim != 2 or any(f.box_px is None for f in findings):
        raise UsageError("COCO holds boxes of pictures in pixels; write findings of a volume as .json, or as a mask")
    names = list(dict.fromkeys(f.kind for f in findings))
    height, width = mask.grid.shape
    name = Path(mask.files[0]).name if mask.files else mask.name
    return {
        "info": {"description": findings.method},
        "images": [{"id": 1, "file_name": name, "width": width, "height": height}],
        "categories": [{"id": i, "name": kind} for i, kind in enumerate(names, start=1)],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": names.index(f.kind) + 1, "iscrowd": 0, **_box(f.box_px)}
            | {"score": round(f.score, 5)}
            for n, f in enumerate(findings, start=1)
        ],
    }


def _box(box: tuple[float, ...] | None) -> dict[str, Any]:
    assert box is not None
    y0, x0, y1, x1 = box
    return {"bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)], "area": round((x1 - x0) * (y1 - y0), 2)}
