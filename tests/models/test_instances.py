"""Objects that touch: what a network learns of them, and that they come back one by one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hexscope.models.instances import instance_planes, instances_of
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
    assert planes.min() == 0 and planes.max() == 1
    assert instance_agreement(truth, instances_of(*planes))["f1_50"] > 0.85  # some are cut in pieces by others


def test_no_rim_goes_to_a_neighbour() -> None:
    """Two discs that touch: each keeps its own rim, whatever is written at the edge of the depth."""
    y, x = np.mgrid[:40, :60]
    truth = np.where((y - 19) ** 2 + (x - 18) ** 2 < 144, 1, 0)
    truth = np.where((y - 21) ** 2 + (x - 41) ** 2 < 144, 2, truth).astype(np.uint16)
    belongs, depth = instance_planes(truth)
    found = instances_of(belongs, depth)
    assert len(np.unique(found)) == 3
    assert np.mean((found == found[19, 18]) == (truth == 1)) > 0.99
    assert np.mean((found == found[21, 41]) == (truth == 2)) > 0.99


def test_nothing_and_crumbs_are_nothing() -> None:
    zeros = np.zeros((20, 30), np.float32)
    assert not instances_of(zeros, zeros).any()
    crumbs = zeros.copy()
    crumbs[3, 4:8] = 1
    assert not instances_of(crumbs, zeros).any()
    crumbs[10:15, 10:15] = 1  # belongs, reaches no core
    assert instances_of(crumbs, zeros).max() == 1
