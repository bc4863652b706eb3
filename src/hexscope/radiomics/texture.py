"""Textures: grey levels that meet (`cm`), run (`rlm`), form zones (`szm`, `dzm`), depend on neighbours (`ngt`, `ngl`).

Definitions: IBSI reference manual, doi:10.48550/arXiv.1612.07003, sections 3.6 to 3.11; Chebyshev distance 1, no
weighting by distance, coarseness 0. A texture is counted once in the plane and once through the slices; aggregations
add those counts up in different groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from hexscope.radiomics.neighbours import Neighbourhood
from hexscope.radiomics.region import Floats, Ints, Region
from hexscope.radiomics.table import Table, emphases, entropy

Values = dict[str, float]


def textures(family: str, region: Region, around: Neighbourhood) -> Values:
    """All features of one family, in the aggregations of the region's settings: ``cm_contrast_3D_avg`` and the like."""
    wanted = region.settings.aggregations
    make = _FAMILIES[family]
    out: Values = {}
    for tag, values in make(region, around, wanted):
        out |= {f"{family}_{name}_{tag}": value for name, value in values.items()}
    return out


Tagged = Iterator[tuple[str, Values]]


def _directional(
    count: Callable[[Neighbourhood, bool], Table], features: Callable[[Table], Values]
) -> Callable[[Region, Neighbourhood, tuple[str, ...]], Tagged]:
    """Aggregations of a texture that has a matrix a direction: of all directions the mean, or all counted together."""

    def make(region: Region, around: Neighbourhood, wanted: tuple[str, ...]) -> Tagged:
        if {"2D", "2.5D"} & set(wanted):
            flat = count(around, False)  # a matrix a slice and direction
            which = np.arange(len(flat.voxels))
            ways = around.directions(False)
            if "2D" in wanted:
                yield "2D_avg", features(flat)
                yield "2D_comb", features(flat.merged(which // ways))
            if "2.5D" in wanted:
                yield "2_5D_avg", features(flat.merged(which % ways))
                yield "2_5D_comb", features(flat.merged(which * 0))
        if "3D" in wanted:
            deep = count(around, True)  # a matrix a direction
            yield "3D_avg", features(deep)
            yield "3D_comb", features(deep.merged(np.zeros(len(deep.voxels), np.int64)))

    return make


def _plain(
    count: Callable[[Region, Neighbourhood, bool], Table], features: Callable[[Table], Values]
) -> Callable[[Region, Neighbourhood, tuple[str, ...]], Tagged]:
    """Aggregations of a texture without directions: a matrix a slice, those added up, or one of the volume."""

    def make(region: Region, around: Neighbourhood, wanted: tuple[str, ...]) -> Tagged:
        if {"2D", "2.5D"} & set(wanted):
            flat = count(region, around, False)
            if "2D" in wanted:
                yield "2D", features(flat)
            if "2.5D" in wanted:
                yield "2_5D", features(flat.merged(np.zeros(len(flat.voxels), np.int64)))
        if "3D" in wanted:
            yield "3D", features(count(region, around, True))

    return make


# ---- what meets ---------------------------------------------------------------------------------------------


def _matrices(around: Neighbourhood, through: bool, some: slice) -> tuple[Ints, Floats]:
    """(some, n) the matrix that each voxel counts in by direction, and the voxels of each matrix, of all directions."""
    ways = around.directions(through)
    numbers = np.arange(ways)[some, None]
    if through:
        return np.broadcast_to(numbers, (len(numbers), len(around.place))), np.full(ways, float(len(around.place)))
    return around.plane * ways + numbers, np.repeat(around.plane_voxels(), ways).astype(np.float64)


def _meetings(around: Neighbourhood, through: bool) -> Table:
    return Table.joined([_some_meetings(around, through, some) for some in around.groups(through)])


def _some_meetings(around: Neighbourhood, through: bool, some: slice) -> Table:
    matrix, voxels = _matrices(around, through, some)
    ahead = around.ahead[some]
    seen = ahead > 0
    level = np.broadcast_to(around.level, ahead.shape)
    return Table.of(matrix[seen], level[seen], ahead[seen], voxels, around.level_count)


def _cooccurrence(one_way: Table) -> Values:
    """The 25 features of the grey level co-occurrence matrix, section 3.6."""
    table = one_way.both_ways()
    n, p = table.level_count, table.share
    i, j = table.level.astype(np.float64), table.other.astype(np.float64)
    alone = table.margin(table.level - 1, n, p)
    apart = table.margin(np.abs(table.level - table.other), n, p)
    together = table.margin(table.level + table.other - 2, 2 * n - 1, p)
    grey, k, s = np.arange(1.0, n + 1), np.arange(float(n)), np.arange(2.0, 2 * n + 1)
    mean = alone @ grey
    variance = alone @ grey**2 - mean**2
    product = table.sums(i * j * p)
    off = s - 2 * mean[:, None]
    joint, single = -table.sums(p * np.log2(p)), entropy(alone)
    highest = np.zeros(len(table.voxels))
    np.maximum.at(highest, table.matrix, p)
    flat = variance <= 1e-12 * mean**2
    safe = np.where(flat, 1.0, variance)
    values = {
        "joint_max": highest,
        "joint_avg": mean,
        "joint_var": variance,
        "joint_entr": joint,
        "diff_avg": apart @ k,
        "diff_var": apart @ k**2 - (apart @ k) ** 2,
        "diff_entr": entropy(apart),
        "sum_avg": together @ s,
        "sum_var": together @ s**2 - (together @ s) ** 2,
        "sum_entr": entropy(together),
        "energy": table.sums(p * p),
        "contrast": apart @ k**2,
        "dissimilarity": apart @ k,
        "inv_diff": apart @ (1 / (1 + k)),
        "inv_diff_norm": apart @ (1 / (1 + k / n)),
        "inv_diff_mom": apart @ (1 / (1 + k**2)),
        "inv_diff_mom_norm": apart @ (1 / (1 + (k / n) ** 2)),
        "inv_var": apart[:, 1:] @ (1 / k[1:] ** 2),
        "corr": np.where(flat, 1.0, (product - mean**2) / safe),
        "auto_corr": product,
        "clust_tend": (together * off**2).sum(axis=1),
        "clust_shade": (together * off**3).sum(axis=1),
        "clust_prom": (together * off**4).sum(axis=1),
        # of a symmetric matrix, both entropies of independent levels are twice that of one level
        "info_corr1": np.where(single > 0, (joint - 2 * single) / np.where(single > 0, single, 1.0), 0.0),
        "info_corr2": np.sqrt(np.maximum(1 - np.exp(-2 * (2 * single - joint)), 0.0)),
    }
    return table.means(values)


# ---- what runs ----------------------------------------------------------------------------------------------


def _runs(around: Neighbourhood, through: bool) -> Table:
    return Table.joined([_some_runs(around, through, some) for some in around.groups(through)])


def _some_runs(around: Neighbourhood, through: bool, some: slice) -> Table:
    matrix, voxels = _matrices(around, through, some)
    begins = around.behind[some] != around.level  # where the voxel before is another
    way, at = np.nonzero(begins)
    stride, level = np.array(around.strides[some])[way], around.level[at]
    length = np.ones(len(at), np.int64)
    growing = np.flatnonzero(around.ahead[some][begins] == level)
    reach = around.place[at[growing]] + stride[growing]
    while growing.size:
        length[growing] += 1
        reach = reach + stride[growing]
        goes_on = around.levels[reach] == level[growing]
        growing, reach = growing[goes_on], reach[goes_on]
    return Table.of(matrix[begins], level, length, voxels, around.level_count)


# ---- what forms zones ---------------------------------------------------------------------------------------


def _zones(around: Neighbourhood, through: bool) -> tuple[Ints, Ints, Ints]:
    """The zone of each voxel (n,), touching voxels of one level; the level and the slice of each zone."""
    ways = around.directions(through)
    way, at = np.nonzero(around.ahead[:ways] == around.level)
    number = np.zeros(len(around.levels), np.int32)
    number[around.place] = np.arange(len(around.place))
    beside = number[around.place[at] + np.array(around.strides)[way]]
    links = sparse.coo_array((np.ones(len(at), np.int8), (at, beside)), shape=(len(around.place),) * 2)
    count, zone = csgraph.connected_components(links.tocsr(), directed=False)
    level, plane = np.zeros(count, np.int64), np.zeros(count, np.int64)
    level[zone] = around.level
    plane[zone] = 0 if through else around.plane
    return zone.astype(np.int64), level, plane


def _region_voxels(around: Neighbourhood, through: bool) -> Floats:
    return np.array([float(len(around.place))]) if through else around.plane_voxels().astype(np.float64)


def _zone_sizes(_: Region, around: Neighbourhood, through: bool) -> Table:
    zone, level, plane = _zones(around, through)
    return Table.of(plane, level, np.bincount(zone), _region_voxels(around, through), around.level_count)


def _zone_distances(region: Region, around: Neighbourhood, through: bool) -> Table:
    """Zones by how near they come to the edge of the form: 1 at the edge, a step a face of a voxel."""
    zone, level, plane = _zones(around, through)
    inner = np.pad(region.shape_mask, 1)
    slices = [inner] if through else list(inner)
    steps = [ndimage.distance_transform_cdt(s, "taxicab") for s in slices]
    depth = (steps[0] if through else np.stack(steps)).ravel()[around.place]
    nearest = np.full(len(level), np.iinfo(np.int64).max)
    np.minimum.at(nearest, zone, depth.astype(np.int64))
    return Table.of(plane, level, nearest, _region_voxels(around, through), around.level_count)


# ---- what depends on its neighbours -------------------------------------------------------------------------


def _dependences(_: Region, around: Neighbourhood, through: bool) -> Table:
    ways = around.directions(through)
    alike = (around.ahead[:ways] == around.level).sum(axis=0) + (around.behind[:ways] == around.level).sum(axis=0)
    plane = around.plane * (not through)
    return Table.of(plane, around.level, alike + 1, _region_voxels(around, through), around.level_count)


def _tones(region: Region, around: Neighbourhood, wanted: tuple[str, ...]) -> Tagged:
    """Neighbourhood grey tone differences, section 3.10: per level, how far its voxels are from their surroundings."""
    n = around.level_count
    for through, tags in ((False, {"2D", "2.5D"}), (True, {"3D"})):
        if not tags & set(wanted):
            continue
        ways = around.directions(through)
        ahead, behind = around.ahead[:ways], around.behind[:ways]
        known = (ahead > 0).sum(axis=0) + (behind > 0).sum(axis=0)
        seen = known > 0
        mean = (ahead.sum(axis=0) + behind.sum(axis=0))[seen] / known[seen]
        far = np.abs(around.level[seen] - mean)
        plane = around.plane[seen] * (not through)
        key = plane * n + around.level[seen] - 1
        cells = around.planes * n
        often = np.bincount(key, minlength=cells).reshape(-1, n).astype(np.float64)
        sums = np.bincount(key, far, minlength=cells).reshape(-1, n).astype(np.float64, copy=False)
        if "2D" in wanted and not through:
            each = [_tone_features(c, s) for c, s in zip(often, sums, strict=True) if c.any()]
            yield "2D", {name: float(np.mean([f[name] for f in each])) for name in _TONES} if each else _NO_TONES
        if "2.5D" in wanted and not through:
            yield "2_5D", _tone_features(often.sum(axis=0), sums.sum(axis=0))
        if through:
            yield "3D", _tone_features(often.sum(axis=0), sums.sum(axis=0))


_TONES = ("coarseness", "contrast", "busyness", "complexity", "strength")
_NO_TONES = dict.fromkeys(_TONES, float("nan"))


def _tone_features(often: Floats, sums: Floats) -> Values:
    """Of counts and summed differences a grey level, both (levels,). Of a level alone as the manual sets them."""
    total = often.sum()
    if total == 0:
        return _NO_TONES
    here = np.flatnonzero(often)
    i, p, s = here + 1.0, often[here] / total, sums[here]
    pairs = len(here) * (len(here) - 1)
    apart = np.abs(i[:, None] - i)
    change = float(p @ s)
    spread = float(np.abs((i * p)[:, None] - i * p).sum())
    either = p[:, None] + p
    return {
        "coarseness": 1.0 / change if change > 0 else 1e6,
        "contrast": float(p @ apart**2 @ p) / pairs * float(s.sum()) / total if pairs else 0.0,
        "busyness": change / spread if spread > 0 else 0.0,
        "complexity": float((apart * ((p * s)[:, None] + p * s) / either).sum()) / total,
        "strength": float((either * apart**2).sum()) / float(s.sum()) if s.sum() > 0 else 0.0,
    }


_FAMILIES: dict[str, Callable[[Region, Neighbourhood, tuple[str, ...]], Tagged]] = {
    "cm": _directional(_meetings, _cooccurrence),
    "rlm": _directional(_runs, lambda table: emphases("rlm", table)),
    "szm": _plain(_zone_sizes, lambda table: emphases("szm", table)),
    "dzm": _plain(_zone_distances, lambda table: emphases("dzm", table)),
    "ngt": _tones,
    "ngl": _plain(_dependences, lambda table: emphases("ngl", table)),
}
