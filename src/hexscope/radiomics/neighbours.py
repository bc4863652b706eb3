"""Who lies beside whom: voxels of a region with their neighbours, in the plane and through the slices."""

from __future__ import annotations

from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hexscope.radiomics.region import Ints, Region

#: Directions to one half of the neighbours; the other half lies opposite. The first four are in the plane.
DIRECTIONS = sorted((d for d in product((0, 1), (-1, 0, 1), (-1, 0, 1)) if d > (0, 0, 0)), key=lambda d: (d[0] != 0, d))
IN_PLANE = 4
#: Neighbours counted at a time.
_AT_ONCE = 1 << 21

Levels = NDArray[np.int32]


class Neighbourhood:
    """The voxels of a region's intensity mask in a flat array, with a rim of nothing around.

    levels   (all,) grey levels, 0 outside the region
    place    (n,) where the region's voxels are in it
    level    (n,) their grey levels;  plane  (n,) their slices
    strides  (13,) steps in it to the neighbours of `DIRECTIONS`
    """

    def __init__(self, region: Region) -> None:
        padded = np.pad(region.levels.astype(np.int32), 1)
        rows, columns = padded.shape[1:]
        self.levels: Levels = padded.ravel()
        self.place: Ints = np.flatnonzero(self.levels)
        self.level: Levels = self.levels[self.place]
        self.plane: Ints = self.place // (rows * columns) - 1
        self.planes = region.levels.shape[0]
        self.level_count = region.level_count
        self.strides = [(dz * rows + dy) * columns + dx for dz, dy, dx in DIRECTIONS]

    @cached_property
    def ahead(self) -> Levels:
        """(13, n) levels of the neighbours in each direction."""
        return np.stack([self.levels[self.place + stride] for stride in self.strides])

    @cached_property
    def behind(self) -> Levels:
        """(13, n) levels of the neighbours opposite."""
        return np.stack([self.levels[self.place - stride] for stride in self.strides])

    def directions(self, through: bool) -> int:
        """How many directions count: all, or those in the plane."""
        return len(self.strides) if through else IN_PLANE

    def groups(self, through: bool) -> list[slice]:
        """Directions to be counted at a time: all in a small region, fewer in one that would fill the memory."""
        step, ways = max(1, _AT_ONCE // len(self.place)), self.directions(through)
        return [slice(first, min(first + step, ways)) for first in range(0, ways, step)]

    def plane_voxels(self) -> Ints:
        """(planes,) voxels of the region in each slice."""
        return np.bincount(self.plane, minlength=self.planes)
