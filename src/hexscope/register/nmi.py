"""Normalised mutual information of two images at sampled points, and how it changes with their pose.

NMI = (H(A) + H(B)) / H(A, B) over the overlap only (Studholme 1999, doi:10.1016/S0031-3203(98)00091-0), from a
joint histogram with first-order Parzen windows (Thévenaz and Unser 2000, doi:10.1109/83.887976). Points lie off the
voxel centres, which keeps interpolation from drawing grid-aligned poses (Likar and Pernuš 2001,
doi:10.1016/S0262-8856(00)00053-6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array
from hexscope.register.pyramid import Floats, Level

#: Below this share of samples inside the other image a pose loses score in proportion.
_ENOUGH_OVERLAP = 0.4

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
class Similarity:
    """The score of a pose: (NMI − 1) over the overlap, less where the overlap is small. 0 for unrelated images."""

    samples: Samples
    scene: Level
    bins: int

    def score(self, matrix: Array) -> float:
        """Score of a 4 × 4 pose, template LPS to scene LPS mm."""
        found, _, inside = trilinear(self.scene.values, self._index(matrix), slopes=False)
        histogram = self._histogram(found, inside)[0]
        return _nmi(histogram)[0] * self._share(inside)

    def overlap(self, matrix: Array) -> float:
        """Share of the template's field that lies inside the scene."""
        index = self._index(matrix)
        last = np.array(self.scene.values.shape) - 1
        return float(np.all((index >= 0) & (index <= last), axis=1).mean())

    def push(self, matrix: Array) -> tuple[float, Push]:
        """Score, and the direction in which it rises."""
        found, slopes, inside = trilinear(self.scene.values, self._index(matrix), slopes=True)
        histogram, rows, columns, row_weight = self._histogram(found, inside)
        score, rise = _nmi(histogram)
        step = np.diff(rise, axis=1).ravel()  # gain of moving mass one bin up
        width = self.bins - 1
        at = rows * width + columns
        per_bin = (1 - row_weight) * step[at] + row_weight * step[at + width]
        inverse = np.linalg.inv(self.scene.affine[:3, :3])
        pull = (per_bin[:, None] * slopes) @ (inverse * width)
        arm = self.samples.points_mm[inside] @ matrix[:3, :3].T
        share = self._share(inside)
        return score * share, Push(pull.sum(axis=0) * share, (pull.T @ arm) * share)

    def _share(self, inside: NDArray[np.bool_]) -> float:
        return min(1.0, float(inside.mean()) / _ENOUGH_OVERLAP)

    def _index(self, matrix: Array) -> Floats:
        to_index = np.linalg.inv(self.scene.affine) @ matrix
        offset = to_index[:3, :3] @ self.samples.center_mm + to_index[:3, 3]
        return np.asarray(
            self.samples.points_mm @ to_index[:3, :3].T.astype(np.float32) + offset.astype(np.float32)
        )

    def _histogram(
        self, found: Floats, inside: NDArray[np.bool_]
    ) -> tuple[Array, NDArray[np.int64], NDArray[np.int64], Floats]:
        """Joint counts (template bin, scene bin), the lower bins of each point, and the template's upper weight."""
        rows, u = _bin(self.samples.values[inside], self.bins)
        columns, v = _bin(found, self.bins)
        at = rows * self.bins + columns
        cells = np.concatenate([at, at + 1, at + self.bins, at + self.bins + 1])
        weights = np.concatenate([(1 - u) * (1 - v), (1 - u) * v, u * (1 - v), u * v])
        counts = np.bincount(cells, weights, minlength=self.bins**2).astype(np.float64)
        return counts.reshape(self.bins, self.bins), rows, columns, u


def _bin(values: Floats, bins: int) -> tuple[NDArray[np.int64], Floats]:
    """Lower of the two bins that a value in 0..1 falls between, and the weight of the upper."""
    position = values * np.float32(bins - 1)
    lower = np.minimum(position.astype(np.int64), bins - 2)
    return lower, (position - lower).astype(np.float32)


def _nmi(histogram: Array) -> tuple[float, Array]:
    """NMI − 1, and its derivative by each cell up to a constant per row (mass only moves along rows)."""
    total = histogram.sum()
    if total < 1:
        return 0.0, np.zeros_like(histogram)
    joint = histogram / total
    log_joint = np.log(np.maximum(joint, 1e-12))
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    log_columns = np.log(np.maximum(columns, 1e-12))
    h_rows = -float(rows @ np.log(np.maximum(rows, 1e-12)))
    h_columns = -float(columns @ log_columns)
    h_joint = -float((joint * log_joint).sum())
    if min(h_rows, h_columns) < 1e-6:  # one of the two is flat here: nothing to compare
        return 0.0, np.zeros_like(histogram)
    nmi = (h_rows + h_columns) / h_joint
    return nmi - 1.0, (nmi * log_joint - log_columns) / (h_joint * total)
