"""report.html of a model folder: its card, plan and curve, every figure with its interval, its best and worst cases."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hexscope.errors import HexscopeError
from hexscope.evaluate.result import CaseResult, Evaluation
from hexscope.evaluate.segmentation import fitted, truth_of
from hexscope.io.case import CaseTable
from hexscope.io.cases import open_images
from hexscope.io.files import atomic_write
from hexscope.models.shelf import Model
from hexscope.study import model_detection as detection
from hexscope.study.charts import curves, dots
from hexscope.study.class_report import class_charts, explained
from hexscope.study.model_pictures import compared
from hexscope.study.pages import render_page
from hexscope.study.result import Picture

#: What a figure means, in both languages; the better, the higher, unless it says so.
FIGURES = {
    "dice": ("overlap with the truth, 0 to 1", "与标注的重叠度，0 到 1"),
    "dice_where_present": ("the same, of cases that hold the structure", "仅含该结构的病例"),
    "left_empty": ("part of the empty cases in which nothing was found", "无结构病例中未误报的比例"),
    "iou": ("overlap over union, 0 to 1", "交并比，0 到 1"),
    "surface_dice": ("part of both surfaces that lies within this distance of the other", "两表面在该距离内的比例"),
    "hd95": ("95 % of either surface lies nearer (lower is better)", "95% 表面点的距离上限（越低越好）"),
    "assd": ("mean distance between the surfaces (lower is better)", "表面平均距离（越低越好）"),
    "volume_error": ("|found - true| / true size (lower is better)", "相对体积误差（越低越好）"),
    "circumference_error_mm": ("difference of circumference (lower is better)", "周长误差（越低越好）"),
    "lesion_sensitivity": ("part of the lesions that were touched", "检出病灶的比例"),
    "lesion_false_positives": ("parts that touch no lesion, a case (lower is better)", "每例误报数（越低越好）"),
    "f1_50": ("objects matched at IoU .5, 0 to 1", "IoU 0.5 下的目标 F1"),
    "f1_50_95": ("the same, mean over IoU .5 to .95", "IoU 0.5 至 0.95 平均"),
    "panoptic_quality": ("matched objects times their overlap", "全景质量"),
    "cpm": ("sensitivity, mean at 1/8 to 8 false positives an image", "每图误报 1/8 至 8 时灵敏度的均值"),
    "map50": ("average precision at IoU .5, mean over classes", "IoU 0.5 下各类平均精度的均值"),
    "ap50": ("average precision at IoU .5", "IoU 0.5 下的平均精度"),
    "ap10": ("average precision at IoU .1", "IoU 0.1 下的平均精度"),
    "reach_50": ("part of the objects that any finding overlaps by .5", "存在 IoU≥0.5 候选的目标比例"),
    "sensitivity_at_1": ("sensitivity at one false positive an image", "每图 1 个误报时的灵敏度"),
    "found_iou50": ("part of an image's objects that any finding overlaps by .5", "单图中被检出目标的比例（IoU≥0.5）"),
    "false_before_first": ("false ones above the first true one (lower is better)", "首个命中前的误报数（越低越好）"),
    "aji": ("aggregated Jaccard index of objects", "聚合 Jaccard 指数"),
    "auc": ("chance that a case that holds the class scores above one that does not", "阳性评分高于阴性的概率"),
    "accuracy": ("part of the cases whose likeliest class is true", "最可能类别正确的比例"),
    "balanced_accuracy": ("the same, the mean over classes", "各类召回率的平均"),
    "ece": ("how far scores are from the share that is right (lower is better)", "期望校准误差（越低越好）"),
    "p_true": ("probability given to what is true", "给予真实类别的概率"),
    "log_loss": ("minus its logarithm (lower is better)", "对数损失（越低越好）"),
    "brier": ("squared distance of probabilities from the truth (lower is better)", "Brier 分数（越低越好）"),
    "covered": ("part of the cases whose true class is in the set, promised 0.9", "真实类别落入集合的比例，承诺 0.9"),
    "abstained": ("part of the cases of which the model cannot tell", "模型无法判断的比例"),
}
#: Figures that cases are ranked by, the first that is there.
_RANKED_BY = ("dice_where_present", "found_iou50", "f1_50", "dice", "p_true")
#: Columns of the table of cases.
_COLUMNS = (
    "p_true",
    "accuracy",
    "covered",
    "dice",
    "iou",
    "surface_dice",
    "hd95",
    "volume_error",
    "circumference_error_mm",
    "f1_50",
    "panoptic_quality",
    "found_iou50",
    "false_before_first",
)


@dataclass(frozen=True)
class Cases:
    """The cases that a model was measured on, as evaluation read them, and what their files are."""

    table: CaseTable
    kinds: Mapping[str, str]


def write_model_report(
    model: Model, evaluation: Evaluation, cases: Cases | None = None, *, language: str = "en"
) -> Path:
    """Write ``report.html`` into the model's folder, whole or not at all.

    cases  what was measured: best, middle and worst case are then drawn, predicted anew by the same way; a case that
           cannot be drawn is left out
    """
    classifier = model.card.classifier
    metric = next((name for name in _RANKED_BY if name in evaluation.metrics), None)
    ranked = _ranked(evaluation, metric)
    page = render_page(
        "model.html.j2",
        language=language,
        title=model.card.name,
        card=model.card,
        tiles=_tiles(model, evaluation, "ap50" if "ap50" in evaluation.metrics else metric),
        metric=metric,
        metrics=evaluation.metrics,
        charts=None if classifier is None else class_charts(evaluation, model.card.classes, classifier.exclusive),
        meaning=_meaning,
        dots=_dots(evaluation, metric),
        curve=_curve(model.folder),
        choices=_choices(model.folder),
        found_charts=detection.charts(model) if model.card.task == "detect" else [],
        pictures=_pictures(model, cases, ranked, metric),
        columns=_columns(evaluation),
        ranked=ranked,
        failed=evaluation.failed,
        notes=evaluation.notes,
    )
    path = model.folder / "report.html"
    atomic_write(path, lambda p: p.write_text(page, encoding="utf-8"))
    return path


def _meaning(name: str) -> tuple[str, str]:
    """What a figure means; a structure behind a slash and a unit at the end are its own."""
    base = name.partition("/")[0]
    found = next((words for key, words in FIGURES.items() if base == key), None)
    return found or next((words for key, words in FIGURES.items() if base.startswith(f"{key}_")), ("", ""))


def _ranked(evaluation: Evaluation, metric: str | None) -> list[CaseResult]:
    """Cases from worst to best; those without the figure last."""
    if metric is None:
        return list(evaluation.cases)
    return sorted(evaluation.cases, key=lambda c: (c.figures.get(metric) is None, c.figures.get(metric) or 0.0))


def _tiles(model: Model, evaluation: Evaluation, metric: str | None) -> list[tuple[str, str, str]]:
    card = model.card
    tiles = [
        (str(len(evaluation.cases)), "cases measured", "例测试"),
        (str(len({c.group for c in evaluation.cases})), "patients", "名患者"),
        (str(len(evaluation.failed)), "cases failed", "例失败"),
    ]
    told = "auc" if "auc" in evaluation.metrics else metric
    if told is not None:
        tiles.insert(0, (f"{evaluation.metrics[told].mean:.3f}", told, told))
    minutes = card.training.get("cpu_s")
    if isinstance(minutes, int | float):
        tiles.append((f"{minutes / 60:.1f}", "CPU minutes of training", "CPU 分钟训练"))
    weights = [p.stat().st_size for p in model.folder.glob("weights*.onnx")]
    if weights:
        tiles.append((f"{min(weights) / 1e6:.1f}", "MB of weights", "MB 权重"))
    return tiles


def _dots(evaluation: Evaluation, metric: str | None) -> Any:
    from markupsafe import Markup

    if metric is None:
        return None
    values = [v for case in evaluation.cases if (v := case.figures.get(metric)) is not None]
    return Markup(dots(values, evaluation.metrics[metric]))


def _columns(evaluation: Evaluation) -> list[str]:
    names = dict.fromkeys(name for case in evaluation.cases for name in case.figures if "/" not in name)
    return [n for n in names if n in _COLUMNS or n.startswith(tuple(f"{c}_" for c in ("surface_dice", "hd95")))]


# ---- what lies in the folder ------------------------------------------------------------------------------


def _choices(folder: Path) -> list[dict[str, Any]]:
    """The plan's choices; none where the folder has no plan."""
    try:
        rows = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["choices"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [dict(row) for row in rows]


def _curve(folder: Path) -> Any:
    """The training's curve: validation figures over its first column; None where there is none."""
    from markupsafe import Markup

    path = folder / "training" / "curve.csv"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    numbers = {name: [_number(row.get(name)) for row in rows] for name in (rows[0] if rows else {})}
    first, *others = numbers
    at = [v if v is not None else float(i) for i, v in enumerate(numbers[first])]
    held = [n for n in others if any(v is not None for v in numbers[n])]
    figures = {n: numbers[n] for n in held if _meaning(n)[0]}
    losses = {n: numbers[n] for n in held if "loss" in n}
    charts = [curves(at, shown, first) for shown in (figures, losses) if shown and len(at) > 1]
    return Markup("<br>".join(charts)) if charts else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


# ---- pictures ---------------------------------------------------------------------------------------------


def _pictures(model: Model, cases: Cases | None, ranked: list[CaseResult], metric: str | None) -> list[Picture]:
    if cases is not None and model.card.task == "detect":
        return detection.pictures(model, cases.table, dict(cases.kinds))
    if cases is None or metric is None:
        return []
    scored = [case for case in ranked if case.figures.get(metric) is not None]
    if not scored:
        return []
    chosen = {"worst": scored[0], "middle": scored[len(scored) // 2], "best": scored[-1]}
    words = {"worst": "最差", "middle": "中位", "best": "最好"}
    out = []
    for word, result in chosen.items():
        if model.card.task == "classify":
            picture = explained(model, cases.table, cases.kinds, result, word, words[word])
            out += [picture] if picture is not None else []
            continue
        try:
            png = _picture(model, cases, result.case)
        except HexscopeError:
            continue
        value = f"{metric} {result.figures[metric]:.3f}"
        out.append(
            Picture(word, png, f"{word} case, {result.case}: {value}", f"{words[word]}病例 {result.case}：{value}")
        )
    return out


def _picture(model: Model, cases: Cases, name: str) -> bytes:
    table = fitted(cases.table, model.card)
    case = next(c for c in table.cases if c.case == name)
    first = model.card.inputs[0].name
    images = open_images(case, {**table.kinds, **cases.kinds})
    truth = truth_of(case, table, table.target, first, images[first])
    found = model.predict({channel.name: images[channel.name] for channel in model.card.inputs})
    return compared(images[first], truth, found.mask)
