"""One labelled case, and a table of them: what training and evaluation are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hexscope.errors import UsageError

Target = Literal["mask", "instances", "boxes", "label"]
#: How masks are told apart: one a case, one on each input's own grid, or one file a structure (they may overlap).
MasksBy = Literal["case", "input", "structure"]

#: The key of a case's only mask; others are keyed by their input or structure.
WHOLE = "mask"


@dataclass(frozen=True)
class Box:
    """A box in pixels of the image as stored: top left corner, width, height, and what it holds."""

    x: float
    y: float
    w: float
    h: float
    label: str | None = None


@dataclass(frozen=True)
class Case:
    """One row of a table. Paths are absolute and exist; they may name a series (``PATH#SERIES``).

    case, group  its name, and the patient it belongs to; cases of one group never fall on both sides of a split
    inputs       image file by input name
    masks        mask file by ``WHOLE``, by input, or by structure (see ``CaseTable.masks_by``); empty: not labelled
    instances    label map whose every value is an object of its own
    boxes        None: not labelled; empty: looked at, and nothing is there
    fold, split  what the table says of the division; None where it does not
    kind         a stratum (stain, scanner, diagnosis) to be represented in every fold
    spacing_mm   one number for all axes or one an array axis, for images that do not say; None: nothing is said
    labelled     names of the structures that were outlined here; None: all of the table's
    extras       every other column, as text
    """

    case: str
    group: str
    inputs: Mapping[str, Path]
    masks: Mapping[str, Path] = field(default_factory=dict)
    instances: Path | None = None
    label: str | None = None
    boxes: tuple[Box, ...] | None = None
    fold: int | None = None
    split: str | None = None
    kind: str | None = None
    spacing_mm: tuple[float, ...] | None = None
    labelled: frozenset[str] | None = None
    extras: Mapping[str, str] = field(default_factory=dict)

    @property
    def marks(self) -> tuple[str, ...]:
        """The words of its label: ``a|b`` says that both hold, ``|`` alone that none does."""
        return tuple(word for part in (self.label or "").split("|") if (word := part.strip()))

    def has(self, target: Target) -> bool:
        """Does the case carry this kind of label?"""
        carried = {"mask": bool(self.masks), "instances": self.instances, "boxes": self.boxes, "label": self.label}
        return carried[target] not in (None, False)


def words_of(cases: Sequence[Case]) -> tuple[str, ...]:
    """Every word used as a label of a case or of a box: numbers by size, then words by alphabet."""
    words = {mark for case in cases for mark in case.marks}
    words |= {box.label for case in cases for box in case.boxes or () if box.label}
    return tuple(sorted((w for w in words if w), key=lambda w: (not w.isdecimal(), int(w) if w.isdecimal() else 0, w)))


@dataclass(frozen=True)
class Refusal:
    """A case that cannot be used: where (``cases.csv row 7, column mask``), why, and what to do."""

    case: str
    reason: str


def parted(items: Iterable[Case | Refusal]) -> tuple[tuple[Case, ...], tuple[Refusal, ...]]:
    """Usable cases and refused ones, each in order."""
    every = tuple(items)
    return tuple(i for i in every if isinstance(i, Case)), tuple(i for i in every if isinstance(i, Refusal))


@dataclass(frozen=True)
class CaseTable:
    """Cases of one source, with what the source says of their classes.

    source    the file or folder they come from
    inputs    names of the inputs, in the order of channels
    targets   kinds of label that some case carries, the richest first
    classes   name by label value, of a mask (values as stored), of the label or the boxes (from 1, in sorted order).
              Empty where the source does not say what its mask values mean
    regions   structures that are unions of stored values and may overlap: name -> values; empty: each value its own
    ignore    the stored value that means "not looked at here"; None: there is none
    kinds     "MODALITY" or "MODALITY:QUANTITY" by input, where the source says
    refused   cases left out on reading, each with the reason
    notes     what else a person should know, in plain words
    """

    source: Path
    cases: tuple[Case, ...]
    inputs: tuple[str, ...]
    targets: tuple[Target, ...] = ()
    classes: Mapping[int, str] = field(default_factory=dict)
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    ignore: int | None = None
    masks_by: MasksBy = "case"
    kinds: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def target(self) -> Target:
        """The richest kind of label. Raises UsageError where the table holds none."""
        return self.require("mask", "instances", "boxes", "label")

    def require(self, *wanted: Target) -> Target:
        """The first of ``wanted`` that the table carries, or a UsageError that names the columns it lacks."""
        for target in wanted:
            if target in self.targets:
                return target
        held = ", ".join(self.targets) or "none"
        columns = {"mask": "mask or mask_INPUT", "instances": "instances", "boxes": "x,y,w,h", "label": "label"}
        names = " or ".join(columns[target] for target in wanted)
        raise UsageError(f"{self.source} has no labels in columns {names}; the labels it holds are: {held}")

    @property
    def label_names(self) -> tuple[str, ...]:
        """The words used as labels of cases and boxes, sorted; their values count from 1."""
        return words_of(self.cases)

    @property
    def groups(self) -> tuple[str, ...]:
        """The patients, sorted."""
        return tuple(sorted({case.group for case in self.cases}))
