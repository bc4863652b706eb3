"""Train a model from a table of cases: check, divide by patient, plan, learn, export, measure, write the card."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from hexscope import __version__
from hexscope.core.quantity import Quantity
from hexscope.errors import RefusedError, UsageError
from hexscope.evaluate.result import CaseResult, Evaluation
from hexscope.evaluate.segmentation import evaluate_model
from hexscope.io.case import Case, CaseTable, Refusal
from hexscope.models.card import ModelCard
from hexscope.models.recipe import Recipe
from hexscope.models.shelf import WEIGHTS, Model
from hexscope.train.beside import seen, write_gate, write_shortcut
from hexscope.train.checks import Checked, check
from hexscope.train.choices import DATA_RULES, RULES
from hexscope.train.classify_session import train_classifier
from hexscope.train.course import course_of, evidence, recipe_of
from hexscope.train.detect_session import detect
from hexscope.train.export import save_onnx
from hexscope.train.facts import Facts, measure
from hexscope.train.folder import PER_CASE, require_free, write_card, write_json, write_rows, write_split
from hexscope.train.look import Looker, few
from hexscope.train.loop import Run, learn
from hexscope.train.machine import Machine, seconds_per_iteration
from hexscope.train.nets import UNet
from hexscope.train.order import Order, Trained, divided
from hexscope.train.plan import PLAN, Plan, make_plan
from hexscope.train.pool import Example, Pool, example_of
from hexscope.train.splits import Division, not_test
from hexscope.train.together import rank, shared, together

INT8, _WEIGHTS = WEIGHTS
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
        cases = not_test(checked.table.cases)
        everyone = Division(cases, (), f"all {len(cases)} cases")
        made = _make(checked, everyone, order, out)
        how = f"{parts[0].how.partition(' of ')[2]}: measured by models that never saw the patient; this one saw all"
    _finish(made, result, how, out)
    told = (*(f"{r.case}: {r.reason}" for r in checked.refused), *checked.told, *made.told)
    return Trained(out, made.plan, result, time.process_time() - since, told)


# ---- one model ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """A model that was trained and exported, and not yet measured, with what it was made from."""

    folder: Path
    card: ModelCard
    plan: Plan
    net: UNet
    learnt: Sequence[Example]
    told: tuple[str, ...]


def _make(checked: Checked, division: Division, order: Order, out: Path) -> Made:
    """Plan, learn and export on the training side of ``division``."""
    machine = Machine.here()
    facts = measure(checked, division.train)
    known = evidence(facts, machine, order.minutes)
    given = {k: v for k, v in order.overrides.items() if k != "iterations"}
    sketch = make_plan(DATA_RULES, known, given)
    recipe = recipe_of(sketch, facts)
    learnt = _pool(division.train, checked, recipe, order, out if sketch["storage"] == "files" else None)
    names = [example.name for example in learnt]
    trial = course_of(sketch, facts, order.seed, names, iterations=1000)
    known["seconds_per_iteration"] = shared(seconds_per_iteration(trial, learnt, machine))
    plan = make_plan(RULES, known, order.overrides)
    write_json(out / PLAN, plan.as_data())
    write_split(out, division)
    course = course_of(plan, facts, order.seed, names)
    looker = Looker(_pool(few(division.validation), checked, recipe, order), course, recipe.tile)
    run = learn(course, learnt, out, looker if looker.examples else None, order.tell("train"))
    assert isinstance(run.net, UNet)
    recipe = replace(recipe, temperature=looker.temperature(run.net))
    save_onnx(run.net, out / _WEIGHTS)
    card = _card(order, facts, recipe, division, checked, run)
    write_card(out, card)
    told: tuple[str, ...] = ()
    if run.total < course.iterations:
        told = (f"the machine was slower than measured: {run.total} of {course.iterations} iterations were done",)
    return Made(out, card, plan, run.net, learnt, told)


def _pool(
    cases: Sequence[Case], checked: Checked, recipe: Recipe, order: Order, out: Path | None = None
) -> list[Example]:
    pool = Pool(None if out is None else out / "training" / "cases")
    classes = checked.table.classes
    for number, case in enumerate(cases, start=1):
        pool.add(example_of(case, checked.table, recipe, classes))
        order.tell("prepare")(number, len(cases))
    return pool.examples


def _card(order: Order, facts: Facts, recipe: Recipe, division: Division, checked: Checked, run: Run) -> ModelCard:
    first = facts.channels[0]
    papers = order.papers
    source = checked.table.source
    where = source.parent.name if source.is_file() else source.name
    return ModelCard(
        name=order.name,
        task="segment",
        modality=first.modality,
        quantity=Quantity.named(first.quantity),
        classes=facts.classes,
        trained_on=papers.trained_on or f"{facts.cases} cases of {facts.patients} patients of {where}",
        licence=papers.licence,
        limits=papers.limits,
        anatomy=tuple(papers.anatomy),
        values=facts.values,
        split=division.how,
        fingerprint=facts.as_data(),
        recipe=recipe,
        training={
            "seed": order.seed,
            "minutes": order.minutes,
            "iterations": run.total,
            "spent_s": round(run.spent_s, 1),
            "hexscope": __version__,
            "torch": str(torch.__version__),
        },
    )


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
