"""Where the search begins: what the headers say, the centres laid on each other, and turns and shifts of both."""

from __future__ import annotations

from itertools import product

import numpy as np

from hexscope.core.geometry import Array
from hexscope.core.transform import rigid
from hexscope.register.climb import Pose
from hexscope.register.nmi import Similarity
from hexscope.register.pyramid import Level

#: Turns about each axis, degrees, and shifts along each, as parts of the template's size.
_TURNS = (-40.0, -20.0, 0.0, 20.0, 40.0)
_SHIFTS = (-0.25, 0.0, 0.25)


def guesses(template: Level, scene: Level) -> list[Array]:
    """Poses (template to scene) worth a look, the headers' own (identity) first."""
    bases = [np.zeros(3), scene.center_mm - template.center_mm, _mass(scene) - _mass(template)]
    size = template.volume_mm3 ** (1 / 3)
    still = (0.0, 0.0, 0.0)
    changes: list[tuple[tuple[float, ...], tuple[float, ...]]] = [(turn, still) for turn in product(_TURNS, repeat=3)]
    changes += [(still, shift) for shift in product(_SHIFTS, repeat=3)]
    return [np.eye(4)] + [
        rigid(turn, tuple(base + size * np.array(shift)), tuple(template.center_mm)).matrix
        for base in bases
        for turn, shift in changes
    ]


def best_starts(similarity: Similarity, poses: list[Array], keep: int, apart_mm: float, probes: Array) -> list[Array]:
    """The headers' pose, and the ``keep`` best others; any two lie ``apart_mm`` or more from each other."""
    scored = sorted((Pose(similarity.score(m), m) for m in poses[1:]), key=lambda p: -p.score)
    headers = Pose(similarity.score(poses[0]), poses[0])
    return [p.matrix for p in distinct([headers, *scored], keep + 1, apart_mm, probes)]


def distinct(poses: list[Pose], keep: int, apart_mm: float, probes: Array) -> list[Pose]:
    """The first ``keep`` poses that lie ``apart_mm`` or more from all those kept before."""
    kept: list[Pose] = []
    for pose in poses:
        if len(kept) == keep:
            break
        if all(gap_mm(pose.matrix, k.matrix, probes) >= apart_mm for k in kept):
            kept.append(pose)
    return kept


def gap_mm(a: Array, b: Array, probes: Array) -> float:
    """Mean distance between the images of the points ``probes`` (n, 3) under two 4 × 4 matrices."""
    difference = probes @ (a - b)[:3, :3].T + (a - b)[:3, 3]
    return float(np.linalg.norm(difference, axis=1).mean())


def _mass(level: Level) -> Array:
    """Centre of the brighter part, weighted by value, LPS mm."""
    weight = np.where(level.values > 0.1, level.values, 0.0)
    if not weight.any():
        return level.center_mm
    index = [
        float((weight.sum(axis=tuple(j for j in range(3) if j != i)) * np.arange(n)).sum() / weight.sum())
        for i, n in enumerate(level.values.shape)
    ]
    return level.world(np.array(index))
