"""Form of the region: `morph_*` of a volume after IBSI 1, and `plane_*`, our own like measures of a plane figure.

Definitions: IBSI reference manual, doi:10.48550/arXiv.1612.07003, section 3.1. The surface is a mesh of marching cubes
at half height (`core.cells`): its volume and area are sums over the codes of its cells, so no mesh is built.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from scipy import fft
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from hexscope.core.cells import codes_of, corners_of, cuts_of
from hexscope.errors import GeometryError, UncalibratedError
from hexscope.radiomics.region import Floats, Ints, Part, Region

Values = dict[str, float]

#: Voxels of a box (some 370 bytes each) up to which all pairs of voxels are weighed.
_MOST_FOR_PAIRS = 8_000_000


def morphology(region: Region) -> Values:
    """`morph_*` of a volume, in mm. Raises UncalibratedError where no spacing is known."""
    if region.spacing_mm is None:
        raise UncalibratedError("morphology needs a spacing, and none is known", code="geometry.no_spacing")
    step = np.array(region.spacing_mm)
    part = region.shape_mask
    volume, area = _mesh(part, step)
    ends = _vertices(part) * step
    hull = ConvexHull(ends)
    voxels = np.argwhere(part) * step
    ball = (36.0 * np.pi * volume**2) ** (1 / 3)  # area of the ball of this volume
    sides = np.array(part.shape) * step
    box_area = 2.0 * float(sides[0] * sides[1] + sides[0] * sides[2] + sides[1] * sides[2])
    least, minor, major = _axes(voxels)
    around_volume, around_area = _ellipsoid(major / 2, minor / 2, least / 2)
    out = {
        "volume": volume,
        "vol_approx": len(voxels) * float(step.prod()),
        "area_mesh": area,
        "av": area / volume,
        "comp_1": volume / (np.sqrt(np.pi) * area**1.5),
        "comp_2": 36.0 * np.pi * volume**2 / area**3,
        "sph_dispr": area / ball,
        "sphericity": ball / area,
        "asphericity": area / ball - 1.0,
        "com": _mass_shift(region, voxels, step),
        "diam": float(pdist(ends[hull.vertices]).max()),
        "pca_maj_axis": major,
        "pca_min_axis": minor,
        "pca_least_axis": least,
        "pca_elongation": _over(minor, major),
        "pca_flatness": _over(least, major),
        "vol_dens_aabb": volume / float(sides.prod()),
        "area_dens_aabb": area / box_area,
        "vol_dens_aee": _over(volume, around_volume),
        "area_dens_aee": _over(area, around_area),
        "vol_dens_conv_hull": volume / hull.volume,
        "area_dens_conv_hull": area / hull.area,
        "integ_int": volume * float(region.values.mean()),
        **_neighbourly(region, step),
    }
    return {f"morph_{name}": float(value) for name, value in out.items()}


def _over(above: float, below: float) -> float:
    """NaN where it means nothing: the axes of a single voxel."""
    return above / below if below > 0 else float("nan")


# ---- surface ------------------------------------------------------------------------------------------------


@cache
def _pieces() -> tuple[Ints, Floats, Floats, Floats]:
    """Triangles of all codes of a cell: the code of each (n,) and two of its sides (n, 2, 3). Of every code: the volume
    under its triangles seen from the cell's first corner (256,), and twice their vector area (256, 3), outward."""
    corners = np.array(corners_of(3))
    found = [_cut(code, corners) for code in range(256)]
    codes = np.repeat(np.arange(256), [len(sides) for sides, _, _ in found])
    return (
        codes,
        np.concatenate([s for s, _, _ in found]),
        np.array([v for _, v, _ in found]),
        np.array([a for *_, a in found]),
    )


@lru_cache(maxsize=64)
def _areas(step: tuple[float, ...]) -> Floats:
    """Area of the surface in a cell of these sides, by its code, (256,)."""
    codes, sides, _, _ = _pieces()
    scaled = sides * np.array(step)
    area = np.linalg.norm(np.cross(scaled[:, 0], scaled[:, 1]), axis=1) / 2.0
    return np.bincount(codes, area, minlength=256).astype(np.float64, copy=False)


def _cut(code: int, corners: Floats) -> tuple[Floats, float, Floats]:
    """The triangles of a code. A bent polygon bulges away from the side that has fewer corners at it, and towards none
    where both have as many: so form and background are treated alike, as the common tables do.

    Where several cuts do so, each counts in part: the area is that of the mirror image too.
    """
    sides, volume, outward = np.zeros((0, 2, 3)), 0.0, np.zeros(3)
    away = np.where([code >> bit & 1 for bit in range(8)], -1.0, 1.0)  # from the inside
    for loop in map(np.array, cuts_of(code, 3)):
        # a vertex lies in the middle of an edge: the edge's corners are half a step away
        near = np.abs(corners - loop[:, None]).sum(axis=2) < 0.75
        slope = ((corners - loop[:, None]) * (away * near)[..., None]).sum(axis=(0, 1))
        fans = [_fan(np.roll(loop, -first, axis=0), slope) for first in range(len(loop))]
        volumes = np.array([fan[1] for fan in fans])
        lean = np.sign(away @ near.any(axis=0))
        wanted = volumes.mean() if lean == 0 else lean * (lean * volumes).max()
        best = [fan for fan in fans if abs(fan[1] - wanted) < np.abs(volumes - wanted).min() + 1e-9]
        part = np.array([1.0 / len(best), 1.0])[:, None]  # an area is that of its sides' product
        sides = np.concatenate([sides, *(fan[0] * part for fan in best)])
        volume, outward = volume + best[0][1], outward + best[0][2]
    return sides, volume, outward


def _fan(loop: Floats, slope: Floats) -> tuple[Floats, float, Floats]:
    """Triangles from a polygon's first vertex, the volume under them, twice their vector area along ``slope``."""
    sides = np.stack([loop[1:-1] - loop[0], loop[2:] - loop[0]], axis=1)
    twice = np.cross(sides[:, 0], sides[:, 1]).sum(axis=0)
    sign = 1.0 if twice @ slope > 0 else -1.0
    volume = float(np.cross(loop[1:-1], loop[2:]).sum(axis=0) @ loop[0]) / 6.0
    return sides, sign * volume, sign * twice


def _mesh(part: Part, step: Floats) -> tuple[float, float]:
    """Volume and area inside the mesh, by the divergence theorem."""
    _, _, volumes, outward = _pieces()
    codes = codes_of(part)
    often = np.bincount(codes.ravel(), minlength=256).astype(np.float64)
    at = np.nonzero((codes > 0) & (codes < 255))
    seen_from = np.stack(at, axis=1).astype(np.float64)
    lifted = float((outward[codes[at]] * seen_from).sum()) / 6.0
    return float((volumes @ often + lifted) * step.prod()), float(_areas(tuple(step.tolist())) @ often)


def _vertices(part: Part) -> Floats:
    """Vertices of the mesh that its convex hull may touch, in voxels: half a step from voxels that end all their rows.

    The mesh of a voxel is an octahedron around its centre, and the hull of the whole touches only voxels that are the
    first or the last of the row, column and pillar they stand in.
    """
    ends = part.copy()
    for axis in range(part.ndim):
        seen = np.cumsum(part, axis=axis, dtype=np.int32)
        ends &= (seen == 1) | (seen == seen.take([-1], axis=axis))
    half = np.concatenate([np.eye(part.ndim), -np.eye(part.ndim)]) / 2
    return np.asarray((np.argwhere(ends)[:, None] + half).reshape(-1, part.ndim))


# ---- moments ------------------------------------------------------------------------------------------------


def _axes(points: Floats) -> list[float]:
    """Lengths of the axes of the ellipsoid with the same moments, rising; 0 for a single point."""
    if len(points) < 2:
        return [0.0] * points.shape[1]
    return [4.0 * float(np.sqrt(max(v, 0.0))) for v in np.linalg.eigvalsh(np.cov(points.T))]


def _ellipsoid(a: float, b: float, c: float) -> tuple[float, float]:
    """Volume and area of an ellipsoid of semi-axes a ≥ b ≥ c, as the manual has them.

    Its series for the area (twenty terms of Legendre polynomials in √(1 − b²/a²) and √(1 − c²/a²)) stays some percent
    below the true area where the axes differ. It is the standard's, and its reference value rests on it.
    """
    if a == 0.0:
        return 0.0, 0.0
    one, other = 1.0 - (b / a) ** 2, 1.0 - (c / a) ** 2
    before, term, total = 0.0, 1.0, 0.0
    for degree in range(21):
        total += term / (1 - 4 * degree**2)
        grown = (2 * degree + 1) * (one + other) / 2.0 * term - degree * one * other * before
        before, term = term, grown / (degree + 1)
    return 4.0 / 3.0 * np.pi * a * b * c, 4.0 * np.pi * a * b * total


def _mass_shift(region: Region, voxels: Floats, step: Floats) -> float:
    """From the middle of the form to the middle of the values, mm."""
    lit = np.argwhere(region.mask) * step
    mass = float(region.values.sum())
    if mass == 0.0:
        return float("nan")
    return float(np.linalg.norm(voxels.mean(axis=0) - region.values @ lit / mass))


def _neighbourly(region: Region, step: Floats) -> Values:
    """Moran's I and Geary's C: do near voxels have like values? Weights are 1 / distance, of all pairs of voxels.

    The sums over pairs are correlations, done by Fourier transform: N log N where pair by pair is N². NaN for a single
    value, and for a region whose box is so large that the transform would fill the memory.
    """
    size = region.mask.shape
    off = np.zeros(size)
    off[region.mask] = region.values - region.values.mean()
    square_sum, count = float((off**2).sum()), int(region.mask.sum())
    if float(np.ptp(region.values)) == 0.0 or off.size > _MOST_FOR_PAIRS:
        return {"moran_i": float("nan"), "geary_c": float("nan")}
    shape: tuple[int, ...] = tuple(int(fft.next_fast_len(2 * n - 1, real=True)) for n in size)
    z, y, x = ((np.minimum(np.arange(m), m - np.arange(m)) * s) ** 2 for m, s in zip(shape, step, strict=True))
    apart = np.sqrt(z[:, None, None] + y[:, None] + x)
    apart[0, 0, 0] = np.inf
    weight = fft.rfftn(1.0 / apart)
    inner = tuple(slice(n) for n in size)

    def near(values: Floats) -> Floats:
        return np.asarray(fft.irfftn(fft.rfftn(values, shape) * weight, shape))[inner]

    around = near(region.mask.astype(np.float64))
    weights = float(around[region.mask].sum())
    products = float((off * near(off)).sum())
    differences = 2.0 * (float((off**2 * around).sum()) - products)
    return {
        "moran_i": count / weights * products / square_sum,
        "geary_c": (count - 1) / (2.0 * weights) * differences / square_sum,
    }


# ---- planes -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _lengths(step: tuple[float, ...]) -> Floats:
    """Length of the outline in a cell of these sides, by its code, (16,)."""
    return np.array([sum(float(np.linalg.norm((np.array(a) - b) * step)) for a, b in cuts_of(c, 2)) for c in range(16)])


def plane_figure(region: Region) -> Values:
    """`plane_*` of a plane figure: ours, for IBSI has no shape of planes. mm where a spacing is known, else pixels.

    The outline runs between pixels, its corners cut (marching squares); its length is the perimeter.
    """
    if len(region.shape_mask) != 1:
        raise GeometryError("the family plane is of one slice; of a volume ask for the family morph")
    part = region.shape_mask[0]
    step = np.array((region.spacing_mm or (1.0, 1.0, 1.0))[1:])
    perimeter = float(np.bincount(codes_of(part).ravel(), minlength=16) @ _lengths(tuple(step.tolist())))
    area = float(part.sum() * step.prod())
    ends = _vertices(part) * step
    hull = ConvexHull(ends)
    minor, major = _axes(np.argwhere(part) * step)
    out = {
        "area": area,
        "perimeter": perimeter,
        "circularity": 4.0 * np.pi * area / perimeter**2,
        "diam": float(pdist(ends[hull.vertices]).max()),
        "pca_maj_axis": major,
        "pca_min_axis": minor,
        "pca_elongation": _over(minor, major),
        "area_dens_aabb": area / float((np.array(part.shape) * step).prod()),
        "area_dens_conv_hull": area / hull.volume,
    }
    return {f"plane_{name}": float(value) for name, value in out.items()}
