"""Uphill from a start: regular steps along the gradient of the score, in mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hexscope.core.geometry import Array
from hexscope.register.nmi import Push, Similarity

#: A step that climbed makes the next longer; one that did not, without momentum, makes it shorter.
_GROW, _SHRINK = 1.3, 0.5

#: Share of the last direction that is kept.
_MOMENTUM = 0.5


@dataclass(frozen=True, eq=False)
class Pose:
    """A 4 × 4 matrix, template LPS to scene LPS mm, and its score."""

    score: float
    matrix: Array


def rotation(vector: Array) -> Array:
    """3 × 3 rotation about ``vector`` by its length in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    if angle < 1e-9:
        return np.asarray(np.eye(3) + cross)
    return np.asarray(np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * (cross @ cross))


def climb(similarity: Similarity, start: Array, *, affine: bool, step_mm: float, stop_mm: float, most: int) -> Pose:
    """Uphill from ``start`` until no step of ``stop_mm`` or longer climbs, or after ``most`` looks.

    A step of ``step_mm`` moves the samples by that length at their root mean square distance.
    """
    score, push = similarity.push(start)
    best = Pose(score, start)
    before: Array | None = None
    for _ in range(most):
        direction = _direction(push, similarity.samples.radius_mm, affine, before)
        if direction is None or step_mm < stop_mm:
            break
        matrix = _moved(best.matrix, direction * step_mm, similarity, affine)
        score, tried = similarity.push(matrix)
        if score > best.score:
            best, push, before = Pose(score, matrix), tried, direction
            step_mm *= _GROW
        elif before is not None:
            before = None
        else:
            step_mm *= _SHRINK
    return best


def _direction(push: Push, radius_mm: float, affine: bool, before: Array | None) -> Array | None:
    """Unit vector of the rise: turn (3) or linear part (9) in mm at the radius, then shift (3), with momentum."""
    m = push.moment / radius_mm
    turn = m.ravel() if affine else np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    steepest = _unit(np.concatenate([turn, push.force]))
    if steepest is None or before is None:
        return steepest
    return _unit(steepest + _MOMENTUM * before)


def _unit(vector: Array) -> Array | None:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-12 else None


def _moved(matrix: Array, change_mm: Array, similarity: Similarity, affine: bool) -> Array:
    """``matrix`` followed by a small turn (or linear change) about the image of the samples' centre, and a shift."""
    samples = similarity.samples
    turn = change_mm[:-3] / samples.radius_mm
    linear = np.eye(3) + turn.reshape(3, 3) if affine else rotation(turn)
    center = matrix[:3, :3] @ samples.center_mm + matrix[:3, 3]
    out = matrix.copy()
    out[:3, :3] = linear @ matrix[:3, :3]
    out[:3, 3] = center + change_mm[-3:] - out[:3, :3] @ samples.center_mm
    return out
