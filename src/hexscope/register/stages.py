"""From coarse to fine: at what resolution a deformation is looked for, for how long, and how smooth it has to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hexscope.core.geometry import Array

#: An axis of fewer voxels bends nothing: one thick slice, or a few.
_BENDS_FROM = 4

#: A coarser stage is added while the shortest axis that bends keeps this many voxels.
_FEWEST_VOXELS = 16
_MOST_STAGES = 4

#: In finest voxels of a stage: a round's typical step (and at most so many of those), the smoothness of a step and of
#: what it is added to. In finest cells: half the width of the windows that are compared.
STEP, LONGEST, STEP_SIGMA, FIELD_SIGMA, RADIUS = 0.13, 4.0, 1.7, 0.7, 2.0


@dataclass(frozen=True)
class Speed:
    """Rounds at the finest stage and at each coarser one (the last holds for the rest), and those that end it."""

    rounds: tuple[int, ...]
    ending: int
    most_voxels: int


SPEEDS = {
    "fast": Speed((12, 30, 40), 8, 24_000_000),
    "accurate": Speed((30, 40, 60), 15, 120_000_000),
}


@dataclass(frozen=True, eq=False)
class Stage:
    """One resolution.

    shrink  voxels of the image averaged into one, z, y, x
    cells   of those, how many make a cell of the field, z, y, x (1 or 2): a field smoother than that needs no more
    mm      of a voxel of the stage, z, y, x
    free    where the field may move, z, y, x: 1 or 0
    """

    shrink: tuple[int, int, int]
    cells: tuple[int, int, int]
    mm: Array
    free: Array
    rounds: int
    ending: int

    @property
    def voxel_mm(self) -> float:
        """The finest voxel side that bends: what lengths are counted in."""
        return float(self.mm[self.free > 0].min())

    @property
    def cell_mm(self) -> Array:
        return np.asarray(self.mm * np.array(self.cells))

    @property
    def per_cell(self) -> tuple[int, int, int]:
        """Voxels of the image in a cell of the field."""
        z, y, x = (s * c for s, c in zip(self.shrink, self.cells, strict=True))
        return z, y, x

    def sigma_cells(self, voxels: float) -> Array:
        """A smoothness of so many of the finest voxels, along each axis in cells."""
        return np.asarray(voxels * self.voxel_mm / self.cell_mm)

    def radius_cells(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Half the width of the windows along each axis; none across a single slice."""
        wide = np.maximum(np.round(RADIUS * self.cell_mm[self.free > 0].min() / self.cell_mm), 1).astype(int)
        z, y, x = (int(r) if n > 1 else 0 for r, n in zip(wide, shape, strict=True))
        return z, y, x


def stages(shape: tuple[int, ...], spacing_mm: Array, speed: Speed) -> list[Stage]:
    """Coarse to fine, for a volume of ``shape``. The finest is at full resolution."""
    free = (np.array(shape) >= _BENDS_FROM).astype(np.float64)
    if not free.any():
        free[:] = 1.0
    finest = float(spacing_mm[free > 0].min())
    made: list[Stage] = []
    for number in range(_MOST_STAGES):
        wanted = np.maximum(np.round(finest * 2**number / spacing_mm), 1)
        shrink = np.where(free > 0, 2 ** np.floor(np.log2(wanted) + 1e-6), 1).astype(int)
        if number and (np.array(shape) / shrink)[free > 0].min() < _FEWEST_VOXELS:
            break
        mm = spacing_mm * shrink
        halved = not number and bool((np.array(shape)[free > 0] >= 4 * _FEWEST_VOXELS).all())
        cells = np.where((free > 0) & (mm < 1.5 * mm[free > 0].min()) & halved, 2, 1)
        rounds = speed.rounds[min(number, len(speed.rounds) - 1)]
        made.append(Stage(_three(shrink), _three(cells), mm, free, rounds, 0 if number else speed.ending))
    return made[::-1]


def _three(values: Array) -> tuple[int, int, int]:
    z, y, x = (int(v) for v in values)
    return z, y, x
