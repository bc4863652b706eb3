"""What speaks for a pose and against it, gathered for `hexscope.trust.registration` to judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hexscope.core.geometry import Array
from hexscope.core.transform import Transform, rigid
from hexscope.register.climb import Pose
from hexscope.register.nmi import Samples, Similarity, draw
from hexscope.register.pyramid import Level
from hexscope.register.search import Ladder, Rung
from hexscope.register.starts import gap_mm
from hexscope.trust.registration import Evidence

#: Another end of the search is a rival where it scores at least this share of the answer.
_RIVAL_SHARE = 0.97

#: How far wrong the poses put wrong on purpose are: a part of the field's size, and degrees about each axis.
_WRONG_SHIFT, _WRONG_TURN = 0.25, 45.0


def gather(rungs: Ladder, ended: list[Pose], *, kind: str = "rigid", moved_mm: float | None = None) -> Evidence:
    """Evidence on ``ended[0]``, the answer; the others are where else the search ended."""
    answer = ended[0].matrix
    middle = rungs.rungs[1]
    score = middle.similarity.score(answer)
    motion = Transform(answer)
    center = rungs.template.center_mm
    return Evidence(
        score=score,
        elsewhere=_elsewhere(middle, answer, rungs.template) / max(score, 1e-9),
        mirrored=_mirrored(middle, answer),
        rival_mm=_rival(rungs, ended),
        halves_mm=_halves(middle, answer, rungs.template),
        inverse_mm=_inverse(rungs, answer, kind=kind),
        overlap=middle.similarity.overlap(answer),
        rotation_deg=motion.rotation_degrees,
        shift_mm=float(motion.displacement_mm(center)),
        voxel_mm=max(rungs.template.voxel_mm, rungs.scene.voxel_mm),
        moved_mm=moved_mm,
    )


def _elsewhere(rung: Rung, answer: Array, template: Level) -> float:
    """The best score among poses put wrong on purpose: six shifts and six turns of the answer."""
    middle = answer[:3, :3] @ template.center_mm + answer[:3, 3]
    reach = _WRONG_SHIFT * template.volume_mm3 ** (1 / 3)
    wrong = []
    for way in np.concatenate([np.eye(3), -np.eye(3)]):
        wrong.append(rigid((0, 0, 0), tuple(reach * way), tuple(middle)))
        wrong.append(rigid(tuple(_WRONG_TURN * way), (0, 0, 0), tuple(middle)))
    return max(rung.similarity.score(w.matrix @ answer) for w in wrong)


def _mirrored(rung: Rung, answer: Array) -> float:
    """Score with the template mirrored left to right, as a share of the score without, both climbed from the answer."""
    samples = rung.similarity.samples
    flipped = replace(samples, points_mm=samples.points_mm * np.array([-1, 1, 1], np.float32))
    return rung.climb(answer, samples=flipped).score / max(rung.climb(answer).score, 1e-9)


def _rival(rungs: Ladder, ended: list[Pose]) -> float:
    """Distance of the farthest pose, among those the search ended in, that scores nearly as well as the answer."""
    rung = rungs.rungs[1]
    floor = _RIVAL_SHARE * rung.similarity.score(ended[0].matrix)
    rivals = [p.matrix for p in ended[1:] if rung.similarity.score(p.matrix) >= floor]
    return max((gap_mm(m, ended[0].matrix, rungs.probes) for m in rivals), default=0.0)


def _halves(rung: Rung, answer: Array, template: Level) -> float:
    """Median distance, over the halves of the field along each of its axes, between a half's own answer and ours."""
    samples = rung.similarity.samples
    gaps = []
    for normal in np.linalg.inv(template.affine[:3, :3]):
        side = samples.points_mm @ normal.astype(np.float32) > 0
        for half in (samples.where(side), samples.where(~side)):
            pose = rung.climb(answer, samples=half)
            gaps.append(gap_mm(pose.matrix, answer, half.places_mm(50)))
    return float(np.median(gaps))


def _inverse(rungs: Ladder, answer: Array, *, kind: str) -> float:
    """How far the search from the scene's side, started at the answer's inverse, ends from where it started."""
    rung = rungs.rungs[1]
    probes = rungs.probes @ answer[:3, :3].T + answer[:3, 3]
    backwards = np.asarray(np.linalg.inv(answer), dtype=np.float64)
    samples = draw(rung.similarity.scene, rung.stage.samples, 0)
    turned = replace(
        rung,
        similarity=Similarity(_near(samples, rungs.template, backwards), rung.template, rung.similarity.bins),
    )
    return gap_mm(turned.climb(backwards, kind=kind).matrix, backwards, probes)


def _near(samples: Samples, template: Level, matrix: Array) -> Samples:
    """The samples that fall on the template under ``matrix``: the rest have nothing to say."""
    places = samples.points_mm + samples.center_mm
    index = (places @ matrix[:3, :3].T + matrix[:3, 3] - template.affine[:3, 3]) @ np.linalg.inv(
        template.affine[:3, :3]
    ).T
    inside = np.all((index >= 0) & (index <= np.array(template.values.shape) - 1), axis=1)
    return samples.where(inside)
