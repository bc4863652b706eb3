"""The search: several starts at a coarse resolution, the best few followed to the finest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hexscope.core.geometry import Array
from hexscope.register.climb import Pose, climb
from hexscope.register.nmi import Samples, Similarity, draw
from hexscope.register.pyramid import Level, coarsen
from hexscope.register.starts import best_starts, distinct, guesses

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Stage:
    """One resolution of the search.

    divisions  the template's size (cube root of its volume) over the resolution
    samples, bins  of the joint histogram
    keep       how many poses go on from here
    """

    divisions: float
    samples: int
    bins: int
    keep: int
    steps: int


STAGES = (Stage(14, 4000, 16, 5, 40), Stage(28, 16_000, 24, 3, 60), Stage(128, 64_000, 48, 1, 80))

#: Starts that are followed at the coarse stage, besides the headers' own.
_STARTS = 12


@dataclass(frozen=True, eq=False)
class Rung:
    """One stage made ready: the score at its resolution."""

    similarity: Similarity
    template: Level
    resolution_mm: float
    stage: Stage

    def climb(self, start: Array, *, affine: bool = False, samples: Samples | None = None) -> Pose:
        """Uphill from ``start`` at this resolution; with only some ``samples``, where given."""
        similarity = self.similarity
        if samples is not None:
            similarity = Similarity(samples, similarity.scene, similarity.bins)
        r = self.resolution_mm
        return climb(similarity, start, affine=affine, step_mm=r / 2, stop_mm=r / 200, most=self.stage.steps)


@dataclass(frozen=True, eq=False)
class Ladder:
    """Two images at all stages. Poses go from ``template``, whose field is the smaller, to ``scene``."""

    rungs: tuple[Rung, ...]
    template: Level
    scene: Level
    swapped: bool

    @property
    def probes(self) -> Array:
        """Points to measure distances between poses at: the corners of the template, LPS mm, (8, 3)."""
        return self.template.corners_mm()

    @property
    def finest(self) -> Rung:
        return self.rungs[-1]


def ladder(fixed: Level, moving: Level, seed: int) -> Ladder:
    """Make both ready. The smaller field is sampled, so that most samples meet something on the other side.

    ``swapped`` says that the fixed image is the template: poses then go from fixed to moving.
    """
    swapped = fixed.volume_mm3 < moving.volume_mm3
    template, scene = whole = (fixed, moving) if swapped else (moving, fixed)
    size = template.volume_mm3 ** (1 / 3)
    voxel = max(fixed.voxel_mm, moving.voxel_mm)  # finer than that there is only noise to align
    rungs: list[Rung] = []
    for stage in reversed(STAGES):
        resolution = max(size / stage.divisions, voxel)
        template, scene = coarsen(template, resolution), coarsen(scene, resolution)
        samples = draw(template, stage.samples, seed)
        rungs.insert(0, Rung(Similarity(samples, scene, stage.bins), template, resolution, stage))
    return Ladder(tuple(rungs), *whole, swapped)


def find(rungs: Ladder, *, affine: bool, progress: Progress | None = None) -> list[Pose]:
    """The poses the search ended in, best first; the first was followed to the finest stage."""
    tell = progress or (lambda _: None)
    tell("comparing many starts")
    coarse, middle, _ = rungs.rungs
    poses = guesses(coarse.template, coarse.similarity.scene)
    starts = best_starts(coarse.similarity, poses, _STARTS, 2 * coarse.resolution_mm, rungs.probes)
    for rung in (coarse, middle):
        tell("climbing from the best of them")
        climbed = sorted((rung.climb(m) for m in starts), key=lambda p: -p.score)
        ended = distinct(climbed, rung.stage.keep, rung.resolution_mm, rungs.probes)
        starts = [p.matrix for p in ended]
    tell("climbing to the end")
    final = sorted((rungs.finest.climb(m) for m in starts), key=lambda p: -p.score)
    if affine:
        final[0] = rungs.finest.climb(middle.climb(final[0].matrix, affine=True).matrix, affine=True)
    return final


def refine(rungs: Ladder, start: Array) -> Pose:
    """The best pose near ``start``: climbed at the middle and the finest stage."""
    return rungs.finest.climb(rungs.rungs[1].climb(start).matrix)
