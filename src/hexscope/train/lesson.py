"""How one network is taught and put into a model folder: plan, learn, export, first card; one way for every task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from hexscope import __version__
from hexscope.core.quantity import Quantity
from hexscope.io.case import Case, CaseTable
from hexscope.models.card import ModelCard
from hexscope.models.recipe import Recipe
from hexscope.models.shelf import WEIGHTS
from hexscope.train.course import began_with, evidence, recipe_of
from hexscope.train.export import save_onnx
from hexscope.train.facts import Facts
from hexscope.train.folder import write_json, write_split
from hexscope.train.look import Looker, few
from hexscope.train.loop import Course, learn
from hexscope.train.machine import Machine, seconds_per_iteration
from hexscope.train.nets import Answering
from hexscope.train.order import Order
from hexscope.train.plan import PLAN, Plan, Rule, make_plan
from hexscope.train.pool import Example, Pool
from hexscope.train.splits import Division, not_test
from hexscope.train.together import shared


@dataclass(frozen=True)
class Made:
    """A model that was trained and exported, and not yet measured, with what it was made from."""

    folder: Path
    card: ModelCard
    plan: Plan
    net: Answering
    learnt: Sequence[Example]
    told: tuple[str, ...]


@dataclass(frozen=True)
class Lesson:
    """What differs between tasks.

    facts    of the cases to learn from; known: what else the rules may ask for
    rules    of the plan; the last one gives the iterations, from the speed that the others' choices have here
    example  of a case, as the recipe shows it
    course   of a plan and the examples; the third is the iterations while the speed is measured
    watched  cases that the curve is drawn from, at most a few of them
    """

    task: str
    table: CaseTable
    facts: Facts
    known: Mapping[str, Any]
    rules: Sequence[Rule]
    example: Callable[[Case, Recipe], Example]
    course: Callable[[Plan, Sequence[Example], int | None], Course]
    watched: Sequence[Case] = ()

    def teach(self, division: Division, order: Order, out: Path) -> Made:
        """Plan, learn and export on the training side of ``division``."""
        machine = Machine.here()
        known = {**evidence(self.facts, machine, order.minutes), **self.known}
        given = {k: v for k, v in order.overrides.items() if k != "iterations"}
        sketch = make_plan(self.rules[:-1], known, given)
        recipe = recipe_of(sketch, self.facts)
        learnt = self._shown(division.train, recipe, order, out if sketch["storage"] == "files" else None)
        known["seconds_per_iteration"] = shared(self._speed(sketch, learnt, machine, out if order.resume else None))
        plan = make_plan(self.rules, known, order.overrides)
        write_json(out / PLAN, plan.as_data())
        write_split(out, division)
        course = self.course(plan, learnt, None)
        looker = Looker(self._shown(few(self.watched), recipe, order), course, recipe.tile)
        run = learn(course, learnt, out, looker if looker.examples else None, order.tell("train"))
        assert isinstance(run.net, Answering)
        recipe = replace(recipe, temperature=looker.temperature(run.net))
        save_onnx(run.net, out / WEIGHTS[-1])
        (out / WEIGHTS[0]).unlink(missing_ok=True)  # of a run before this one: made anew where that is worth it
        extra = {"iterations": run.total, "torch": str(torch.__version__)}
        card = first_card(self.task, self.table, self.facts, recipe, order, division.how, run.spent_s, **extra)
        card = replace(card, trained_on=card.trained_on + began_with(plan))
        told: tuple[str, ...] = ()
        if run.total < course.iterations:
            told = (f"the machine was slower than measured: {run.total} of {course.iterations} iterations were done",)
        return Made(out, card, plan, run.net, learnt, told)

    def _speed(self, sketch: Plan, learnt: Sequence[Example], machine: Machine, before: Path | None) -> float:
        """Seconds of an iteration: those that the training in the folder ``before`` was planned with, else measured.

        A machine that is as busy as it was not before would plan other iterations, and begin anew.
        """
        if before is not None and (before / PLAN).is_file():
            return float(Plan.read(before).facts["seconds_per_iteration"])
        return seconds_per_iteration(self.course(sketch, learnt, 1000), learnt, machine)

    def _shown(self, cases: Sequence[Case], recipe: Recipe, order: Order, out: Path | None = None) -> list[Example]:
        pool = Pool(None if out is None else out / "training" / "cases")
        for number, case in enumerate(cases, start=1):
            pool.add(self.example(case, recipe))
            order.tell("prepare")(number, len(cases))
        return pool.examples


def first_card(
    task: str, table: CaseTable, facts: Facts, recipe: Recipe, order: Order, split: str, spent_s: float, **extra: object
) -> ModelCard:
    """The card of a model that is not measured yet. ``extra`` is kept with the seed and the minutes."""
    papers, first = order.papers, facts.channels[0]
    where = table.source.parent.name if table.source.is_file() else table.source.name
    return ModelCard(
        name=order.name,
        task=task,
        modality=first.modality,
        quantity=Quantity.named(first.quantity),
        classes=facts.classes,
        trained_on=papers.trained_on or f"{facts.cases} cases of {facts.patients} patients of {where}",
        licence=papers.licence,
        limits=papers.limits,
        anatomy=tuple(papers.anatomy),
        values=facts.values,
        split=split,
        fingerprint=facts.as_data(),
        recipe=recipe,
        training={
            "seed": order.seed,
            "minutes": order.minutes,
            "spent_s": round(spent_s, 1),
            "hexscope": __version__,
            **extra,
        },
    )


def everyone(table: CaseTable, parts: Sequence[Division]) -> tuple[Division, str]:
    """All who may be learnt from, for the model that is given after the folds, and how its figures were made."""
    cases = not_test(table.cases)
    how = f"{parts[0].how.partition(' of ')[2]}: measured by models that never saw the patient; this one saw all"
    return Division(cases, (), f"all {len(cases)} cases"), how
