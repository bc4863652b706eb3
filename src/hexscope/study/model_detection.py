"""The part of a model report that is a detector's own: FROC with its band, sensitivity by size, the worst misses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Mask
from hexscope.detect.froc import CPM_AT, Matched
from hexscope.detect.lesions import WORST, held_out
from hexscope.errors import HexscopeError, RefusedError
from hexscope.io.case import CaseTable
from hexscope.io.cases import open_images
from hexscope.models.shelf import Model
from hexscope.study.charts import curves
from hexscope.study.model_pictures import compared
from hexscope.study.result import Picture

#: (title in English, in Chinese, chart)
Chart = tuple[str, str, Any]

#: False positives per image at which the curve is drawn: evenly spaced on a scale of doublings.
_RATES = tuple(float(v) for v in np.geomspace(CPM_AT[0], CPM_AT[-1], 25))


def matched(model: Model) -> Matched:
    """Findings on patients left out, as the model keeps them. RefusedError where it keeps none."""
    held = held_out(model)
    reached = np.array(held.lesion_score)
    hit = np.isfinite(reached)
    scores = np.concatenate([reached[hit], held.false_score])
    order = np.argsort(-scores, kind="stable")
    images = np.concatenate([np.array(held.lesion_image, np.intp)[hit], np.array(held.false_image, np.intp)])
    return Matched(
        scores=scores[order],
        hits=np.concatenate([np.ones(int(hit.sum()), bool), np.zeros(len(held.false_score), bool)])[order],
        at=images[order].astype(np.intp),
        reached=reached,
        sizes=np.array(held.lesion_size),
        here=np.array(held.lesion_image, np.intp),
        groups=np.array(held.group, np.intp),
    )


def charts(model: Model) -> list[Chart]:
    """FROC, and sensitivity by size at the score that the card names; none where the model keeps no figures."""
    from markupsafe import Markup

    try:
        found = matched(model)
    except RefusedError:
        return []
    if not len(found.here):
        return []
    curve, low, high = found.band(_RATES)
    shown = {"sensitivity": curve.tolist(), "95 % low": low.tolist(), "95 % high": high.tolist()}
    doublings = [float(np.log2(rate)) for rate in _RATES]
    froc = curves(doublings, shown, "log2 false positives per image")
    title = "FROC: sensitivity against false positives per image (-3 is 1/8, 3 is 8), with its 95 % band"
    out: list[Chart] = [(title, "FROC：灵敏度与每图误报数（横轴为以 2 为底的对数），附 95% 带", Markup(froc))]
    detector = model.card.detector
    if detector is not None:
        out.append(
            (
                "Sensitivity by size, at the score of the card",
                "按大小的灵敏度（卡片所示评分）",
                _sizes(found, detector.score),
            )
        )
    return out


def _sizes(found: Matched, score: float) -> Any:
    from markupsafe import Markup

    rows = "".join(
        f"<tr><td>{low:.4g} … {high:.4g}</td><td class='n'>{hit} / {n}</td><td class='n'>{hit / n:.3f}</td></tr>"
        for low, high, n, hit in found.by_size(score)
    )
    head = "<tr><th>size in pixels (voxels) of the box</th><th class='n'>found</th><th class='n'>share</th></tr>"
    return Markup(f"<table>{head}{rows}</table>")


def pictures(model: Model, table: CaseTable, kinds: dict[str, str]) -> list[Picture]:
    """The worst misses among patients left out: truth in blue, what was found there in orange. One that cannot be drawn
    is left out."""
    out: list[Picture] = []
    for row in _worst(model):
        case = next((c for c in table.cases if c.case == row["case"]), None)
        if case is None:
            continue
        try:
            image = next(iter(open_images(case, {**table.kinds, **kinds}).values()))
            png = compared(image, _rectangles(row["truth"], image.grid), _rectangles(row["found"], image.grid))
        except HexscopeError:
            continue
        name = f"miss-{len(out) + 1}"
        said, said_zh = f"{row['case']}: {row['en']}", f"{row['case']}：{row['zh']}"
        out.append(Picture(name, png, said, said_zh))
    return out


def _worst(model: Model) -> list[dict[str, Any]]:
    try:
        rows = json.loads((model.folder / WORST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [dict(row) for row in rows]


def _rectangles(boxes: Sequence[Sequence[float]], grid: Grid) -> Mask:
    """Each box as a filled label, smaller ones on top."""
    out: NDArray[np.uint16] = np.zeros(grid.shape, np.uint16)
    dims = grid.ndim
    ordered = sorted(boxes, key=lambda b: -np.prod(np.array(b[dims:]) - np.array(b[:dims])))
    for number, box in enumerate(ordered, start=1):
        ends = [(max(round(a), 0), max(round(b), round(a) + 1)) for a, b in zip(box[:dims], box[dims:], strict=True)]
        out[tuple(slice(a, b) for a, b in ends)] = number
    return Mask.from_array(out, grid, {n: f"box {n}" for n in range(1, len(ordered) + 1)})
