"""How well two label maps agree object by object: F1, panoptic quality, AJI; and how many lesions were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Array
from hexscope.segment.score import Part

Labels = NDArray[Any]

#: IoU thresholds .50, .55 … .95, over which F1 is averaged.
STRICTER = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Which objects of two label maps overlap, and how much.

    shared       pixels in common, (objects of truth, objects of found)
    truth_sizes  pixels of each object
    found_sizes  pixels of each object
    """

    shared: NDArray[np.int64]
    truth_sizes: NDArray[np.int64]
    found_sizes: NDArray[np.int64]

    @classmethod
    def of(cls, truth: Labels, found: Labels) -> Overlaps:
        """From two label maps of one shape; 0 is background, every other value an object."""
        a_values, a = np.unique(truth, return_inverse=True)
        b_values, b = np.unique(found, return_inverse=True)
        table = np.bincount(a.ravel() * len(b_values) + b.ravel(), minlength=len(a_values) * len(b_values))
        table = table.reshape(len(a_values), len(b_values)).astype(np.int64)
        a_sizes, b_sizes = table.sum(axis=1), table.sum(axis=0)
        rows, columns = a_values != 0, b_values != 0
        return cls(table[rows][:, columns], a_sizes[rows], b_sizes[columns])

    @property
    def iou(self) -> Array:
        """IoU of every pair, (objects of truth, objects of found)."""
        union = self.truth_sizes[:, None] + self.found_sizes[None] - self.shared
        return np.asarray(self.shared / np.maximum(union, 1), dtype=np.float64)

    def matched(self, iou: float = 0.5) -> Array:
        """IoU of each matched pair: more than ``iou``, which from .5 on no object can reach twice."""
        if iou < 0.5:
            raise ValueError("below an IoU of .5 an object may match several others")
        pairs = self.iou
        return pairs[pairs > iou]

    def f1(self, iou: float = 0.5) -> float:
        """2 TP / (objects of truth + objects of found). 1 where both have none."""
        objects = len(self.truth_sizes) + len(self.found_sizes)
        return 1.0 if objects == 0 else 2.0 * len(self.matched(iou)) / objects

    def mean_f1(self, thresholds: Sequence[float] = STRICTER) -> float:
        """F1 averaged over IoU thresholds, .5 to .95 as COCO has them."""
        return float(np.mean([self.f1(iou) for iou in thresholds]))

    def panoptic_quality(self) -> float:
        """Sum of matched IoUs / (TP + FP/2 + FN/2), doi:10.1109/CVPR.2019.00963. 1 where both have none."""
        objects = len(self.truth_sizes) + len(self.found_sizes)
        return 1.0 if objects == 0 else 2.0 * float(self.matched().sum()) / objects

    def aji(self) -> float:
        """Aggregated Jaccard index, Kumar 2017, doi:10.1109/TMI.2017.2677499. 1 where both have none."""
        if not len(self.truth_sizes):
            return 1.0 if not len(self.found_sizes) else 0.0
        if not len(self.found_sizes):
            return 0.0
        pairs = self.iou
        best = pairs.argmax(axis=1)
        rows = np.flatnonzero(pairs.max(axis=1) > 0)
        shared = self.shared[rows, best[rows]]
        union = self.truth_sizes.sum() + self.found_sizes[best[rows]].sum() - shared.sum()
        unused = np.setdiff1d(np.arange(len(self.found_sizes)), best[rows])
        return float(shared.sum() / (union + self.found_sizes[unused].sum()))


@dataclass(frozen=True)
class LesionHits:
    """lesions          connected parts of the truth, pixels that touch by a corner belong together
    found            how many of them hold at least one pixel of what was found
    false_positives  connected parts of what was found that touch no lesion
    """

    lesions: int
    found: int
    false_positives: int

    @property
    def sensitivity(self) -> float | None:
        """Part of the lesions that were found; None where there are none."""
        return self.found / self.lesions if self.lesions else None


def lesion_hits(truth: Part, found: Part) -> LesionHits:
    """Lesion by lesion, as the MS lesion challenge counts (Carass 2017, doi:10.1016/j.neuroimage.2016.12.064)."""
    whole = np.ones((3,) * truth.ndim, bool)
    lesions, count = ndimage.label(truth, whole)
    parts, parts_count = ndimage.label(found, whole)
    both = truth & found
    touched = len(np.unique(parts[both]))
    return LesionHits(int(count), len(np.unique(lesions[both])), int(parts_count) - touched)
