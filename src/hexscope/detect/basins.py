"""Hot voxels parted into hills: each voxel belongs to the summit that steepest ascent leads to."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Part = NDArray[np.bool_]
Labels = NDArray[np.int64]

_NEIGHBOURS = [step for step in product((-1, 0, 1), repeat=3) if any(step)]


def basins(values: NDArray[Any], part: Part, merge: float) -> Labels:
    """Hills of ``values`` within ``part`` (both 3-D, one shape): 1, 2, … there, 0 elsewhere.

    Two hills are one where the pass between them reaches ``merge`` times the lower summit: noise and the
    folds of one lesion make low summits with high passes, two lesions side by side do not.
    """
    out = np.zeros(part.shape, np.int64)
    if not part.any():
        return out
    where, neighbours = _linked(part)
    heights = values[part].astype(np.float64)
    summit = _ascend(heights, neighbours)
    tops, hill = np.unique(summit, return_inverse=True)
    joined = _merged(hill, heights, neighbours, heights[tops], merge)
    _, final = np.unique(joined[hill], return_inverse=True)
    out.ravel()[where] = final + 1
    return out


def _linked(part: Part) -> tuple[Labels, Labels]:
    """Flat positions of the voxels of ``part``, and the ranks of the 26 neighbours of each (−1: none)."""
    padded = np.pad(part, 1)
    rank = np.full(padded.size, -1, np.int64)
    inside = np.flatnonzero(padded)
    rank[inside] = np.arange(inside.size)
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    offsets = np.array(_NEIGHBOURS) @ strides
    return np.flatnonzero(part), rank[inside[:, None] + offsets]


def _ascend(heights: NDArray[np.float64], neighbours: Labels) -> Labels:
    """For each voxel the rank of its summit. Of equal heights the one of lower rank counts as higher."""
    around = np.where(neighbours >= 0, heights[neighbours], -np.inf)
    best = neighbours[np.arange(heights.size), around.argmax(axis=1)]
    own = np.arange(heights.size)
    higher = (heights[best] > heights) | ((heights[best] == heights) & (best < own))
    up = np.where((best >= 0) & higher, best, own)
    while True:
        further = up[up]
        if np.array_equal(further, up):
            return up
        up = further


def _merged(
    hill: Labels, heights: NDArray[np.float64], neighbours: Labels, tops: NDArray[np.float64], merge: float
) -> Labels:
    """For each hill the hill that it is part of, joining over the highest passes first."""
    parent = np.arange(tops.size)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for low, high, height in _passes(hill, heights, neighbours):
        a, b = root(low), root(high)
        if a != b and height >= merge * min(tops[a], tops[b]):
            keep, lose = (a, b) if (tops[a], -a) >= (tops[b], -b) else (b, a)
            parent[lose] = keep
    return np.array([root(i) for i in range(tops.size)], dtype=np.int64)


def _passes(hill: Labels, heights: NDArray[np.float64], neighbours: Labels) -> list[tuple[int, int, float]]:
    """The highest way over from hill to hill, highest first: (hill, hill, height)."""
    own, other = np.nonzero((neighbours >= 0) & (hill[neighbours] != hill[:, None]))
    theirs = neighbours[own, other]
    pair = np.sort(np.stack([hill[own], hill[theirs]], axis=1), axis=1)
    height = np.minimum(heights[own], heights[theirs])
    best: dict[tuple[int, int], float] = {}
    for (a, b), h in zip(pair.tolist(), height.tolist(), strict=True):
        best[a, b] = max(h, best.get((a, b), h))
    return sorted(((a, b, h) for (a, b), h in best.items()), key=lambda way: -way[2])
