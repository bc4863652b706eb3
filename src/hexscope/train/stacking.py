"""One probability from several members: weights, none below 0, of least log-loss on cases that no member learnt from.

After Wolpert 1992 (doi:10.1016/S0893-6080(05)80023-1) with weights held non-negative (Breiman 1996,
doi:10.1007/BF00117832): a weak member gets none, where a mean would let it speak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Floats = NDArray[np.float64]

#: A member that lowers the log-loss by less than this is not worth its time.
WORTH = 0.003
#: Pull on weights (of scores scaled to a deviation of 1) and biases: few cases do not make certainty.
_PULL = 3e-3


@dataclass(frozen=True, eq=False)
class Weights:
    """``members`` (members,) none below 0, ``bias`` (classes,)."""

    members: Floats
    bias: Floats

    def logits(self, scores: Floats) -> Floats:
        """(n, classes) of (n, members, classes)."""
        return np.asarray(np.einsum("nmc,m->nc", scores, self.members) + self.bias)


def fitted(scores: Floats, asked: Floats, exclusive: bool, prior: str = "cases") -> Weights:
    """Weights for ``scores`` (n, members, classes) of held-out cases; asked (n, classes) of 0 and 1.

    prior  "cases", or "equal": each class counts alike, however many cases it has
    """
    n, members, classes = scores.shape
    scale = scores.std(axis=(0, 2)) + 1e-9
    x = scores / scale[:, None]
    counts = _counts(asked, exclusive, prior)

    def loss(v: Floats) -> tuple[float, Floats]:
        w, b = v[:members], v[members:]
        z = np.einsum("nmc,m->nc", x, w) + b
        value, slope = _entropy(z, asked, exclusive)
        grad = slope * counts[:, None] / n
        pull = _PULL * float(v @ v)
        return float((value * counts).sum() / n) + pull, np.append(
            np.einsum("nmc,nc->m", x, grad), grad.sum(axis=0)
        ) + 2 * _PULL * v

    start = np.append(np.full(members, 1.0 / members), np.zeros(classes))
    bounds = [(0.0, None)] * members + [(None, None)] * classes
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return Weights(found.x[:members] / scale, found.x[members:])


def _counts(asked: Floats, exclusive: bool, prior: str) -> Floats:
    if prior == "cases" or not exclusive:
        return np.ones(len(asked))
    shares = asked.mean(axis=0).clip(1e-9)
    return np.asarray((asked / (shares * np.count_nonzero(asked.any(axis=0)))).sum(axis=1))


def _entropy(z: Floats, asked: Floats, exclusive: bool) -> tuple[Floats, Floats]:
    """Cross-entropy of each case and its slope by logit."""
    if exclusive:
        logs = special.log_softmax(z, axis=1)
        return -(logs * asked).sum(axis=1), np.exp(logs) - asked
    return np.asarray((np.logaddexp(0, z) - asked * z).sum(axis=1)), special.expit(z) - asked


def log_loss(logits: Floats, asked: Floats, exclusive: bool) -> float:
    """Mean cross-entropy of a case."""
    return float(_entropy(logits, asked, exclusive)[0].mean())


def crossed(
    scores: Floats, asked: Floats, folds: NDArray[np.intp], exclusive: bool, prior: str, learn: NDArray[np.bool_]
) -> Floats:
    """Logits (n, classes) of each row by weights that were fitted without its fold, on the rows to ``learn`` from."""
    out = np.empty(asked.shape)
    for fold in np.unique(folds):
        inside = folds == fold
        rest = learn & ~inside
        out[inside] = fitted(scores[rest], asked[rest], exclusive, prior).logits(scores[inside])
    return out


def kept(
    scores: Floats, asked: Floats, folds: NDArray[np.intp], exclusive: bool, prior: str, learn: NDArray[np.bool_]
) -> tuple[list[int], list[float]]:
    """Members worth keeping, and by how much the log-loss of all members rises without each; both of ``learn``."""
    every = list(range(scores.shape[1]))

    def cost(chosen: Sequence[int]) -> float:
        logits = crossed(scores[:, list(chosen)], asked, folds, exclusive, prior, learn)
        return log_loss(logits[learn], asked[learn], exclusive)

    whole = cost(every)
    gains = [cost([m for m in every if m != k]) - whole if len(every) > 1 else 0.0 for k in every]
    chosen, best = every, whole
    while len(chosen) > 1:
        price, without = min((cost([m for m in chosen if m != k]), k) for k in chosen)
        if price > best + WORTH:
            break
        chosen, best = [m for m in chosen if m != without], min(price, best)
    return chosen, gains
