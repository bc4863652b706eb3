"""The search: many starts compared at a coarse resolution, the best few followed to the finest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hexscope.core.geometry import Array
from hexscope.core.transform import Transform
from hexscope.register.climb import Pose, climb
from hexscope.register.field import Field
from hexscope.register.local import polished
from hexscope.register.motion import motion
from hexscope.register.nmi import Samples, Similarity, draw
from hexscope.register.pyramid import Level, coarsen, soften
from hexscope.register.starts import distinct, guesses, shifted

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Stage:
    """One resolution of the search.

    divisions  the template's size over the resolution
    samples, bins  of the joint histogram; never more samples than voxels. 96 bins at the finest bring the T1 of a head
               to .50 mm from where a reference puts it on FLAIR, 48 to .53; but the hill is rough then: a CT and an MR
               of a thigh, moved, end up to 1 mm apart, so that 89 of 105 come back to the same .5 mm and not 104
    blur       standard deviation of the smoothing, as a share of the resolution. Without it, noise makes small hills on
               which a search ends: a CT and an MR of a thigh, moved, were brought back to the same 0.5 mm 11 times
               of 20, with it 20
    toll       for what does not overlap
    stop       share of the resolution below which a step is no longer worth taking
    steps      looks that a climb may take
    keep       how many poses go on from here
    """

    divisions: float
    samples: int
    bins: int
    blur: float
    toll: float
    stop: float
    steps: int
    keep: int


STAGES = (
    Stage(22, 4000, 16, 0.65, 0.5, 1 / 20, 25, 5),
    Stage(45, 12_000, 24, 0.65, 0.5, 1 / 50, 30, 3),
    Stage(128, 160_000, 48, 0.35, 0.0, 1 / 300, 60, 1),
)

#: A plane has fewer pixels than a volume, so its stages may be finer.
FLAT_STAGES = tuple(replace(stage, divisions=d) for stage, d in zip(STAGES, (32, 96, 512), strict=True))

#: What a half turn costs in score: of two ends that fit as well, the one nearer to the headers' orientation is right.
_TURN_TOLL = 0.05

#: Samples that decide among thousands of starts.
_GLANCE = 600

#: Starts that are shifted too, and starts that are followed at the coarse stage besides the headers' own.
_SHIFTED, _FOLLOWED = 24, 16

#: A climb takes a few looks on trial, and the most hopeful go on: one that is near is well on its way by then. Of those
#: that score nearly as well as the best, by this share, as many go on as there are: of a thigh in 5 mm voxels all poses
#: look much alike, and the right one was the 14th then.
_TRIAL, _HOPEFUL, _HOPE = 5, 6, 0.7

#: Ends of a stage that score as well as the best, by this share, go on beyond the stage's own few.
_LEVEL = 0.9

#: Ends of the last stage but one that score as well as the best, by this share, are climbed to the end, up to so many:
#: to a few thousandths the score there is chance, or what the overlap makes of it.
_TIED, _MOST = 0.97, 4


@dataclass(frozen=True, eq=False)
class Rung:
    """One stage made ready: the score at its resolution."""

    similarity: Similarity
    template: Level
    resolution_mm: float
    stage: Stage
    flat: bool = False

    def climb(
        self,
        start: Array,
        *,
        kind: str = "rigid",
        samples: Samples | None = None,
        bend: Array | None = None,
        most: int | None = None,
    ) -> Pose:
        """Uphill from ``start`` at this resolution.

        samples  only these, where given; bend, most  as in `climb`: by itself it may take the stage's steps
        """
        similarity = self.similarity
        if samples is not None:
            similarity = replace(similarity, samples=samples)
        r, free = self.resolution_mm, motion(kind, flat=self.flat)
        steps = self.stage.steps if most is None else most
        return climb(similarity, start, free, step_mm=r / 2, stop_mm=r * self.stage.stop, most=steps, bend=bend)

    @property
    def eased(self) -> Rung:
        """With a quarter of the samples in half as many bins: a smoother hill, with its top at about the same place.
        That need not be found exactly."""
        samples = self.similarity.samples
        some = samples.where(np.arange(len(samples.values)) % 4 == 0)
        similarity = replace(self.similarity, samples=some, bins=self.similarity.bins // 2)
        return replace(self, similarity=similarity, stage=replace(self.stage, stop=1 / 50))

    def ranked(self, starts: list[Pose], kind: str, *, most: int | None = None) -> list[Pose]:
        """Where a climb from each of them ends, best first."""
        ended = [self.climb(p.matrix, kind=kind, bend=p.bend, most=most) for p in starts]
        return sorted(ended, key=_merit, reverse=True)


@dataclass(frozen=True, eq=False)
class Ladder:
    """Two images at all stages. Poses go from ``template``, whose field is the smaller, to ``scene``.

    swapped  the fixed image is the template
    places   of template and scene, from the mm of poses to LPS: the identity unless they are planes
    """

    rungs: tuple[Rung, ...]
    template: Level
    scene: Level
    swapped: bool
    places: tuple[Array, Array]

    @property
    def probes(self) -> Array:
        """Points to measure distances between poses at: the corners of the template, LPS mm, (8, 3)."""
        return self.template.corners_mm()

    def moving_to_fixed(self, pose: Array) -> Array:
        """A pose as it is told: (4, 4) from moving LPS mm to fixed LPS mm."""
        first, second = self.places
        whole = second @ pose @ np.linalg.inv(first)
        return np.asarray(np.linalg.inv(whole) if self.swapped else whole)

    def pose(self, moving_to_fixed: Array) -> Array:
        """The way back from `moving_to_fixed`."""
        first, second = self.places
        whole = np.linalg.inv(moving_to_fixed) if self.swapped else moving_to_fixed
        return np.asarray(np.linalg.inv(second) @ whole @ first)

    @property
    def finest(self) -> Rung:
        return self.rungs[-1]


def ladder(fixed: Field, moving: Field, seed: int) -> Ladder:
    """Make both ready. The smaller field is sampled, so that most samples meet something on the other side."""
    swapped = fixed.level.volume_mm3 < moving.level.volume_mm3
    first, second = (fixed, moving) if swapped else (moving, fixed)
    template, scene = whole = first.level, second.level
    size = template.size_mm
    voxel = max(template.voxel_mm, scene.voxel_mm)  # finer than that there is only noise to align
    rungs: list[Rung] = []
    for stage in reversed(FLAT_STAGES if first.flat else STAGES):
        resolution = max(size / stage.divisions, voxel)
        template, scene = coarsen(template, resolution), coarsen(scene, resolution)
        shown, seen = (soften(level, stage.blur * resolution) for level in (template, scene))
        samples = draw(shown, min(stage.samples, int(shown.values.size * shown.known)), seed)
        similarity = Similarity(samples, seen, stage.bins, stage.toll)
        rungs.insert(0, Rung(similarity, shown, resolution, stage, first.flat))
    return Ladder(tuple(rungs), *whole, swapped, (first.place, second.place))


def find(rungs: Ladder, *, kind: str = "rigid", progress: Progress | None = None) -> list[Pose]:
    """The poses the search ended in, best first; only the first, and what scored as well, was followed to the end."""
    tell = progress or (lambda _: None)
    tell("comparing many starts")
    early = "similarity" if rungs.finest.flat and kind != "rigid" else "rigid"
    poses = [Pose(0.0, start) for start in _starts(rungs, grown=early != "rigid")]
    for rung in rungs.rungs[:-1]:
        tell("climbing from the best of them")
        poses = _followed(rung, poses, early, rungs.probes)
    tell("climbing to the end")
    tied = min(_as_good(poses, 1, _TIED), _MOST)
    ended = [_ended(rungs, pose, kind, early) for pose in poses[:tied]]
    found, *others = sorted(ended, key=lambda pose: _merit(_told(rungs, pose)), reverse=True)
    if kind != "rigid" and not rungs.finest.flat:
        found = polished(rungs.template, rungs.scene, found, kind)
    return [found, *others, *poses[tied:]]


def _followed(rung: Rung, starts: list[Pose], kind: str, probes: Array) -> list[Pose]:
    """Where climbs from the starts end, best first, no two of them alike. The first start, which is the headers' pose
    or the best so far, goes on whatever its trial says."""

    def apart(poses: list[Pose]) -> list[Pose]:
        return [poses[i] for i in distinct(np.stack([p.matrix for p in poses]), len(poses), rung.resolution_mm, probes)]

    tried = apart(rung.ranked(starts, kind, most=_TRIAL))
    climbed = apart(rung.ranked([starts[0], *tried[: _as_good(tried, _HOPEFUL, _HOPE)]], kind))
    return [replace(pose, bend=None) for pose in climbed[: _as_good(climbed, rung.stage.keep, _LEVEL)]]


def _as_good(poses: list[Pose], few: int, share: float) -> int:
    """How many of the first are as good as the best, by ``share``; a few at least."""
    return max(few, sum(_merit(pose) >= share * _merit(poses[0]) for pose in poses))


def _ended(rungs: Ladder, pose: Pose, kind: str, early: str) -> Pose:
    """Climbed at the finest stage, where the hill is rough: eased first, so that a CT and an MR of a thigh, moved, end
    in one place to .26 mm (11 motions of two patients), and not to .72. It costs nothing: fewer looks follow."""
    if kind != early:
        pose = rungs.rungs[1].climb(pose.matrix, kind=kind)
    return rungs.finest.climb(rungs.finest.eased.climb(pose.matrix, kind=kind).matrix, kind=kind)


def _told(rungs: Ladder, pose: Pose) -> Pose:
    """The pose with its score at the finest stage less the toll of its overlap, for comparison with others."""
    finest = rungs.finest.similarity
    return replace(pose, score=pose.score * finest.overlap(pose.matrix) ** rungs.rungs[0].stage.toll)


def _merit(pose: Pose) -> float:
    """The score, less a little for a turn away from what the headers say."""
    return pose.score * (1 - _TURN_TOLL * Transform(pose.matrix).rotation_degrees / 180)


def refine(rungs: Ladder, start: Array, *, kind: str = "rigid") -> Pose:
    """The best pose near ``start``: climbed at every stage."""
    pose = Pose(0.0, start)
    for rung in rungs.rungs:
        pose = rung.climb(pose.matrix, kind=kind)
    return pose


def _starts(rungs: Ladder, *, grown: bool) -> Array:
    """The headers' pose, and the best others; any two lie two voxels or more apart. ``grown``: in other sizes too."""
    coarse = rungs.rungs[0]
    glance = Similarity(draw(coarse.template, _GLANCE, 0), coarse.similarity.scene, coarse.stage.bins)
    poses = guesses(coarse.template, coarse.similarity.scene, flat=coarse.flat, grown=grown)
    apart = 2 * coarse.resolution_mm

    def best(poses: Array, keep: int) -> tuple[Array, Array]:
        scores = glance.scores(poses)
        order = np.argsort(-scores, kind="stable")
        kept = order[distinct(poses[order], keep, apart, rungs.probes)]
        return poses[kept], scores[kept]

    first, _ = best(poses[1:], _SHIFTED)
    more, _ = best(np.concatenate([first, shifted(first, coarse.template)]), _FOLLOWED)
    return np.concatenate([poses[:1], more])
