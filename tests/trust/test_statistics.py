"""Intervals that hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexscope.errors import UsageError
from hexscope.trust.statistics import mean_interval, paired_interval

values = st.lists(st.floats(-100, 100), min_size=2, max_size=40)


@given(values, st.integers(0, 5))
def test_the_interval_holds_the_mean_and_stays_within_the_values(x: list[float], seed: int) -> None:
    found = mean_interval(x, seed=seed, samples=200)
    assert found.n == found.patients == len(x) and found.mean == pytest.approx(np.mean(x))
    assert min(x) - 1e-9 <= found.low <= found.high <= max(x) + 1e-9


def test_it_holds_the_true_mean_as_often_as_it_says() -> None:
    """Simulated: skewed figures between 0 and 1, as Dice is. 95 % nominal; few patients, hence the wide margin."""
    rng = np.random.default_rng(4)
    held = 0
    for trial in range(400):
        found = mean_interval(rng.beta(9, 1, 20).tolist(), seed=trial, samples=500)
        held += found.low <= 0.9 <= found.high
    assert 0.90 <= held / 400 <= 0.98


def test_whole_patients_are_drawn() -> None:
    """Ten equal values of each of six patients say no more than six values do."""
    x = [0.1, 0.5, 0.3, 0.9, 0.7, 0.2]
    few = mean_interval(x, list("abcdef"))
    many = mean_interval(np.repeat(x, 10).tolist(), list(np.repeat(list("abcdef"), 10)))
    assert (many.patients, many.n) == (6, 60)
    assert (many.low, many.high) == pytest.approx((few.low, few.high), abs=0.03)
    naive = mean_interval(np.repeat(x, 10).tolist())
    assert naive.high - naive.low < 0.5 * (many.high - many.low)


def test_same_seed_same_interval_and_same_values_none() -> None:
    x = np.random.default_rng(0).normal(size=30).tolist()
    assert mean_interval(x) == mean_interval(x)
    assert mean_interval(x) != mean_interval(x, seed=1)
    flat = mean_interval([0.25] * 8)
    assert flat.low == flat.high == flat.mean == 0.25


def test_one_patient_has_no_interval() -> None:
    found = mean_interval([0.1, 0.4], ["ann", "ann"])
    assert math.isnan(found.low) and found.as_json() == {"mean": 0.25, "low": None, "high": None, "n": 2}


def test_pairs_are_compared_case_by_case() -> None:
    rng = np.random.default_rng(3)
    hard = rng.uniform(0, 1, 30)
    better = hard + 0.05 + rng.normal(0, 0.01, 30)
    found = paired_interval(better.tolist(), hard.tolist())
    assert found.low > 0.03 and found.high < 0.07
    with pytest.raises(UsageError, match="same cases"):
        paired_interval([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("x", "groups"), [([], None), ([math.nan], None), ([1.0, 2.0], ["a"])])
def test_what_has_no_mean(x: list[float], groups: list[str] | None) -> None:
    with pytest.raises(UsageError):
        mean_interval(x, groups)
