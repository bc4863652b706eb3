"""What speaks for a pose and against it, gathered for `hexscope.trust.registration` to judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hexscope.core.geometry import Array
from hexscope.core.transform import Transform
from hexscope.register.climb import Pose
from hexscope.register.nmi import Samples, Similarity, draw
from hexscope.register.pyramid import Level
from hexscope.register.search import Ladder, Rung, first_starts
from hexscope.register.starts import gap_mm
from hexscope.trust.registration import Evidence

#: Other ends of the search count as rivals where they score at least this share of the answer.
_RIVAL_SHARE = 0.95
_MIRRORED_STARTS = 3


def gather(rungs: Ladder, ended: list[Pose], *, affine: bool) -> Evidence:
    """Evidence on ``ended[0]``; the others are where else the search ended."""
    answer = ended[0].matrix
    middle = rungs.rungs[1]
    score = middle.similarity.score(answer)
    coarse = rungs.rungs[0]
    size = float(np.linalg.norm(rungs.template.extent_mm))
    rigid = Transform(answer)
    return Evidence(
        score=score,
        elsewhere=elsewhere(rungs, answer),
        mirrored=mirrored(rungs),
        unmirrored=coarse.climb(answer).score,
        rival_mm=rival(rungs, ended),
        halves_mm=halves(middle, answer),
        inverse_mm=inverse(rungs, answer, affine=affine),
        overlap=middle.similarity.overlap(answer),
        rotation_deg=rigid.rotation_degrees,
        shift_mm=float(np.linalg.norm(rigid.points(rungs.template.center_mm) - rungs.template.center_mm)),
        size_mm=size,
        resolution_mm=resolution(rungs),
    )


def resolution(rungs: Ladder) -> float:
    """Voxel size (cube root of the volume) of the coarser of the two images at the finest stage, mm."""
    levels = (rungs.template, rungs.scene)
    return float(max(abs(np.linalg.det(level.affine[:3, :3])) ** (1 / 3) for level in levels))


def elsewhere(rungs: Ladder, answer: Array) -> float:
    """The best score where the answer is put wrong on purpose: shifted by a quarter of the field each way, turned by 45°."""
    rung = rungs.rungs[1]
    center = answer[:3, :3] @ rung.similarity.samples.center_mm + answer[:3, 3]
    return max(rung.similarity.score(wrong @ answer) for wrong in _wrong(center, rungs.template))


def _wrong(center: Array, template: Level) -> list[Array]:
    out = []
    for axis in template.affine[:3, :3].T:
        step = axis / np.linalg.norm(axis)
        reach = template.volume_mm3 ** (1 / 3) / 4
        for sign in (-1.0, 1.0):
            shift = np.eye(4)
            shift[:3, 3] = sign * reach * step
            turn = np.eye(4)
            turn[:3, :3] = rotation_about(step * sign * np.pi / 4)
            turn[:3, 3] = center - turn[:3, :3] @ center
            out += [shift, turn]
    return out
