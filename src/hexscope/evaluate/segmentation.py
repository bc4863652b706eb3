"""A model, or anything else that outlines, measured on labelled cases."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from hexscope.core.image import Image, Mask
from hexscope.errors import HexscopeError, UsageError
from hexscope.evaluate.result import CaseResult, Evaluation
from hexscope.io.case import WHOLE, Case, CaseTable, Refusal, Target
from hexscope.io.cases import IGNORE, open_images, open_instances, open_mask, read_cases
from hexscope.models.apply import Prediction
from hexscope.models.card import ModelCard
from hexscope.models.shelf import Model
from hexscope.segment.agreement import TOLERANCE_MM, Figures, agreement, instance_agreement

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Answer:
    """What was outlined in one case, and what its author said of it."""

    mask: Mask
    facts: Mapping[str, float | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


T = TypeVar("T")

#: Outlines one case, given its images by input name.
Outline = Callable[[Mapping[str, Image]], Answer]


def cases_for(card: ModelCard, path: str | Path, *, allow_missing: bool = False) -> CaseTable:
    """The table at ``path`` with the model's inputs only, so that a blank in another column refuses no case."""
    try:
        return read_cases(path, [channel.name for channel in card.inputs], allow_missing)
    except UsageError:  # no such columns: the only input may go by another name
        return read_cases(path, None, allow_missing)


def evaluate_model(
    model: Model,
    table: CaseTable,
    *,
    kinds: Mapping[str, str] | None = None,
    tolerance_mm: float = TOLERANCE_MM,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """A segmentation model on the cases of ``table``, each by the same way as on the command line.

    The table's structures meet the model's by name; where the table names none, by value (``fitted``). ``kinds`` as in
    ``open_images``; what the model expects is not taken for granted.
    """
    model = replace(model, forced=True)  # labelled cases are measured, however strange; the warnings stand beside
    named = fitted(table, model.card)
    wanted = [channel.name for channel in model.card.inputs]

    def outline(images: Mapping[str, Image]) -> Answer:
        return _answer(model.predict({name: images[name] for name in wanted}))

    result = evaluate_masks(
        outline, named, reference=wanted[0], kinds=kinds, tolerance_mm=tolerance_mm, seed=seed, progress=progress
    )
    return replace(result, notes=(*result.notes, *_seen_before(model, table)))


def evaluate_masks(
    outline: Outline,
    table: CaseTable,
    *,
    reference: str | None = None,
    kinds: Mapping[str, str] | None = None,
    tolerance_mm: float = TOLERANCE_MM,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Anything that outlines, case by case: a case that fails is listed, the others go on.

    reference  the input on whose grid the outlines lie; None: the first
    """
    target = table.require("mask", "instances")
    declared = {**table.kinds, **(kinds or {})}
    results, failed = [], list(table.refused)
    for number, case in enumerate(table.cases, start=1):
        try:
            results.append(_measured(outline, case, table, target, reference, declared, tolerance_mm))
        except HexscopeError as error:
            failed.append(Refusal(case.case, str(error)))
        if progress is not None:
            progress(number, len(table.cases))
    return Evaluation.of(_worth_telling(results), failed, table.notes, seed=seed)


def _measured(
    outline: Outline,
    case: Case,
    table: CaseTable,
    target: Target,
    reference: str | None,
    kinds: Mapping[str, str],
    tolerance_mm: float,
) -> CaseResult:
    images = open_images(case, kinds)
    first = images.get(reference or table.inputs[0]) or next(iter(images.values()))
    truth = truth_of(case, table, target, reference or table.inputs[0], first)
    started = time.process_time()
    answer = outline(images)
    spent = time.process_time() - started
    if target == "instances":
        figures = instance_agreement(truth.array, answer.mask.array)
    else:
        figures = _agreement(case, truth, answer.mask, tolerance_mm)
    facts = {k: figures.pop(k) for k in list(figures) if k.partition("/")[0] == "lesions"}
    return CaseResult(case.case, case.group, figures, {**facts, **answer.facts}, spent, answer.warnings)


def truth_of(case: Case, table: CaseTable, target: Target, reference: str, image: Image) -> Mask:
    """The case's own outlines, on the grid of ``image``, its input ``reference``."""
    if target == "instances":
        return open_instances(case, on=image)
    return open_mask(case, table, reference if table.masks_by == "input" else WHOLE, on=image)


def _agreement(case: Case, truth: Mask, found: Mask, tolerance_mm: float) -> Figures:
    known = {label.name for label in truth.labels}
    ignore = truth.of(IGNORE) if IGNORE in known else None
    asked = known - {IGNORE}
    if case.labelled is not None:
        asked &= case.labelled
    if ignore is not None or case.labelled is not None:
        return agreement(truth, found, labels=asked, ignore=ignore, tolerance_mm=tolerance_mm)
    return agreement(truth, found, tolerance_mm=tolerance_mm)


def _answer(prediction: Prediction) -> Answer:
    expected = {f"expected_dice/{name}": value for name, value in prediction.expected_dice.items()}
    if len(expected) == 1:
        expected = {"expected_dice": next(iter(expected.values()))}
    return Answer(prediction.mask, expected, prediction.warnings)


# ---- names ------------------------------------------------------------------------------------------------


def fitted(table: CaseTable, card: ModelCard) -> CaseTable:
    """The table with inputs and structures under the model's names, and only the labels that the model is asked for.

    Raises UsageError where it lacks an input, the kind of label, or every structure.
    """
    finds_objects = card.recipe is not None and card.recipe.target == "instances"
    target = table.require("instances" if finds_objects else "mask")
    wanted = [channel.name for channel in card.inputs]
    if len(wanted) == len(table.inputs) == 1:
        table = _renamed(table, wanted[0])
    missing = [name for name in wanted if name not in table.inputs]
    if missing:
        raise UsageError(
            f"model {card.name} needs the inputs {', '.join(wanted)}; {table.source} has {', '.join(table.inputs)}. "
            "Rename its columns"
        )
    table = replace(table, targets=(target,))
    return table if finds_objects else _named_alike(table, card)


def _named_alike(table: CaseTable, card: ModelCard) -> CaseTable:
    """The table under the model's names where it has none of its own."""
    if not table.classes:
        return replace(table, classes=dict(zip(card.values, card.classes, strict=True)))
    common = set(table.classes.values()) & set(card.classes)
    if not common:
        raise UsageError(
            f"model {card.name} finds {', '.join(card.classes)}; {table.source} outlines "
            f"{', '.join(table.classes.values())}. Name the structures alike"
        )
    lacking = sorted(set(card.classes) - common)
    notes = (
        (*table.notes, f"not outlined in these cases, so not measured: {', '.join(lacking)}")
        if lacking
        else table.notes
    )
    others = frozenset(common)
    cases = tuple(replace(c, labelled=others if c.labelled is None else c.labelled & others) for c in table.cases)
    return replace(table, cases=cases, notes=notes)


def _renamed(table: CaseTable, name: str) -> CaseTable:
    """A table of one input under the name that the model has for its only one."""
    (old,) = table.inputs

    def under(files: Mapping[str, T]) -> dict[str, T]:
        return {name if key == old else key: value for key, value in files.items()}

    cases = tuple(replace(c, inputs=under(c.inputs), masks=under(c.masks)) for c in table.cases)
    return replace(table, cases=cases, inputs=(name,), kinds=under(table.kinds))


# ---- what to tell ---------------------------------------------------------------------------------------


def _worth_telling(results: Sequence[CaseResult]) -> list[CaseResult]:
    """Without figures that say nothing here: of lesions where each case has one part, of empty cases where none is."""
    lesions = any(v != 1 for r in results for k, v in r.facts.items() if k.partition("/")[0] == "lesions")
    empty = any(r.figures.get("left_empty") is not None for r in results)
    dropped = set() if lesions else {"lesion_sensitivity", "lesion_false_positives"}
    dropped |= set() if empty else {"left_empty", "dice_where_present"}
    out = []
    for result in results:
        figures = {k: v for k, v in result.figures.items() if k.partition("/")[0] not in dropped}
        facts = {k: v for k, v in result.facts.items() if lesions or k.partition("/")[0] != "lesions"}
        out.append(replace(result, figures=figures, facts=facts))
    return out


def _seen_before(model: Model, table: CaseTable) -> tuple[str, ...]:
    """A word where cases bear the names of patients that the model was trained on."""
    path = model.folder / "training" / "split.csv"
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as stream:
        trained = {row.get("group") for row in csv.DictReader(stream) if row.get("split") == "train"}
    both = sorted({case.group for case in table.cases} & trained)
    if not both:
        return ()
    shown = ", ".join(both[:5]) + (" …" if len(both) > 5 else "")
    return (f"{len(both)} patients bear names that the model was trained on ({shown}): these figures flatter it",)
