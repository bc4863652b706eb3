"""Deformable registration: after a linear one, coarse to fine, in both directions, to a field that has an inverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.image import Image, Mask
from hexscope.core.transform import Transform
from hexscope.errors import UsageError
from hexscope.register.bodies import stiffened
from hexscope.register.context import Context
from hexscope.register.contrast import VOXELS, named_apart, same_contrast
from hexscope.register.flow import Correlation, CorrelationWithEdges, Flow, Room
from hexscope.register.leap import leap
from hexscope.register.pair import Pair, paired
from hexscope.register.stages import ACROSS_SHARE, SPEEDS, Speed, Stage, cells_of, shrunk, stages
from hexscope.register.unfold import made_mutual, refined, unfolded

Floats = NDArray[np.float32]
Progress = Callable[[str], object]


def deform(
    fixed: Image,
    moving: Image,
    linear: Transform,
    *,
    fixed_mask: Mask | None = None,
    moving_mask: Mask | None = None,
    keep: Mask | None = None,
    speed: str = "fast",
    progress: Progress | None = None,
) -> Transform:
    """``linear`` (moving to fixed) followed by the deformation that makes the two alike: one to one, without folds.

    fixed_mask, moving_mask  where an image counts
    keep                     what must not be bent, on the fixed image: each connected part moves as a rigid body
    speed                    "fast", or "accurate": about three times as long
    progress                 is told each stage in words

    Raises UsageError for an unknown speed, and what `hexscope.register.field.ready` raises.
    """
    if speed not in SPEEDS:
        raise UsageError(f"unknown speed of registration {speed!r}; known are {', '.join(SPEEDS)}")
    tell = progress or (lambda _: None)
    pair, across = _made_ready(fixed, moving, linear, (fixed_mask, moving_mask), SPEEDS[speed].most_voxels)
    found = search(pair, SPEEDS[speed], tell, across=across)
    if keep is not None:
        found = _kept(found, pair, keep, linear)
    steps = (*linear.steps, *pair.notes, *found.notes)
    frames = fixed.grid.frame_of_reference, moving.grid.frame_of_reference
    warp = pair.warp(found.field, found.per_cell)
    return Transform.deformable(linear.matrix, warp, fixed_frame=frames[0], moving_frame=frames[1], steps=steps)


def _kept(found: Found, pair: Pair, keep: Mask, linear: Transform) -> Found:
    cells = pair.cells(found.per_cell)
    marked = pair.marked(keep, found.per_cell, found.field.shape[1:])
    field, notes = stiffened(found.field, cells, linear.matrix, marked)
    return Found(field, found.per_cell, (*found.notes, *notes))


def _made_ready(
    fixed: Image, moving: Image, linear: Transform, masks: tuple[Mask | None, Mask | None], most_voxels: int
) -> tuple[Pair, bool]:
    """The pair, and whether its contrasts differ. Those are compared voxel by voxel: blurred as little as can be."""
    pair = paired(fixed, moving, linear.matrix, masks)
    if not named_apart(fixed.modality, moving.modality) and _alike(pair):
        return pair.fitting(most_voxels), False
    most = int(ACROSS_SHARE * most_voxels)
    if pair.fixed.size <= most:
        return paired(fixed, moving, linear.matrix, masks, "cubic"), True
    return pair.fitting(most), True


def _alike(pair: Pair) -> bool:
    """Is the contrast the same, as they lie or else after a rough deformation that does not ask for it?"""
    small = pair.fitting(VOXELS)
    if same_contrast(small):
        return True
    rough = small.fitting(_ROUGH_VOXELS)
    found = search(rough, SPEEDS["fast"], lambda _: None, across=True)
    ratio = np.round(rough.spacing_mm * found.per_cell / small.spacing_mm).astype(np.int64)
    places = refined(found.field, ratio, cells_of(small.fixed.shape, (1, 1, 1)))
    places += np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in small.fixed.shape), indexing="ij"))
    warped = ndimage.map_coordinates(small.moving, places, order=1, mode="nearest")
    return same_contrast(replace(small, moving=warped))


#: Voxels of the rough deformation after which contrasts are compared once more.
_ROUGH_VOXELS = 150_000

#: A leap has to end in a likeness better by this share, or the start from rest is kept.
_LEAP_GAIN = 0.02


@dataclass(frozen=True, eq=False)
class Found:
    """A field (3, z, y, x) in cells of ``per_cell`` voxels of the pair; what was done, in words."""

    field: Floats
    per_cell: tuple[int, int, int]
    notes: tuple[str, ...]


def search(pair: Pair, speed: Speed, tell: Progress, *, across: bool) -> Found:
    """From coarse to fine, in both directions; the finest stage is ended in one."""
    plan = stages(pair.fixed.shape, pair.spacing_mm, speed, across=across)
    notes = ["deformed by self-similarity, as contrasts differ," if across else "deformed by local correlation"]
    notes[0] += f" down to {plan[-1].voxel_mm:.3g} mm"
    fields: tuple[Floats, Floats] | None = None
    before = plan[0]
    for stage in plan:
        tell(f"deforming at {stage.voxel_mm:.3g} mm")
        level = Level.of(pair, stage, across=across)
        if fields is None:
            fields, leapt = _started(level)
            notes += ["from a start that was looked for among large motions"] if leapt else []
        else:
            factors = np.array(before.per_cell, np.int64) // np.array(stage.per_cell, np.int64)
            there, back = (refined(field, factors, level.cells) for field in fields)
            fields = level.climbed((there, back))[0]
        before = stage
    assert fields is not None
    last = level.flow(fields[0])
    last.rounds(before.ending)
    field, folded = unfolded(last.field)
    if folded:
        notes.append(f"folds smoothed away about {folded} points of the field")
    return Found(field, before.per_cell, tuple(notes))


def _started(level: Level) -> tuple[tuple[Floats, Floats], bool]:
    """The fields of the coarsest stage: from rest, or from a leap where that ends in a better likeness."""
    rest = np.zeros((3, *level.cells), np.float32)
    fields, value = level.climbed((rest, rest.copy()))
    leapt = leap(level.still, level.moving, level.stage)
    if leapt is not None:
        others, other = level.climbed(leapt)
        if other > value + _LEAP_GAIN * abs(value):
            return others, True
    return fields, False


@dataclass(frozen=True, eq=False)
class Level:
    """A pair at one stage, and room to work in."""

    still: Floats
    moving: Floats
    weight: Floats
    stage: Stage
    room: Room
    across: bool

    @classmethod
    def of(cls, pair: Pair, stage: Stage, *, across: bool) -> Level:
        still, moving, weight = (shrunk(v, stage.shrink) for v in (pair.fixed, pair.moving, pair.weight))
        cells = cells_of(still.shape, stage.cells)
        return cls(still, moving, shrunk(weight, stage.cells), stage, Room(still.shape, cells, 8), across)

    @property
    def cells(self) -> tuple[int, int, int]:
        return cells_of(self.still.shape, self.stage.cells)

    def flow(self, field: Floats, *, back: bool = False) -> Flow:
        """One direction from a field: moving onto still, or back."""
        images = (self.moving, self.still) if back else (self.still, self.moving)
        within = CorrelationWithEdges if self.stage.effort.edges else Correlation
        likeness = (Context if self.across else within)(*images, self.weight, self.stage, self.room)
        return Flow(likeness, field, self.stage, self.room)

    def climbed(self, fields: tuple[Floats, Floats]) -> tuple[tuple[Floats, Floats], float]:
        """Both directions followed for the rounds of the stage, each averaged with the other's inverse; how alike they
        made the two. As they were, where the stage has no such rounds."""
        if not self.stage.rounds:
            return fields, 0.0
        ended, value = [], 0.0
        for field, back in zip(fields, (False, True), strict=True):
            flow = self.flow(field, back=back)
            flow.rounds(self.stage.rounds)
            ended.append(flow.field)
            value += flow.similarity.value
        return made_mutual(ended[0], ended[1]), value
