"""The last stages of a detector: a score for each candidate, and one box where several mean the same object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.detect.candidates import Candidates
from hexscope.models.boxes import suppressed, voted
from hexscope.models.peaks import Peaks

Floats = NDArray[np.floating[Any]]

#: Names of the ensembles in a detector's graph of trees.
SHARES, FIT = "shares", "fit"
#: The IoU from which a box fits.
HALF = 0.5
#: Candidates that overlap the best of a group by so much take part in the vote for its box, with their score to this.
_VOTE, _POWER = 0.6, 3.0
#: Candidates of lower score name nothing.
_LEAST = 0.003
_MOST = 400


@dataclass(frozen=True, eq=False)
class Judged:
    """Merged candidates of one image, best first. Pixels are those that the network sees.

    shares  (n, classes) probability of each class; with "none of them" they sum to 1
    fit     (n,) how well each box fits, 0..1: by trees the chance that it overlaps its object by `HALF`, else the IoU
            that the network expects
    rows    (n,) which candidate gave its word
    """

    boxes: Floats
    shares: Floats
    fit: Floats
    scores: Floats
    rows: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))


def of_peaks(held: Peaks) -> Judged:
    """The network's own word; its duplicates are merged already."""
    order = np.argsort(-held.scores, kind="stable")
    return Judged(held.boxes[order].astype(np.float64), held.heat[order], held.fit[order], held.scores[order])


def merged(found: Candidates, shares: Floats, fits: Floats, same: float) -> Judged:
    """Candidates that overlap by more than ``same`` become one, whose box they vote for (doi:10.1109/ICCV.2015.135).

    shares  (n, 1 + classes) what the trees say: first that it is none
    fits    (n,) the chance that each box overlaps its object by `HALF`: where many boxes mean one object, a chance
            ranks them better than a mean IoU
    """
    scores: Floats = np.sqrt((1.0 - shares[:, 0]) * fits)
    at = np.argsort(-scores, kind="stable")[:_MOST]
    at = at[scores[at] >= _LEAST]
    if not len(at):
        none = np.zeros((0, found.boxes.shape[1]))
        return Judged(none, np.zeros((0, shares.shape[1] - 1)), np.zeros(0), np.zeros(0))
    boxes: Floats = found.boxes[at].astype(np.float64)
    scores = scores[at]
    keep = suppressed(boxes, scores, same)
    boxes = voted(boxes[keep], boxes, scores**_POWER, _VOTE)
    return Judged(boxes, shares[at][keep, 1:], fits[at][keep], scores[keep], at[keep])
