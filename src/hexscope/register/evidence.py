"""What speaks for a pose and against it, gathered for `hexscope.trust.registration` to judge.

Only the two images and the poses count, not how the answer was found: a transform of another tool is judged alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array
from hexscope.core.transform import Transform, rigid
from hexscope.register.climb import Pose, climb
from hexscope.register.edges import edges
from hexscope.register.motion import motion
from hexscope.register.nmi import Samples, Similarity, draw
from hexscope.register.patches import places
from hexscope.register.pyramid import Level
from hexscope.register.search import Ladder, Rung
from hexscope.register.starts import gap_mm
from hexscope.trust.registration import Evidence

#: Another end of the search is a rival where it scores at least this share of the answer.
_RIVAL_SHARE = 0.97

#: How far wrong the poses put wrong on purpose are: a part of the field's size, and degrees about each axis.
_WRONG_SHIFT, _WRONG_TURN = 0.25, 45.0

#: Edges are compared at this part of the template's size, but not much finer than the coarser voxel.
_DIVISIONS, _FINEST_VOXEL = 45, 0.7

#: Kinds of motion that one body makes between two scans; of others the two images may show two persons.
_ONE_BODY = ("rigid", "similarity")

#: A half of the field with fewer points than this has no say.
_FEWEST = 80


def gather(rungs: Ladder, ended: list[Pose], *, kind: str = "rigid", moved_mm: float | None = None) -> Evidence:
    """Evidence on ``ended[0]``, the answer; the others are where else the search ended."""
    answer = ended[0].matrix
    middle = rungs.rungs[1]
    template, scene = rungs.template, rungs.scene
    score = middle.similarity.score(answer)
    change = Transform(answer)
    return Evidence(
        score=score,
        elsewhere=_elsewhere(middle, answer, template) / max(score, 1e-9),
        mirrored=_mirrored(middle, answer),
        rival_mm=_rival(rungs, ended),
        halves_mm=_halves(template, middle.similarity.samples, answer, lambda half: _partly(middle, answer, half)),
        inverse_mm=_inverse(rungs, answer, kind=kind),
        **_edges(rungs, answer, kind),
        home=places(template, scene, answer).home,
        overlap=middle.similarity.overlap(answer),
        rotation_deg=change.rotation_degrees,
        shift_mm=float(change.displacement_mm(template.center_mm)),
        voxel_mm=max(template.voxel_mm, scene.voxel_mm),
        size_mm=template.size_mm,
        body_mm=template.size_mm if kind in _ONE_BODY and not middle.flat else None,
        moved_mm=moved_mm,
    )


def _elsewhere(rung: Rung, answer: Array, template: Level) -> float:
    """The best score among poses put wrong on purpose: six shifts and six turns of the answer."""
    middle = answer[:3, :3] @ template.center_mm + answer[:3, 3]
    reach = _WRONG_SHIFT * template.size_mm
    wrong = []
    for way in np.concatenate([np.eye(3), -np.eye(3)]):
        wrong.append(rigid((0, 0, 0), tuple(reach * way), tuple(middle)).matrix @ answer)
        wrong.append(rigid(tuple(_WRONG_TURN * way), (0, 0, 0), tuple(middle)).matrix @ answer)
    return float(rung.similarity.scores(np.stack(wrong)).max())


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


def _partly(rung: Rung, answer: Array, half: NDArray[np.bool_]) -> Array:
    return rung.climb(answer, samples=rung.similarity.samples.where(half)).matrix


def _halves(template: Level, samples: Samples, answer: Array, climbed: Callable[[NDArray[np.bool_]], Array]) -> float:
    """Median distance, over the halves of the field along each of its axes, between a half's own answer and ours."""
    gaps = []
    for normal in np.linalg.inv(template.affine[:3, :3]):
        side = samples.points_mm @ normal.astype(np.float32) > 0
        for half in (side, ~side):
            if half.sum() >= _FEWEST:
                gaps.append(gap_mm(climbed(half), answer, samples.where(half).places_mm(50)))
    return float(np.median(gaps)) if gaps else template.size_mm


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
    places_mm = samples.points_mm + samples.center_mm
    index = (places_mm @ matrix[:3, :3].T + matrix[:3, 3] - template.affine[:3, 3]) @ np.linalg.inv(
        template.affine[:3, :3]
    ).T
    inside = np.all((index >= -0.5) & (index <= np.array(template.values.shape) - 0.5), axis=1)
    return samples.where(inside)


def _edges(rungs: Ladder, answer: Array, kind: str) -> dict[str, float]:
    """What the edges say, which had no part in finding the answer."""
    template, scene, flat = rungs.template, rungs.scene, rungs.rungs[0].flat
    step = max(template.size_mm / _DIVISIONS, _FINEST_VOXEL * max(template.voxel_mm, scene.voxel_mm))
    sharp = edges(template, scene, step)
    if len(sharp.normals) < _FEWEST:
        return {"edge_mm": template.size_mm, "edge_halves_mm": template.size_mm}
    free = motion(kind, flat=flat)

    def climbed(half: NDArray[np.bool_]) -> Array:
        return climb(sharp.where(half), answer, free, step_mm=step / 2, stop_mm=step / 100, most=25).matrix

    own = climb(sharp, answer, free, step_mm=step / 2, stop_mm=step / 200, most=50).matrix
    return {
        "edge_mm": gap_mm(own, answer, sharp.samples.places_mm(50)),
        "edge_halves_mm": _halves(template, sharp.samples, answer, climbed),
    }
