"""Small patches that each find their own place: what a pose is worth, piece by piece.

Each patch of the template is laid on the scene at all shifts nearby, and the one is taken at which the two are most
alike (squared correlation: within a patch two contrasts are nearly a line of each other, whichever way it slopes).
Where a pose is right, patches stay where they are; where it is not, they scatter: another person's body has its edges
elsewhere, and no rigid motion brings all of them home.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Array
from hexscope.kernels.patches import match
from hexscope.kernels.threads import share
from hexscope.register.pyramid import VOID, Floats, Level, coarsen

#: Parts of the template's size that a voxel of the comparison measures; half a patch, and the farthest shift, in those.
_DIVISIONS, _HALF, _REACH = 45, 4, 5

#: Patches that are looked at: those with most to see in both images.
_MOST = 64

#: Variance of what counts as an even surface (values in 0..1).
_QUIET = 5e-5


@dataclass(frozen=True)
class Places:
    """Where the patches found themselves.

    shifts_mm     (n, 3) from where the pose puts each to where it fits best, LPS
    resolution_mm  voxel of the comparison
    alike         (n,) squared correlation where the pose puts it
    """

    shifts_mm: Array
    resolution_mm: float
    alike: Floats

    @property
    def home(self) -> float:
        """Share of the patches that fit best within a voxel and a half of where the pose puts them."""
        if not len(self.shifts_mm):
            return 0.0
        return float((np.linalg.norm(self.shifts_mm, axis=1) <= 1.5 * self.resolution_mm).mean())

    @property
    def apart_mm(self) -> float:
        """Median distance of a patch from where it fits best."""
        return float(np.median(np.linalg.norm(self.shifts_mm, axis=1))) if len(self.shifts_mm) else float("inf")


def places(template: Level, scene: Level, matrix: Array) -> Places:
    """Let patches of the template look for themselves about a pose, template LPS to scene LPS mm."""
    resolution = max(template.size_mm / _DIVISIONS, min(template.voxel_mm, scene.voxel_mm))
    template, scene = coarsen(template, resolution), coarsen(scene, resolution)
    fixed, moved = template.values, _brought(scene, template, matrix)
    half = np.maximum(np.round(_HALF * resolution / template.spacing_mm), 1).astype(np.int64)
    half = np.where(np.array(fixed.shape) > 1, half, 0)
    reach = np.where(half > 0, np.maximum(np.round(_REACH * resolution / template.spacing_mm), 1), 0).astype(np.int64)
    centers = _worth_a_look(fixed, moved, half)
    out = np.empty((len(centers), *(2 * reach + 1)), np.float32)
    share(match, len(centers), fixed, moved, centers, half, reach, _QUIET, out)
    steps = _best(out) - reach
    return Places(steps @ template.affine[:3, :3].T, resolution, out[:, *reach])


def _brought(scene: Level, template: Level, matrix: Array) -> Floats:
    """The scene on the template's voxels; VOID outside."""
    to_index = np.linalg.inv(scene.affine) @ matrix @ template.affine
    values = scene.values if min(scene.values.shape) > 1 else np.repeat(scene.values, 2, axis=0)
    out = np.empty(template.values.shape, np.float32)
    ndimage.affine_transform(
        values, to_index[:3, :3], to_index[:3, 3], out.shape, out, order=1, mode="constant", cval=VOID
    )
    return out


def _worth_a_look(fixed: Floats, moved: Floats, half: NDArray[np.int64]) -> NDArray[np.int64]:
    """Voxels (n, 3), spread evenly, about which both images have the most to see."""
    known = (fixed >= 0) & (moved >= 0)
    size = tuple(2 * half + 1)
    share_known = ndimage.uniform_filter(known.astype(np.float32), size, mode="constant")
    inside = share_known > 0.6
    if not inside.any():
        return np.zeros((0, 3), np.int64)
    seen = [np.sqrt(_variance(np.where(known, values, 0), share_known, size)) for values in (fixed, moved)]
    worth = np.where(inside, seen[0] * seen[1], 0)
    apart = max(1, round(float(np.cbrt(inside.sum() / (3 * _MOST)))))
    lattice = np.zeros(worth.shape, bool)
    lattice[tuple(slice(apart // 2 if n > apart else 0, None, apart) for n in worth.shape)] = True
    found = np.argwhere(lattice & (worth > _QUIET))
    order = np.argsort(-worth[tuple(found.T)], kind="stable")[:_MOST]
    return np.ascontiguousarray(found[order])


def _variance(values: Floats, share_known: Floats, size: tuple[int, ...]) -> Floats:
    count = np.maximum(share_known, 1e-6)
    mean = ndimage.uniform_filter(values, size, mode="constant") / count
    square = ndimage.uniform_filter(values * values, size, mode="constant") / count
    return np.asarray(np.maximum(square - mean**2, 0), dtype=np.float32)


def _best(alike: Floats) -> Array:
    """Index (n, 3) of the greatest of each, between voxels by the parabola through its neighbours."""
    flat = alike.reshape(len(alike), int(np.prod(alike.shape[1:])))
    whole = np.stack(np.unravel_index(flat.argmax(axis=1), alike.shape[1:]), axis=1)
    found = whole.astype(np.float64)
    each = np.arange(len(alike))
    for axis, count in enumerate(alike.shape[1:]):
        inner = (whole[:, axis] > 0) & (whole[:, axis] < count - 1)
        step = np.eye(3, dtype=int)[axis] * inner[:, None]
        below, here, above = (alike[each, *(whole + s * step).T] for s in (-1, 0, 1))
        bend = below - 2 * here + above
        offset = 0.5 * (below - above) / np.where(bend < -1e-9, bend, -np.inf)
        found[:, axis] += np.clip(np.where(inner, offset, 0.0), -0.5, 0.5)
    return found
