"""The shift warning: seldom raised on images like the calibration's, soon on others."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hexscope.errors import UsageError
from hexscope.trust.shift import shift


def test_images_like_the_calibrations_raise_no_alarm() -> None:
    rng = np.random.default_rng(0)
    alarms = sum(shift(rng.random(80), rng.random(60), rate=0.05, seed=i).alarm for i in range(300))
    assert alarms / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize("up", [True, False])
def test_others_are_told_apart(up: bool) -> None:
    rng = np.random.default_rng(1)
    told = []
    for i in range(50):
        new = rng.random(60) ** 4
        told.append(shift(rng.random(80), 1 - new if up else new, seed=i))
    assert np.mean([t.alarm for t in told]) > 0.9
    alarmed = next(t for t in told if t.alarm)
    assert ("higher" if up else "lower") in alarmed.sentence and "60 images" in alarmed.sentence


def test_ties_and_nothing_found_are_no_shift() -> None:
    assert not shift([-math.inf] * 50, [-math.inf] * 50).alarm
    assert shift([-math.inf] * 50, [0.5] * 50).alarm
    assert not shift([0.1, 0.2], []).alarm and shift([0.1], []).sentence == ""
    with pytest.raises(UsageError):
        shift([], [0.5])
