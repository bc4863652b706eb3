"""What a label can be guessed from without looking: size, brightness, borders, spectrum, marks burned in.

A classifier that does no better than these has proved nothing; where these do well, the label travels with the device,
the site or the person who chose the images. The figure stands beside every classifier's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hexscope.classify.score import auc, interval, mean_auc
from hexscope.trust.statistics import Estimate

Floats = NDArray[np.float64]

#: First words of the fingerprint's numbers that tell nothing of what is shown.
TRIVIAL = frozenset(
    ["size", "spacing", "extent", "level", "floor", "ceiling", "steps", "tails", "value", "deviation", "dark", "bright"]
) | {"edge", "detail", "noise", "turn", "density", "hue", "saturation"}
_FOLDS = 5
#: Weight of the ridge, in units of the mean variance of the numbers.
_RIDGE = 0.1
#: From this area on, a person is warned.
_WARN = 0.7


@dataclass(frozen=True)
class Shortcut:
    """How well trivial numbers guess the label on patients left out.

    auc     mean over classes, with its interval by patient
    single  the number that tells most by itself, and its area
    """

    auc: Estimate
    single: str
    single_auc: float

    @property
    def sentence(self) -> str:
        word = "; a model must do clearly better to have learnt anything" if self.auc.mean >= _WARN else ""
        return (
            f"size, brightness, borders, marks and spectrum alone guess the label with AUC {self.auc.mean:.3f} "
            f"({self.auc.low:.3f} to {self.auc.high:.3f}, n = {self.auc.n}); {self.single} alone {self.single_auc:.3f}"
            f"{word}"
        )


def shortcut(
    rows: Sequence[Mapping[str, float]],
    asked: NDArray[np.bool_],
    groups: Sequence[str],
    folds: Sequence[int] | None = None,
    *,
    seed: int = 0,
) -> Shortcut | None:
    """Ridge regression on the trivial numbers of each case, measured on folds of whole patients.

    rows   fingerprints; asked (n, classes) which classes hold; folds the table's own

    None where a class is held by too few cases to be measured.
    """
    names = [n for n in dict.fromkeys(n for row in rows for n in row) if _word(n) in TRIVIAL]
    held = np.flatnonzero((asked.sum(axis=0) >= _FOLDS) & ((~asked).sum(axis=0) >= _FOLDS))
    if not len(held) or not names or len(set(groups)) < _FOLDS:
        return None
    table = np.array([[row.get(n, np.nan) for n in names] for row in rows])
    table = np.where(np.isfinite(table), table, np.nanmedian(np.where(np.isfinite(table), table, np.nan), axis=0))
    index = np.unique(np.asarray(groups), return_inverse=True)[1]
    dealt = np.random.default_rng(seed).permutation(int(index.max()) + 1) % _FOLDS
    fold = dealt[index] if folds is None or len(set(folds)) < 2 else np.asarray(folds)
    wanted = asked[:, held]
    guess = np.empty(wanted.shape)
    for part in np.unique(fold):
        out = fold == part
        guess[out] = _ridge(table[~out], wanted[~out].astype(np.float64), table[out])
    whole = interval(lambda i: mean_auc(guess[i], wanted[i]), list(groups))
    areas = [max(abs(auc(column, y) - 0.5) for y in wanted.T) for column in table.T]
    best = int(np.argmax(areas))
    return Shortcut(whole, names[best], 0.5 + float(areas[best]))


def _word(name: str) -> str:
    return name.rpartition(".")[2].partition("_")[0]


def _ridge(known: Floats, wanted: Floats, new: Floats) -> Floats:
    middle, scale = known.mean(axis=0), known.std(axis=0) + 1e-3
    x, z = (known - middle) / scale, (new - middle) / scale
    level = wanted.mean(axis=0)
    weight = np.linalg.solve(x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1]), x.T @ (wanted - level))
    return np.asarray(z @ weight)  # without the level, which tells of the other folds what this one lacks
