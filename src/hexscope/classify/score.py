"""What a classifier is judged by: area under the ROC curve, accuracy, confusion. Calibration is `trust.calibration`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hexscope.trust.statistics import Estimate

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_SAMPLES = 400


def auc(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """The chance that a case that holds the class scores above one that does not, ties counting half.

    NaN where one side is empty. Mann and Whitney 1947 (doi:10.1214/aoms/1177730491).
    """
    yes = int(np.count_nonzero(truth))
    no = len(truth) - yes
    if not yes or not no:
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[truth].sum() - yes * (yes + 1) / 2) / (yes * no))


def mean_auc(probabilities: NDArray[np.floating], asked: NDArray[np.bool_]) -> float:
    """The mean over classes of each against all others; of two classes that exclude each other, that of the second.

    probabilities and asked are (n, classes); classes that no case or every case holds are left out.
    """
    if asked.shape[1] == 2 and bool((asked.sum(axis=1) == 1).all()):
        return auc(probabilities[:, 1], asked[:, 1])
    each = [auc(p, t) for p, t in zip(probabilities.T, asked.T, strict=True)]
    held = [value for value in each if not np.isnan(value)]
    return float(np.mean(held)) if held else float("nan")


def balanced_accuracy(probabilities: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """The mean over classes of the share that was recognised."""
    said = probabilities.argmax(axis=1)
    return float(np.mean([(said[truth == c] == c).mean() for c in np.unique(truth)]))


def confusion(probabilities: NDArray[np.floating], truth: NDArray[np.integer]) -> NDArray[np.int64]:
    """(classes, classes) counts: row what was true, column what was said."""
    classes = probabilities.shape[1]
    both = np.asarray(truth) * classes + probabilities.argmax(axis=1)
    return np.bincount(both, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def roc(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """False and true positive rates from the strictest threshold to the laxest, both from 0 to 1."""
    order = np.argsort(-scores, kind="stable")
    hit = truth[order].astype(np.float64)
    last = np.append(np.diff(scores[order]) != 0, True)  # equal scores fall together
    true, false = np.cumsum(hit)[last], np.cumsum(1 - hit)[last]
    return np.append(0.0, false / max(false[-1], 1)), np.append(0.0, true / max(true[-1], 1))


def interval(
    figure: Callable[[NDArray[np.intp]], float], groups: Sequence[Hashable], *, samples: int = _SAMPLES, seed: int = 0
) -> Estimate:
    """``figure`` of all cases (it is given their indices), with a 95 % bootstrap interval that draws whole patients."""
    names = {group: k for k, group in enumerate(dict.fromkeys(groups))}
    owner = np.array([names[group] for group in groups])
    of = [np.flatnonzero(owner == k) for k in range(len(names))]
    whole = float(figure(np.arange(len(owner))))
    chance = np.random.default_rng(seed)
    drawn = [figure(np.concatenate([of[k] for k in chance.integers(0, len(of), len(of))])) for _ in range(samples)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5]) if len(of) > 1 else (np.nan, np.nan)
    return Estimate(whole, float(low), float(high), len(owner), len(of))
