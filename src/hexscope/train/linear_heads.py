"""Ridge regression on features as a classifier's head, and which of its strengths held-out cases prefer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

#: Strengths that are tried, relative to the mean square of the features as they count.
_STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_LEAST_DEVIATION = 1e-3


@dataclass(frozen=True, eq=False)
class Head:
    """Scores (n, classes) = features (n, numbers) @ weight + bias."""

    weight: Floats
    bias: Floats

    def __call__(self, features: Floats) -> Floats:
        return features @ self.weight + self.bias


@dataclass(frozen=True, eq=False)
class Ridge:
    """The mean of the heads of all divisions, the held-out scores, and the strength that was best."""

    head: Head
    scores: Floats
    strength: float


def ridge(features: Floats, asked: Floats, parts: Sequence[tuple[Indices, Indices]], counts: Floats) -> Ridge:
    """Fit on each part's first rows, score its second; the strength of least squared error there is taken.

    features (n, numbers); asked (n, classes) of -1 and 1; parts: (rows to fit on, rows held out)
    counts   (numbers,), or (1,) for all: the deviation that a feature is given; the less, the harder it is pulled
    """
    scores = {s: np.full(asked.shape, np.nan, np.float32) for s in _STRENGTHS}
    heads: dict[float, list[Head]] = {s: [] for s in _STRENGTHS}
    for fitted, held in parts:
        for strength, head in _fits(features[fitted], asked[fitted], counts):
            scores[strength][held] = head(features[held])
            heads[strength].append(head)
    rows = np.concatenate([held for _, held in parts])
    best = min(_STRENGTHS, key=lambda s: float(((scores[s][rows] - asked[rows]) ** 2).mean()))
    mean = Head(
        np.mean([h.weight for h in heads[best]], axis=0), np.asarray(np.mean([h.bias for h in heads[best]], axis=0))
    )
    return Ridge(mean, scores[best], best)


def _fits(features: Floats, asked: Floats, counts: Floats) -> list[tuple[float, Head]]:
    """A head of each strength, through the smaller of the two square matrices."""
    middle = features.mean(axis=0)
    deviation = features.std(axis=0)
    deviation += _LEAST_DEVIATION * float(deviation.mean()) + 1e-8
    deviation /= counts
    x = (features - middle) / deviation
    offset = asked.mean(axis=0)
    y = (asked - offset).astype(np.float64)
    rows = len(x)
    wide = x.shape[1] > rows
    square = float((np.broadcast_to(counts, x.shape[1]) ** 2).sum())  # what an image's features come to, in the mean
    gram = (x @ x.T if wide else x.T @ x).astype(np.float64) / (square if wide else rows)
    scale = 1.0 if wide else square / rows  # the same strength means the same either way
    out = []
    for strength in _STRENGTHS:
        pulled = gram.copy()
        pulled[np.diag_indices_from(pulled)] += strength * scale
        factor = linalg.cho_factor(pulled, overwrite_a=True, check_finite=False)
        if wide:
            weight = x.T @ linalg.cho_solve(factor, y).astype(np.float32) / np.float32(square)
        else:
            weight = linalg.cho_solve(factor, (x.T @ y.astype(np.float32)).astype(np.float64) / rows)
        weight = (weight / deviation[:, None]).astype(np.float32)
        out.append((strength, Head(weight, (offset - middle @ weight).astype(np.float32))))
    return out
