"""What the report of a classifier shows besides: ROC, reliability, confusion, and what of an image spoke for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.classify.evidence import evidence, nearest
from hexscope.classify.score import auc, confusion, roc
from hexscope.core.image import Image
from hexscope.errors import HexscopeError
from hexscope.evaluate.result import CaseResult, Evaluation
from hexscope.io.case import CaseTable
from hexscope.io.cases import open_images
from hexscope.models.shelf import Model
from hexscope.study.canvas import COLOURS, Panel, strip
from hexscope.study.charts import square
from hexscope.study.model_pictures import in_grey
from hexscope.study.result import Picture
from hexscope.trust.calibration import reliability

#: Evidence is drawn in two colours: for the class, and against it.
_FOR, _AGAINST = np.array(COLOURS[1], float), np.array(COLOURS[0], float)
_SIDE_PX = 420
_ALIKE = 3


@dataclass(frozen=True)
class ClassCharts:
    """SVG of the curves, and the confusion counts: (class, row of counts, share recognised) each."""

    roc: Any
    reliability: Any
    confusion: tuple[tuple[str, tuple[int, ...], float | None], ...]


def class_charts(evaluation: Evaluation, classes: tuple[str, ...], exclusive: bool) -> ClassCharts | None:
    """From what was said of every case; None where nothing was."""
    from markupsafe import Markup

    if not evaluation.cases:
        return None
    p, asked = (_columns(evaluation, word, classes) for word in ("p", "is"))
    true = asked > 0.5
    shown = [k for k in range(len(classes)) if 0 < true[:, k].sum() < len(true)]
    shown = shown[1:] if len(classes) == 2 and exclusive else shown
    lines = {f"{classes[k]} {auc(p[:, k], true[:, k]):.3f}": roc(p[:, k], true[:, k]) for k in shown}
    if not exclusive:
        return ClassCharts(Markup(square(lines, "1 - specificity", "sensitivity")), None, ())
    truth = true.argmax(axis=1)
    bins = reliability(p, truth, bins=10)
    points = (np.array([b.said for b in bins]), np.array([b.right for b in bins]))
    counts = confusion(p, truth)
    rows = tuple(
        (name, tuple(int(v) for v in row), float(row[k] / row.sum()) if row.sum() else None)
        for k, (name, row) in enumerate(zip(classes, counts, strict=True))
    )
    return ClassCharts(
        Markup(square(lines, "1 - specificity", "sensitivity")),
        Markup(square({"": points}, "score", "share right", sizes=[b.n for b in bins])),
        rows,
    )


def _columns(evaluation: Evaluation, word: str, classes: tuple[str, ...]) -> NDArray[np.float64]:
    return np.array([[case.facts.get(f"{word}/{name}") or 0.0 for name in classes] for case in evaluation.cases])


# ---- pictures -----------------------------------------------------------------------------------------------


def explained(
    model: Model, table: CaseTable, kinds: Mapping[str, str], result: CaseResult, word: str, word_zh: str
) -> Picture | None:
    """A case with what spoke for its likeliest class, and the labelled cases most like it; None where it cannot be."""
    classes = model.card.classes
    case = next(c for c in table.cases if c.case == result.case)
    said = {name: result.facts.get(f"p/{name}") or 0.0 for name in classes}
    best = max(said, key=lambda name: said[name])
    try:
        images = open_images(case, {**table.kinds, **kinds})
        given = {channel.name: images[channel.name] for channel in model.card.inputs}
        shown = evidence(given, model, best)
        alike = [one for one in nearest(given, model, _ALIKE + 1) if one.case != case.case][:_ALIKE]
    except HexscopeError:
        return None
    png = drawn(given[model.card.inputs[0].name], shown)
    names = ", ".join(f"{one.case} ({one.label} {one.likeness:.2f})" for one in alike)
    en = f"{word}, {case.case}: is {case.label}, scored {best} {said[best]:.2f}. Most alike: {names}"
    zh = f"{word_zh} {case.case}：标注 {case.label}，评分 {best} {said[best]:.2f}。最相似：{names}"
    return Picture(f"{word}-{case.case}".replace("/", "-"), png, en, zh)


def drawn(image: Image, shown: Image) -> bytes:
    """The image beside itself under the evidence, as PNG: orange spoke for the class, blue against; of a volume the
    slice where most was found."""
    values, pixels = shown.array, image.array
    if values.ndim == 3:
        at = int(np.abs(values).sum(axis=(1, 2)).argmax())
        values, pixels = values[at], pixels[at]
    rgb = in_grey(image, pixels)
    strength = np.abs(values) / max(float(np.abs(values).max()), 1e-6)
    colour = np.where(values[..., None] > 0, _FOR, _AGAINST)
    weight = 0.6 * strength[..., None]
    over = (rgb * (1 - weight) + colour * weight).astype(np.uint8)
    step = max(1, round(max(rgb.shape[:2]) / _SIDE_PX))
    return strip([Panel(rgb[::step, ::step]), Panel(over[::step, ::step])], height=_SIDE_PX)
