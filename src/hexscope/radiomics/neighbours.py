"""Who lies beside whom: voxels of a region with their neighbours, in the plane and through the slices."""

from __future__ import annotations

from functools import cached_property
from itertools import product

import numpy as np

from hexscope.radiomics.region import Ints, Region

#: Directions to one half of the neighbours; the other half lies opposite. The first four are in the plane.
DIRECTIONS = sorted((d for d in product((0, 1), (-1, 0, 1), (-1, 0, 1)) if d > (0, 0, 0)), key=lambda d: (d[0] != 0, d))
IN_PLANE = 4


class Neighbourhood:
    """The voxels of a region's intensity mask in a flat array, with a rim of nothing around.

    levels   (all,) grey levels, 0 outside the region
    place    (n,) where the region's voxels are in it
    level    (n,) their grey levels;  plane  (n,) their slices
    strides  (13,) steps in it to the neighbours of `DIRECTIONS`
    """

    def __init__(self, region: Region) -> None:
        padded = np.pad(region.levels, 1)
        rows, columns = padded.shape[1:]
        self.levels: Ints = padded.ravel()
        self.place: Ints = np.flatnonzero(self.levels)
        self.level: Ints = self.levels[self.place]
        self.plane: Ints = self.place // (rows * columns) - 1
        self.planes = region.levels.shape[0]
        self.level_count = region.level_count
        self.strides = [(dz * rows + dy) * columns + dx for dz, dy, dx in DIRECTIONS]

    @cached_property
    def ahead(self) -> Ints:
        """(13, n) levels of the neighbours in each direction."""
        return np.asarray(self.levels[self.place + np.array(self.strides)[:, None]], dtype=np.int64)

    @cached_property
    def behind(self) -> Ints:
        """(13, n) levels of the neighbours opposite."""
        return np.asarray(self.levels[self.place - np.array(self.strides)[:, None]], dtype=np.int64)

    def directions(self, through: bool) -> int:
        """How many directions count: all, or those in the plane."""
        return len(self.strides) if through else IN_PLANE

    def plane_voxels(self) -> Ints:
        """(planes,) voxels of the region in each slice."""
        return np.bincount(self.plane, minlength=self.planes)
