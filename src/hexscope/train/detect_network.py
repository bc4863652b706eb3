"""The network of a detector: planned from its objects, learnt, exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hexscope import __version__
from hexscope.core.quantity import Quantity
from hexscope.io.case import Case
from hexscope.io.case_boxes import object_names, open_objects
from hexscope.io.cases import open_images
from hexscope.models.boxes import seen
from hexscope.models.card import ModelCard
from hexscope.models.detector import Detector
from hexscope.models.prepare import prepare
from hexscope.models.recipe import Recipe
from hexscope.models.shelf import WEIGHTS
from hexscope.train.checks import Checked
from hexscope.train.course import began_with, course_of, evidence, recipe_of
from hexscope.train.detect_choices import DATA_RULES, RULES
from hexscope.train.detect_facts import measure_objects
from hexscope.train.export import save_onnx
from hexscope.train.facts import Facts, measure
from hexscope.train.folder import write_card, write_json, write_split
from hexscope.train.loop import Course, Run, learn
from hexscope.train.machine import Machine, seconds_per_iteration
from hexscope.train.nets import Answering
from hexscope.train.order import Order
from hexscope.train.plan import PLAN, Plan, make_plan
from hexscope.train.pool import BoxCutter, Example, Pool
from hexscope.train.splits import Division
from hexscope.train.together import shared


@dataclass(frozen=True)
class Network:
    """A trained and exported network, not yet measured."""

    folder: Path
    card: ModelCard
    plan: Plan
    net: Answering
    learnt: Sequence[Example]
    told: tuple[str, ...]


def make_network(checked: Checked, division: Division, order: Order, out: Path) -> Network:
    """Plan, learn and export on the training side of ``division``."""
    machine = Machine.here()
    classes = object_names(checked.table, checked.target)
    facts = replace(measure(checked, division.train), target="peaks", classes=classes)
    objects = measure_objects(checked, division.train)
    known = {**evidence(facts, machine, order.minutes), **asdict(objects)}
    given = {k: v for k, v in order.overrides.items() if k != "iterations"}
    sketch = make_plan(DATA_RULES, known, given)
    recipe = recipe_of(sketch, facts)
    learnt = _pool(division.train, checked, recipe, classes, order, out if sketch["storage"] == "files" else None)
    trial = _course(sketch, facts, order.seed, learnt, iterations=1000)
    known["seconds_per_iteration"] = shared(seconds_per_iteration(trial, learnt, machine))
    plan = make_plan(RULES, known, order.overrides)
    write_json(out / PLAN, plan.as_data())
    write_split(out, division)
    course = _course(plan, facts, order.seed, learnt)
    run = learn(course, learnt, out, None, order.tell("train"))
    assert isinstance(run.net, Answering)
    save_onnx(run.net, out / WEIGHTS[-1])
    card = _card(order, facts, recipe, division, checked, run, began_with(plan))
    write_card(out, card)
    told: tuple[str, ...] = ()
    if run.total < course.iterations:
        told = (f"the machine was slower than measured: {run.total} of {course.iterations} iterations were done",)
    return Network(out, card, plan, run.net, learnt, told)


def _pool(
    cases: Sequence[Case], checked: Checked, recipe: Recipe, classes: Sequence[str], order: Order, out: Path | None
) -> list[Example]:
    pool = Pool(None if out is None else out / "training" / "cases")
    for number, case in enumerate(cases, start=1):
        pool.add(example_of(case, checked, recipe, classes))
        order.tell("prepare")(number, len(cases))
    return pool.examples


def example_of(case: Case, checked: Checked, recipe: Recipe, classes: Sequence[str]) -> Example:
    """A case as the network sees it, with the boxes of its objects there."""
    images = open_images(case, checked.table.kinds)
    given = {channel.name: images[channel.name] for channel in recipe.channels}
    prepared = prepare(given, recipe)
    objects = open_objects(case, checked.table, checked.target, given[recipe.channels[0].name])
    boxes = seen(objects.boxes, prepared)
    kinds = np.array([classes.index(name) for name in objects.names], float)
    labels = np.concatenate([boxes, kinds.reshape(-1, 1)], axis=1).astype(np.float32)
    dims = recipe.dims
    middles = ((boxes[:, :dims] + boxes[:, dims:]) / 2).astype(np.intp)
    aims = tuple(middles[kinds == k] for k in range(len(classes)) if (kinds == k).any())
    return Example(case.case, prepared.array.astype(np.float16), labels, aims)


def _course(plan: Plan, facts: Facts, seed: int, learnt: Sequence[Example], iterations: int | None = None) -> Course:
    course = course_of(plan, facts, seed, [example.name for example in learnt], iterations)
    most = max(1, *(len(example.labels) for example in learnt))
    cutter = BoxCutter(course.cutter.patch, _window(course), plan["foreground"], most)
    return replace(course, cutter=cutter)


def _window(course: Course) -> tuple[int, ...]:
    window: tuple[int, ...] = getattr(course.cutter, "window", course.cutter.patch)
    return window


def _card(
    order: Order, facts: Facts, recipe: Recipe, division: Division, checked: Checked, run: Run, begun: str
) -> ModelCard:
    first = facts.channels[0]
    papers = order.papers
    source = checked.table.source
    where = source.parent.name if source.is_file() else source.name
    training: Mapping[str, Any] = {
        "seed": order.seed,
        "minutes": order.minutes,
        "iterations": run.total,
        "spent_s": round(run.spent_s, 1),
        "hexscope": __version__,
        "torch": str(torch.__version__),
    }
    return ModelCard(
        name=order.name,
        task="detect",
        modality=first.modality,
        quantity=Quantity.named(first.quantity),
        classes=facts.classes,
        trained_on=(papers.trained_on or f"{facts.cases} cases of {facts.patients} patients of {where}") + begun,
        licence=papers.licence,
        limits=papers.limits,
        anatomy=tuple(papers.anatomy),
        split=division.how,
        fingerprint=facts.as_data(),
        recipe=recipe,
        detector=Detector(),
        training=training,
    )
