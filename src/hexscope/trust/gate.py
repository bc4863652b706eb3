"""The gate in front of a model: is this image like those it was trained on? Judges numbers; it never sees an image.

An image is a row of numbers (`hexscope.models.fingerprint` takes them). How strange it is, is its distance to the
nearest training image, each number counted in robust deviations and correlated ones together; the nearest, because a
training set may hold several kinds of image. How strange is too strange follows from the training images themselves:
each was measured by the others, those of its own patient and fold left out, and a new image's p-value is the share of
patients at least as strange. Images of new patients like these therefore raise an alarm at the stated rate and no more
(Vovk 2005, doi:10.1007/b106715; folds in place of a second set).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import FormatError, UsageError

Floats = NDArray[np.float64]
Verdict = Literal["pass", "warn", "refuse"]

#: Share of sound images that may raise an alarm.
RATE = 0.05
#: A difference that counts as one deviation where the training images hardly differ (see the fingerprint).
_LEAST = 0.1
#: For correlations nothing counts as farther out than this, in deviations.
_CLIP = 8.0
#: Variance that each number has of its own: those that never differ in training count for something, not for all.
_OWN = 0.1
#: Folds in which the training images measure one another, and how many images are kept.
_FOLDS, _KEPT = 10, 400

#: First word of a number's name -> what it tells, and how its value is read.
TELLS: Mapping[str, tuple[str, str]] = {
    "size": ("size", "log2 px"),
    "spacing": ("pixel size", "log2 mm"),
    "extent": ("field of view", "log2 mm"),
    "level": ("values in their unit", "half deviations of training pixels"),
    "floor": ("pixels at the lowest value", "root of share"),
    "ceiling": ("pixels at the highest value", "root of share"),
    "steps": ("number of different values", "log2"),
    "tails": ("outlying values", ""),
    "value": ("distribution of grey values", "of the range"),
    "deviation": ("contrast", "of the range"),
    "dark": ("dark area", "root of share"),
    "bright": ("bright area", "root of share"),
    "edge": ("grey values at the border", "of the range"),
    "middle": ("layout of bright and dark", ""),
    "spread": ("layout of bright and dark", ""),
    "cell": ("layout of bright and dark", ""),
    "detail": ("sharpness or noise", "log2"),
    "noise": ("sharpness or noise", "log2"),
    "turn": ("direction of edges", "log2"),
    "texture": ("texture", "root of share"),
    "density": ("colour", "optical density"),
    "hue": ("colour", "optical density"),
    "saturation": ("colour", "optical density"),
}


@dataclass(frozen=True)
class GateVerdict:
    """What the gate says of one case.

    p          share of patients like the training ones whose image would be as strange, at least 1 / (patients + 1)
    feature    the number that spoke loudest; ``value`` of it here, ``low`` and ``high`` in training
    direction  "higher" or "lower" than in any training image, "unlike" where only the combination is new
    """

    verdict: Verdict
    p: float
    feature: str
    direction: str
    value: float
    low: float
    high: float
    sentence: str

    def as_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"verdict": self.verdict, "p": round(self.p, 4), "feature": self.feature}
        out |= {"direction": self.direction, "value": round(self.value, 3)}
        return out | {"training": [round(self.low, 3), round(self.high, 3)], "sentence": self.sentence}


@dataclass(frozen=True, eq=False)
class Gate:
    """Training images as rows of numbers, and how strange each is to the others.

    rows    (n, numbers) in the order of ``names``; NaN where an image has no such number
    groups  the patient of each row
    scores  how strange each row is to those of other folds
    """

    names: tuple[str, ...]
    rows: Floats
    groups: tuple[int, ...]
    scores: Floats
    rate: float = RATE

    @cached_property
    def _space(self) -> _Space:
        return _Space.of(self.rows)

    @property
    def patients(self) -> int:
        return len(set(self.groups))

    @property
    def silent(self) -> str:
        """Why it can never raise an alarm at its rate; empty where it can."""
        if (self.patients + 1) * self.rate >= 1:
            return ""
        return (
            f"the input gate knows {self.patients} patients; it needs {math.ceil(1 / self.rate) - 1} to keep its rate "
            f"of false alarms of {self.rate:g}, and says nothing"
        )

    def judge(self, numbers: Mapping[str, float]) -> GateVerdict:
        """Does a case with these numbers look like the training images?"""
        row = np.array([numbers.get(name, math.nan) for name in self.names], dtype=np.float64)
        score, parts = self._space.strangeness(row)
        at_least = _by_group(self.scores >= score, self.groups)
        p = (1 + float(at_least.sum())) / (len(at_least) + 1)
        far = score > 2 * self.scores.max() - np.median(self.scores)
        verdict: Verdict = "pass" if p > self.rate else ("refuse" if far else "warn")
        return self._told(verdict, p, row, parts)

    def _told(self, verdict: Verdict, p: float, row: Floats, parts: Floats) -> GateVerdict:
        """Name the kind of number that contributed most, by that one of its kind that stands out most."""
        kinds = [_kind(name) for name in self.names]
        weight: dict[str, float] = {}
        for kind, part in zip(kinds, parts, strict=True):
            weight[kind] = weight.get(kind, 0.0) + float(part)
        loudest = max(weight, key=lambda kind: weight[kind])
        low, high = np.nanmin(self.rows, axis=0), np.nanmax(self.rows, axis=0)
        outside = np.nan_to_num(np.maximum(row - high, low - row) / self._space.scale(row), nan=-math.inf)
        own = [i for i, kind in enumerate(kinds) if kind == loudest]
        best = max(own, key=lambda i: float(outside[i]))
        direction = "unlike" if outside[best] <= 0 else ("higher" if row[best] > high[best] else "lower")
        made = GateVerdict(
            verdict, p, self.names[best], direction, float(row[best]), float(low[best]), float(high[best]), ""
        )
        return GateVerdict(**{**vars(made), "sentence": self._sentence(made, loudest)})

    def _sentence(self, made: GateVerdict, kind: str) -> str:
        if made.verdict == "pass":
            return f"like the {len(self.rows)} training images (p = {made.p:.2g})"
        _, unit = TELLS[_word(made.feature)]
        where = {
            "higher": f"{made.feature} is higher than in any of them",
            "lower": f"{made.feature} is lower than in any of them",
            "unlike": f"{made.feature} and its like go together as in none of them",
        }[made.direction]
        figures = f"{made.value:.2f}, in training {made.low:.2f} to {made.high:.2f}" + (f" {unit}" if unit else "")
        strange = "far from" if made.verdict == "refuse" else "unlike"
        return (
            f"this input is {strange} the {len(self.rows)} training images in {kind}: {where} ({figures}); "
            f"p = {made.p:.2g}, false alarms at most {self.rate:.0%}"
        )

    def as_data(self) -> dict[str, Any]:
        """For JSON: plain numbers only."""
        rows = [[None if math.isnan(v) else round(v, 3) for v in row] for row in self.rows.tolist()]
        scores = [round(s, 3) for s in self.scores.tolist()]
        groups = list(self.groups)
        return {"rate": self.rate, "names": list(self.names), "group": groups, "score": scores, "rows": rows}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Gate:
        """From what ``as_data`` gave. FormatError where it is broken."""
        try:
            rows = np.array(data["rows"], dtype=np.float64)
            names, groups = tuple(map(str, data["names"])), tuple(map(int, data["group"]))
            scores = np.array(data["score"], dtype=np.float64)
            if rows.shape != (len(groups), len(names)) or scores.shape != (len(groups),) or not len(groups):
                raise FormatError(f"the gate holds {rows.shape} numbers for {len(groups)} images, {len(names)} names")
            unknown = [name for name in names if _word(name) not in TELLS]
            if unknown:
                raise FormatError(f"the gate knows a number {unknown[0]!r} that this version does not take")
            return cls(names, rows, groups, scores, float(data["rate"]))
        except KeyError as error:
            raise FormatError(f"the gate lacks the field {error}") from error
        except (TypeError, ValueError) as error:
            raise FormatError(f"the gate is broken: {error}") from error


def gate(
    rows: Sequence[Mapping[str, float]],
    groups: Sequence[object],
    folds: Sequence[int] | None = None,
    *,
    rate: float = RATE,
    seed: int = 0,
) -> Gate:
    """A gate from the numbers of training images, the patient of each, and the table's own folds where it has some.

    Raises UsageError without images or where there is one patient only.
    """
    if len(rows) != len(groups) or len(set(groups)) < 2:
        raise UsageError("a gate is made from images of at least two patients")
    kept = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _KEPT)).round().astype(int))
    names = tuple(dict.fromkeys(name for i in kept for name in rows[i]))
    array = np.array([[rows[i].get(name, math.nan) for name in names] for i in kept], dtype=np.float64)
    owner = np.unique([str(groups[i]) for i in kept], return_inverse=True)[1]
    fold = _dealt(owner, seed) if folds is None or len(set(folds)) < 2 else np.array([folds[i] for i in kept])
    scores = np.empty(len(array))
    for part in np.unique(fold):
        space = _Space.of(array[fold != part])
        scores[fold == part] = [space.strangeness(row)[0] for row in array[fold == part]]
    return Gate(names, np.round(array, 3), tuple(int(g) for g in owner), np.round(scores, 3), rate)


def _dealt(owner: NDArray[np.integer], seed: int) -> NDArray[np.integer]:
    count = int(owner.max()) + 1
    return np.asarray((np.random.default_rng(seed).permutation(count) % min(_FOLDS, count))[owner])


def _by_group(flags: NDArray[np.bool_], groups: Sequence[int]) -> Floats:
    index = np.unique(np.asarray(groups), return_inverse=True)[1]
    return np.asarray(np.bincount(index, weights=flags) / np.bincount(index), dtype=np.float64)


def _word(name: str) -> str:
    return name.rpartition(".")[2].partition("_")[0]


def _kind(name: str) -> str:
    """What a number tells, with its channel where there are several."""
    channel, _, _ = name.rpartition(".")
    what = TELLS[_word(name)][0]
    return f"{what} of {channel}" if channel else what


# ---- the measure of strangeness -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Space:
    """Robust deviations of each number, and what goes together with what."""

    middle: Floats
    below: Floats
    above: Floats
    precision: Floats
    known: Floats

    @classmethod
    def of(cls, rows: Floats) -> _Space:
        middle = np.nanmedian(rows, axis=0)
        low, high = np.nanquantile(rows, (0.2, 0.8), axis=0)  # 0.84 deviations of a normal distribution
        below, above = (np.maximum(side / 0.84, _LEAST) for side in (middle - low, high - middle))
        known = _deviations(rows, middle, below, above)
        precision = np.asarray(np.linalg.inv(_covariance(np.clip(known, -_CLIP, _CLIP))), dtype=np.float64)
        return cls(middle, below, above, precision, known)

    def scale(self, row: Floats) -> Floats:
        """One deviation of each number, on its own side of the middle."""
        return np.where(row < self.middle, self.below, self.above)

    def strangeness(self, row: Floats) -> tuple[float, Floats]:
        """Distance to the nearest known row, and what each number contributes to its square."""
        away = _deviations(row[None], self.middle, self.below, self.above) - self.known
        turned = away @ self.precision
        squares = np.einsum("ij,ij->i", away, turned)
        nearest = int(squares.argmin())
        return math.sqrt(max(float(squares[nearest]), 0.0)), away[nearest] * turned[nearest]


def _deviations(rows: Floats, middle: Floats, below: Floats, above: Floats) -> Floats:
    """Each number less its middle, in deviations of its side; 0 where it is missing."""
    away = rows - middle
    return np.nan_to_num(away / np.where(away < 0, below, above), nan=0.0)


def _covariance(rows: Floats) -> Floats:
    """Shrunk towards a multiple of the identity (Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4)."""
    n, d = rows.shape
    centred = rows - rows.mean(axis=0)
    plain = centred.T @ centred / n
    mean = float(np.trace(plain)) / d
    distance = float(((plain - mean * np.eye(d)) ** 2).sum())
    lengths = (centred**2).sum(axis=1)
    noise = (float(lengths @ lengths) / n - float((plain**2).sum())) / n
    share = min(1.0, max(noise, 0.0) / max(distance, 1e-12))
    return np.asarray((1 - share) * plain + (share * mean + _OWN) * np.eye(d))
