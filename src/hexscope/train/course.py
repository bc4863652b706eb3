"""From a plan to what is done: the recipe that images are prepared by, the network's shape, and the course."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hexscope.core.quantity import Quantity
from hexscope.models.detector import planes as answered
from hexscope.models.recipe import Channel, Normalise, Recipe
from hexscope.train.augment import Changes
from hexscope.train.facts import ChannelFacts, Facts
from hexscope.train.loop import Course
from hexscope.train.machine import Machine
from hexscope.train.nets import NetShape
from hexscope.train.plan import Plan
from hexscope.train.pool import Cutter

#: Largest tile side of a prediction: what bounds its memory.
_TILE = {2: 512, 3: 96}
#: Turned and grown patches look beyond their own borders by so much; by this where every turn is allowed.
_MARGIN, _MARGIN_TURNED = 1.3, 1.5
#: The logit of heat that a detector begins with: few places are the middle of an object.
_COLD = -3.0
#: Pictures are more or less sharp: the largest share of a 3-pixel mean.
_BLUR = 0.6


def evidence(facts: Facts, machine: Machine, minutes: float) -> dict[str, Any]:
    """Everything that a plan's rules may ask for, by name."""
    held = [s for s in facts.structures.values() if s.presence]
    return {
        **facts.as_data(),
        "spacing_mm": facts.spacing_mm,
        "extent_mm": facts.extent_mm,
        "object_px": facts.object_px,
        "modality": facts.channels[0].modality,
        "shows_both_sides": facts.shows_both_sides,
        "thinnest": round(min(s.thickness for s in held), 2),
        "smallest_share": float(f"{min(s.share for s in held):.3g}"),
        "largest_extent": tuple(max(s.extent[axis] for s in held) for axis in range(facts.dims)),
        "device": machine.device,
        "processor": machine.processor,
        "threads": machine.threads,
        "bf16": machine.bf16,
        "memory_gb": round(machine.memory_gb, 1),
        "minutes": minutes,
    }


def net_shape(plan: Plan, facts: Facts) -> NetShape:
    planes = sum(3 if c.quantity == Quantity.RGB.value else 1 for c in facts.channels)
    if facts.target == "peaks":
        return _peaks_shape(plan, facts, planes)
    extra = {"classes": 1, "overlapping": 0, "instances": 0}[facts.target]
    outputs = 1 + facts.dims if facts.target == "instances" else len(facts.classes) + extra
    return NetShape(planes, outputs, plan["stem"], plan["strides"], plan["kernels"], plan["widths"], plan["head"])


def _peaks_shape(plan: Plan, facts: Facts, planes: int) -> NetShape:
    """At the stem's resolution; it begins with cold heat and boxes of the usual size."""
    classes = len(facts.classes)
    begin = (_COLD,) * classes + (0.0, 0.0) + tuple(math.log(side / 2) for side in plan["usual"]) * 2
    sides = (plan["stem"], plan["strides"], plan["kernels"], plan["widths"])
    return NetShape(planes, answered(classes, facts.dims), *sides, 0, begin)


def recipe_of(plan: Plan, facts: Facts) -> Recipe:
    """How images are prepared, in training and for ever after."""
    multiple = net_shape(plan, facts).multiple
    frame = plan["patch"] if plan["view"] == "frame" else None
    scale = [a / b for a, b in zip(plan["seen"], facts.shape, strict=True)]
    largest = [n * s for n, s in zip(facts.largest, scale, strict=True)]
    tile = tuple(
        min(_up(max(n, p), m), _up(_TILE[facts.dims], m))
        for n, p, m in zip(largest, plan["patch"], multiple, strict=True)
    )
    return Recipe(
        channels=tuple(channel_of(c) for c in facts.channels),
        dims=facts.dims,
        multiple=multiple,
        tile=frame or tile,
        overlap=tuple(t // 4 for t in (frame or tile)),
        spacing_mm=plan["spacing"],
        frame=frame,
        target=facts.target,
    )


def _up(value: float, multiple: int) -> int:
    return multiple * math.ceil(value / multiple)


def channel_of(facts: ChannelFacts) -> Channel:
    """An input as a recipe has it."""
    quantity = Quantity.named(facts.quantity)
    if quantity is Quantity.ARBITRARY:
        how = Normalise()
    elif quantity is Quantity.RGB:
        how = Normalise(False, (0.0, 255.0), facts.mean, facts.std)
    else:
        how = Normalise(False, (facts.low, max(facts.high, facts.low + 1e-3)), facts.mean, facts.std)
    return Channel(facts.name, facts.modality, quantity, how)


def course_of(plan: Plan, facts: Facts, seed: int, names: Sequence[str], iterations: int | None = None) -> Course:
    """What the loop does. ``iterations`` only for measuring the speed, before the plan knows them."""
    patch, spacing = plan["patch"], plan["spacing"] or (1.0,) * facts.dims
    margin = _MARGIN_TURNED if max(plan["rotate"]) > 45 else _MARGIN
    multiple = net_shape(plan, facts).multiple
    window = tuple(p if plan["view"] == "frame" else 2 * round(p * margin / 2) for p in patch)
    assert all(p % m == 0 for p, m in zip(patch, multiple, strict=True))
    parts: Mapping[str, Any] = {
        "shape": net_shape(plan, facts),
        "target": facts.target,
        "changes": changes_of(plan, facts.dims, blur=facts.dims == 2),
        "cutter": Cutter(patch, window, plan["foreground"]),
        "spacing": tuple(spacing),
        "batch": plan["batch"],
        "iterations": plan["iterations"] if iterations is None else iterations,
        "learning_rate": plan["learning_rate"],
        "weight_decay": plan["weight_decay"],
        "precision": plan["precision"],
        "seed": seed,
        "device": plan.facts["device"],
        "budget_s": 60.0 * plan.facts["minutes"],
    }
    key = hashlib.sha256(repr((sorted(parts.items()), list(names))).encode()).hexdigest()
    return Course(**parts, key=key)


def changes_of(plan: Plan, dims: int, *, blur: bool) -> Changes:
    """How pictures may differ, as the plan has it."""
    colour = plan["colour"]
    return Changes(
        rotate_deg=tuple(plan["rotate"]),
        zoom=plan["zoom"],
        flips=plan["flips"],
        brightness=colour * 0.8,
        contrast=colour,
        gamma=colour if dims == 2 else 0.0,
        blur=_BLUR if blur else 0.0,
    )
