"""Normalised mutual information of two images at sampled points, and how it changes with their pose.

NMI = (H(A) + H(B)) / H(A, B) over the overlap only (Studholme 1999, doi:10.1016/S0031-3203(98)00091-0), from a
joint histogram with first-order Parzen windows (Thévenaz and Unser 2000, doi:10.1109/83.887976). Points lie off the
voxel centres, which keeps interpolation from drawing grid-aligned poses (Likar and Pernuš 2001,
doi:10.1016/S0262-8856(00)00053-6).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array
from hexscope.register.pyramid import Floats, Level

#: Below this share of samples inside the other image a pose loses score in proportion.
_ENOUGH_OVERLAP = 0.4

#: Standard deviation of the Parzen window in bins, beyond the linear one. Without it the score is rough on the scale
#: of a few mm and a search stops on the way (measured: starts 3 mm off end up to 0.4 mm apart, against 0.1 mm).
_WINDOW_BINS = 1.0

#: Samples that are looked at in one go: what is computed on the way stays in the cache.
_BLOCK = 8192

#: Inverse powers of the root of x⁴ = x + 1: steps that fill a cube evenly (Roberts's R3 sequence).
_EVEN_STEPS = 1.2207440846057596 ** -np.arange(1.0, 4.0)


@dataclass(frozen=True, eq=False)
class Samples:
    """Points of the template and what it shows there.

    points_mm  (n, 3) LPS, relative to ``center_mm``
    values     (n,) in 0..1
    radius_mm  root mean square distance from the centre: turns angles into lengths
    """

    points_mm: Floats
    values: Floats
    center_mm: Array
    radius_mm: float

    def places_mm(self, every: int) -> Array:
        """LPS positions of every n-th point, (k, 3)."""
        return np.asarray(self.points_mm[::every] + self.center_mm, dtype=np.float64)

    def where(self, chosen: NDArray[np.bool_]) -> Samples:
        """Some of the points, about the same centre."""
        return Samples(self.points_mm[chosen], self.values[chosen], self.center_mm, self.radius_mm)


def draw(level: Level, count: int, seed: int) -> Samples:
    """``count`` points spread evenly over the level's field, starting where ``seed`` says."""
    start = np.random.default_rng(seed).random(3)
    unit = (start + np.arange(count)[:, None] * _EVEN_STEPS) % 1.0
    index = unit * (np.array(level.values.shape) - 1)
    values, _, _ = trilinear(level.values, index.astype(np.float32), slopes=False)
    center = level.center_mm
    points = (level.world(index) - center).astype(np.float32)
    radius = float(np.sqrt((points.astype(np.float64) ** 2).sum(axis=1).mean()))
    return Samples(points, values, center, radius)


def trilinear(values: Floats, index: Floats, *, slopes: bool) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Values at fractional indices (n, 3), their slopes along the array axes (n, 3), and which indices lie inside.

    Only the points inside are answered: the first two have as many rows as the third has True.
    """
    last = np.array(values.shape, dtype=np.float32) - 1
    inside = np.all((index >= 0) & (index <= last), axis=1)
    at = index[inside]
    base = np.minimum(at.astype(np.int64), np.array(values.shape) - 2)
    c, b, a = (at - base).astype(np.float32).T[::-1]
    flat = values.ravel()
    row, plane = values.shape[2], values.shape[1] * values.shape[2]
    k = base[:, 0] * plane + base[:, 1] * row + base[:, 2]
    v000, v001, v010, v011 = flat[k], flat[k + 1], flat[k + row], flat[k + row + 1]
    k += plane
    v100, v101, v110, v111 = flat[k], flat[k + 1], flat[k + row], flat[k + row + 1]
    x00, x01, x10, x11 = v001 - v000, v011 - v010, v101 - v100, v111 - v110
    v00, v01, v10, v11 = v000 + c * x00, v010 + c * x01, v100 + c * x10, v110 + c * x11
    v0, v1 = v00 + b * (v01 - v00), v10 + b * (v11 - v10)
    found = v0 + a * (v1 - v0)
    if not slopes:
        return found, np.empty((0, 3), np.float32), inside
    along_y = (v01 - v00) + a * ((v11 - v10) - (v01 - v00))
    x0, x1 = x00 + b * (x01 - x00), x10 + b * (x11 - x10)
    return found, np.stack([v1 - v0, along_y, x0 + a * (x1 - x0)], axis=1), inside


@dataclass(frozen=True, eq=False)
class Push:
    """How the score rises as the template's image is moved: dscore/dq summed over the points q.

    force   (3,) per mm of shift
    moment  (3, 3): sum of dscore/dq ⊗ (q − image of the centre)
    """

    force: Array
    moment: Array


@dataclass(frozen=True, eq=False)
class Seen:
    """A block of samples under a pose: what the scene shows there, and the joint counts with what the template shows.

    counts   (bins, bins), template by scene
    rows, columns  the lower of the two bins that each sample inside falls between
    upper    weight of the template's upper bin
    slopes   (n, 3) of the scene along its array axes
    inside   which samples of the block lie in the scene
    """

    counts: Array
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    upper: Floats
    slopes: Floats
    inside: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Similarity:
    """The score of a pose: (NMI − 1) over the overlap, less where that is small. 0 for unrelated images."""

    samples: Samples
    scene: Level
    bins: int

    def score(self, matrix: Array) -> float:
        """Score of a 4 × 4 pose, template LPS to scene LPS mm."""
        seen = self._look(matrix, slopes=False)
        return _nmi(_total(seen))[0] * self._share(seen)

    def overlap(self, matrix: Array) -> float:
        """Share of the template's field that lies inside the scene."""
        seen = self._look(matrix, slopes=False)
        return sum(int(s.inside.sum()) for s in seen) / len(self.samples.values)

    def push(self, matrix: Array) -> tuple[float, Push]:
        """Score, and the direction in which it rises."""
        seen = self._look(matrix, slopes=True)
        score, rise = _nmi(_total(seen))
        step = np.diff(rise, axis=1).ravel()  # gain of moving mass one bin up
        to_mm = np.linalg.inv(self.scene.affine[:3, :3]) * (self.bins - 1)
        turned = matrix[:3, :3].T.astype(np.float32)
        force, moment = np.zeros(3), np.zeros((3, 3))
        for block, part in zip(self._blocks(), seen, strict=True):
            at = part.rows * (self.bins - 1) + part.columns
            gain = (1 - part.upper) * step[at] + part.upper * step[at + self.bins - 1]
            pull = (gain[:, None] * part.slopes) @ to_mm
            force += pull.sum(axis=0)
            moment += pull.T @ (self.samples.points_mm[block][part.inside] @ turned)
        share = self._share(seen)
        return score * share, Push(force * share, moment * share)

    def _share(self, seen: list[Seen]) -> float:
        inside = sum(int(s.inside.sum()) for s in seen) / len(self.samples.values)
        return min(1.0, inside / _ENOUGH_OVERLAP)

    def _blocks(self) -> list[slice]:
        return [slice(a, a + _BLOCK) for a in range(0, len(self.samples.values), _BLOCK)]

    def _look(self, matrix: Array, *, slopes: bool) -> list[Seen]:
        to_index = np.linalg.inv(self.scene.affine) @ matrix
        offset = (to_index[:3, :3] @ self.samples.center_mm + to_index[:3, 3]).astype(np.float32)
        turned = to_index[:3, :3].T.astype(np.float32)
        seen = []
        for block in self._blocks():
            index = self.samples.points_mm[block] @ turned + offset
            found, rise, inside = trilinear(self.scene.values, index, slopes=slopes)
            counts, rows, columns, upper = self._count(self.samples.values[block][inside], found)
            seen.append(Seen(counts, rows, columns, upper, rise, inside))
        return seen

    def _count(self, shown: Floats, found: Floats) -> tuple[Array, NDArray[np.int64], NDArray[np.int64], Floats]:
        """Joint counts of the template's values and the scene's, with the lower bins and the upper row weight."""
        rows, u = _bin(shown, self.bins)
        columns, v = _bin(found, self.bins)
        at = rows * self.bins + columns
        cells = np.concatenate([at, at + 1, at + self.bins, at + self.bins + 1])
        weights = np.concatenate([(1 - u) * (1 - v), (1 - u) * v, u * (1 - v), u * v])
        counts = np.bincount(cells, weights, minlength=self.bins**2).astype(np.float64)
        return counts.reshape(self.bins, self.bins), rows, columns, u


def _total(seen: list[Seen]) -> Array:
    return np.asarray(np.sum([s.counts for s in seen], axis=0))


def _bin(values: Floats, bins: int) -> tuple[NDArray[np.int64], Floats]:
    """Lower of the two bins that a value in 0..1 falls between, and the weight of the upper."""
    position = values * np.float32(bins - 1)
    lower = np.minimum(position.astype(np.int64), bins - 2)
    return lower, (position - lower).astype(np.float32)


@cache
def _window(bins: int) -> Array:
    """(bins, bins): spreads each bin over its neighbours; columns sum to 1. Widens the Parzen window."""
    apart = np.subtract.outer(np.arange(bins), np.arange(bins))
    weight = np.exp(-0.5 * (apart / _WINDOW_BINS) ** 2)
    return np.asarray(weight / weight.sum(axis=0))


def _nmi(counts: Array) -> tuple[float, Array]:
    """NMI − 1 of joint counts, and its derivative by each up to a constant per row (mass only moves along rows)."""
    window = _window(len(counts))
    histogram = window @ counts @ window.T
    total = histogram.sum()
    flat = 0.0, np.zeros_like(counts)
    if total < 1:
        return flat
    joint = histogram / total
    log_joint = np.log(np.maximum(joint, 1e-12))
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    log_columns = np.log(np.maximum(columns, 1e-12))
    h_rows = -float(rows @ np.log(np.maximum(rows, 1e-12)))
    h_columns = -float(columns @ log_columns)
    h_joint = -float((joint * log_joint).sum())
    if counts.any(axis=1).sum() < 2 or counts.any(axis=0).sum() < 2:  # one of the two shows one value only
        return flat
    nmi = (h_rows + h_columns) / h_joint
    return nmi - 1.0, window.T @ ((nmi * log_joint - log_columns) / (h_joint * total)) @ window
