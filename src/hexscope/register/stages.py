"""From coarse to fine: at what resolution a deformation is looked for, for how long, and how smooth it has to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array
from hexscope.kernels import smooth
from hexscope.kernels.threads import share

Floats = NDArray[np.float32]

#: An axis of fewer voxels bends nothing: one thick slice, or a few.
_BENDS_FROM = 4

#: A coarser stage is added while the shortest axis that bends keeps this many voxels.
_FEWEST_VOXELS = 7
_MOST_STAGES = 4

#: A volume with all axes that bend this long is large: at its finest stage two voxels a side make a cell.
_LARGE_FROM = 64

#: In finest voxels of a stage: a round's typical step, and at most so many of those.
STEP, LONGEST = 0.1, 4.0


@dataclass(frozen=True)
class Effort:
    """What is spent on a pair, and how smooth the answer is.

    rounds      at the finest stage and at each coarser one (the last holds for the rest), in both directions
    ending      rounds that end the finest stage in one direction
    step_sigma  smoothness of each step, field_sigma of what they have made, both in finest voxels of a stage
    radius      half the width of the windows whose correlation is compared, in finest cells of a stage
    calms       how much shorter the last step of a stage is than its first: fewer rounds do then, but on a large volume
    evens       how fast differences in swelling are evened out, 0 to 0.15 a round: smooth volumes, sharp shear
    edges       compare how steep the images are as well
    """

    rounds: tuple[int, ...]
    ending: int
    step_sigma: float
    field_sigma: float
    radius: float = 2.0
    calms: float = 1.0
    evens: float = 0.0
    edges: bool = False


@dataclass(frozen=True)
class Speed:
    """What is spent on a volume within a modality, on a small one (a crop about an organ, whose parts are a few voxels
    wide), and across modalities, where there is less to go by; and how many voxels are worked on at most."""

    large: Effort
    small: Effort
    across: Effort
    most_voxels: int


#: Chosen by Dice at roughness on hippocampus crops and one pair of brains, and by known warps of T1 against T2 and
#: FLAIR (benchmarks/deformable.py).
SPEEDS = {
    "fast": Speed(
        Effort((6, 30, 40), 14, 1.5, 0.5, evens=0.02),
        Effort((0, 20, 10), 30, 1.4, 0.41, radius=3.0, calms=4.0, evens=0.012, edges=True),
        Effort((12, 40, 50), 14, 3.0, 1.4),
        24_000_000,
    ),
    "accurate": Speed(
        Effort((16, 40, 60), 20, 1.7, 0.6, evens=0.003),
        Effort((0, 30, 15), 60, 1.4, 0.41, radius=3.0, calms=4.0, evens=0.012, edges=True),
        Effort((30, 60, 60), 20, 3.0, 1.4),
        120_000_000,
    ),
}

#: Across modalities twelve channels stand for each voxel, and what can be known is smoother: so many fewer voxels.
ACROSS_SHARE = 0.05


@dataclass(frozen=True, eq=False)
class Stage:
    """One resolution.

    shrink  voxels of the image averaged into one, z, y, x
    cells   of those, how many make a cell of the field, z, y, x (1 or 2): a field smoother than that needs no more
    mm      of a voxel of the stage, z, y, x
    free    where the field may move, z, y, x: 1 or 0
    rounds, ending  of this stage; ``ending`` is 0 but at the finest, whose ``rounds`` may be 0
    """

    shrink: tuple[int, int, int]
    cells: tuple[int, int, int]
    mm: Array
    free: Array
    rounds: int
    ending: int
    effort: Effort

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
        half_mm = self.effort.radius * self.cell_mm[self.free > 0].min()
        wide = np.maximum(np.round(half_mm / self.cell_mm), 1).astype(int)
        z, y, x = (int(r) if n > 1 else 0 for r, n in zip(wide, shape, strict=True))
        return z, y, x


def stages(shape: tuple[int, ...], spacing_mm: Array, speed: Speed, *, across: bool) -> list[Stage]:
    """Coarse to fine, for a volume of ``shape``. The finest is at full resolution."""
    free = (np.array(shape) >= _BENDS_FROM).astype(np.float64)
    if not free.any():
        free[:] = 1.0
    finest = float(spacing_mm[free > 0].min())
    large = bool((np.array(shape)[free > 0] >= _LARGE_FROM).all())
    effort = speed.across if across else speed.large if large else speed.small
    made: list[Stage] = []
    for number in range(_MOST_STAGES):
        wanted = np.maximum(np.round(finest * 2**number / spacing_mm), 1)
        shrink = np.where(free > 0, 2 ** np.floor(np.log2(wanted) + 1e-6), 1).astype(int)
        if number and (np.array(shape) / shrink)[free > 0].min() < _FEWEST_VOXELS:
            break
        mm = spacing_mm * shrink
        cells = np.where((free > 0) & (mm < 1.5 * mm[free > 0].min()) & large & (not number), 2, 1)
        rounds = effort.rounds[min(number, len(effort.rounds) - 1)]
        ending = 0 if number else effort.ending
        made.append(Stage(_three(shrink), _three(cells), mm, free, rounds, ending, effort))
    return made[::-1]


def _three(values: Array) -> tuple[int, int, int]:
    z, y, x = (int(v) for v in values)
    return z, y, x


def cells_of(shape: tuple[int, ...], per_cell: tuple[int, ...]) -> tuple[int, int, int]:
    """How many blocks of ``per_cell`` voxels cover a volume."""
    z, y, x = (-(-n // k) for n, k in zip(shape, per_cell, strict=True))
    return z, y, x


def shrunk(volume: Floats, factors: tuple[int, int, int]) -> Floats:
    """Means over blocks of voxels."""
    if factors == (1, 1, 1):
        return volume
    out = np.empty(cells_of(volume.shape, factors), np.float32)
    share(smooth.shrink, len(out), volume, np.array(factors, np.int64), out)
    return out
