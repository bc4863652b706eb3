"""Do new scores still look like those of the calibration? A promise ends where they no longer do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hexscope.errors import UsageError

#: How much of the capital is moved between the ways of betting at each step.
_MOVED = 0.01


@dataclass(frozen=True)
class Shift:
    """What was bet against new images being like the calibration's, and how it went.

    alarm     they are not, at the stated rate of false alarms
    evidence  by how much the bet has grown at best; an alarm is 1 / rate
    rate      share of unshifted batches of any length that would give an alarm
    higher    new scores lie higher (True) or lower than those of the calibration, on the median
    n         new images, calibration images
    """

    alarm: bool
    evidence: float
    rate: float
    higher: bool
    n: tuple[int, int]

    @property
    def sentence(self) -> str:
        """In plain words; empty without an alarm."""
        if not self.alarm:
            return ""
        return (
            f"the scores of these {self.n[0]} images lie {'higher' if self.higher else 'lower'} than, or scatter "
            f"unlike, those of the {self.n[1]} calibration images (false alarms: at most {self.rate:.0%}): what was "
            "promised need not hold for them"
        )


def shift(calibration: Sequence[float], new: Sequence[float], *, rate: float = 0.01, seed: int = 0) -> Shift:
    """Compare the scores of new images, one each and in order of arrival, with those of the calibration images.

    A conformal test martingale, the Simple Jumper (Vovk 2021, doi:10.48550/arXiv.2102.10439): each new score's rank
    among all before it is a number that nobody can bet on with gain while new and old are exchangeable. The capital
    of one who tries exceeds 1 / ``rate`` with a chance of at most ``rate``, however many images come. Scores may be
    -inf (nothing found). Images of one patient are not exchangeable: give one score a patient.
    """
    if not len(calibration) or not 0 < rate < 1:
        raise UsageError("a shift is told from at least one calibration score, at a rate between 0 and 1")
    rng = np.random.default_rng(seed)
    bag = np.sort(np.asarray(calibration, dtype=np.float64))
    bets = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    capital = np.full(len(bets), 1 / len(bets))
    best = 0.0
    for score in new:
        low, high = np.searchsorted(bag, score, "left"), np.searchsorted(bag, score, "right")
        rank = (low + rng.random() * (high - low + 1)) / (len(bag) + 1)
        bag = np.insert(bag, low, score)
        capital = (1 - _MOVED) * capital + _MOVED * capital.sum() / len(bets)
        capital *= 1 + bets * (rank - 0.5)
        best = max(best, math.log(capital.sum()))
    higher = bool(np.median(new) > np.median(calibration)) if len(new) else False
    return Shift(best >= -math.log(rate), math.exp(min(best, 700.0)), rate, higher, (len(new), len(calibration)))
