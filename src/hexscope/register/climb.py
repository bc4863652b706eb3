"""Uphill from a start: quasi-Newton steps of bounded length, in mm."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Protocol

import numpy as np

from hexscope.core.geometry import Array
from hexscope.register.motion import Motion
from hexscope.register.nmi import Push, Samples

#: A step that climbed may make the next longer; one that did not makes it shorter.
_GROW, _SHRINK = 2.0, 0.35


class Hill(Protocol):
    """What is climbed: a score of poses. Turns are measured at the radius of its samples, about their centre."""

    @property
    def samples(self) -> Samples: ...
    def push(self, matrix: Array) -> tuple[float, Push]:
        """Score of a pose, and the direction in which it rises."""
        ...


@dataclass(frozen=True, eq=False)
class Pose:
    """A 4 × 4 matrix, template LPS to scene LPS mm, and its score.

    bend  what the climb learned of the hill: the inverse of its downward curvature, by degree of freedom
    """

    score: float
    matrix: Array
    bend: Array | None = None


def climb(
    hill: Hill, start: Array, motion: Motion, *, step_mm: float, stop_mm: float, most: int, bend: Array | None = None
) -> Pose:
    """Uphill from ``start`` until no step of ``stop_mm`` or longer climbs, or after ``most`` looks.

    bend  from an earlier part of the climb; without it the first step is straight up. That of another stage is of no
          use: it fits so badly now and then that a climb ends far below the top

    Steps are those of Broyden, Fletcher, Goldfarb and Shanno (Nocedal and Wright 2006, doi:10.1007/978-0-387-40065-5,
    eq. 6.17), none longer than a reach that starts at ``step_mm``: so far the samples move at their root mean square
    distance.
    """
    center, radius = hill.samples.center_mm, hill.samples.radius_mm

    def look(matrix: Array) -> tuple[float, Array]:
        score, push = hill.push(matrix)
        return score, motion.gradient(push.force, push.moment, radius)

    (score, slope), matrix = look(start), start
    reach = step_mm
    for _ in range(most):
        step = slope if bend is None else bend @ slope
        length = sqrt(float(step @ step))
        if length < 1e-15 or reach < stop_mm:
            break
        if bend is None or length > reach:
            step, length = step * (reach / length), reach
        tried = motion.moved(matrix, step, center, radius)
        height, there = look(tried)
        bend = _bent(bend, step, slope - there)
        if height > score:
            score, slope, matrix = height, there, tried
            reach = max(reach, min(_GROW * length, 4 * step_mm))
            if length < stop_mm:
                break
        else:
            reach = length * _SHRINK
    return Pose(score, matrix, bend)


def _bent(bend: Array | None, step: Array, fall: Array) -> Array | None:
    """The inverse curvature, taught that the slope fell by ``fall`` over ``step``; unchanged where it rose."""
    rate = float(step @ fall)
    if rate <= 1e-9 * sqrt(float(step @ step) * float(fall @ fall)):
        return bend
    if bend is None:
        bend = np.eye(len(step)) * (rate / float(fall @ fall))
    change = np.eye(len(step)) - np.outer(step, fall) / rate
    return np.asarray(change @ bend @ change.T + np.outer(step, step) / rate)
