"""The network member: one small network for each division, their mean in use."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hexscope.train.augment import Changes
from hexscope.train.choices import PHOTOGRAPHS
from hexscope.train.classify_members import Floats, Indices, Member, Part, Shown, graph, seen_by
from hexscope.train.course import changes_of
from hexscope.train.export import Writer
from hexscope.train.loop import Course, learn
from hexscope.train.plan import Plan
from hexscope.train.pool import Example
from hexscope.train.whole_lite import WholeLite, WholeLiteShape
from hexscope.train.whole_net import Framed, WholeNet, WholeShape

Net = WholeNet | WholeLite

#: Labels are softened by this much (doi:10.48550/arXiv.1512.00567): of 200 pictures none is certain.
_SOFTENED = 0.05
#: Part of a side by which an image is shifted.
ROOM = 0.06
#: Pictures of no longer side are not blurred, for they have no pixel to lose, and are doubled for a network that knows
#: photographs.
_SHARP = 64


def examples_of(shown: Shown, asked: Floats, exclusive: bool) -> list[Example]:
    """Every view with its case's label, in 254ths."""
    soft = asked * (1 - _SOFTENED) + _SOFTENED / asked.shape[1] if exclusive else asked
    labels = np.round(254 * soft).astype(np.uint8)
    return [Example(str(n), view, labels[n], ()) for view, n in zip(shown.views, shown.owner, strict=True)]


def course_of(
    plan: Plan, planes: int, outputs: int, exclusive: bool, seed: int, iterations: int | None = None
) -> Course:
    """What the loop does; ``iterations`` only for measuring the speed, before the plan knows them."""
    frame = plan["frame"]
    return Course(
        shape=_shape(plan, planes, outputs),
        target="whole" if exclusive else "marks",
        changes=changes_for(plan),
        cutter=Framed(frame, ROOM),
        spacing=(1.0,) * len(frame),
        batch=plan["batch"],
        iterations=plan["iterations"] if iterations is None else iterations,
        learning_rate=plan["learning_rate"],
        weight_decay=plan["weight_decay"],
        precision=plan["precision"],
        seed=seed,
        key="",
        budget_s=60.0 * plan.facts["minutes"] / max(plan.facts["networks"], 1),
        device=plan.facts["device"],
    )


def changes_for(plan: Plan) -> Changes:
    """How images of a class may differ."""
    frame = plan["frame"]
    return changes_of(plan, len(frame), blur=len(frame) == 2 and max(frame) > _SHARP)


def _shape(plan: Plan, planes: int, outputs: int) -> WholeShape | WholeLiteShape:
    frame = plan["frame"]
    if plan["encoder"] == PHOTOGRAPHS:
        return WholeLiteShape(planes, outputs, frame, enlarged=2 if max(frame) <= _SHARP else 1)
    return WholeShape(planes, outputs, frame, plan["strides"], plan["widths"])


def network_member(
    course: Course,
    shown: Shown,
    asked: Floats,
    parts: Sequence[Part],
    out: Path,
    tell: Callable[..., Any],
    *,
    equal: bool = False,
) -> Member:
    """A network for each of ``parts``, scored on its held-out cases by the graph that ships.

    equal  classes are shown alike often. Each training is gone on with from what a killed one left in ``out``
    """
    since = time.process_time()
    every = examples_of(shown, asked, course.target == "whole")
    scores = np.full(asked.shape, np.nan, np.float32)
    nets: list[Net] = []
    for number, (fitted, held) in enumerate(parts):
        chosen = [example for k in _drawn(fitted, asked, equal) for example in _of_case(every, shown, k)]
        own = replace(course, seed=course.seed + number)
        said = (own, [example.name for example in chosen], parts[number][0].tolist())
        own = replace(own, key=hashlib.sha256(repr(said).encode()).hexdigest())

        def told(done: int, total: int, figures: Any, number: int = number) -> object:
            return tell(number * total + done, len(parts) * total, {})

        net = learn(own, chosen, out / f"network{number}", None, told).net
        assert isinstance(net, Net)
        net.eval()
        nets.append(net)
        scores[held] = _scored(net, shown, held)
    return Member("network", scores, lambda writer: _mean(writer, nets), time.process_time() - since)


def _drawn(rows: Indices, asked: Floats, equal: bool) -> list[int]:
    """The rows, those of rarer classes more than once where classes shall be alike."""
    if not equal:
        return [int(k) for k in rows]
    counts = asked[rows].sum(axis=0)
    times = np.maximum(1, np.round(counts.max() / np.maximum(counts, 1))).astype(int)
    return [int(k) for k in rows for _ in range(int(times[asked[k].argmax()]))]


def _of_case(every: Sequence[Example], shown: Shown, case: int) -> list[Example]:
    first, stop = np.searchsorted(shown.owner, [case, case + 1])
    return list(every[first:stop])


def _scored(net: Net, shown: Shown, held: Indices) -> Floats:
    inside = np.isin(shown.owner, held)
    number = {int(case): k for k, case in enumerate(held)}
    owner = np.array([number[int(case)] for case in shown.owner[inside]], np.intp)
    writer = Writer(np.int8)
    model = graph(writer, net.write(writer, "image"), shown.views.shape[1:])
    return seen_by(model, Shown(shown.views[inside], owner, len(held), shown.mirror))


def _mean(writer: Writer, nets: Sequence[Net]) -> str:
    answers = [net.write(writer, "image") for net in nets]
    return answers[0] if len(answers) == 1 else writer.node("Mean", answers)
