"""Thresholds that keep a promise: how low a score must count so that enough is found on patients not met yet.

The one assumption is that the new patient could have been one of the calibration patients (they are exchangeable);
nothing is assumed of the model. A patient's loss is the share of his lesions (or images) that a threshold misses; it
only falls as the threshold falls, and that is all the theory needs.

On average: conformal risk control (Angelopoulos 2022, doi:10.48550/arXiv.2208.02814): the mean loss over calibration
*and* one further patient, who may lose everything, stays within what is allowed. With confidence, for this very set of
calibration patients: Learn then Test (Angelopoulos 2021, doi:10.48550/arXiv.2110.01052) along the thresholds from the
lowest up, by the exact binomial where each patient has one lesion, else by the Hoeffding-Bentkus bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hexscope.errors import UsageError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
#: How a class conforms to an image: its probability, or how much probability stands at or above it.
Score = Literal["probability", "cumulative"]

#: Sums of shares are equal up to this.
_TINY = 1e-9
#: No more patients than this are asked for.
_MOST = 1 << 24


@dataclass(frozen=True)
class Threshold:
    """What counts: a score of at least ``score``; or why nothing can be promised.

    score            None where not ``feasible``
    n                calibration patients who have something to find
    found            share of it that was found in them at this threshold, mean over patients
    false_positives  an image, at this threshold; NaN where no false ones were given
    reachable        the highest target that these patients allow
    reason           why not, with how many patients would do; empty where feasible
    """

    score: float | None
    n: int
    found: float
    false_positives: float
    feasible: bool
    reachable: float
    reason: str = ""


def sensitivity_threshold(
    scores_by_group: Sequence[Sequence[float]],
    missed: Sequence[int],
    target: float,
    confidence: float | None = None,
    *,
    false_scores: Sequence[float] = (),
    images: int | None = None,
) -> Threshold:
    """The highest score at which the share found reaches ``target``, on patients like these.

    scores_by_group  by patient: the score of each lesion that any candidate hits (of the best one that hits it)
    missed           by patient: lesions that no candidate hits at any threshold
    target           share of a patient's lesions to be found, between 0 and 1
    confidence       None: holds on average over calibration sets; else for this one with this confidence
    false_scores     of all candidates that hit nothing, on ``images`` images: what the threshold costs

    Patients without anything to find take no part. Raises UsageError for figures outside (0, 1).
    """
    for what, value in (("target", target), ("confidence", 0.5 if confidence is None else confidence)):
        if not 0 < value < 1:
            raise UsageError(f"{what} lies between 0 and 1, ends excluded; got {value}")
    scores, weights, never, counts = _shares(scores_by_group, missed)
    n, allowed = len(counts), 1 - target
    if not n:
        return Threshold(None, 0, math.nan, math.nan, False, 0.0, "no calibration patient has anything to find")
    single = bool((counts == 1).all())
    levels = np.unique(scores)
    if not len(levels):
        return Threshold(None, n, 0.0, math.nan, False, 0.0, "nothing was found in any calibration patient")
    ordered = np.argsort(scores, kind="stable")
    lost = np.concatenate([[0.0], np.cumsum(weights[ordered])])
    risks = (never + lost[np.searchsorted(scores[ordered], levels, side="left")]) / n
    holds = _average(n) if confidence is None else _confident(n, 1 - confidence, single)
    best = _last(lambda k: holds(float(risks[k]), allowed), len(levels))
    if best is None:
        return _refused(n, float(risks[0]), target, holds, confidence, single)
    score = float(levels[best])
    false = np.count_nonzero(np.asarray(false_scores, dtype=np.float64) >= score)
    cost = false / images if images else math.nan
    return Threshold(score, n, 1 - float(risks[best]), cost, True, _reachable(float(risks[0]), holds))


def _shares(groups: Sequence[Sequence[float]], missed: Sequence[int]) -> tuple[Floats, Floats, float, Floats]:
    """Every score with its weight in its patient's loss, the losses that no threshold mends, and lesions a patient."""
    if len(groups) != len(missed):
        raise UsageError(f"every patient has scores and a number missed; got {len(groups)} and {len(missed)}")
    counts = np.array([len(g) for g in groups], dtype=np.float64) + np.asarray(missed, dtype=np.float64)
    scores = np.array([s for g in groups for s in g], dtype=np.float64)
    if not np.all(np.isfinite(scores)):
        raise UsageError("scores are finite; lesions that nothing hits are counted in missed")
    owner = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    some = counts > 0
    never = float((np.asarray(missed, dtype=np.float64)[some] / counts[some]).sum())
    return scores, 1 / counts[owner], never, counts[some]


Holds = Callable[[float, float], bool]


def _average(n: int) -> Holds:
    """Does a mean loss stay within ``allowed``, on average, for one patient more?"""
    return lambda risk, allowed: (n * risk + 1) / (n + 1) <= allowed + _TINY


def _confident(n: int, doubt: float, single: bool) -> Holds:
    """The same, but for this calibration set, wrong in a share ``doubt`` of such sets."""
    return lambda risk, allowed: chance(risk, n, allowed, single) <= doubt


def chance(risk: float, n: int, allowed: float, single: bool) -> float:
    """p-value of "the true mean loss is above ``allowed``" when ``n`` patients lost ``risk`` on average.

    single  every loss is 0 or 1: the exact binomial; else Hoeffding-Bentkus (Bates 2021, doi:10.48550/arXiv.2101.02703)
    """
    if risk >= allowed:
        return 1.0
    lost = math.ceil(n * risk - _TINY)
    tail = float(special.bdtr(lost, n, allowed))
    if single:
        return tail
    hoeffding = math.exp(-n * (special.rel_entr(risk, allowed) + special.rel_entr(1 - risk, 1 - allowed)))
    return min(hoeffding, math.e * tail)


def _last(holds: Callable[[int], bool], count: int) -> int | None:
    """The last index that holds, where those that hold come first."""
    if not holds(0):
        return None
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _reachable(risk: float, holds: Holds) -> float:
    """The highest target that holds with everything kept, in steps of 1e-4; 0 where none does."""
    steps = 10_000
    low, high = 0, steps  # loss that is allowed: too little at low, enough at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(risk, middle / steps) else (middle, high)
    return 1 - high / steps


def _refused(n: int, risk: float, target: float, holds: Holds, confidence: float | None, single: bool) -> Threshold:
    reachable = _reachable(risk, holds)
    form = "on average" if confidence is None else f"with confidence {confidence:g}"
    said = f"to find {target:g} {form} cannot be promised from {n} patients"
    if 1 - risk <= target:
        why = f"with every candidate kept {1 - risk:.3f} is found; the most that can be promised is {reachable:.3f}"
    else:
        needed = _needed(risk, 1 - target, confidence, single)
        why = f"it needs at least {needed} patients like these; the most that can be promised is {reachable:.3f}"
    return Threshold(None, n, 1 - risk, math.nan, False, reachable, f"{said}: {why}")


def _needed(risk: float, allowed: float, confidence: float | None, single: bool) -> int:
    """Patients who would do, if they lose as much as these with everything kept."""
    if confidence is None:
        return math.ceil((1 - allowed) / (allowed - risk) - _TINY)
    doubt, high = 1 - confidence, 1
    while chance(risk, high, allowed, single) > doubt and high < _MOST:
        high *= 2
    low = high // 2
    while high - low > 1:  # rounding to whole patients makes this only nearly monotone: a few more or less
        middle = (low + high) // 2
        low, high = (low, middle) if chance(risk, middle, allowed, single) <= doubt else (middle, high)
    return high


# ---- sets of labels -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelSets:
    """Which classes cannot be excluded: those that conform at least as well as their class's threshold.

    coverage    share of a patient's images whose true class is in the set, on average over patients
    thresholds  one a class; -inf: nothing can be promised for the class and it is never excluded
    by_class    the promise holds for each true class by itself
    n           calibration patients, of each class where ``by_class``
    score       "probability" (smallest sets), or "cumulative" (sets that grow where the image is hard)
    """

    coverage: float
    thresholds: tuple[float, ...]
    by_class: bool
    n: tuple[int, ...]
    score: Score = "probability"
    reasons: tuple[str, ...] = ()

    def of(self, probabilities: NDArray[np.floating]) -> Bools:
        """Sets (n, classes), from probabilities (n, classes)."""
        return np.asarray(conformity(probabilities, self.score) >= np.array(self.thresholds), dtype=np.bool_)

    def as_data(self) -> dict[str, object]:
        limits = [None if math.isinf(t) else t for t in self.thresholds]
        out = {"coverage": self.coverage, "thresholds": limits, "by_class": self.by_class, "n": list(self.n)}
        return {**out, "score": self.score, "reasons": list(self.reasons)}


def label_sets(
    probabilities: NDArray[np.floating],
    truth: NDArray[np.integer],
    groups: Sequence[object] | None,
    coverage: float,
    *,
    by_class: bool = True,
    score: Score = "probability",
) -> LabelSets:
    """Split conformal sets of classes (Sadinle 2019, doi:10.1080/01621459.2017.1395341), patient by patient.

    probabilities  (n, classes) on held-out images; truth (n,) class indices; groups the patient of each image

    Patients with several images are one draw each (Lee 2023, doi:10.48550/arXiv.2306.06342). Where a class has too few
    patients for ``coverage`` it is never excluded, and ``reasons`` says so.
    """
    conform = conformity(probabilities, score)
    truth = np.asarray(truth)
    if len(truth) != len(conform) or (groups is not None and len(groups) != len(truth)):
        raise UsageError("probabilities, truth and groups are of the same images in one order")
    own = conform[np.arange(len(truth)), truth]
    owner = np.arange(len(truth)) if groups is None else np.unique([str(g) for g in groups], return_inverse=True)[1]
    parts = [truth == c for c in range(conform.shape[1])] if by_class else [np.ones(len(truth), dtype=np.bool_)]
    found = [_grouped_threshold(own[part], owner[part], coverage) for part in parts]
    if not by_class:
        found *= conform.shape[1]
    limits = tuple(-math.inf if t.score is None else t.score for t in found)
    reasons = tuple(f"class {c}: {t.reason}" for c, t in enumerate(found) if t.reason)
    return LabelSets(coverage, limits, by_class, tuple(t.n for t in found), score, reasons)


def _grouped_threshold(scores: Floats, owner: NDArray[np.integer], target: float) -> Threshold:
    split = [scores[owner == g].tolist() for g in np.unique(owner)]
    return sensitivity_threshold(split, [0] * len(split), target)


def conformity(probabilities: NDArray[np.floating], score: Score) -> Floats:
    """How well each class conforms (n, classes), more is better.

    "cumulative": less the probability that stands above the class and half its own: the adaptive score of Romano 2020
    (doi:10.48550/arXiv.2006.02544) with its random number held at 1/2, so that equal images get equal sets.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or not np.all(np.isfinite(p)):
        raise UsageError(f"probabilities are finite, one row an image and one column a class; got shape {p.shape}")
    if score == "probability":
        return p
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    out = np.empty_like(p)
    np.put_along_axis(out, order, ranked / 2 - np.cumsum(ranked, axis=1), axis=1)
    return out
