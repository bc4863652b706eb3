"""Normalised mutual information of two images at sampled points, and how it changes with their pose.

NMI = (H(A) + H(B)) / H(A, B) over the overlap only (Studholme 1999, doi:10.1016/S0031-3203(98)00091-0), from a
joint histogram with Parzen windows (Thévenaz and Unser 2000, doi:10.1109/83.887976). Points lie off the
voxel centres, which keeps interpolation from drawing grid-aligned poses (Likar and Pernuš 2001,
doi:10.1016/S0262-8856(00)00053-6).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Array
from hexscope.kernels.histogram import count, pull, widen
from hexscope.kernels.threads import share
from hexscope.register.pyramid import Floats, Level

#: Standard deviation of the Parzen window in bins, beyond the linear one. Without it the score is rough on the scale
#: of a few mm and a search stops on the way (measured: starts 3 mm off end up to 0.4 mm apart, against 0.1 mm).
_WINDOW_BINS = 1.0

#: What lies farther off has less than a hundred thousandth of the window's weight.
_REACH_BINS = 5

#: Samples in a piece of a kernel's work.
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
        return Samples(
            np.ascontiguousarray(self.points_mm[chosen]), self.values[chosen], self.center_mm, self.radius_mm
        )


def draw(level: Level, number: int, seed: int) -> Samples:
    """``number`` points spread evenly over what is known of the level, starting where ``seed`` says.

    They are sorted by cubes of voxels, so that neighbours in memory are looked at together under any turn.
    """
    number = int(number / max(level.known, 1e-3))  # so many fall on what is known
    begin = np.random.default_rng(seed).random(3)
    last = np.array(level.values.shape) - 1
    index = np.empty((3, number))
    for row, first, step, far in zip(index, begin, _EVEN_STEPS, last, strict=True):
        np.multiply(np.arange(number), step, out=row)
        row += first
        row -= np.floor(row)
        row *= far
    index = index[:, np.argsort(_cubes(index, last + 1), kind="stable")]
    values = ndimage.map_coordinates(level.values, index, order=1)
    if len(values) and values.min() < 0:
        index, values = index[:, values >= 0], values[values >= 0]
    center = level.center_mm
    offset = level.affine[:3, 3] - center
    points = np.ascontiguousarray((level.affine[:3, :3] @ index + offset[:, None]).T, np.float32)
    radius = float(np.sqrt(np.einsum("ij,ij", points, points, dtype=np.float64) / max(len(points), 1)))
    return Samples(points, values, center, max(radius, 1e-3) if len(points) else 1.0)


def _cubes(index: Array, shape: NDArray[np.int64]) -> NDArray[np.uint16]:
    """The number of the cube of voxels that each of (3, n) places falls into: sixteen bits are sorted in no time."""
    side = 8
    while np.prod(-(-shape // side)) > 65_536:
        side *= 2
    z, y, x = (index / side).astype(np.int32)
    _, rows, columns = -(-shape // side)
    return np.asarray((z * rows + y) * columns + x, dtype=np.uint16)


@dataclass(frozen=True, eq=False)
class Push:
    """How the score rises with a motion after the pose.

    force   (3,) per mm of shift
    moment  (3, 3): sum of dscore/dq ⊗ (q − image of the centre)
    """

    force: Array
    moment: Array


@dataclass(frozen=True, eq=False)
class Similarity:
    """The score of a pose: (NMI − 1) over the overlap, times the overlap to the power of ``toll``. 0 where unrelated.

    Where only a corner of an image is compared, NMI is often high by chance: with a toll of a half, a search far and
    wide finds its way (of 1, and half a head fits better upside down on the other half than on their common part).
    Without a toll, nothing draws the answer off the pose.
    """

    samples: Samples
    scene: Level
    bins: int
    toll: float = 0.5

    def score(self, matrix: Array) -> float:
        """Score of a 4 × 4 pose, template LPS to scene LPS mm."""
        return float(self.scores(matrix[None])[0])

    def scores(self, matrices: Array) -> Array:
        """Scores of (k, 4, 4) poses, (k,)."""
        counts = self._counts(self._maps(matrices))
        return np.asarray(_nmi(counts)[0] * self._share(counts)[0])

    def overlap(self, matrix: Array) -> float:
        """Share of the template's samples that lie inside the scene."""
        return float(self._counts(self._maps(matrix[None])).sum()) / max(len(self._shown), 1)

    def push(self, matrix: Array) -> tuple[float, Push]:
        """Score, and the direction in which it rises."""
        felt = self._felt
        counts = self._counts(self._maps(matrix[None]), felt)
        score, rise = _nmi(counts)
        share_of, lean = self._share(counts)
        rise = rise[0] * share_of[0] + score[0] * lean[0]
        sums = np.zeros((self._blocks, 3, 4))
        share(pull, self._blocks, self.samples.points_mm, self._shown, felt, rise.astype(np.float32), sums, _BLOCK)
        by_mm = self._to_index[:3, :3].T @ sums.sum(axis=0)
        return float(score[0] * share_of[0]), Push(by_mm[:, 3], by_mm[:, :3] @ matrix[:3, :3].T)

    @cached_property
    def _shown(self) -> NDArray[np.int32]:
        """The bin that each sample falls into."""
        return np.round(self.samples.values * np.float32(self.bins - 1)).astype(np.int32)

    @cached_property
    def _to_index(self) -> Array:
        """(4, 4) from mm to indices of the scene."""
        return np.asarray(np.linalg.inv(self.scene.affine))

    @cached_property
    def _felt(self) -> Floats:
        """Room for what each sample feels, kept from look to look: fresh memory costs as much as the look."""
        return np.empty((len(self._shown), 8), np.float32)

    @cached_property
    def _shape(self) -> NDArray[np.int64]:
        return np.array(self.scene.values.shape, np.int64)

    @property
    def _blocks(self) -> int:
        return -(-len(self._shown) // _BLOCK)

    def _maps(self, matrices: Array) -> Floats:
        """(k, 3, 4) from a sample's point to its index in the scene."""
        to_index = self._to_index @ matrices
        to_index[:, :3, 3] += to_index[:, :3, :3] @ self.samples.center_mm
        return np.ascontiguousarray(to_index[:, :3], np.float32)

    def _counts(self, maps: Floats, felt: Floats | None = None) -> Array:
        """(k, bins, bins) joint counts of as many poses, template by scene."""
        pieces = np.zeros((len(maps) * self._blocks, self.bins, self.bins), np.float32)
        kept = np.empty((0, 8), np.float32) if felt is None else felt
        seen = self.scene.values.ravel(), self._shape
        share(count, len(pieces), self.samples.points_mm, self._shown, *seen, maps, pieces, kept, _BLOCK)
        whole = pieces.reshape(len(maps), self._blocks, self.bins, self.bins)
        return np.asarray(whole.sum(axis=1, dtype=np.float64))

    def _share(self, counts: Array) -> tuple[Array, Array]:
        """What is left of each score for its overlap, and the slope of that by a count."""
        inside = np.maximum(counts.sum(axis=(1, 2)), 1e-9)
        left = (inside / max(len(self._shown), 1)) ** self.toll
        return left, self.toll * left / inside


def _spread(counts: Array) -> Array:
    """Each count of (k, bins, bins) spread over its neighbours, along both axes; none is lost at the ends."""
    return _widened(np.asarray(counts * _scale(counts.shape[-1])))


def _gathered(slopes: Array) -> Array:
    """How a sum rises with each count, from how it rises with what `_spread` makes of them."""
    return np.asarray(_widened(slopes) * _scale(slopes.shape[-1]))


def _widened(counts: Array) -> Array:
    """A kernel and no product of matrices: a threaded library wakes its threads for 64 bins or more, and burns them."""
    between, out = np.empty_like(counts), np.empty_like(counts)
    share(widen, len(counts), counts, _TAPS, between, out)
    return out


_TAPS = np.exp(-0.5 * (np.arange(_REACH_BINS + 1) / _WINDOW_BINS) ** 2)


@cache
def _scale(bins: int) -> Array:
    """One over how much of the window about each cell falls on cells, (bins, bins)."""
    apart = np.abs(np.subtract.outer(np.arange(bins), np.arange(bins)))
    whole = np.where(apart <= _REACH_BINS, _TAPS[np.minimum(apart, _REACH_BINS)], 0.0).sum(axis=0)
    return np.asarray(1 / np.outer(whole, whole))


def _nmi(counts: Array) -> tuple[Array, Array]:
    """NMI − 1 of each of k joint counts, and its derivative by each count."""
    joint = _spread(counts)
    total = joint.sum(axis=(1, 2))
    joint /= np.maximum(total, 1e-12)[:, None, None]
    logs = [np.log(np.maximum(p, 1e-12)) for p in (joint.sum(axis=2), joint.sum(axis=1), joint)]
    h_rows, h_columns = (-(np.exp(log) * log).sum(axis=1) for log in logs[:2])
    h_joint = -(joint * logs[2]).sum(axis=(1, 2))
    told = (total >= 1) & (counts.any(axis=2).sum(axis=1) > 1) & (counts.any(axis=1).sum(axis=1) > 1)
    nmi = np.where(told, (h_rows + h_columns) / np.where(told, h_joint, 1.0), 1.0)
    scale = np.where(told, h_joint * total, np.inf)[:, None, None]  # one of the two shows one value only: flat
    slope = (nmi[:, None, None] * logs[2] - logs[0][:, :, None] - logs[1][:, None, :]) / scale
    return nmi - 1.0, _gathered(slope)
