"""How good a detector is: FROC, CPM, average precision, sensitivity by size, each with an interval by patient.

Sensitivity against false positives per image over all images, and CPM its mean at 1/8, 1/4, 1/2, 1, 2, 4 and 8 of them
(LUNA16, doi:10.1016/j.media.2017.06.015). Average precision is the area under the precision envelope over all points,
as PASCAL VOC 2010 and COCO have it (doi:10.1007/s11263-009-0275-4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hexscope.models.boxes import inside, middles, overlap, volumes
from hexscope.trust.statistics import Estimate

Floats = NDArray[np.floating[Any]]
Rule = Literal["centre", "iou"]

#: False positives per image at which CPM reads the sensitivity.
CPM_AT = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
#: Bootstrap samples of an interval; of a curve, whose band is only looked at, a quarter.
SAMPLES = 1000
#: Numbers held at once while resampling.
_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class Boxes:
    """Objects of one image, found or true: boxes (n, 2 * dims) in its pixels, class numbers, scores."""

    boxes: Floats
    kinds: NDArray[np.intp]
    scores: Floats

    @classmethod
    def of(cls, boxes: Any, kinds: Any, scores: Any = None, dims: int = 2) -> Boxes:
        array = np.asarray(boxes, np.float64).reshape(-1, 2 * dims) if len(boxes) == 0 else np.asarray(boxes, float)
        given = np.ones(len(array)) if scores is None else np.asarray(scores, np.float64)
        return cls(array, np.asarray(kinds, np.intp).reshape(-1), given)

    def only(self, kind: int) -> Boxes:
        held = self.kinds == kind
        return Boxes(self.boxes[held], self.kinds[held], self.scores[held])


@dataclass(frozen=True, eq=False)
class Sheet:
    """One image: what was found in it, what is in it, and whose it is."""

    case: str
    group: str
    found: Boxes
    truth: Boxes


@dataclass(frozen=True, eq=False)
class Matched:
    """Every finding and every object of a set of images, matched.

    scores, hits, at      of findings, best first: its score, is it an object, number of its image
    reached, sizes, here  of objects: the score of the finding that hit it (-inf: none), its area or volume, its image
    groups                number of the patient of each image
    """

    scores: Floats
    hits: NDArray[np.bool_]
    at: NDArray[np.intp]
    reached: Floats
    sizes: Floats
    here: NDArray[np.intp]
    groups: NDArray[np.intp]

    @property
    def images(self) -> int:
        return len(self.groups)

    @property
    def patients(self) -> int:
        return int(self.groups.max(initial=-1)) + 1

    # ---- figures ----------------------------------------------------------------------------------------

    def average_precision(self, weights: Floats | None = None) -> Floats:
        """Area under precision over recall, (samples,); ``weights`` (samples, images): how often each is drawn."""
        drawn = self._drawn(weights)
        hit = np.cumsum(drawn[:, self.at] * self.hits, axis=1)
        seen = np.cumsum(drawn[:, self.at], axis=1)
        total = np.maximum(drawn[:, self.here].sum(axis=1, keepdims=True), 1e-12)
        precision = np.maximum.accumulate((hit / np.maximum(seen, 1e-12))[:, ::-1], axis=1)[:, ::-1]
        gained = np.diff(hit / total, axis=1, prepend=0.0)
        return np.asarray((gained * precision).sum(axis=1))

    def sensitivity_at(self, rates: Sequence[float], weights: Floats | None = None) -> Floats:
        """Part of the objects found while false positives per image stay within each rate, (samples, rates)."""
        drawn = self._drawn(weights)
        images = np.maximum(drawn.sum(axis=1, keepdims=True), 1e-12)
        false = np.cumsum(drawn[:, self.at] * ~self.hits, axis=1) / images
        total = np.maximum(drawn[:, self.here].sum(axis=1, keepdims=True), 1e-12)
        hit = np.cumsum(drawn[:, self.at] * self.hits, axis=1) / total
        hit = np.concatenate([np.zeros((len(hit), 1)), hit], axis=1)
        ends = np.stack([(false <= rate + 1e-12).sum(axis=1) for rate in rates], axis=1)
        return np.asarray(np.take_along_axis(hit, ends, axis=1))

    def cpm(self, weights: Floats | None = None) -> Floats:
        return np.asarray(self.sensitivity_at(CPM_AT, weights).mean(axis=1))

    def best_f1(self, weights: Floats | None = None) -> Floats:
        """2 TP / (found + true) at the score where it is largest, (samples,)."""
        drawn = self._drawn(weights)
        hit = np.cumsum(drawn[:, self.at] * self.hits, axis=1)
        seen = np.cumsum(drawn[:, self.at], axis=1)
        f1 = 2 * hit / np.maximum(seen + drawn[:, self.here].sum(axis=1, keepdims=True), 1e-12)
        return np.asarray(f1.max(axis=1)) if f1.shape[1] else np.zeros(len(drawn))

    def reach(self, weights: Floats | None = None) -> Floats:
        """Part of the objects that any finding hits, however low its score."""
        drawn = self._drawn(weights)[:, self.here]
        return np.asarray((drawn * np.isfinite(self.reached)).sum(axis=1) / np.maximum(drawn.sum(axis=1), 1e-12))

    def _drawn(self, weights: Floats | None) -> Floats:
        return np.ones((1, self.images)) if weights is None else weights

    # ---- with intervals ---------------------------------------------------------------------------------

    def estimate(self, figure: Callable[[Floats | None], Floats], seed: int = 0) -> Estimate:
        """A figure with the interval of a bootstrap of patients; n counts images. NaN ends for a single patient."""
        value = float(figure(None)[0])
        if self.patients < 2:
            return Estimate(value, float("nan"), float("nan"), self.images, self.patients)
        low, high = np.percentile(np.concatenate([figure(w) for w in self.draws(SAMPLES, seed)]), [2.5, 97.5])
        return Estimate(value, float(low), float(high), self.images, self.patients)

    def draws(self, samples: int, seed: int = 0) -> list[Floats]:
        """How often each image is drawn when patients are drawn with replacement: parts of (samples, images)."""
        rng = np.random.default_rng(seed)
        rows = max(1, _AT_ONCE // max(len(self.scores), self.images, 1))
        out: list[Floats] = []
        for start in range(0, samples, rows):
            count = min(rows, samples - start)
            drawn = rng.multinomial(self.patients, np.full(self.patients, 1 / self.patients), size=count)
            out.append(drawn[:, self.groups].astype(np.float64))
        return out

    def band(self, rates: Sequence[float], seed: int = 0) -> tuple[Floats, Floats, Floats]:
        """The FROC curve at ``rates`` with its 95 % band."""
        curve = self.sensitivity_at(rates)[0]
        if self.patients < 2:
            return curve, curve, curve
        drawn = np.concatenate([self.sensitivity_at(rates, w) for w in self.draws(SAMPLES // 4, seed)])
        low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
        return curve, low, high

    def by_size(self, score: float, parts: int = 3) -> list[tuple[float, float, int, int]]:
        """Objects from small to large in equal parts: (least, greatest size, how many, how many found at ``score``)."""
        order = np.argsort(self.sizes, kind="stable")
        out = []
        for part in np.array_split(order, min(parts, max(1, len(order)))):
            if len(part):
                sizes = self.sizes[part]
                found = int((self.reached[part] >= score).sum())
                out.append((float(sizes.min()), float(sizes.max()), len(part), found))
        return out


def match(sheets: Sequence[Sheet], rule: Rule = "iou", least: float = 0.5, kind: int | None = None) -> Matched:
    """Findings matched to objects, image by image, best score first; each object is hit once.

    rule   "iou": they overlap by ``least`` at least, a second hit is false. "centre": the finding's middle lies in the
           object's box, and a second hit is neither (FROC's convention)
    kind   of one class only; None: of any
    """
    scores, hits, at, reached, sizes, here = [], [], [], [], [], []
    for number, sheet in enumerate(sheets):
        found, truth = (part if kind is None else part.only(kind) for part in (sheet.found, sheet.truth))
        order = np.argsort(-found.scores, kind="stable")
        outcome, best = _matched(found.boxes[order], found.scores[order], truth.boxes, rule, least)
        counted = outcome >= 0
        scores.append(found.scores[order][counted])
        hits.append(outcome[counted] == 1)
        at.append(np.full(int(counted.sum()), number))
        reached.append(best)
        sizes.append(volumes(truth.boxes))
        here.append(np.full(len(truth.boxes), number))
    names = {group: i for i, group in enumerate(dict.fromkeys(sheet.group for sheet in sheets))}
    groups = np.array([names[sheet.group] for sheet in sheets], np.intp)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return Matched(
        scores=np.concatenate(scores)[order],
        hits=np.concatenate(hits)[order],
        at=np.concatenate(at)[order],
        reached=np.concatenate(reached),
        sizes=np.concatenate(sizes),
        here=np.concatenate(here),
        groups=groups,
    )


def _matched(found: Floats, scores: Floats, truth: Floats, rule: Rule, least: float) -> tuple[NDArray[np.intp], Floats]:
    """Of each finding 1 (an object), 0 (none) or -1 (not counted); of each object the score that hit it."""
    outcome = np.zeros(len(found), np.intp)
    best = np.full(len(truth), -np.inf)
    if not len(found) or not len(truth):
        return outcome, best
    pairs = overlap(found, truth) if rule == "iou" else inside(middles(found), truth).astype(float)
    edge = least if rule == "iou" else 0.5
    for i, row in enumerate(pairs):
        free = np.where(np.isinf(best), row, -1.0)
        j = int(free.argmax())
        if free[j] >= edge:
            outcome[i], best[j] = 1, scores[i]
        elif rule == "centre" and row.max() >= edge:
            outcome[i] = -1
    return outcome, best


def mean_precision(sheets: Sequence[Sheet], kinds: Sequence[int], least: float = 0.5, seed: int = 0) -> Estimate:
    """Average precision class by class, and its mean over the classes that are there (mAP), with interval."""
    parts = [match(sheets, "iou", least, kind) for kind in kinds]
    held = [part for part in parts if len(part.here)]

    def figure(weights: Floats | None) -> Floats:
        return np.asarray(np.mean([part.average_precision(weights) for part in held], axis=0))

    return held[0].estimate(figure, seed)
