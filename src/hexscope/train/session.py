"""Train a model from a table of cases: check, divide by patient, plan, learn, export, measure, write the card."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hexscope.errors import RefusedError, UsageError
from hexscope.evaluate.result import CaseResult, Evaluation
from hexscope.evaluate.segmentation import evaluate_model
from hexscope.io.case import Case, CaseTable, Refusal
from hexscope.models.shelf import WEIGHTS, Model
from hexscope.train.beside import seen, write_gate, write_shortcut
from hexscope.train.checks import Checked, check
from hexscope.train.choices import RULES
from hexscope.train.classify_session import train_classifier
from hexscope.train.course import course_of
from hexscope.train.detect_session import detect
from hexscope.train.facts import measure
from hexscope.train.folder import PER_CASE, require_free, write_card, write_rows
from hexscope.train.lesson import Lesson, Made, everyone
from hexscope.train.machine import Machine
from hexscope.train.order import Order, Trained, divided
from hexscope.train.pool import example_of
from hexscope.train.splits import Division
from hexscope.train.together import rank, together

INT8 = WEIGHTS[0]
#: The part of the validation cases in which the model's own estimate may be lower than the card's warning level.
_WARNED = 0.05


def train(task: str, table: CaseTable, out: str | Path, order: Order) -> Trained:
    """Make a model folder at ``out`` from labelled cases.

    Raises UsageError for a task it cannot train or a folder that is in use, InputError and RefusedError where the cases
    forbid it.
    """
    if task not in MAKERS:
        raise UsageError(f"training for {task!r} is not there yet; {', '.join(MAKERS)} is")
    make = MAKERS[task]
    device = Machine.here().device
    with together(device), tempfile.TemporaryDirectory() as aside:
        # each process does all of it, for the sake of plainness; what others than the first write is thrown away
        made = make(table, Path(out) if rank() == 0 else Path(aside) / "model", order)
        known = seen(made.model, table, order.kinds)
        told = (*write_gate(made.model, known), *(write_shortcut(made.model, known) if task == "classify" else ()))
        return replace(made, told=(*made.told, *told))


def _segment(table: CaseTable, out: Path, order: Order) -> Trained:
    require_free(out, order.resume)
    since = time.process_time()
    checked = check(table, "segment", kinds=order.kinds, progress=order.tell("check"))
    parts = divided(checked, order)
    if order.folds is None:
        made = _make(checked, parts[0], order, out)
        made, result = _smaller(made, checked, parts[0], order)
        how = parts[0].how
    else:
        result = _cross_validated(checked, parts, order, out)
        all_of_them, how = everyone(checked.table, parts)
        made = _make(checked, all_of_them, order, out)
    _finish(made, result, how, out)
    told = (*(f"{r.case}: {r.reason}" for r in checked.refused), *checked.told, *made.told)
    return Trained(out, made.plan, result, time.process_time() - since, told)


# ---- one model ----------------------------------------------------------------------------------------------


def _make(checked: Checked, division: Division, order: Order, out: Path) -> Made:
    """Teach on the training side of ``division``."""
    table, facts = checked.table, measure(checked, division.train)
    lesson = Lesson(
        task="segment",
        table=table,
        facts=facts,
        known={},
        rules=RULES,
        example=lambda case, recipe: example_of(case, table, recipe, table.classes),
        course=lambda plan, learnt, n: course_of(plan, facts, order.seed, [e.name for e in learnt], n),
        watched=division.validation,
    )
    made = lesson.teach(division, order, out)
    write_card(out, made.card)
    return made


# ---- measuring ----------------------------------------------------------------------------------------------


def _measure(made: Made, checked: Checked, cases: Sequence[Case], order: Order) -> Evaluation:
    """The exported model on ``cases``, by the same way as on the command line."""
    if not cases:
        raise RefusedError("no patient is left to measure on: a model without figures is not made")
    table = replace(checked.table, cases=tuple(cases), refused=())
    return evaluate_model(Model.open(made.folder), table, seed=order.seed, progress=order.tell("measure"))


def _smaller(made: Made, checked: Checked, division: Division, order: Order) -> tuple[Made, Evaluation]:
    """Measure the model, then in whole numbers of 8 bits, and keep those where validation shows no loss."""
    from hexscope.train.quantise import TOLERATED_LOSS, save_int8

    plain = _measure(made, checked, division.validation, order)
    assert made.card.recipe is not None
    save_int8(made.net, made.learnt, made.card.recipe.tile, made.folder / INT8)
    small = _measure(made, checked, division.validation, order)
    name = "f1_50" if made.card.recipe.target == "instances" else "dice"
    a, b = plain.metrics[name].mean, small.metrics[name].mean
    kept = b >= a - TOLERATED_LOSS and len(small.failed) <= len(plain.failed)
    if not kept:
        (made.folder / INT8).unlink()
    word = f"{'kept' if kept else 'left out'}: {name} {b:.4f}, and {a:.4f} without"
    card = replace(made.card, training={**made.card.training, "int8": word})
    return replace(made, card=card), small if kept else plain


def _cross_validated(checked: Checked, parts: Sequence[Division], order: Order, out: Path) -> Evaluation:
    results: list[CaseResult] = []
    failed: list[Refusal] = []
    for number, division in enumerate(parts):
        made = _make(checked, division, order, out / "training" / f"fold{number}")
        part = _measure(made, checked, division.validation, order)
        results += part.cases
        failed += part.failed
    return Evaluation.of(results, failed, seed=order.seed)


def _finish(made: Made, result: Evaluation, how: str, out: Path) -> None:
    """The card with its figures, and the table of cases behind them."""
    metrics = {name: (e.mean, e.low, e.high, e.n) for name, e in result.metrics.items()}
    write_card(out, replace(made.card, metrics=metrics, split=how, warn_below=_doubtful(result)))
    write_rows(out / PER_CASE, [case.as_json() for case in result.cases])
    for cases in out.glob("training/**/cases"):
        shutil.rmtree(cases, ignore_errors=True)


def _doubtful(result: Evaluation) -> float | None:
    """The Dice that the model expected of itself in all but the worst few of the validation cases."""
    held = [
        float(value)
        for case in result.cases
        for key, value in case.facts.items()
        if key.partition("/")[0] == "expected_dice" and value is not None
    ]
    return round(sorted(held)[int(_WARNED * len(held))], 3) if held else None


#: What makes a model, by task.
MAKERS: Mapping[str, Callable[[CaseTable, Path, Order], Trained]] = {
    "segment": _segment,
    "detect": detect,
    "classify": train_classifier,
}
