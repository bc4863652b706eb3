"""Likeness across modalities: how each voxel's neighbours differ from each other, compared (MIND, self-similarity)."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array
from hexscope.kernels import mind
from hexscope.kernels.threads import share
from hexscope.register.flow import Floats, Room, blur, taps
from hexscope.register.stages import Stage
from hexscope.register.unfold import refined

#: Smoothness of the differences, in finest voxels of a stage.
_PATCH_SIGMA = 0.5

#: Differences below this share of their mean over the image are noise.
_FLOOR = 0.05


class Context:
    """Agreement of the self-similarity of two volumes of one stage: minus the squared difference of twelve channels."""

    def __init__(self, still: Floats, moving: Floats, weight: Floats, stage: Stage, room: Room) -> None:
        self.room, self.weight = room, weight
        self.still, self.moving = (channels(v, stage) for v in (still, moving))
        self._sizes = np.array(stage.cells, np.int64)
        self.active = float(np.mean(weight > 0))
        self.value = 0.0

    def slope(self, field: Floats) -> Floats:
        room, count = self.room, field.shape[1]
        dense = field if self._sizes.max() == 1 else refined(field, self._sizes, self.still.shape[:3])
        args = self.still, self.moving, dense, self.weight, self._sizes, room.first, room.sums
        share(mind.force, count, *args)
        self.value = float(room.sums.sum()) / self.still[..., 0].size
        return room.first


def channels(image: Floats, stage: Stage) -> Floats:
    """(Z, Y, X, 12): how the neighbours of each voxel differ, 1 for the pair most alike."""
    steps = neighbours(stage)
    pairs = np.array([[*a, *b] for a, b in combinations(steps, 2) if np.any(a + b)], np.int64)
    stack = np.empty((len(pairs), *image.shape), np.float32)
    share(mind.differences, len(image), image, pairs, stack)
    sigma: Array = _PATCH_SIGMA * stage.voxel_mm / stage.mm
    rows = np.empty((len(image), 1, image.shape[2] + 16), np.float32)
    blur(stack, taps(sigma), np.empty_like(stack), rows)
    floor = np.float32(max(_FLOOR * float(stack.mean(dtype=np.float64)), 1e-9))
    out = np.empty((*image.shape, len(pairs)), np.float32)
    share(mind.describe, len(image), stack, floor, out)
    return out


def neighbours(stage: Stage) -> list[NDArray[np.int64]]:
    """Six steps of about one finest voxel along each axis; none along an axis that does not bend."""
    near = np.maximum(np.round(stage.voxel_mm / stage.mm), 1) * stage.free
    return [sign * (np.arange(3) == axis) * near.astype(np.int64) for axis in range(3) for sign in (1, -1)]
