"""Scores of cases that a classifier never saw: what calibrates it, and what sets of classes are promised from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import FormatError
from hexscope.trust.calibration import Calibrator
from hexscope.trust.conformal import LabelSets, label_sets

#: Where a model folder keeps it.
CALIBRATION = "calibration.json"

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class HeldOutClasses:
    """Numbers only: no name of a case, no pixel.

    probabilities  (n, classes) as they are told, each case scored by models that never saw its patient
    asked          (n, classes) which hold
    groups         (n,) the patient of each, as a number
    calibrator     from the members' joint probabilities to those that are told
    """

    probabilities: Floats
    asked: Bools
    groups: NDArray[np.int64]
    exclusive: bool
    calibrator: Calibrator = field(default_factory=Calibrator)

    def not_excluded(self, probabilities: Floats, coverage: float) -> tuple[Bools, Bools, list[str]]:
        """Of cases (n, classes): which classes cannot be excluded (n, classes), whether that leaves a case undecided
        (n,), and what to beware of.

        Split conformal, each class by itself (`hexscope.trust.conformal.label_sets`). Where classes do not exclude
        each other, each is a question of its own: a class is in the set unless "it holds" is excluded, and the case is
        undecided where for some class neither answer is.
        """
        questions = _questions(self, coverage)
        if self.exclusive:
            kept = questions[0].of(probabilities)
            return kept, kept.sum(axis=1) != 1, list(questions[0].reasons)
        kept = np.zeros(probabilities.shape, bool)
        undecided = np.zeros(len(probabilities), bool)
        for k, p in enumerate(probabilities.T):
            no, kept[:, k] = questions[k].of(np.stack([1 - p, p], axis=1)).T
            undecided |= no == kept[:, k]
        return kept, undecided, [reason for sets in questions for reason in sets.reasons]

    def as_data(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {
            "kind": "classes",
            "exclusive": self.exclusive,
            "group": self.groups.tolist(),
            "asked": self.asked.astype(int).tolist(),
            "probabilities": np.round(self.probabilities, 6).tolist(),
            "calibration": self.calibrator.as_data(),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> HeldOutClasses:
        """From what ``as_data`` gave. FormatError where it is broken."""
        try:
            held = cls(
                np.asarray(data["probabilities"], np.float64),
                np.asarray(data["asked"]).astype(bool),
                np.asarray(data["group"], np.int64),
                bool(data["exclusive"]),
                Calibrator.from_data(data["calibration"]),
            )
        except KeyError as error:
            raise FormatError(f"the held-out scores lack the field {error}") from error
        except (TypeError, ValueError) as error:
            raise FormatError(f"the held-out scores are broken: {error}") from error
        if held.probabilities.shape != held.asked.shape or len(held.groups) != len(held.asked):
            raise FormatError("the held-out scores are broken: probabilities, truth and patients are not of one length")
        return held

    @classmethod
    def read(cls, folder: Path) -> HeldOutClasses | None:
        """Those of a model folder; None where it keeps none."""
        path = folder / CALIBRATION
        return _read(path, path.stat().st_mtime_ns) if path.is_file() else None


@lru_cache(maxsize=4)
def _read(path: Path, stamp: int) -> HeldOutClasses:
    """Read once for many images; ``stamp`` changes when the file does."""
    try:
        return HeldOutClasses.from_data(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} cannot be read: {error}") from error


@lru_cache(maxsize=16)
def _questions(held: HeldOutClasses, coverage: float) -> tuple[LabelSets, ...]:
    """The sets of a coverage: of all classes at once, or of each with its no and yes."""
    groups = held.groups.tolist()
    if held.exclusive:
        return (label_sets(held.probabilities, held.asked.argmax(axis=1), groups, coverage),)
    return tuple(
        label_sets(np.stack([1 - p, p], axis=1), asked.astype(int), groups, coverage)
        for p, asked in zip(held.probabilities.T, held.asked.T, strict=True)
    )
