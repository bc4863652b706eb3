"""Objects that touch: what a network learns of them, and that they come back one by one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hexscope.models.instances import SPAN, instance_planes, instances_of
from hexscope.segment.agreement import instance_agreement


def crowd(seed: int) -> NDArray[np.uint16]:
    """Ellipses of many sizes that touch and cut into one another."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[:120, :170]
    out = np.zeros((120, 170), np.uint16)
    for value in range(1, 41):
        cy, cx, turn = chance.uniform(0, 120), chance.uniform(0, 170), chance.uniform(0, np.pi)
        a, b = chance.uniform(7, 14), chance.uniform(5, 8)
        u = (y - cy) * np.cos(turn) + (x - cx) * np.sin(turn)
        v = (x - cx) * np.cos(turn) - (y - cy) * np.sin(turn)
        out[(u / a) ** 2 + (v / b) ** 2 < 1] = value
    return out


@pytest.mark.parametrize("seed", range(4))
def test_the_truth_comes_back(seed: int) -> None:
    truth = crowd(seed)
    planes = instance_planes(truth)
    assert planes.shape == (3, 120, 170) and np.abs(planes[1:] - 0.5).max() <= SPAN + 1e-6
    assert instance_agreement(truth, instances_of(planes))["f1_50"] > 0.9  # some are cut in pieces by others


def test_a_doubtful_direction_still_leads_home() -> None:
    """Two discs that touch, with directions half as long and noisy: each keeps its own rim."""
    y, x = np.mgrid[:40, :60]
    truth = np.where((y - 19) ** 2 + (x - 18) ** 2 < 144, 1, 0)
    truth = np.where((y - 21) ** 2 + (x - 41) ** 2 < 144, 2, truth).astype(np.uint16)
    planes = instance_planes(truth)
    noise = np.random.default_rng(1).normal(0, 0.05, planes[1:].shape)
    planes[1:] = 0.5 + (planes[1:] - 0.5) * 0.5 + noise
    found = instances_of(planes)
    assert len(np.unique(found)) == 3
    assert np.mean((found == found[19, 18]) == (truth == 1)) > 0.99
    assert np.mean((found == found[21, 41]) == (truth == 2)) > 0.99


def test_balls_that_touch() -> None:
    z, y, x = np.mgrid[:18, :24, :44]
    truth = np.where((z - 8) ** 2 + (y - 11) ** 2 + (x - 12) ** 2 < 81, 1, 0)
    truth = np.where((z - 9) ** 2 + (y - 12) ** 2 + (x - 30) ** 2 < 90, 2, truth).astype(np.uint16)
    assert instance_agreement(truth, instances_of(instance_planes(truth)))["f1_50"] == 1.0


def test_nothing_and_crumbs_are_nothing() -> None:
    planes = np.full((3, 20, 30), 0.5, np.float32)
    planes[0] = 0
    assert not instances_of(planes).any()
    planes[0, 3, 4:8] = 1
    assert not instances_of(planes).any()
    planes[0, 10:15, 10:15] = 1  # nobody is sent anywhere
    assert instances_of(planes).max() == 1
