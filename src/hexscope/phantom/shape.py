"""Shapes in space, the bricks of the anatomy: which points lie inside, and how far it reaches.

Points are float32 arrays (n, 3) of LPS millimetres: x towards the patient's left, y towards the back, z
towards the head.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation

Points = NDArray[np.float32]
Inside = NDArray[np.bool_]
Vector = tuple[float, float, float]

FAR = 1.0e4
"""mm; the reach of a shape that has no end."""


_STEP = 0.25
"""mm of height between the entries of a column's look-up table."""


class Shape(Protocol):
    """A region of space."""

    @property
    def bounds(self) -> NDArray[np.float64]:
        """(2, 3) least and greatest LPS mm; the shape lies within, it need not fill it."""

    def inside(self, points: Points) -> Inside:
        """(n, 3) LPS mm -> (n,) whether each point lies inside."""


def _no_turn() -> NDArray[np.float64]:
    return np.eye(3)


def turned(degrees: Vector) -> NDArray[np.float64]:
    """Rotation matrix from angles about the fixed x, y and z axes, in degrees, in that order."""
    matrix: NDArray[np.float64] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    return matrix


def along(direction: Vector) -> NDArray[np.float64]:
    """A rotation whose first column is `direction`: it turns the x axis of a shape to point there."""
    first = np.asarray(direction, dtype=np.float64)
    first = first / np.linalg.norm(first)
    helper = np.eye(3)[int(np.argmin(np.abs(first)))]
    second = np.cross(helper, first)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """sum |x_i / radius_i| ** power <= 1 along the columns of `turn`; power 2 is an ellipsoid."""

    centre: Vector
    radii: Vector
    turn: NDArray[np.float64] = field(default_factory=_no_turn)
    power: float = 2.0

    @property
    def bounds(self) -> NDArray[np.float64]:
        reach = np.abs(self.turn) @ np.asarray(self.radii)
        return np.stack([np.asarray(self.centre) - reach, np.asarray(self.centre) + reach])

    def inside(self, points: Points) -> Inside:
        to_unit = (self.turn / np.asarray(self.radii)).astype(np.float32)
        local = (points - np.asarray(self.centre, dtype=np.float32)) @ to_unit
        if self.power == 2.0:
            return np.asarray(np.einsum("ij,ij->i", local, local) <= 1.0)
        return np.asarray((np.abs(local) ** self.power).sum(axis=1) <= 1.0)


@dataclass(frozen=True, eq=False)
class Segment:
    """A tapered piece of tube with round ends, from `start` to `end`; radii in mm.

    `flat` (a unit vector) and `ratio` press it: distances along `flat` count `ratio` times, so that a rib is
    higher than thick.
    """

    start: Vector
    end: Vector
    start_radius: float
    end_radius: float
    flat: Vector | None = None
    ratio: float = 1.0

    @property
    def bounds(self) -> NDArray[np.float64]:
        ends = np.array([self.start, self.end])
        reach = max(self.start_radius, self.end_radius)
        return np.stack([ends.min(axis=0) - reach, ends.max(axis=0) + reach])

    def inside(self, points: Points) -> Inside:
        start = np.asarray(self.start, dtype=np.float32)
        axis = np.asarray(self.end, dtype=np.float32) - start
        from_start = points - start
        part = np.clip(from_start @ axis / max(float(axis @ axis), 1e-9), 0.0, 1.0)
        off = from_start - part[:, None] * axis
        squared = np.einsum("ij,ij->i", off, off)
        if self.flat is not None:
            squared += (self.ratio**2 - 1.0) * (off @ np.asarray(self.flat, dtype=np.float32)) ** 2
        radius = self.start_radius + part * (self.end_radius - self.start_radius)
        return np.asarray(squared <= radius * radius)


def tube(path: NDArray[np.float64], radii: NDArray[np.float64]) -> list[Segment]:
    """Segments along `path` (n, 3) with a radius at each of its points (n,), both in mm."""
    places: list[Vector] = [(float(x), float(y), float(z)) for x, y, z in path]
    return [Segment(places[i], places[i + 1], float(radii[i]), float(radii[i + 1])) for i in range(len(places) - 1)]


@dataclass(frozen=True, eq=False)
class Column:
    """Superelliptic cross-sections stacked along z: the trunk, its muscle wall, the hollow of the chest.

    `table` has one row per height: z, half width (x), depth in front (towards -y), depth behind (towards +y),
    in mm, z rising. Beyond its first and last height the column ends. Heights between are interpolated by a
    monotone cubic (PCHIP).
    """

    table: tuple[tuple[float, float, float, float], ...]
    centre_x: float = 0.0
    centre_y: float = 0.0
    power: float = 2.4

    @property
    def bounds(self) -> NDArray[np.float64]:
        rows = np.asarray(self.table)
        wide, front, back = rows[:, 1].max(), rows[:, 2].max(), rows[:, 3].max()
        low = [self.centre_x - wide, self.centre_y - front, rows[0, 0]]
        return np.array([low, [self.centre_x + wide, self.centre_y + back, rows[-1, 0]]])

    @cached_property
    def _fine(self) -> NDArray[np.float32]:
        """(3, n) half axes each `_STEP` mm of height, interpolated once: points need only a look-up."""
        rows = np.asarray(self.table)
        heights = np.arange(rows[0, 0], rows[-1, 0] + _STEP, _STEP)
        found = PchipInterpolator(rows[:, 0], rows[:, 1:], axis=0)(heights).T
        return np.asarray(found, dtype=np.float32)

    def half_axes(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) heights in mm -> (3, n) half width, front and back depth in mm."""
        steps = np.rint((z - self.table[0][0]) / _STEP).astype(np.int64)
        return np.asarray(np.take(self._fine, steps, axis=1, mode="clip"))

    def inside(self, points: Points) -> Inside:
        x, y, z = points.T
        wide, front, back = self.half_axes(z)
        across = np.abs(x - self.centre_x) / wide
        deep = np.abs(y - self.centre_y) / np.where(y < self.centre_y, front, back)
        within = across**self.power + deep**self.power <= 1.0
        return np.asarray(within & (z >= self.table[0][0]) & (z <= self.table[-1][0]))

    def surface(self, z: float, degrees: float) -> NDArray[np.float64]:
        """The wall at height `z` and an angle in degrees: 0 is the left side, 90 the back, 180 the right."""
        wide, front, back = self.half_axes(np.array([z], dtype=np.float32))[:, 0]
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        depth = back if sin > 0 else front
        size = (abs(cos / wide) ** self.power + abs(sin / depth) ** self.power) ** (-1.0 / self.power)
        return np.array([self.centre_x + size * cos, self.centre_y + size * sin, z])


@dataclass(frozen=True)
class Dome:
    """All that lies under z = top - (dx / spread_x)**2 - (dy / spread_y)**2: half a diaphragm."""

    top: float
    centre_x: float
    centre_y: float
    spread_x: float
    spread_y: float

    @property
    def bounds(self) -> NDArray[np.float64]:
        return np.array([[-FAR, -FAR, -FAR], [FAR, FAR, self.top]])

    def inside(self, points: Points) -> Inside:
        x = (points[:, 0] - self.centre_x) / self.spread_x
        y = (points[:, 1] - self.centre_y) / self.spread_y
        return np.asarray(points[:, 2] <= self.top - x * x - y * y)


@dataclass(frozen=True)
class Half:
    """All points with `normal` . p <= `offset`: one side of a plane, in mm along a unit normal."""

    normal: Vector
    offset: float

    @property
    def bounds(self) -> NDArray[np.float64]:
        return np.array([[-FAR] * 3, [FAR] * 3])

    def inside(self, points: Points) -> Inside:
        return np.asarray(points @ np.asarray(self.normal, dtype=np.float32) <= self.offset)


@dataclass(frozen=True)
class Both:
    """Where all of `parts` are."""

    parts: tuple[Shape, ...]

    @property
    def bounds(self) -> NDArray[np.float64]:
        boxes = np.stack([part.bounds for part in self.parts])
        return np.stack([boxes[:, 0].max(axis=0), boxes[:, 1].min(axis=0)])

    def inside(self, points: Points) -> Inside:
        found = self.parts[0].inside(points)
        for part in self.parts[1:]:
            left = np.flatnonzero(found)  # the next part is asked only about points still in play
            found[left] = part.inside(points[left])
        return found


@dataclass(frozen=True)
class Either:
    """Where any of `parts` is."""

    parts: tuple[Shape, ...]

    @property
    def bounds(self) -> NDArray[np.float64]:
        boxes = np.stack([part.bounds for part in self.parts])
        return np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])

    def inside(self, points: Points) -> Inside:
        found = self.parts[0].inside(points)
        for part in self.parts[1:]:
            found = found | part.inside(points)
        return found


@dataclass(frozen=True)
class Layer:
    """A shape painted with a label, where `over` is given only on points that hold one of those labels."""

    label: int
    shape: Shape
    over: tuple[int, ...] | None = None
