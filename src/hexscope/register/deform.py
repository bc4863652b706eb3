"""Deformable registration: after a linear one, coarse to fine, in both directions, to a field that has an inverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hexscope.core.image import Image, Mask
from hexscope.core.transform import Transform
from hexscope.errors import UsageError
from hexscope.register.context import Context
from hexscope.register.contrast import same_contrast
from hexscope.register.flow import Correlation, Flow, Room
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
    speed: str = "fast",
    progress: Progress | None = None,
) -> Transform:
    """``linear`` (moving to fixed) followed by the deformation that makes the two alike: one to one, without folds.

    fixed_mask, moving_mask  where an image counts
    speed                    "fast", or "accurate": about three times as long
    progress                 is told each stage in words

    Raises UsageError for an unknown speed, and what `hexscope.register.field.ready` raises.
    """
    if speed not in SPEEDS:
        raise UsageError(f"unknown speed of registration {speed!r}; known are {', '.join(SPEEDS)}")
    tell = progress or (lambda _: None)
    pair, across = _made_ready(fixed, moving, linear, (fixed_mask, moving_mask), SPEEDS[speed].most_voxels)
    found = search(pair, SPEEDS[speed], tell, across=across)
    steps = (*linear.steps, *pair.notes, *found.notes)
    frames = fixed.grid.frame_of_reference, moving.grid.frame_of_reference
    warp = pair.warp(found.field, found.per_cell)
    return Transform.deformable(linear.matrix, warp, fixed_frame=frames[0], moving_frame=frames[1], steps=steps)


def _made_ready(
    fixed: Image, moving: Image, linear: Transform, masks: tuple[Mask | None, Mask | None], most_voxels: int
) -> tuple[Pair, bool]:
    """The pair, and whether its contrasts differ. Those are compared voxel by voxel: blurred as little as can be."""
    pair = paired(fixed, moving, linear.matrix, masks)
    if same_contrast(pair, fixed.modality, moving.modality):
        return pair.fitting(most_voxels), False
    most = int(ACROSS_SHARE * most_voxels)
    if pair.fixed.size <= most:
        return paired(fixed, moving, linear.matrix, masks, "cubic"), True
    return pair.fitting(most), True


@dataclass(frozen=True, eq=False)
class Found:
    """A field (3, z, y, x) in cells of ``per_cell`` voxels of the pair; what was done, in words."""

    field: Floats
    per_cell: tuple[int, int, int]
    notes: tuple[str, ...]


def search(pair: Pair, speed: Speed, tell: Progress, *, across: bool) -> Found:
    """From coarse to fine, in both directions, each stage ended by averaging each with the other's inverse."""
    fields: tuple[Floats, Floats] | None = None
    before: Stage | None = None
    for stage in stages(pair.fixed.shape, pair.spacing_mm, speed, across=across):
        tell(f"deforming at {stage.voxel_mm:.3g} mm")
        still, moving, weight = (shrunk(v, stage.shrink) for v in (pair.fixed, pair.moving, pair.weight))
        cells = cells_of(still.shape, stage.cells)
        fields = _on_cells(fields, before, stage, cells)
        weight = shrunk(weight, stage.cells)
        room = Room(still.shape, cells, 8)
        likeness = Context if across else Correlation
        there = Flow(likeness(still, moving, weight, stage, room), fields[0], stage, room)
        back = Flow(likeness(moving, still, weight, stage, room), fields[1], stage, room)
        for flow in (there, back):
            flow.rounds(stage.rounds)
        fields = made_mutual(there.field, back.field)
        before = stage
    assert fields is not None and before is not None
    there.field = fields[0]
    there.rounds(before.ending)
    field, folded = unfolded(there.field)
    by = "self-similarity, as their contrasts differ," if across else "local correlation"
    notes = [f"deformed by {by} down to {before.voxel_mm:.3g} mm"]
    if folded:
        notes.append(f"folds smoothed away about {folded} points of the field")
    return Found(field, before.per_cell, tuple(notes))


def _on_cells(
    fields: tuple[Floats, Floats] | None, before: Stage | None, stage: Stage, cells: tuple[int, int, int]
) -> tuple[Floats, Floats]:
    """Both fields on the cells of a stage; still at the first."""
    if fields is None or before is None:
        return np.zeros((3, *cells), np.float32), np.zeros((3, *cells), np.float32)
    factors = np.array(before.per_cell, np.int64) // np.array(stage.per_cell, np.int64)
    return refined(fields[0], factors, cells), refined(fields[1], factors, cells)
