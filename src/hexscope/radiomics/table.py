"""Counts that texture features are made of: how often a grey level meets something else, held without the zeros."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.radiomics.region import Floats, Ints

#: Cells up to which counts are tallied in a dense array; beyond, they are sorted.
_DENSE = 1 << 22


@dataclass(frozen=True, eq=False)
class Table:
    """Several matrices of counts, one a slice or direction, as a list of their cells that are not zero.

    matrix, level, other  of each cell, rising: which matrix, its grey level from 1, and what the level meets, from 1
    count                 how often
    voxels                of the region that each matrix is about
    level_count           grey levels there are in all
    """

    matrix: Ints
    level: Ints
    other: Ints
    count: Floats
    voxels: Floats
    level_count: int

    @classmethod
    def of(cls, matrix: Ints, level: Any, other: Any, voxels: Floats, level_count: int, count: Any = None) -> Table:
        """A table from single events, or from ``count`` of each."""
        widest = int(other.max()) if other.size else 1
        cells = len(voxels) * level_count * widest
        key = (matrix * level_count + level - 1) * widest + other - 1
        if cells <= max(_DENSE, 4 * key.size):
            every = np.bincount(key, count, minlength=cells)
            found = np.flatnonzero(every)
            tally = every[found]
        else:
            found, where = np.unique(key, return_inverse=True)
            tally = np.bincount(where, count)
        rows, rest = np.divmod(found, widest)
        matrices, levels = np.divmod(rows, level_count)
        return cls(matrices, levels + 1, rest + 1, tally.astype(np.float64), voxels, level_count)

    @classmethod
    def joined(cls, parts: Sequence[Table]) -> Table:
        """Tables of the same matrices, counted in parts."""
        if len(parts) == 1:
            return parts[0]
        matrix, level, other, count = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("matrix", "level", "other", "count")
        )
        return cls.of(matrix, level, other, parts[0].voxels, parts[0].level_count, count)

    def merged(self, group: Ints) -> Table:
        """Matrices added up: ``group`` (matrices,) says into which one each goes."""
        voxels = np.bincount(group, self.voxels).astype(np.float64, copy=False)
        return Table.of(group[self.matrix], self.level, self.other, voxels, self.level_count, self.count)

    def both_ways(self) -> Table:
        """Each cell and its mirror image: what a level meets is met by it."""
        pairs = np.concatenate([self.level, self.other]), np.concatenate([self.other, self.level])
        matrix, count = np.concatenate([self.matrix, self.matrix]), np.concatenate([self.count, self.count])
        return Table.of(matrix, *pairs, self.voxels, self.level_count, count)

    # ---- sums over the cells of each matrix -----------------------------------------------------------------

    def sums(self, values: NDArray[Any]) -> Floats:
        """The sum of ``values`` (cells,) in each matrix, (matrices,)."""
        return np.bincount(self.matrix, values, minlength=len(self.voxels)).astype(np.float64, copy=False)

    @cached_property
    def totals(self) -> Floats:
        return self.sums(self.count)

    @cached_property
    def share(self) -> Floats:
        """Of its matrix, each cell."""
        return np.asarray(self.count / self.totals[self.matrix])

    def margin(self, index: Ints, width: int, weight: Floats) -> Floats:
        """Weights of cells added up by ``index`` (cells,) from 0, (matrices, width)."""
        key = self.matrix * width + index
        tally = np.bincount(key, weight, minlength=len(self.voxels) * width)
        return tally.reshape(-1, width).astype(np.float64, copy=False)

    def means(self, values: dict[str, Floats]) -> dict[str, float]:
        """Each feature averaged over the matrices that hold anything; those of which it means nothing are left out."""
        held = self.totals > 0
        return {name: _mean(value[held]) for name, value in values.items()}


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def entropy(share: Floats) -> Floats:
    """Bits of distributions (..., n) along their last axis."""
    return np.asarray(-np.sum(share * np.log2(np.where(share > 0, share, 1.0)), axis=-1))


#: What tables of runs, zones and dependences have in common, in this order in each of them.
_EMPHASES = {
    "rlm": "sre lre lgre hgre srlge srhge lrlge lrhge glnu glnu_norm rlnu rlnu_norm r_perc gl_var rl_var rl_entr",
    "szm": "sze lze lgze hgze szlge szhge lzlge lzhge glnu glnu_norm zsnu zsnu_norm z_perc gl_var zs_var zs_entr",
    "dzm": "sde lde lgze hgze sdlge sdhge ldlge ldhge glnu glnu_norm zdnu zdnu_norm z_perc gl_var zd_var zd_entr",
    "ngl": "lde hde lgce hgce ldlge ldhge hdlge hdhge glnu glnu_norm dcnu dcnu_norm dc_perc gl_var dc_var dc_entr",
}


def emphases(family: str, table: Table) -> dict[str, float]:
    """Features of grey level against size: run length, zone size, zone distance, or dependence.

    IBSI reference manual, doi:10.48550/arXiv.1612.07003, sections 3.7, 3.8, 3.9 and 3.11.
    """
    i, j, p = table.level.astype(np.float64), table.other.astype(np.float64), table.share
    bright, long = i * i, j * j
    by_level = table.margin(table.level - 1, table.level_count, table.count)
    widest = int(table.other.max())
    by_size = table.margin(table.other - 1, widest, table.count)
    total = np.where(table.totals > 0, table.totals, np.nan)
    of_levels, of_sizes = (by_level**2).sum(axis=1), (by_size**2).sum(axis=1)
    values = [
        table.sums(p / long),
        table.sums(p * long),
        table.sums(p / bright),
        table.sums(p * bright),
        table.sums(p / (bright * long)),
        table.sums(p * bright / long),
        table.sums(p * long / bright),
        table.sums(p * bright * long),
        of_levels / total,
        of_levels / total**2,
        of_sizes / total,
        of_sizes / total**2,
        total / np.where(table.voxels > 0, table.voxels, np.nan),
        table.sums(p * bright) - table.sums(p * i) ** 2,
        table.sums(p * long) - table.sums(p * j) ** 2,
        -table.sums(p * np.log2(p)),
    ]
    named = dict(zip(_EMPHASES[family].split(), values, strict=True))
    if family == "ngl":
        named["dc_energy"] = table.sums(p * p)
    return table.means(named)
