"""A detector measured on labelled cases: every figure with its interval, and every case."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hexscope.core.image import Image
from hexscope.detect.froc import Boxes, Floats, Matched, Sheet, match, mean_precision
from hexscope.detect.lesions import Found, look
from hexscope.errors import HexscopeError
from hexscope.evaluate.result import CaseResult, Evaluation
from hexscope.io.case import Case, CaseTable, Refusal, Target
from hexscope.io.case_boxes import object_names, open_objects
from hexscope.io.cases import open_images
from hexscope.models.shelf import Model
from hexscope.trust.statistics import Estimate

Progress = Callable[[int, int], object]

#: What a detector can be measured on, the richest first.
TARGETS: tuple[Target, ...] = ("boxes", "mask", "instances")


def evaluate_detector(
    model: Model,
    table: CaseTable,
    *,
    kinds: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Evaluation, tuple[Sheet, ...]]:
    """A detector on the cases of ``table``, each by the same way as on the command line, and what it was matched from.

    Where the table's classes and the model's have no name in common, objects of any class count alike.
    """
    target = table.require(*TARGETS)
    declared = {**table.kinds, **(kinds or {})}
    model = replace(model, forced=True)  # labelled cases are measured, however strange; the warnings stand beside
    sheets: list[Sheet] = []
    results: list[CaseResult] = []
    failed = list(table.refused)
    for number, case in enumerate(table.cases, start=1):
        try:
            images = open_images(case, declared)
            begun = time.process_time()
            found = look(model, _fitting(images, model))
            spent = time.process_time() - begun
            sheets.append(sheet_of(case, table, target, images, found, model.card.classes))
            results.append(result_of(sheets[-1], spent, found.warnings))
        except HexscopeError as error:
            failed.append(Refusal(case.case, str(error)))
        if progress is not None:
            progress(number, len(table.cases))
    names = object_names(table, target)
    return evaluation_of(sheets, results, failed, set(names) & set(model.card.classes), model.card.classes, seed), (
        *sheets,
    )


def _fitting(images: Mapping[str, Image], model: Model) -> Mapping[str, Image] | Image:
    wanted = [channel.name for channel in model.card.inputs]
    if len(wanted) == len(images) == 1:
        return next(iter(images.values()))
    return {name: images[name] for name in wanted if name in images}


def sheet_of(
    case: Case, table: CaseTable, target: Target, images: Mapping[str, Image], found: Found, classes: Sequence[str]
) -> Sheet:
    """What was found in a case beside what is there. An object of a class that the model does not know is of none."""
    image = next(iter(images.values()))
    truth = open_objects(case, table, target, image)
    number = {name: i for i, name in enumerate(classes)}
    kinds = [number.get(name, -1) for name in truth.names]
    dims = image.grid.ndim
    ours = Boxes.of(found.boxes, found.kinds, found.scores, dims)
    return Sheet(case.case, case.group, ours, Boxes.of(truth.boxes, kinds, dims=dims))


def result_of(sheet: Sheet, spent: float = 0.0, warnings: tuple[str, ...] = ()) -> CaseResult:
    """One case by itself: how much of it was found, and how many false ones score higher than the first true one."""
    near, close = match([sheet], "centre"), match([sheet], "iou", 0.5)
    facts: dict[str, float | None] = {"objects": float(len(near.here)), "findings": float(len(near.scores))}
    figures: dict[str, float | None] = {"found_iou50": None, "false_before_first": None}
    if len(near.here):
        figures["found_iou50"] = float(np.isfinite(close.reached).mean())
        best = near.reached.max()
        figures["false_before_first"] = float((~near.hits & (near.scores > best)).sum())
    return CaseResult(sheet.case, sheet.group, figures, facts, spent, warnings)


def evaluation_of(
    sheets: Sequence[Sheet],
    results: Sequence[CaseResult],
    failed: Sequence[Refusal],
    common: set[str],
    classes: Sequence[str],
    seed: int = 0,
) -> Evaluation:
    """Figures of all cases together. AP and CPM are of the whole set: no mean of cases, though given with intervals."""
    base = Evaluation.of(results, failed, seed=seed)
    if not sheets or not any(len(sheet.truth.boxes) for sheet in sheets):
        return replace(base, cases=tuple(results), notes=(*base.notes, "no case holds an object: nothing to measure"))
    near, close, loose = match(sheets, "centre"), match(sheets, "iou", 0.5), match(sheets, "iou", 0.1)
    wanted: list[tuple[str, Matched, Callable[[Floats | None], Floats]]] = [
        ("cpm", near, near.cpm),
        ("ap50", close, close.average_precision),
        ("ap10", loose, loose.average_precision),
        ("f1_50", close, close.best_f1),
        ("reach_50", close, close.reach),
        ("sensitivity_at_1", near, lambda w: near.sensitivity_at((1.0,), w)[:, 0]),
    ]
    metrics: dict[str, Estimate] = {name: part.estimate(figure, seed) for name, part, figure in wanted}
    told = [i for i, name in enumerate(classes) if name in common]
    if len(classes) > 1 and told:
        metrics["map50"] = mean_precision(sheets, told, seed=seed)
        for i in told:
            part = match(sheets, "iou", 0.5, i)
            if len(part.here):
                metrics[f"ap50/{classes[i]}"] = part.estimate(part.average_precision, seed)
    for name in ("found_iou50", "false_before_first"):
        if name in base.metrics:
            metrics[name] = base.metrics[name]
    notes = () if told else ("no class of the table is one of the model's: objects of any class count alike",)
    return replace(base, metrics=metrics, cases=tuple(results), notes=(*base.notes, *notes))
