"""The network of a detector: planned from its objects, learnt, exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from hexscope.io.case import Case
from hexscope.io.case_boxes import object_names, open_objects
from hexscope.io.cases import open_images
from hexscope.models.boxes import seen
from hexscope.models.detector import Detector
from hexscope.models.prepare import prepare
from hexscope.models.recipe import Recipe
from hexscope.train.checks import Checked
from hexscope.train.course import course_of
from hexscope.train.detect_choices import RULES
from hexscope.train.detect_facts import measure_objects
from hexscope.train.facts import Facts, measure
from hexscope.train.folder import write_card
from hexscope.train.lesson import Lesson, Made
from hexscope.train.loop import Course
from hexscope.train.order import Order
from hexscope.train.plan import Plan
from hexscope.train.pool import BoxCutter, Example
from hexscope.train.splits import Division


def make_network(checked: Checked, division: Division, order: Order, out: Path) -> Made:
    """Plan, learn and export on the training side of ``division``."""
    classes = object_names(checked.table, checked.target)
    facts = replace(measure(checked, division.train), target="peaks", classes=classes, values=())
    lesson = Lesson(
        task="detect",
        table=checked.table,
        facts=facts,
        known=asdict(measure_objects(checked, division.train)),
        rules=RULES,
        example=lambda case, recipe: example_of(case, checked, recipe, classes),
        course=lambda plan, learnt, n: _course(plan, facts, order.seed, learnt, n),
    )
    made = lesson.teach(division, order, out)
    made = replace(made, card=replace(made.card, detector=Detector()))
    write_card(out, made.card)
    return made


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
