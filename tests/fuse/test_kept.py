"""What is kept: 1 for a copy, known in between, and noise is told as invented."""

from __future__ import annotations

import numpy as np
import pytest

from hexscope.fuse import KEPT, body, kept, lesion_contrast
from hexscope.fuse.kept import told


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two ramps at right angles with some texture, in a volume of uneven steps, and where to look."""
    z, y, x = np.meshgrid(np.arange(7), np.arange(31), np.arange(43), indexing="ij")
    a = (0.1 + 0.015 * x + 0.05 * np.sin(y / 3)).astype(np.float32)
    b = (0.1 + 0.02 * y + 0.05 * np.sin(x / 4) + 0.02 * z).astype(np.float32)
    return a, b, np.ones(a.shape, bool)


def test_a_copy_keeps_all_of_one_and_invents_nothing(pair: tuple[np.ndarray, ...]) -> None:
    a, b, where = pair
    of_a, of_b = kept(a, a, b, where, (3.0, 0.7, 0.5)), kept(b, a, b, where, (3.0, 0.7, 0.5))
    assert set(of_a) == set(KEPT)
    assert [of_a["edges A"], of_b["edges B"]] == pytest.approx([1.0, 1.0])
    assert of_a["told A"] > 0.99 and of_b["told B"] > 0.99
    assert of_a["edges B"] < 0.5 and of_b["edges A"] < 0.5
    assert of_a["invented"] == of_b["invented"] == 0


def test_half_and_half_keeps_half_of_both() -> None:
    """With gradients at right angles exactly half of each."""
    y, x = np.meshgrid(np.arange(31), np.arange(43), indexing="ij")
    a, b = (0.02 * x).astype(np.float32), (0.02 * y).astype(np.float32)
    scores = kept((a + b) / 2, a, b, np.ones(a.shape, bool))
    assert [scores["edges A"], scores["edges B"]] == pytest.approx([0.5, 0.5], abs=1e-4)


def test_stretch_does_not_count_and_reversal_is_loss(pair: tuple[np.ndarray, ...]) -> None:
    a, b, where = pair
    stretched = kept(3 * a, a, b, where)
    assert stretched["edges A"] == pytest.approx(1.0) and stretched["invented"] > 0.1
    assert kept(1 - a, a, b, where)["edges A"] == 0.0


def test_noise_is_invented(pair: tuple[np.ndarray, ...]) -> None:
    a, b, where = pair
    noisy = np.maximum(a, b) + np.random.default_rng(0).normal(0, 0.1, a.shape).astype(np.float32)
    assert kept(noisy, a, b, where)["invented"] > 0.3 > 0.01 > kept(np.maximum(a, b), a, b, where)["invented"]


def test_told_is_the_correlation_ratio() -> None:
    """Of two values under one grey the variance between greys remains: by hand 1 − 2/10."""
    grey = np.array([0.0, 0.0, 1.0, 1.0])
    source = np.array([0.0, 2.0, 4.0, 6.0])
    assert told(grey, source) == pytest.approx(16 / 20)
    assert told(np.zeros(4), source) == 0 and np.isnan(told(grey, np.ones(4)))


def test_body_fills_what_it_encloses() -> None:
    a = np.zeros((3, 21, 25), np.float32)
    a[:, 4:15, 5:20] = 0.5
    a[:, 7:10, 8:12] = 0.0
    assert body(a, np.zeros_like(a)).sum() == 3 * 11 * 15


def test_lesion_contrast_in_parts_of_the_sources() -> None:
    a, b = np.full((31, 37), 0.2, np.float32), np.full((31, 37), 0.3, np.float32)
    lesion = np.zeros(a.shape, bool)
    lesion[12:17, 15:21] = True
    a[lesion], b[lesion] = 0.6, 0.1
    where = np.ones(a.shape, bool)
    found = lesion_contrast((a + b) / 2, a, b, lesion, where)
    assert found["lesion A"] == pytest.approx(0.1 / 0.4, abs=1e-5)
    assert found["lesion B"] == pytest.approx(0.1 / 0.2, abs=1e-5)
    assert np.isnan(lesion_contrast(a, a, b, np.zeros_like(lesion), where)["lesion A"])
