"""Edges that run along each other: a second opinion on a pose, for any two modalities.

Where two images show one body, the borders in one lie on borders in the other and run the same way, whatever the
contrast. The score is the mean squared product of normals (normalised gradient fields, Haber and Modersitzki 2006,
doi:10.1007/11866763_89). It shares nothing with mutual information but the images: where both end in one place,
that speaks for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Array
from hexscope.kernels.edges import agree
from hexscope.kernels.threads import share
from hexscope.register.nmi import Push, Samples
from hexscope.register.pyramid import Floats, Level, coarsen

#: Length of a normal from which on a voxel counts as an edge.
_EDGE = 0.8

#: Edge points that are looked at.
_MOST = 12_000

#: Blur before the gradient is taken, voxels.
_BLUR = 0.7


@dataclass(frozen=True, eq=False)
class Edges:
    """The score of a pose: mean squared product of the template's normals with the scene's, 0..1.

    samples  the template's edge points; ``values`` of them are not used
    normals  (n, 3) of them, lengths 0..1, LPS
    field    (z, y, x, 3) the scene's normals, LPS
    affine   of the field, array index to LPS mm
    """

    samples: Samples
    normals: Floats
    field: Floats
    affine: Array

    def score(self, matrix: Array) -> float:
        """Score of a 4 × 4 pose, template LPS to scene LPS mm."""
        found = self._agree(matrix, self._turned(matrix))[:, 0]
        return float(np.maximum(found, 0).sum() / self._count(found))

    def push(self, matrix: Array) -> tuple[float, Push]:
        """Score, and the direction in which it rises: by moving the points, and by turning their normals."""
        turned = self._turned(matrix)
        found = self._agree(matrix, turned)
        count = self._count(found[:, 0])
        pull = found[:, 1:4] @ np.linalg.inv(self.affine[:3, :3]).astype(np.float32)
        places = self.samples.points_mm @ matrix[:3, :3].T.astype(np.float32)
        moment = (pull.T @ places - turned.T @ found[:, 4:]).astype(np.float64) / count
        score = float(np.maximum(found[:, 0], 0).sum() / count)
        return score, Push(pull.sum(axis=0, dtype=np.float64) / count, moment)

    def where(self, chosen: NDArray[np.bool_]) -> Edges:
        """Some of the points."""
        normals = np.ascontiguousarray(self.normals[chosen])
        return replace(self, samples=self.samples.where(chosen), normals=normals)

    def _turned(self, matrix: Array) -> Floats:
        """The normals as the pose turns them: by the inverse transpose, lengths kept on the whole."""
        back = np.linalg.inv(matrix[:3, :3])
        turned = self.normals @ (back / np.cbrt(abs(np.linalg.det(back)))).astype(np.float32)
        return np.ascontiguousarray(turned)

    def _agree(self, matrix: Array, turned: Floats) -> Floats:
        to_index = np.linalg.inv(self.affine) @ matrix
        to_index[:3, 3] += to_index[:3, :3] @ self.samples.center_mm
        out = np.empty((len(turned), 7), np.float32)
        way = np.ascontiguousarray(to_index[:3], np.float32)
        share(agree, len(out), self.samples.points_mm, turned, self.field, way, out, least=2048)
        return out

    @staticmethod
    def _count(found: Floats) -> float:
        """Points inside; never fewer than half of all, so that leaving the scene does not pay."""
        return max(float((found >= 0).sum()), 0.5 * len(found), 1.0)


def edges(template: Level, scene: Level, resolution_mm: float) -> Edges:
    """The edges of both at ``resolution_mm``."""
    normals, affine = _normals(coarsen(template, resolution_mm))
    index = np.argwhere(np.linalg.norm(normals, axis=-1) > _EDGE)
    index = index[np.linspace(0, len(index) - 1, min(_MOST, len(index))).astype(int)]
    center = template.center_mm
    points = (index @ affine[:3, :3].T + affine[:3, 3] - center).astype(np.float32)
    radius = float(np.sqrt((points.astype(np.float64) ** 2).sum(axis=1).mean())) if len(points) else 1.0
    samples = Samples(np.ascontiguousarray(points), np.zeros(len(points), np.float32), center, max(radius, 1e-3))
    return Edges(samples, np.ascontiguousarray(normals[tuple(index.T)]), *_normals(coarsen(scene, resolution_mm)))


def _normals(level: Level) -> tuple[Floats, Array]:
    """Gradient over its length and the noise's, (z, y, x, 3) LPS, 0 beside void; with the affine of the level."""
    void = level.values < 0
    blurred = ndimage.gaussian_filter(np.where(void, 0, level.values), _BLUR)
    slopes = [np.gradient(blurred, axis=a) if n > 1 else np.zeros_like(blurred) for a, n in enumerate(blurred.shape)]
    gradient = np.stack(slopes, axis=-1) @ np.linalg.inv(level.affine[:3, :3])
    if void.any():
        gradient[ndimage.binary_dilation(void, iterations=2)] = 0
    length = np.linalg.norm(gradient, axis=-1)
    seen = length[length > 1e-6]
    noise = max(float(np.median(seen)), 0.05 * float(np.percentile(seen, 99))) if len(seen) else 1.0
    normals = gradient / np.sqrt(length**2 + noise**2)[..., None]
    return np.ascontiguousarray(normals, np.float32), level.affine
