"""Judge a transform, whoever found it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.resample import resample
from hexscope.core.transform import Transform
from hexscope.register.climb import Pose
from hexscope.register.evidence import gather
from hexscope.register.field import fitting_level, ready
from hexscope.register.search import ladder
from hexscope.trust.registration import Evidence, certify

#: A deformation is looked at on a grid of no more voxels.
_MOST_VOXELS = 8_000_000


def judge(fixed: Image, moving: Image, through: Transform, *, seed: int = 0) -> Transform:
    """``through`` (moving to fixed) with a certificate from the two images alone; nothing is moved.

    Of a rigid transform it says whether the two show one body in one place; of an affine or a deformable one, whether
    what they show lies on each other: two persons may. Raises GeometryError for images that cannot be registered.
    """
    evidence = _linear(fixed, moving, through, seed) if through.is_linear else _bent(fixed, moving, through, seed)
    return replace(through, certificate=certify(evidence))


def _linear(fixed: Image, moving: Image, through: Transform, seed: int) -> Evidence:
    rungs = ladder(*ready(fixed, moving), seed)
    pose = rungs.pose(through.matrix)
    kind = "rigid" if through.kind == "identity" else through.kind
    return gather(rungs, [Pose(rungs.finest.similarity.score(pose), pose)], kind=kind)


def _bent(fixed: Image, moving: Image, through: Transform, seed: int) -> Evidence:
    """The moving image is brought over first: what is left to find there is what the deformation missed.

    A deformation makes nearly anything alike, a mirrored body too. What speaks against that is asked of the linear map
    nearest to it.
    """
    fixed, moving = fitting_level(fixed), fitting_level(moving)
    grid = _thinned(fixed.grid.placed("a certificate"))
    under = _linear(fixed, moving, _straightened(grid, through), seed)
    brought = resample(moving, grid, through=through)
    everywhere = Mask.from_array(np.ones(moving.grid.shape, np.uint8), moving.grid)
    known = resample(everywhere, grid, through=through)
    rungs = ladder(*ready(fixed, brought, None, known), seed)
    pose = rungs.pose(np.eye(4))
    return replace(
        gather(rungs, [Pose(rungs.finest.similarity.score(pose), pose)]),
        mirrored=under.mirrored,
        elsewhere=under.elsewhere,
        shift_mm=under.shift_mm,
        rotation_deg=under.rotation_deg,
        body_mm=None,
        folded=through.folds(grid) / float(np.prod(grid.shape)),
        swelling=through.sd_log_jacobian(grid),
        start=certify(under).score,
    )


def _thinned(grid: Grid) -> Grid:
    """The grid, or a coarser one over the same field where it has more voxels than are needed to judge."""
    ratio = (float(np.prod(grid.shape)) / _MOST_VOXELS) ** (1 / grid.ndim)
    return grid if ratio <= 1 else grid.with_shape([max(1, round(n / ratio)) for n in grid.shape])


def _straightened(grid: Grid, through: Transform) -> Transform:
    """The affine transform nearest to a deformation, in the least squares over the grid."""
    steps = [np.linspace(0, n - 1, min(n, 9)) for n in grid.shape]
    fixed = grid.to_world(np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, grid.ndim))
    moving = through.inverse.points(fixed)
    middle = fixed.mean(axis=0), moving.mean(axis=0)
    linear = np.linalg.lstsq(moving - middle[1], fixed - middle[0], rcond=1e-6)[0].T
    if np.linalg.matrix_rank(linear, tol=1e-6) == 2:  # planes: their normals go onto each other
        left, _, right = np.linalg.svd(linear)
        linear += np.outer(left[:, 2], right[2]) * np.linalg.det(left) * np.linalg.det(right)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, middle[0] - linear @ middle[1]
    return Transform(matrix, "affine")
