"""Means with their intervals, patient by patient: figures without an interval say too much."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hexscope.errors import UsageError

Floats = NDArray[np.float64]

#: Bootstrap samples: the ends of an interval wander by about 1 % of its width from seed to seed.
SAMPLES = 4000
#: Resampled indices held at once.
_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Estimate:
    """A mean over n cases of so many patients, and the interval that holds the true one, in 95 % of such studies.

    low, high  NaN where there are fewer than two patients: nothing can be said
    """

    mean: float
    low: float
    high: float
    n: int
    patients: int

    def as_json(self) -> dict[str, Any]:
        low, high = (None if math.isnan(v) else round(v, 5) for v in (self.low, self.high))
        return {"mean": round(self.mean, 5), "low": low, "high": high, "n": self.n}


def mean_interval(
    values: Sequence[float],
    groups: Sequence[Hashable] | None = None,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    samples: int = SAMPLES,
) -> Estimate:
    """The mean of ``values`` with a bootstrap interval that draws whole patients.

    values  one a case, finite
    groups  the patient of each case; None: each case is a patient

    Bias-corrected and accelerated (BCa: Efron 1987, doi:10.1080/01621459.1987.10478410), at a level widened for few
    patients as a t interval is (Hesterberg 2015, doi:10.1080/00031305.2015.1089789). Values that are all the same give
    an interval without width: they show no spread, which is not certainty. Raises UsageError without values.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0 or not np.all(np.isfinite(x)):
        raise UsageError("a mean needs at least one value, and all of them finite")
    sums, counts = _by_group(x, groups)
    mean = float(x.mean())
    if len(sums) < 2:
        return Estimate(mean, math.nan, math.nan, x.size, len(sums))
    if np.ptp(sums / counts) == 0:
        return Estimate(mean, mean, mean, x.size, len(sums))
    drawn = _bootstrap(sums, counts, samples, seed)
    low, high = np.quantile(drawn, _bca_levels(drawn, mean, sums, counts, confidence))
    return Estimate(mean, float(low), float(high), x.size, len(sums))


def paired_interval(
    first: Sequence[float], second: Sequence[float], groups: Sequence[Hashable] | None = None, **more: Any
) -> Estimate:
    """The mean of ``first - second``, case by case, with its interval. Both are of the same cases in one order."""
    if len(first) != len(second):
        raise UsageError(f"paired values are of the same cases; got {len(first)} and {len(second)}")
    return mean_interval(np.subtract(first, second).tolist(), groups, **more)


def _by_group(values: Floats, groups: Sequence[Hashable] | None) -> tuple[Floats, Floats]:
    """Sum and number of values by patient, in order of appearance."""
    if groups is None:
        return values, np.ones(len(values))
    if len(groups) != len(values):
        raise UsageError(f"every value has a patient; got {len(values)} values and {len(groups)} patients")
    order = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    index = np.array([order[group] for group in groups])
    sums = np.asarray(np.bincount(index, weights=values), dtype=np.float64)
    return sums, np.bincount(index).astype(np.float64)


def _bootstrap(sums: Floats, counts: Floats, samples: int, seed: int) -> Floats:
    """Means of samples of patients drawn with replacement."""
    rng = np.random.default_rng(seed)
    k = len(sums)
    rows = max(1, _AT_ONCE // k)
    out = []
    for start in range(0, samples, rows):
        drawn = rng.integers(0, k, (min(rows, samples - start), k))
        out.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(out)


def _bca_levels(drawn: Floats, mean: float, sums: Floats, counts: Floats, confidence: float) -> Floats:
    """The two quantiles of the bootstrap means that bound the interval."""
    k = len(sums)
    ends = math.sqrt(k / (k - 1)) * special.stdtrit(k - 1, np.array([1 - confidence, 1 + confidence]) / 2)
    below = (np.count_nonzero(drawn < mean) + 0.5 * np.count_nonzero(drawn == mean)) / len(drawn)
    bias = special.ndtri(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn)))
    without = (sums.sum() - sums) / (counts.sum() - counts)
    away = without.mean() - without
    away /= max(float(np.abs(away).max()), 1e-300)  # only its shape counts; tiny differences must not underflow
    squares = float((away**2).sum())
    skew = float((away**3).sum()) / (6 * squares**1.5) if squares else 0.0
    shifted = bias + ends
    # Beyond this the correction would turn the order of the ends around (few patients, one far away).
    slope = np.maximum(1 - skew * shifted, 0.2)
    return np.asarray(special.ndtr(bias + shifted / slope), dtype=np.float64)
