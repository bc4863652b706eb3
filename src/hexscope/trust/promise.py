"""The promise of a detector: what held-out patients taught, and what follows for a target that is asked of it.

`HeldOut` is numbers only, and lies beside a model's card, so that any target can be answered when it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hexscope.errors import FormatError, RefusedError
from hexscope.trust.conformal import Threshold, sensitivity_threshold

#: Lesions are told apart by size in so many strata of equal number.
_STRATA = ("small", "middle", "large")


@dataclass(frozen=True)
class HeldOut:
    """Candidates on images that the model never saw, in plain numbers.

    group         patient (0, 1, …) of each image
    lesion_image  image of each lesion
    lesion_score  best score of a candidate that hits it; -inf: none does
    lesion_size   in ``size_unit``
    false_image, false_score  of each candidate that hits nothing
    size_unit     "ml", "mm", "px" …
    hit           in words, when a candidate hits a lesion ("centre inside the box")
    """

    group: tuple[int, ...]
    lesion_image: tuple[int, ...]
    lesion_score: tuple[float, ...]
    lesion_size: tuple[float, ...]
    false_image: tuple[int, ...]
    false_score: tuple[float, ...]
    size_unit: str
    hit: str

    def __post_init__(self) -> None:
        lesions = {len(self.lesion_image), len(self.lesion_score), len(self.lesion_size)}
        indices = (*self.lesion_image, *self.false_image)
        if len(lesions) > 1 or len(self.false_image) != len(self.false_score):
            raise FormatError(
                "held-out figures: every lesion has an image, a score and a size, every false one a score"
            )
        if any(not 0 <= i < len(self.group) for i in indices):
            raise FormatError("held-out figures: a candidate lies on an image that is not there")

    @property
    def patients(self) -> int:
        return len(set(self.group))

    def best_scores(self) -> list[float]:
        """The best score of any candidate, image by image (-inf: none): what new images are compared with."""
        best = [-math.inf] * len(self.group)
        pairs = (
            *zip(self.lesion_image, self.lesion_score, strict=True),
            *zip(self.false_image, self.false_score, strict=True),
        )
        for image, score in pairs:
            best[image] = max(best[image], score)
        return best

    def where(self, images: Sequence[int]) -> HeldOut:
        """Of these images only."""
        new = {old: i for i, old in enumerate(images)}
        lesions = [i for i, image in enumerate(self.lesion_image) if image in new]
        false = [i for i, image in enumerate(self.false_image) if image in new]
        return HeldOut(
            tuple(self.group[i] for i in images),
            tuple(new[self.lesion_image[i]] for i in lesions),
            tuple(self.lesion_score[i] for i in lesions),
            tuple(self.lesion_size[i] for i in lesions),
            tuple(new[self.false_image[i]] for i in false),
            tuple(self.false_score[i] for i in false),
            self.size_unit,
            self.hit,
        )

    def as_data(self) -> dict[str, Any]:
        """For JSON; a lesion that nothing hits has the score null."""
        return {
            "kind": "lesions",
            "size_unit": self.size_unit,
            "hit": self.hit,
            "group": list(self.group),
            "lesion_image": list(self.lesion_image),
            "lesion_score": [None if math.isinf(s) else round(s, 6) for s in self.lesion_score],
            "lesion_size": [float(f"{s:.5g}") for s in self.lesion_size],
            "false_image": list(self.false_image),
            "false_score": [round(s, 6) for s in self.false_score],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> HeldOut:
        """From what ``as_data`` gave. FormatError names the field that is missing or wrong."""
        try:
            return cls(
                tuple(int(v) for v in data["group"]),
                tuple(int(v) for v in data["lesion_image"]),
                tuple(-math.inf if v is None else float(v) for v in data["lesion_score"]),
                tuple(float(v) for v in data["lesion_size"]),
                tuple(int(v) for v in data["false_image"]),
                tuple(float(v) for v in data["false_score"]),
                str(data["size_unit"]),
                str(data["hit"]),
            )
        except KeyError as error:
            raise FormatError(f"the held-out figures lack the field {error}") from error
        except (TypeError, ValueError) as error:
            raise FormatError(f"the held-out figures are broken: {error}") from error


@dataclass(frozen=True)
class OfSize:
    """The same promise for lesions of one size alone: from ``low`` to below ``high`` in the unit of the held-out ones.

    lesions   calibration lesions of this size
    at        share of them found at the promise's own threshold
    threshold what would be needed for this size
    """

    name: str
    low: float
    high: float
    lesions: int
    at: float
    threshold: Threshold


@dataclass(frozen=True)
class Promise:
    """What is guaranteed about a detector's candidates, and from what."""

    target: float
    confidence: float | None
    threshold: Threshold
    lesions: int
    images: int
    hit: str
    size_unit: str
    by_size: tuple[OfSize, ...] = ()

    def require(self) -> float:
        """The score from which candidates count. RefusedError where nothing can be promised."""
        if self.threshold.score is None:
            raise RefusedError(self.threshold.reason)
        return self.threshold.score

    @property
    def sentence(self) -> str:
        """In plain words."""
        t = self.threshold
        if not t.feasible:
            return f"no promise: {t.reason}"
        if self.confidence is None:
            form = "on average over such calibrations"
        else:
            form = f"with {self.confidence:g} confidence in this calibration"
        return (
            f"of the lesions of a patient like the {t.n} held-out ones at least {self.target:g} are found "
            f"({self.hit}), {form}; it costs {t.false_positives:.2f} false positives an image. It does not hold for "
            "patients, devices or protocols that differ from theirs"
        )

    def as_json(self) -> dict[str, Any]:
        t = self.threshold
        sizes = [
            {"size": s.name, "from": s.low, "below": None if math.isinf(s.high) else s.high, "lesions": s.lesions}
            | {"found": round(s.at, 4), "promised": s.threshold.feasible, "score": _short(s.threshold.score)}
            | ({"reason": s.threshold.reason} if s.threshold.reason else {})
            for s in self.by_size
        ]
        return {
            "target": self.target,
            "confidence": self.confidence,
            "feasible": t.feasible,
            "score": _short(t.score),
            "patients": t.n,
            "lesions": self.lesions,
            "images": self.images,
            "found": _short(t.found, 4),
            "false_positives_per_image": _short(t.false_positives, 4),
            "reachable": t.reachable,
            "hit": self.hit,
            "size_unit": self.size_unit,
            "by_size": sizes,
            "sentence": self.sentence,
        }


def _short(value: float | None, digits: int = 6) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


def promise(held: HeldOut, target: float, confidence: float | None = None, *, each_size: bool = False) -> Promise:
    """What can be promised of a sensitivity of ``target`` from these held-out patients, as a whole and by size.

    each_size  let the promise hold for small, middle and large lesions each by itself: the lowest threshold of them;
               refused where one size cannot be promised

    Raises UsageError for a target or confidence outside (0, 1).
    """
    whole = _threshold(held, range(len(held.lesion_image)), target, confidence)
    sizes = tuple(_of_sizes(held, target, confidence, whole))
    if each_size and sizes:
        worst = min(sizes, key=lambda s: -math.inf if s.threshold.score is None else s.threshold.score).threshold
        whole = _at(held, worst, whole)
        sizes = tuple(_of_sizes(held, target, confidence, whole))
    return Promise(target, confidence, whole, len(held.lesion_image), len(held.group), held.hit, held.size_unit, sizes)


def _threshold(held: HeldOut, lesions: Sequence[int], target: float, confidence: float | None) -> Threshold:
    scores: dict[int, list[float]] = {}
    missed: dict[int, int] = {}
    for i in lesions:
        group, score = held.group[held.lesion_image[i]], held.lesion_score[i]
        found = scores.setdefault(group, [])
        missed[group] = missed.get(group, 0) + math.isinf(score)
        if not math.isinf(score):
            found.append(score)
    of = sorted(scores)
    return sensitivity_threshold(
        [scores[g] for g in of],
        [missed[g] for g in of],
        target,
        confidence,
        false_scores=held.false_score,
        images=len(held.group),
    )


def _of_sizes(held: HeldOut, target: float, confidence: float | None, whole: Threshold) -> list[OfSize]:
    """Strata of equal number of lesions; none where all are of one size."""
    sizes = np.array(held.lesion_size)
    if len(sizes) < len(_STRATA):
        return []
    inner = np.quantile(sizes, np.arange(1, len(_STRATA)) / len(_STRATA))
    edges = [0.0, *(float(f"{e:.3g}") for e in inner), math.inf]
    if len(set(edges)) < len(edges):
        return []
    out = []
    limit = math.inf if whole.score is None else whole.score
    for name, low, high in zip(_STRATA, edges[:-1], edges[1:], strict=True):
        chosen = [i for i in range(len(sizes)) if low <= sizes[i] < high]
        if chosen:
            at = sum(held.lesion_score[i] >= limit for i in chosen) / len(chosen)
            out.append(OfSize(name, low, high, len(chosen), at, _threshold(held, chosen, target, confidence)))
    return out


def _at(held: HeldOut, worst: Threshold, whole: Threshold) -> Threshold:
    """The whole at the threshold of its worst part, or that part's refusal."""
    if worst.score is None:
        return worst
    if whole.score is not None and whole.score <= worst.score:
        return whole
    false = sum(s >= worst.score for s in held.false_score) / len(held.group)
    patients: dict[int, list[bool]] = {}
    for image, score in zip(held.lesion_image, held.lesion_score, strict=True):
        patients.setdefault(held.group[image], []).append(score >= worst.score)
    found = float(np.mean([np.mean(hits) for hits in patients.values()]))
    return Threshold(worst.score, whole.n, found, false, True, whole.reachable)
