"""Calibration on synthetic answers whose true probabilities are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexscope.errors import FormatError, UsageError
from hexscope.trust.calibration import Calibrator, calibrated, expected_error, fit, log_losses, pooled, reliability


def answers(n: int, sharpen: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True class drawn from known probabilities; the model's logits are ``sharpen`` times too large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 3))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (rng.random((n, 1)) > np.cumsum(true, axis=1)).sum(1)
    said = np.exp(sharpen * logits)
    return said / said.sum(1, keepdims=True), truth


def test_a_sharpened_model_is_cooled_by_as_much() -> None:
    p, truth = answers(6000, 2.5)
    chosen = calibrated(p, truth)
    assert chosen.kind == "temperature"
    assert chosen.temperature == pytest.approx(2.5, rel=0.08)
    new, seen = answers(6000, 2.5, seed=1)
    assert expected_error(new, seen) > 0.08
    for equal in ("width", "mass"):
        assert expected_error(chosen(new), seen, equal=equal) < 0.025


def test_an_honest_model_is_left_alone() -> None:
    assert calibrated(*answers(3000, 1.0)).kind == "none"


def test_what_no_temperature_mends_is_mended_by_isotonic() -> None:
    rng = np.random.default_rng(2)
    true = rng.random(8000)
    truth = (rng.random(8000) < true).astype(int)
    said = np.where(true > 0.5, 0.5 + 0.5 * (2 * true - 1) ** 4, true)  # too timid on one side only
    p = np.stack([1 - said, said], axis=1)
    chosen = calibrated(p, truth)
    assert chosen.kind == "isotonic"
    assert expected_error(chosen(p), truth) < expected_error(p, truth) / 2


def test_folds_part_no_patient() -> None:
    """One image copied many times: an isotonic fit would win if copies were on both sides."""
    rng = np.random.default_rng(3)
    p, truth = answers(60, 1.0, seed=3)
    group = np.repeat(np.arange(60), 40)
    noise = np.abs(p[group] + rng.normal(0, 1e-4, (2400, 3)))
    noise /= noise.sum(1, keepdims=True)
    assert calibrated(noise, truth[group], group.tolist()).kind != "isotonic"


@pytest.mark.parametrize("kind", ["none", "temperature", "isotonic"])
def test_it_survives_being_written(kind: str) -> None:
    p, truth = answers(300, 2.0)
    calibrator = fit(kind, p, truth)
    again = Calibrator.from_data(calibrator.as_data())
    assert np.allclose(again(p), calibrator(p)) and np.allclose(again(p).sum(1), 1)
    assert log_losses(calibrator(p), truth).mean() <= log_losses(p, truth).mean() + 1e-9


def test_broken_ones_are_refused() -> None:
    with pytest.raises(FormatError, match="platt"):
        Calibrator.from_data({"kind": "platt"})
    with pytest.raises(FormatError, match="broken"):
        Calibrator.from_data({})
    with pytest.raises(UsageError, match="3 classes"):
        fit("isotonic", *answers(50, 1.0))(np.array([[0.5, 0.5]]))
    with pytest.raises(UsageError, match="width or mass"):
        reliability(*answers(50, 1.0), equal="luck")


@given(st.lists(st.integers(0, 1).map(float), min_size=1, max_size=40))
def test_pooled_levels_rise_and_keep_the_sum(values: list[float]) -> None:
    level, weight = pooled(np.array(values))
    assert np.all(np.diff(level) > 0)
    assert weight.sum() == len(values)
    assert (level * weight).sum() == pytest.approx(sum(values))


def test_reliability_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.35, 0.65]])
    bins = reliability(p, np.array([0, 1, 1, 1]), bins=10)
    assert [(round(b.said, 3), b.right, b.n) for b in bins] == [(0.625, 1.0, 2), (0.9, 0.5, 2)]
    assert expected_error(p, np.array([0, 1, 1, 1]), bins=10) == pytest.approx((2 * 0.375 + 2 * 0.4) / 4)
