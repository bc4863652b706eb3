"""Probabilities that mean what they say: temperature or isotonic, whichever held-out folds prefer, and how far off.

Probabilities here are (n, classes) with rows that sum to 1, and truth (n,) holds class indices; a two-sided question
(yes or no) is two classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import FormatError, UsageError

Floats = NDArray[np.float64]
Kind = Literal["none", "temperature", "isotonic"]
#: From the plainest: a richer one must earn its place.
KINDS: tuple[Kind, ...] = ("none", "temperature", "isotonic")

#: No probability is taken for smaller.
_LEAST = 1e-7
_COLDEST, _HOTTEST = 0.05, 20.0


@dataclass(frozen=True)
class Calibrator:
    """From a model's probabilities to calibrated ones.

    temperature  the logarithms are divided by it (Guo 2017, doi:10.48550/arXiv.1706.04599)
    curves       one a class, ((raw, …), (calibrated, …)), joined by straight lines and then made to sum to 1 (Zadrozny
                 2002, doi:10.1145/775047.775151)
    """

    kind: Kind = "none"
    temperature: float = 1.0
    curves: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()

    def __call__(self, probabilities: NDArray[np.floating]) -> Floats:
        """Calibrated probabilities (n, classes)."""
        p = _valid(probabilities)
        if self.kind == "temperature":
            return _tempered(np.log(np.maximum(p, _LEAST)), 1 / self.temperature)
        if self.kind == "isotonic":
            if len(self.curves) != p.shape[1]:
                raise UsageError(f"the calibration is of {len(self.curves)} classes; got {p.shape[1]}")
            p = np.stack([np.interp(column, *curve) for column, curve in zip(p.T, self.curves, strict=True)], axis=1)
            p = np.maximum(p, _LEAST)
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    def as_data(self) -> dict[str, Any]:
        out: dict[str, Any] = {"kind": self.kind}
        if self.kind == "temperature":
            out["temperature"] = self.temperature
        if self.kind == "isotonic":
            out["curves"] = [{"raw": list(raw), "calibrated": list(true)} for raw, true in self.curves]
        return out

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Calibrator:
        """From what ``as_data`` gave. FormatError where it is broken."""
        try:
            if data["kind"] not in KINDS:
                raise FormatError(f"the calibration is of kind {data['kind']!r}; known are {', '.join(KINDS)}")
            curves = [(tuple(map(float, c["raw"])), tuple(map(float, c["calibrated"]))) for c in data.get("curves", ())]
            return cls(data["kind"], float(data.get("temperature", 1.0)), tuple(curves))
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"the calibration is broken: {error}") from error


def _valid(probabilities: NDArray[np.floating]) -> Floats:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2 or not np.all(np.isfinite(p)) or p.min(initial=0) < 0:
        raise UsageError(f"probabilities are (n, classes), finite and not negative; got shape {p.shape}")
    return p


def _tempered(logs: Floats, cold: float) -> Floats:
    z = logs * cold
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(z / z.sum(axis=1, keepdims=True))


# ---- fitting ------------------------------------------------------------------------------------------------


def calibrated(
    probabilities: NDArray[np.floating],
    truth: NDArray[np.integer],
    groups: Sequence[object] | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
) -> Calibrator:
    """The way of calibrating that held-out folds of whole patients prefer by log-loss, fitted on all.

    A richer way is taken only where it gains more than twice the standard error of its gain: what is not needed harms
    where data shift.
    """
    p, truth = _valid(probabilities), np.asarray(truth)
    names = np.arange(len(truth)) if groups is None else np.unique([str(g) for g in groups], return_inverse=True)[1]
    count = int(names.max()) + 1
    parts = min(folds, count)
    if parts < 2:
        return Calibrator()
    fold = (np.random.default_rng(seed).permutation(count) % parts)[names]
    losses = {kind: np.empty(len(truth)) for kind in KINDS}
    for part in range(parts):
        out = fold == part
        for kind in KINDS:
            losses[kind][out] = log_losses(fit(kind, p[~out], truth[~out])(p[out]), truth[out])
    best: Kind = "none"
    for kind in KINDS[1:]:
        gain = np.bincount(names, losses[best] - losses[kind])  # by patient
        if gain.sum() > 2 * gain.std() * np.sqrt(count):
            best = kind
    return fit(best, p, truth)


def fit(kind: Kind, probabilities: NDArray[np.floating], truth: NDArray[np.integer]) -> Calibrator:
    """A calibrator of this kind from held-out probabilities."""
    p, truth = _valid(probabilities), np.asarray(truth)
    if kind == "temperature":
        return Calibrator(kind, temperature(np.log(np.maximum(p, _LEAST)), truth))
    if kind == "isotonic":
        return Calibrator(kind, curves=tuple(_curve(p[:, c], truth == c) for c in range(p.shape[1])))
    return Calibrator()


def temperature(logits: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """The temperature of least log-loss: Newton's steps on its inverse, in which the loss is convex."""
    z = np.asarray(logits, dtype=np.float64)
    own = z[np.arange(len(z)), truth]
    cold = 1.0
    for _ in range(50):
        p = _tempered(z, cold)
        mean = (p * z).sum(axis=1)
        slope, bend = float((mean - own).mean()), float(((p * z * z).sum(axis=1) - mean**2).mean())
        step = slope / max(bend, 1e-12)
        new = float(np.clip(cold - step, cold / 2, cold * 2).clip(1 / _HOTTEST, 1 / _COLDEST))
        if abs(new - cold) < 1e-9 * cold:
            break
        cold = new
    return 1 / cold


def _curve(raw: Floats, hit: NDArray[np.bool_]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Isotonic regression as points at the blocks' means, ends held; no block is surer than its number allows."""
    order = np.argsort(raw, kind="stable")
    level, weight = pooled(hit[order].astype(np.float64))
    ends = np.cumsum(weight).astype(int)
    means = np.add.reduceat(raw[order], np.concatenate([[0], ends[:-1]])) / weight
    level = (level * weight + 0.5) / (weight + 1)  # a block of n that never failed is not certain
    means, index = np.unique(means, return_index=True)
    return tuple(means.tolist()), tuple(np.maximum.accumulate(level[index]).tolist())


def pooled(values: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Isotonic regression by pooling adjacent violators: the levels of its blocks, ascending, and their weights."""
    level: list[float] = []
    weight: list[float] = []
    for value, w in zip(values, np.ones(len(values)) if weights is None else weights, strict=True):
        level.append(float(value))
        weight.append(float(w))
        while len(level) > 1 and level[-2] >= level[-1]:
            total = weight[-2] + weight[-1]
            level[-2:] = [(level[-2] * weight[-2] + level[-1] * weight[-1]) / total]
            weight[-2:] = [total]
    return np.array(level), np.array(weight)


# ---- measuring ----------------------------------------------------------------------------------------------


def log_losses(probabilities: NDArray[np.floating], truth: NDArray[np.integer]) -> Floats:
    """Minus the logarithm of the probability of what was true, image by image."""
    p = np.asarray(probabilities, dtype=np.float64)
    return np.asarray(-np.log(np.maximum(p[np.arange(len(p)), truth], _LEAST)))


@dataclass(frozen=True)
class Bin:
    """Answers of like confidence: how sure they were on average, which share was right, and how many they are."""

    said: float
    right: float
    n: int


def reliability(
    probabilities: NDArray[np.floating], truth: NDArray[np.integer], *, bins: int = 15, equal: str = "width"
) -> tuple[Bin, ...]:
    """Confidence of the likeliest class against the share of right answers, in bins of equal ``width`` or ``mass``."""
    p = _valid(probabilities)
    said, right = p.max(axis=1), p.argmax(axis=1) == np.asarray(truth)
    if equal == "width":
        place = np.minimum((said * bins).astype(int), bins - 1)
    elif equal == "mass":
        place = np.empty(len(said), dtype=int)
        place[np.argsort(said, kind="stable")] = np.arange(len(said)) * bins // max(len(said), 1)
    else:
        raise UsageError(f"bins are equal in width or mass; got {equal!r}")
    held = [place == b for b in range(bins) if np.any(place == b)]
    return tuple(Bin(float(said[b].mean()), float(right[b].mean()), int(b.sum())) for b in held)


def expected_error(
    probabilities: NDArray[np.floating], truth: NDArray[np.integer], *, bins: int = 15, equal: str = "width"
) -> float:
    """Expected calibration error (Naeini 2015, doi:10.1609/aaai.v29i1.9602) of the likeliest class."""
    found = reliability(probabilities, truth, bins=bins, equal=equal)
    return sum(b.n * abs(b.said - b.right) for b in found) / sum(b.n for b in found)
