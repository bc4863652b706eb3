"""A linear map climbed once more by local correlation, where both images show tissue in the same contrast.

Between two people no linear map fits everywhere. NMI says where it fits best all in all, local correlation of what
lies on what: between whole brains (one pair, both ways) it raises the overlap of 138 labels from .416 to .422 in Dice.
On small crops it changes nothing, and is left out.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import ndimage

from hexscope.core.geometry import Array
from hexscope.register.climb import Pose, climb
from hexscope.register.contrast import agreement
from hexscope.register.flow import Correlation, Room
from hexscope.register.motion import motion
from hexscope.register.nmi import Push, Samples, draw
from hexscope.register.pair import Pair
from hexscope.register.pyramid import Floats, Level, coarsen
from hexscope.register.stages import Effort, Stage

#: A volume of more voxels is large; the finer of the two resolutions that it is looked at has no more.
_MOST_VOXELS = 1_000_000

#: Windows of several mm agree to this share, or more, where the contrast is the same: .997 and more for T1 of whole
#: heads and brains, T1 or T2 with FLAIR .83 to .91.
_ALIKE = 0.96

#: What is darker is background: turns and stretches are measured about the rest.
_DARK = 0.1

_LOOKS = 30


def polished(template: Level, scene: Level, pose: Pose, kind: str) -> Pose:
    """``pose`` (template to scene) climbed by local correlation, in two steps.

    Itself where the contrasts differ, or the template is small. Its score stays, that of NMI.
    """
    size, voxel = template.values.size, max(template.voxel_mm, scene.voxel_mm)
    if size <= _MOST_VOXELS:
        return pose
    fine_mm = voxel * np.ceil((size / _MOST_VOXELS) ** (1 / 3))
    matrix = pose.matrix
    for mm in (2 * fine_mm, fine_mm):
        local = LocalCorrelation(coarsen(template, mm), coarsen(scene, mm), matrix)
        if mm > fine_mm and not local.same_contrast:
            return pose
        matrix = climb(local, matrix, motion(kind), step_mm=mm / 2, stop_mm=mm / 200, most=_LOOKS).matrix
    return Pose(pose.score, matrix)


class LocalCorrelation:
    """Mean CC² of windows of the template and the scene under a pose, as something to climb.

    Windows count where the scene reached at ``start``.
    """

    def __init__(self, template: Level, scene: Level, start: Array) -> None:
        self._template, self._scene = template, scene
        shape = template.values.shape
        self._still, self._seen = (np.maximum(level.values, np.float32(0)) for level in (template, scene))
        into = self._index_map(start)
        known = (self._scene.values >= 0).astype(np.float32)
        inside = ndimage.affine_transform(known, into[:3, :3], into[:3, 3], output_shape=shape, order=1) > 0.99
        self._weight = np.asarray(inside & (template.values >= 0), np.float32)
        self._start = into
        stage = Stage((1, 1, 1), (1, 1, 1), template.spacing_mm, np.ones(3), 0, 0, Effort((), 0, 0.0, 0.0))
        self._correlation = Correlation(self._still, self._seen, self._weight, stage, Room(shape, shape, 8))
        self._steps = np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij", sparse=True)

    @cached_property
    def samples(self) -> Samples:
        """Points of the brighter part, for their centre and radius."""
        drawn = draw(self._template, 4000, 0)
        bright = drawn.values > _DARK
        drawn = drawn.where(bright) if bright.sum() > 100 else drawn
        points = drawn.places_mm(1)
        center = points.mean(axis=0)
        radius = float(np.sqrt(((points - center) ** 2).sum(axis=1).mean()))
        return Samples((points - center).astype(np.float32), drawn.values, center, max(radius, 1e-3))

    @property
    def same_contrast(self) -> bool:
        """Do the two show tissue alike at the start?"""
        brought = ndimage.affine_transform(
            self._seen, self._start[:3, :3], self._start[:3, 3], output_shape=self._still.shape, order=1
        )
        pair = Pair(self._still, brought, self._weight, self._template.affine, np.eye(4), False)
        return agreement(pair) >= _ALIKE

    def push(self, matrix: Array) -> tuple[float, Push]:
        """Mean CC², and the direction in which it rises."""
        into = self._index_map(matrix)
        slope = self._correlation.slope(self._field(into))
        # by the template's index, times it; differences are taken over two voxels
        sums = np.stack([self._moments(part) for part in slope]) / (2 * slope[0].size)
        by_mm = np.linalg.inv(self._scene.affine[:3, :3]).T @ np.linalg.inv(into[:3, :3]).T @ sums
        affine, center = self._template.affine, self.samples.center_mm
        by_point = by_mm[:, :3] @ affine[:3, :3].T + np.outer(by_mm[:, 3], affine[:3, 3] - center)
        return self._correlation.value, Push(by_mm[:, 3], by_point @ matrix[:3, :3].T)

    def _index_map(self, matrix: Array) -> Array:
        return np.asarray(np.linalg.inv(self._scene.affine) @ matrix @ self._template.affine)

    def _field(self, into: Array) -> Floats:
        """From each voxel of the template how far to the place in the scene that it meets, in indices."""
        rows = (into - np.eye(4))[:3].astype(np.float32)
        z, y, x = self._steps
        return np.stack([(r[0] * z + r[3]) + (r[1] * y + r[2] * x) for r in rows])

    def _moments(self, part: Floats) -> Array:
        """Sums of a volume times its index along z, y, x, and of itself."""
        along = [part.sum(axis=tuple(j for j in range(3) if j != axis), dtype=np.float64) for axis in range(3)]
        return np.array([*(line @ np.arange(len(line)) for line in along), along[0].sum()])
