"""The training loop, readable top to bottom.

All chance of an iteration comes from (seed, iteration, process), and the number of iterations is fixed before the
first: so a training that was killed and goes on gives the weights of one that was not, bit for bit on one machine.
With torchrun (`hexscope.train.together`) each process cuts its own patches, and gradients are averaged.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from hexscope.train import checkpoint
from hexscope.train.augment import Changes, matrices, moved, recoloured, turned_back
from hexscope.train.losses import LOSSES
from hexscope.train.pool import Example
from hexscope.train.together import averaging, rank, shared, size

Progress = Callable[[int, int, Mapping[str, float]], object]
Look = Callable[[nn.Module], Mapping[str, float]]

#: Part of the iterations in which the learning rate rises.
_WARM_UP = 0.15
#: Looks at the validation cases, and seconds between checkpoints.
LOOKS = 10
_CHECKPOINT_S = 60.0
_CLIP = 3.0
#: A run may take this many times its budget before it is shortened.
_TOLERATED = 1.3
#: Before so many seconds nothing is known of a machine's speed.
_SETTLED_S = 30.0


class Shape(Protocol):
    """What a network is built from, and builds it."""

    @property
    def dims(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def multiple(self) -> tuple[int, ...]: ...
    def build(self) -> nn.Module: ...


class Cutting(Protocol):
    """Cuts the windows of a batch: see `hexscope.train.pool.Cutter`."""

    @property
    def patch(self) -> tuple[int, ...]: ...
    def batch(
        self, examples: Sequence[Example], chance: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]: ...


@dataclass(frozen=True)
class Course:
    """Everything that decides the weights, besides the cases.

    key       names the training: a checkpoint of another is not gone on from
    budget_s  what it may take; the iterations were chosen by it
    """

    shape: Shape
    target: str
    changes: Changes
    cutter: Cutting
    spacing: tuple[float, ...]
    batch: int
    iterations: int
    learning_rate: float
    weight_decay: float
    precision: str
    seed: int
    key: str
    budget_s: float
    device: str = "cpu"


@dataclass
class Run:
    """A training under way: the network, its optimiser, and what was seen so far.

    total    iterations to do: the course's, or fewer where the machine was slower than measured (see ``learn``)
    spent_s  CPU seconds (seconds, with a graphics processor) of iterations and looks
    """

    net: nn.Module
    optimiser: torch.optim.Optimizer
    total: int
    iteration: int = 0
    spent_s: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)


def learn(
    course: Course,
    examples: Sequence[Example],
    folder: Path,
    look: Look | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train to the end, from the last checkpoint in ``folder`` where there is one of this course.

    look      called on the network `LOOKS` times on the way; what it gives makes the validation curve
    progress  called with iterations done and to do, and after each look with the curve's newest row
    """
    steady_memory()
    run = begin(course)
    _go_on(run, course, folder)
    model = averaging(run.net, course.device)
    first = rank() == 0
    saved = time.monotonic()
    while run.iteration < run.total:
        since = _clock(course)
        loss = step(run, model, course, examples)
        run.iteration += 1
        looked = run.iteration % max(1, run.total // LOOKS) == 0 or run.iteration == run.total
        if looked and first:
            figures = look(run.net) if look is not None else {}
            run.curve.append({"iteration": run.iteration, "loss": round(loss, 4), **figures})
        run.spent_s += _clock(course) - since
        if looked:
            _hold_to_budget(run, course)
        if first and (looked or time.monotonic() - saved > _CHECKPOINT_S):
            _save(run, course, folder)
            saved = time.monotonic()
        if first and progress is not None:
            progress(run.iteration, run.total, run.curve[-1] if looked and run.curve else {})
    return run


def _clock(course: Course) -> float:
    """What the budget counts: CPU seconds of this process, or time where a graphics processor works."""
    return time.process_time() if course.device == "cpu" else time.monotonic()


def _hold_to_budget(run: Run, course: Course) -> None:
    """A run that would take far longer than it may (a machine busy with other work) is shortened, and says so."""
    each = run.spent_s / run.iteration
    slow = run.spent_s > _SETTLED_S and each * run.total > _TOLERATED * course.budget_s
    if not slow or size() > 1:
        return
    left = max(0.0, course.budget_s - run.spent_s)
    run.total = min(run.total, max(run.iteration + int(left / each), run.iteration + 1))


def begin(course: Course) -> Run:
    """A fresh network and its optimiser."""
    torch.manual_seed(course.seed)
    net = course.shape.build().to(course.device)
    for weights in net.parameters():
        if weights.ndim == course.shape.dims + 2:
            weights.data = weights.data.contiguous(memory_format=channels_last(course.shape.dims))
    matrices_ = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]  # scales and shifts are not drawn to 0
    groups = [{"params": matrices_, "weight_decay": course.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return Run(
        net, torch.optim.AdamW(groups, lr=course.learning_rate, betas=(0.9, 0.99), fused=True), course.iterations
    )


def step(run: Run, model: nn.Module, course: Course, examples: Sequence[Example]) -> float:
    """One iteration; gives the loss."""
    for group in run.optimiser.param_groups:
        group["lr"] = course.learning_rate * pace(run.iteration / run.total)
    image, target, known, labelled = draw(course, examples, run.iteration)
    with torch.autocast(course.device, torch.bfloat16, enabled=course.precision == "bf16"):
        logits = model(image)
    loss = LOSSES[course.target](logits.float(), target, known, labelled)
    run.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(run.net.parameters(), _CLIP)
    run.optimiser.step()
    return float(loss.detach())


def pace(done: float) -> float:
    """The learning rate's share at ``done`` (0..1): up in a line, down in half a cosine."""
    if done < _WARM_UP:
        return max(done / _WARM_UP, 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))) + 1e-3


def draw(course: Course, examples: Sequence[Example], iteration: int) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The batch of an iteration: image, target, how well it is known, and which planes were labelled."""
    chance = _chance(course.seed, iteration, rank(), 0)
    chosen = [
        examples[i]
        for i in turns(course.seed, len(examples), (iteration * size() + rank()) * course.batch, course.batch)
    ]
    image, labels, shift, labelled = course.cutter.batch(chosen, chance)
    linear = matrices(course.changes, course.spacing, len(chosen), chance)
    image, labels = image.to(course.device), labels.to(course.device)
    image, target, known = moved(image, labels, linear, shift, course.cutter.patch, course.shape.outputs)
    if course.target == "instances":
        target = turned_back(target, linear)
    image = recoloured(image, course.changes, chance)
    image = image.contiguous(memory_format=channels_last(course.shape.dims))
    return image, target, known, None if labelled is None else labelled.to(course.device)


def turns(seed: int, cases: int, start: int, count: int) -> list[int]:
    """Numbers ``start`` to ``start + count`` of an endless row of cases in which each round shows every case once."""
    out: list[int] = []
    for at in range(start, start + count):
        round_, place = divmod(at, cases)
        out.append(_round(seed, round_, cases)[place])
    return out


def _round(seed: int, number: int, cases: int) -> list[int]:
    order: list[int] = torch.randperm(cases, generator=_chance(seed, number, 1)).tolist()
    return order


def _chance(*numbers: int) -> torch.Generator:
    """A generator of its own for these numbers."""
    (state,) = np.random.SeedSequence([abs(n) for n in numbers]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state) >> 1)


# ---- checkpoints --------------------------------------------------------------------------------------------


def _save(run: Run, course: Course, folder: Path) -> None:
    state: dict[str, Any] = {
        "key": course.key,
        "iteration": run.iteration,
        "total": run.total,
        "spent_s": run.spent_s,
        "curve": run.curve,
        "net": run.net.state_dict(),
        "optimiser": run.optimiser.state_dict(),
    }
    checkpoint.save(folder, state)
    checkpoint.save_curve(folder, run.curve)


def _go_on(run: Run, course: Course, folder: Path) -> None:
    state = shared(checkpoint.load(folder, course.key) if rank() == 0 else None)
    if state is None:
        return
    run.net.load_state_dict(state["net"])
    run.optimiser.load_state_dict(state["optimiser"])
    run.iteration, run.total, run.spent_s = state["iteration"], state["total"], state["spent_s"]
    run.curve = list(state["curve"])


# ---- the machine --------------------------------------------------------------------------------------------


def channels_last(dims: int) -> torch.memory_format:
    """The order in memory in which convolutions are fastest."""
    return torch.channels_last if dims == 2 else torch.channels_last_3d


def steady_memory() -> None:
    """Ask glibc to keep freed memory: without it each large array is faulted in anew, a tenth of the time."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
