"""What is asked of a training, and what it gives: the same words for every task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hexscope.errors import RefusedError, UsageError
from hexscope.evaluate.result import Evaluation
from hexscope.train.checks import Checked
from hexscope.train.plan import Plan
from hexscope.train.splits import Division, divisions

#: ``progress(stage, done, total, figures)``: stages are "check", "prepare", "train", "measure".
Progress = Callable[[str, int, int, Mapping[str, float]], object]


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
               (A classifier scores each case by models that never saw its patient anyway: None means the table's own
               split or folds, else five, and there is no last training: its parts are used together.)
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


def divided(checked: Checked, order: Order) -> tuple[Division, ...]:
    """Who is trained on and who is measured, as the order or the table says. RefusedError where a patient is parted."""
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
