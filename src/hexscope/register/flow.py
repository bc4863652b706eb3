"""One direction of a deformation at one stage: uphill on a similarity, in small smooth steps, each composed with what
was found before (greedy diffeomorphic registration; Yushkevich 2016, doi:10.1016/j.jalz.2016.06.1550)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array
from hexscope.kernels import field as field_kernels
from hexscope.kernels import lncc, smooth
from hexscope.kernels.threads import share
from hexscope.register.stages import LONGEST, STEP, Stage

Floats = NDArray[np.float32]

#: Smoothing narrower than this, in cells, is none.
_NARROW = 0.15

#: A window varies where its variance is this many times what is added to it.
_VARIES = 4.0


class Room:
    """Arrays that both directions of a stage work in, one after the other."""

    def __init__(self, shape: tuple[int, ...], cells: tuple[int, ...], reach: int) -> None:
        self.warped = np.empty(shape, np.float32)
        self.rows = np.empty((cells[0], 6, max(shape[2], cells[2]) + 2 * reach + 2), np.float32)
        self.first, self.second, self.third = (np.empty((3, *cells), np.float32) for _ in range(3))
        self.sums = np.empty(cells[0], np.float32)


class Similarity(Protocol):
    """What a flow climbs."""

    active: float  # share of the cells that have something to say
    value: float  # mean similarity where it was last looked at

    def slope(self, field: Floats) -> Floats:
        """How the similarity changes with each component of the field, (3, z, y, x) in an array of the room."""


class Correlation:
    """Local correlation (CC²) of two volumes of one stage."""

    def __init__(self, still: Floats, moving: Floats, weight: Floats, stage: Stage, room: Room) -> None:
        self.still, self.moving, self.room = still, moving, room
        cells = weight.shape
        radius = stage.radius_cells(cells)
        self._sizes = np.array([*stage.cells, *radius], np.int64)
        self._counts = _counts(still.shape, cells, self._sizes)
        self._standing = np.empty((3, *cells), np.float32)
        self._standing[2] = weight
        rest = np.zeros((3, *cells), np.float32)
        self._products(still, rest)
        share(lncc.standing, cells[0], room.second, self._counts, self._sizes, room.rows, self._standing)
        counts = self._counts[0, : cells[0], None, None] * self._counts[1, : cells[1], None]
        varies = self._standing[1] > (1 + _VARIES) * lncc.EPSILON * counts * self._counts[2, : cells[2]]
        self.active = float(np.mean(varies & (weight > 0)))
        self.value = 0.0

    def slope(self, field: Floats) -> Floats:
        room, count = self.room, field.shape[1]
        self._products(self.moving, field)
        rest = self._counts, self._sizes, room.rows, room.first, room.third, room.sums
        share(lncc.coefficients, count, room.second, self._standing, *rest)
        self.value = float(room.sums.sum()) / self._standing[2].size
        share(lncc.force, count, self.still, room.warped, room.third, self._sizes, room.rows, room.first)
        return room.first

    def _products(self, moving: Floats, field: Floats) -> None:
        room = self.room
        args = moving, field, self._sizes, self.still, room.rows, room.warped, room.first, room.second
        share(lncc.products, field.shape[1], *args)


class CorrelationWithEdges:
    """Local correlation of two volumes, and as much of how steep they are: the bounds of small parts count more."""

    def __init__(self, still: Floats, moving: Floats, weight: Floats, stage: Stage, room: Room) -> None:
        self._plain = Correlation(still, moving, weight, stage, room)
        self._edges = Correlation(steepness(still, stage.mm), steepness(moving, stage.mm), weight, stage, room)
        self.active, self.value = self._plain.active, 0.0

    def slope(self, field: Floats) -> Floats:
        one = self._plain.slope(field).copy()
        both = self._edges.slope(field)
        both += one
        self.value = (self._plain.value + self._edges.value) / 2
        return both


def steepness(volume: Floats, mm: Array) -> Floats:
    """Length of the gradient, 1 where it is as steep as anywhere but in a hundredth of the volume."""
    long = [axis for axis in range(3) if volume.shape[axis] > 1]
    length = np.sqrt(sum(np.gradient(volume, axis=axis) ** 2 / mm[axis] ** 2 for axis in long))
    return np.asarray(length / max(float(np.percentile(length, 99)), 1e-6), dtype=np.float32)


def _counts(shape: tuple[int, ...], cells: tuple[int, ...], sizes: NDArray[np.int64]) -> Floats:
    """Voxels of the window about each cell, along each axis, (3, longest)."""
    out = np.ones((3, max(cells)), np.float32)
    for axis in range(3):
        k, r = sizes[axis], sizes[3 + axis]
        at = np.arange(cells[axis])
        out[axis, : cells[axis]] = np.minimum(shape[axis], k * (at + r + 1)) - np.maximum(0, k * (at - r))
    return out


class Flow:
    """A field (3, z, y, x), in cells, on its way up a similarity."""

    def __init__(self, similarity: Similarity, field: Floats, stage: Stage, room: Room) -> None:
        self.similarity, self.field, self.stage, self.room = similarity, field, stage, room
        self._spare = np.empty_like(field)
        self._step_taps = taps(stage.sigma_cells(stage.effort.step_sigma))
        self._field_taps = taps(stage.sigma_cells(stage.effort.field_sigma))
        near = (stage.cell_mm.min() / stage.cell_mm) ** 2
        self._rates = np.asarray(stage.effort.evens * near * stage.free, dtype=np.float32)

    def rounds(self, count: int) -> None:
        """So many steps, the longest first, in the middle of the wanted length."""
        calms = self.stage.effort.calms
        for done in range(count):
            self._round(calms ** (0.5 - done / max(count - 1, 1)))

    def _round(self, eager: float) -> None:
        slope = self.similarity.slope(self.field)
        blur(slope, self._step_taps, self.room.second, self.room.rows)
        share(field_kernels.compose, self.field.shape[1], self.field, slope, self._rule(slope, eager), self._spare)
        self.field, self._spare = self._spare, self.field
        blur(self.field, self._field_taps, self.room.second, self.room.rows)
        if self.stage.effort.evens:
            self._even_out()

    def _even_out(self) -> None:
        """A step down the square of the swelling: what grows or shrinks does so evenly, and shear is left alone (the
        second of the two terms of linear elasticity; Christensen 1996, doi:10.1109/83.536892)."""
        swelling, count = self.room.first[0], self.field.shape[1]
        share(field_kernels.divergence, count, self.field, swelling)
        share(field_kernels.even_out, count, swelling, self._rates, self.field)

    def _rule(self, slope: Floats, eager: float) -> Floats:
        """How a slope becomes a step: along the steepest rise in mm, ``eager`` times as long as typically wanted."""
        stage = self.stage
        per_mm = stage.free / stage.mm
        sums = self.room.sums
        share(field_kernels.lengths, slope.shape[1], slope, per_mm.astype(np.float32), sums)
        typical = np.sqrt(float(sums.sum(dtype=np.float64)) / max(slope[0].size * self.similarity.active, 1.0))
        step = eager * STEP * stage.voxel_mm
        scale = step / max(typical, 1e-12) * per_mm / stage.cell_mm
        return np.array([*scale, *stage.cell_mm, LONGEST * step], np.float32)


def taps(sigma_cells: Array) -> tuple[Floats, Floats, Floats]:
    """Gaussian weights along z, y, x, the centre first; those of y and x equally many."""
    reach = [int(np.ceil(2.5 * s)) if s >= _NARROW else 0 for s in sigma_cells]
    reach[1:] = [max(reach[1:])] * 2
    made = []
    for s, r in zip(sigma_cells, reach, strict=True):
        w = np.exp(-0.5 * (np.arange(r + 1) / max(float(s), 0.05)) ** 2)
        made.append((w / (w[0] + 2 * w[1:].sum())).astype(np.float32))
    return made[0], made[1], made[2]


def blur(stack: Floats, weights: tuple[Floats, Floats, Floats], spare: Floats, rows: Floats) -> None:
    """Smooth (K, z, y, x) in place; ``spare`` is as large, ``rows`` scratch of a room."""
    z, y, x = weights
    count = stack.shape[1]
    if len(y) > 1:
        share(smooth.planes, count, stack, y, x, rows, spare)
        if len(z) == 1:
            stack[...] = spare
    else:
        spare[...] = stack
    if len(z) > 1:
        share(smooth.columns, count, spare, z, stack)
