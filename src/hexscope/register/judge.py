"""Judge a transform, whoever found it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hexscope.core.image import Image, Mask
from hexscope.core.resample import resample
from hexscope.core.transform import Transform
from hexscope.register.climb import Pose
from hexscope.register.evidence import gather
from hexscope.register.field import ready
from hexscope.register.search import ladder
from hexscope.trust.registration import Evidence, certify


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
    """The moving image is brought over first: what is left to find there is what the deformation missed."""
    brought = resample(moving, fixed.grid, through=through)
    everywhere = Mask.from_array(np.ones(moving.grid.shape, np.uint8), moving.grid)
    known = resample(everywhere, fixed.grid, through=through)
    rungs = ladder(*ready(fixed, brought, None, known), seed)
    pose = rungs.pose(np.eye(4))
    evidence = gather(rungs, [Pose(rungs.finest.similarity.score(pose), pose)])
    travel = through.inverse.points(fixed.grid.corners_mm()) - fixed.grid.corners_mm()
    return replace(
        evidence,
        body_mm=None,
        folded=through.folds(fixed.grid) / float(np.prod(fixed.grid.shape)),
        swelling=through.sd_log_jacobian(fixed.grid),
        shift_mm=float(np.linalg.norm(travel.mean(axis=0))),
    )
