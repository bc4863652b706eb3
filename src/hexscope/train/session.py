"""Train a model from a table of cases: check, divide by patient, plan, learn, export, measure, write the card."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from hexscope import __version__
from hexscope.core.quantity import Quantity
from hexscope.errors import RefusedError, UsageError
from hexscope.evaluate.result import CaseResult, Evaluation
from hexscope.evaluate.segmentation import evaluate_model
from hexscope.io.case import Case, CaseTable, Refusal
from hexscope.io.files import atomic_write
from hexscope.models.card import ModelCard
from hexscope.models.recipe import Recipe
from hexscope.models.shelf import CARD, WEIGHTS, Model
from hexscope.train.checks import Checked, check
from hexscope.train.choices import DATA_RULES, RULES
from hexscope.train.course import course_of, evidence, recipe_of
from hexscope.train.export import save_onnx
from hexscope.train.facts import Facts, measure
from hexscope.train.look import Looker, few
from hexscope.train.loop import Run, learn
from hexscope.train.machine import Machine, seconds_per_iteration
from hexscope.train.nets import UNet
from hexscope.train.plan import PLAN, Plan, make_plan
from hexscope.train.pool import Example, Pool, example_of
from hexscope.train.splits import Division, divisions
from hexscope.train.together import rank, shared, together

#: ``progress(stage, done, total, figures)``: stages are "check", "prepare", "train", "measure".
Progress = Callable[[str, int, int, Mapping[str, float]], object]

INT8, _WEIGHTS = WEIGHTS
_SPLIT = "training/split.csv"
_PER_CASE = "training/per_case.csv"
#: The part of the validation cases in which the model's own estimate may be lower than the card's warning level.
_WARNED = 0.05


@dataclass(frozen=True)
class Papers:
    """What the card must say and the cases table cannot."""

    trained_on: str = ""
    licence: str = "not stated: the terms of the training data bind"
    limits: str = "research only; images of other devices, protocols or patients than those it was trained on"
    anatomy: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """A finished training.

    model       its folder
    plan        with the reasons
    validation  on patients that it never saw, through the exported graph
    cpu_s       CPU seconds of all of it: reading, training, measuring
    told        what a person should know: refused cases, doubts about the data, a shortened run
    """

    model: Path
    plan: Plan
    validation: Evaluation
    cpu_s: float
    told: tuple[str, ...]


@dataclass(frozen=True)
class Order:
    """What is asked for: everything that does not follow from the cases.

    name       of the model
    minutes    CPU minutes of training (of one process; minutes on the clock with a graphics processor)
    seed       the same seed gives the same model on one machine
    folds      None: one division, the patients left out are measured. K: each patient is measured by one of K models
               that never saw him, then a last one learns from all and is the one given: K + 1 trainings
    division   who is trained on and who is measured, instead of what the table or chance says
    kinds      "MODALITY" or "MODALITY:QUANTITY" by input, where files do not say
    overrides  value by choice of the plan, as text
    resume     go on from what a killed training left
    """

    name: str
    minutes: float = 10.0
    seed: int = 0
    folds: int | None = None
    division: Division | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    papers: Papers = field(default_factory=Papers)
    resume: bool = False
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.minutes <= 0:
            raise UsageError(f"minutes are above 0; got {self.minutes}")

    def tell(self, stage: str) -> Callable[..., object]:
        """What is told of one stage."""

        def tell(done: int, total: int, figures: Mapping[str, float] | None = None) -> object:
            return self.progress(stage, done, total, figures or {}) if self.progress else None

        return tell


def train(task: str, table: CaseTable, out: str | Path, order: Order) -> Trained:
    """Make a model folder at ``out`` from labelled cases.

    Raises UsageError for a task it cannot train or a folder that is in use, InputError and RefusedError where the cases
    forbid it.
    """
    if task != "segment":
        raise UsageError(f"training for {task!r} is not there yet; segment is")
    device = Machine.here().device
    with together(device), tempfile.TemporaryDirectory() as aside:
        # each process does all of it, for the sake of plainness; what others than the first write is thrown away
        return _train(task, table, Path(out) if rank() == 0 else Path(aside) / "model", order)


def _train(task: str, table: CaseTable, out: Path, order: Order) -> Trained:
    _require_free(out, order.resume)
    since = time.process_time()
    checked = check(table, task, kinds=order.kinds, progress=order.tell("check"))
    parts = _divided(checked, order)
    if order.folds is None:
        made = _make(checked, parts[0], order, out)
        made, result = _smaller(made, checked, parts[0], order)
        how = parts[0].how
    else:
        result = _cross_validated(checked, parts, order, out)
        everyone = Division(checked.table.cases, (), f"all {len(checked.table.cases)} cases")
        made = _make(checked, everyone, order, out)
        how = f"{parts[0].how.partition(' of ')[2]}: measured by models that never saw the patient; this one saw all"
    _finish(made, result, how, out)
    told = (*(f"{r.case}: {r.reason}" for r in checked.refused), *checked.told, *made.told)
    return Trained(out, made.plan, result, time.process_time() - since, told)


def _divided(checked: Checked, order: Order) -> tuple[Division, ...]:
    if order.division is None:
        return divisions(checked.table, folds=order.folds, seed=order.seed, sizes=checked.sizes)
    cases = {case.case: case for case in checked.table.cases}
    sides = (
        [cases[c.case] for c in side if c.case in cases] for side in (order.division.train, order.division.validation)
    )
    train_on, measured = (tuple(side) for side in sides)
    if {c.group for c in train_on} & {c.group for c in measured}:
        raise RefusedError(f"the division ({order.division.how}) puts a patient on both sides")
    return (Division(train_on, measured, order.division.how),)


def _require_free(out: Path, resume: bool) -> None:
    if (out / CARD).is_file() and not resume:
        raise UsageError(f"{out} holds a model already; name a new folder, or pass --resume")
    if not resume:
        shutil.rmtree(out / "training", ignore_errors=True)


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
    _write_json(out / PLAN, plan.as_data())
    _write_split(out, division)
    course = course_of(plan, facts, order.seed, names)
    looker = Looker(_pool(few(division.validation), checked, recipe, order), course, recipe.tile)
    run = learn(course, learnt, out, looker if looker.examples else None, order.tell("train"))
    recipe = replace(recipe, temperature=looker.temperature(run.net))
    save_onnx(run.net, out / _WEIGHTS)
    card = _card(order, facts, recipe, division, checked, run)
    _write_card(out, card)
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
    _write_card(out, replace(made.card, metrics=metrics, split=how, warn_below=_doubtful(result)))
    _write_rows(out / _PER_CASE, [case.as_json() for case in result.cases])
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


# ---- files --------------------------------------------------------------------------------------------------


def _write_card(out: Path, card: ModelCard) -> None:
    atomic_write(out / CARD, lambda path: path.write_text(card.to_toml(), encoding="utf-8"))


def _write_json(path: Path, data: Any) -> None:
    text = json.dumps(data, indent=1, ensure_ascii=False)
    atomic_write(path, lambda beside: beside.write_text(text + "\n", encoding="utf-8"))


def _write_split(out: Path, division: Division) -> None:
    rows = [{"case": c.case, "group": c.group, "split": "train"} for c in division.train]
    rows += [{"case": c.case, "group": c.group, "split": "validation"} for c in division.validation]
    _write_rows(out / _SPLIT, rows)


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))

    def write(beside: Path) -> None:
        with beside.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(rows)

    if rows:
        atomic_write(path, write)
