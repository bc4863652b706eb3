"""Train a classifier: check, divide by patient, plan, learn each member, stack what is worth it, calibrate, export.

Every figure is of cases scored by models that never saw their patient; weights and calibration that such a figure rests
on were fitted on the other folds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from hexscope.classify.held_out import CALIBRATION, HeldOutClasses
from hexscope.classify.nearest import NEAREST, Gallery
from hexscope.core.quantity import Quantity
from hexscope.errors import InputError, UsageError
from hexscope.evaluate.classification import asked_of, evaluation_of
from hexscope.evaluate.result import Evaluation
from hexscope.io.case import Case, CaseTable
from hexscope.io.cases import open_images
from hexscope.io.files import atomic_write
from hexscope.models.card import ModelCard
from hexscope.models.classifier import Classifier
from hexscope.models.prepare import prepare
from hexscope.models.recipe import Recipe
from hexscope.models.scores import views
from hexscope.models.shelf import TREES, WEIGHTS
from hexscope.train import frozen
from hexscope.train.checks import Checked, check
from hexscope.train.classify_choices import DATA_RULES, RULES, worth
from hexscope.train.classify_members import (
    Features,
    Floats,
    Indices,
    Member,
    Part,
    Shown,
    features,
    graph,
    likeness,
    linear_member,
)  # fmt: skip
from hexscope.train.classify_network import ROOM, changes_for, course_of, examples_of, network_member
from hexscope.train.classify_trees import tree_member
from hexscope.train.course import channel_of, evidence
from hexscope.train.export import Writer
from hexscope.train.facts import Facts, measure
from hexscope.train.folder import PER_CASE, SPLIT, require_free, write_card, write_json, write_rows
from hexscope.train.lesson import first_card
from hexscope.train.linear_heads import Head
from hexscope.train.loop import steady_memory
from hexscope.train.machine import Machine, seconds_per_iteration
from hexscope.train.order import Order, Trained, divided
from hexscope.train.patch_kernels import PatchKernels
from hexscope.train.plan import PLAN, Plan, make_plan
from hexscope.train.splits import DEFAULT_FOLDS, Division, divisions
from hexscope.train.stack import Stack, stacked
from hexscope.train.together import shared
from hexscope.train.trees import save_trees
from hexscope.train.twins import with_twins


def train_classifier(table: CaseTable, out: Path, order: Order) -> Trained:
    """Make a classifier's folder at ``out``; raises as `hexscope.train.session.train` does."""
    require_free(out, order.resume)
    since = time.process_time()
    steady_memory()
    checked = check(table, "classify", kinds=order.kinds, progress=order.tell("check"))
    work = begin(checked, order)
    tried, twins = _with_twins(work)
    members, found = _members(tried, out)
    made = stacked(members, tried.asked, tried.parts, tried.groups, work.exclusive, work.plan["prior"], twins)
    plan = replace(work.plan, choices={**work.plan.choices, "worth": worth(made.told, made.names)})
    result = _evaluation(work, made)
    _write(out, work, made, found, plan, result, time.process_time() - since)
    told = (*(f"{r.case}: {r.reason}" for r in checked.refused), *checked.told)
    return Trained(out, plan, result, time.process_time() - since, told)


@dataclass(frozen=True, eq=False)
class Work:
    """Everything that members learn from.

    cases  in order; ``asked`` (cases, classes) of 0 and 1, ``parts`` rows to learn from and rows held out
    """

    checked: Checked
    order: Order
    cases: tuple[Case, ...]
    divisions: tuple[Division, ...]
    parts: tuple[Part, ...]
    asked: Floats
    exclusive: bool
    facts: Facts
    plan: Plan
    recipe: Recipe
    shown: Shown

    @property
    def groups(self) -> list[str]:
        return [case.group for case in self.cases]


def begin(checked: Checked, order: Order) -> Work:
    """Divide, plan and show: what all members share."""
    parts = _divisions(checked, order)
    cases = tuple({case.case: case for part in parts for case in (*part.train, *part.validation)}.values())
    classes = tuple(checked.table.classes.values())
    asked = np.array([asked_of(case, classes) for case in cases], np.float32)
    exclusive = not any("|" in (case.label or "") for case in cases)
    row = {case.case: k for k, case in enumerate(cases)}
    indices = tuple(
        (np.array([row[c.case] for c in p.train], np.intp), np.array([row[c.case] for c in p.validation], np.intp))
        for p in parts
    )
    _require_learnable(asked, indices, classes)
    machine = Machine.here()
    facts = measure(checked, cases)
    known = evidence(facts, machine, order.minutes)
    planes = sum(3 if c.quantity == Quantity.RGB.value else 1 for c in facts.channels)
    known |= {"frozen_available": frozen.available(), "networks": 0}
    known["trees_available"] = find_spec("lightgbm") is not None
    given = {k: v for k, v in order.overrides.items() if k != "iterations"}
    plan = make_plan(DATA_RULES, known, given)
    known["networks"] = len(parts) if "network" in plan["members"] else 0
    recipe = _recipe(plan, facts)
    shown = _shown(cases, checked, recipe, plan["mirror"], order)
    known["seconds_per_iteration"] = 1.0
    if known["networks"]:
        trial = course_of(plan, planes, len(classes), exclusive, order.seed, iterations=1000)
        known["seconds_per_iteration"] = shared(
            seconds_per_iteration(trial, examples_of(shown, asked, exclusive), machine)
        )
    plan = make_plan(RULES, known, order.overrides)
    return Work(checked, order, cases, parts, indices, asked, exclusive, facts, plan, recipe, shown)


def _divisions(checked: Checked, order: Order) -> tuple[Division, ...]:
    """The table's own split; else its folds, else five by patient: each case is then held out once."""
    if order.division is not None or order.folds is not None:
        return divided(checked, order)
    one = divisions(checked.table, seed=order.seed)
    if one[0].how.endswith("split"):
        return one
    said = {case.fold for case in checked.table.cases}
    folds = min(DEFAULT_FOLDS, len(checked.table.groups)) if None in said or len(said) < 2 else len(said)
    return divisions(checked.table, folds=folds, seed=order.seed)


def _require_learnable(asked: Floats, parts: Sequence[Part], classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise UsageError(f"a classifier tells at least two classes apart; the table names {', '.join(classes)}")
    for number, (fitted, held) in enumerate(parts):
        if not len(held):
            raise InputError(f"division {number} holds nobody out: a model without figures is not made")
        lacking = [name for name, count in zip(classes, asked[fitted].sum(axis=0), strict=True) if not count]
        if lacking:
            raise InputError(
                f"no case to learn from bears {', '.join(lacking)} in division {number}; each class needs patients on "
                "every side. Add cases, join classes, or pass fewer --folds"
            )


def _recipe(plan: Plan, facts: Facts) -> Recipe:
    frame = plan["frame"]
    dims = len(frame)
    channels = tuple(channel_of(c) for c in facts.channels)
    return Recipe(channels, dims, (1,) * dims, frame, (0,) * dims, frame=frame, target="scores")


def _shown(cases: Sequence[Case], checked: Checked, recipe: Recipe, mirror: bool, order: Order) -> Shown:
    seen, owner = [], []
    for number, case in enumerate(cases):
        images = open_images(case, checked.table.kinds)
        prepared = prepare({channel.name: images[channel.name] for channel in recipe.channels}, recipe)
        for view in views(prepared.array, recipe, mirror=False):
            seen.append(view.astype(np.float16))
            owner.append(number)
        order.tell("prepare")(number + 1, len(cases))
    return Shown(np.stack(seen), np.array(owner, np.intp), len(cases), mirror)


# ---- learning -----------------------------------------------------------------------------------------------


def _with_twins(work: Work) -> tuple[Work, Indices]:
    """``work`` with changed twins of cases that are held out, where there are members to be weighed by them."""
    if len(work.plan["members"]) < 2:
        return work, np.zeros(0, np.intp)
    shown, parts, of = with_twins(work.shown, work.parts, changes_for(work.plan), ROOM, work.order.seed)
    asked, cases = np.concatenate([work.asked, work.asked[of]]), (*work.cases, *(work.cases[k] for k in of))
    return replace(work, shown=shown, parts=parts, asked=asked, cases=cases), of


def _members(work: Work, out: Path) -> tuple[list[Member], Features | None]:
    """Every member that the plan tries, and the features that likeness is told by."""
    tried = work.plan["members"]
    made: list[Member] = []
    alike: Features | None = None
    planes = work.shown.views.shape[1]
    for name in tried:
        since = time.process_time()
        if name in ("frozen", "kernels"):
            sight = frozen.Frozen.load(work.plan["frame"]) if name == "frozen" else _kernels(work)
            found = features(sight, work.shown)
            alike = alike or found
            made.append(linear_member(name, found, work.asked, work.parts, since))
        elif name == "network":
            course = course_of(work.plan, planes, work.asked.shape[1], work.exclusive, work.order.seed)
            equal = work.plan["prior"] == "equal"
            made.append(
                network_member(
                    course, work.shown, work.asked, work.parts, out / "training", work.order.tell("train"), equal=equal
                )
            )
        elif name == "trees":
            made.append(tree_member(work.shown, work.asked, work.parts, work.exclusive, work.order.seed))
    if all(member.write is None for member in made):
        raise UsageError(
            f"the members {', '.join(tried)} make no network; take frozen, kernels or network, and trees besides"
        )
    return made, alike


def _kernels(work: Work) -> PatchKernels:
    """Drawn from images of the first division's training side; no label is looked at."""
    inside = np.isin(work.shown.owner, work.parts[0][0])
    return PatchKernels.draw([view.astype(np.float32) for view in work.shown.views[inside]], work.order.seed)


# ---- telling ------------------------------------------------------------------------------------------------


def _evaluation(work: Work, made: Stack) -> Evaluation:
    classes = tuple(work.checked.table.classes.values())
    held = [work.cases[k] for k in made.rows]
    said = made.said([(case.case, case.group) for case in held], work.asked[made.rows])
    notes = [
        f"every case was scored by models that never saw its patient: {work.divisions[0].how.partition(' of ')[2]}"
    ]
    return evaluation_of(said, classes, work.exclusive, notes=notes)


def _how(work: Work) -> str:
    """What divided the cases, in words."""
    _, folds, word = work.divisions[0].how.partition(" of ")
    if not folds:
        return work.divisions[0].how
    return f"folds: {word}; stacking weights and calibration of each fold from the others"


def _write(
    out: Path, work: Work, made: Stack, found: Features | None, plan: Plan, result: Evaluation, spent_s: float
) -> None:
    values = found.values[: len(work.cases)] if found is not None else None  # without twins
    alike = likeness(values) if values is not None else None
    count = 0 if alike is None else alike.weight.shape[1]
    classifier = replace(made.classifier, mirror=work.shown.mirror, likeness=count)
    _write_graph(out, work, made, classifier, found, alike)
    write_json(out / PLAN, plan.as_data())
    rows = [
        {"case": work.cases[k].case, "group": work.cases[k].group, "division": number}
        for number, (_, held) in enumerate(work.parts)
        for k in held
    ]
    write_rows(out / SPLIT, rows)
    write_rows(out / PER_CASE, [case.as_json() for case in result.cases])
    groups = {group: k for k, group in enumerate(dict.fromkeys(work.groups))}
    numbers = np.array([groups[work.cases[k].group] for k in made.rows])
    held_out = HeldOutClasses(
        made.probabilities, work.asked[made.rows].astype(bool), numbers, work.exclusive, made.calibrator
    )
    write_json(out / CALIBRATION, held_out.as_data())
    if alike is not None and values is not None:
        names, labels = [c.case for c in work.cases], [c.label or "" for c in work.cases]
        atomic_write(out / NEAREST, Gallery.of(alike(values), names, labels).write)
    write_card(out, _card(work, classifier, result, spent_s))


def _write_graph(
    out: Path, work: Work, made: Stack, classifier: Classifier, found: Features | None, alike: Head | None
) -> None:
    import onnx

    writer = Writer(np.int8)
    answers = [member.write(writer) for member in made.members if member.write is not None]
    trees = {name: grown for member in made.members for name, grown in member.trees.items()}
    if trees:
        save_trees(out / TREES, trees)
    if alike is not None and found is not None:
        answers.append(writer.linear(found.write(writer), alike.weight, alike.bias))
    answer = answers[0] if len(answers) == 1 else writer.node("Concat", answers, axis=1)
    model = graph(writer, answer, work.shown.views.shape[1:], classifier.outputs)
    onnx.checker.check_model(model)
    atomic_write(out / WEIGHTS[1], lambda beside: onnx.save(model, str(beside)))


def _card(work: Work, classifier: Classifier, result: Evaluation, spent_s: float) -> ModelCard:
    card = first_card("classify", work.checked.table, work.facts, work.recipe, work.order, _how(work), spent_s)
    metrics = {name: (e.mean, e.low, e.high, e.n) for name, e in result.metrics.items()}
    return replace(card, metrics=metrics, classifier=classifier)
