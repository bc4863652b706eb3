"""Two brightnesses into one: the ways to fuse that give a grey value and no colour, in 2-D and 3-D, in float.

Each takes two arrays of brightness, 0 to 1, and the spacing along each axis in parts of the finest (a volume of thick
slices is filtered less across them), and gives one array. What leaves 0 to 1 is cut where the picture is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Levels = NDArray[np.float32]
Steps = Sequence[float]
Merge = Callable[[Levels, Levels, Steps], Levels]

#: Width of the neighbourhood whose energy decides, as the sigma of a Gaussian, in pixels.
_ENERGY_SIGMA = 2.0
#: What of a picture is detail: finer than this sigma, in pixels. The one setting of "detail"; benchmarks/fusion.py
#: --tune shows how it was chosen.
DETAIL_SIGMA = 2.0
#: Levels of the pyramid, as far as the picture has room for them.
_PYRAMID_LEVELS = 4
_LEAST_SIDE = 8
_BURT = np.array([1, 4, 6, 4, 1], dtype=np.float32) / 16
#: Guided filter: the base is a mean over 31 pixels; radius and smoothness of its weights and of those of the detail.
_BASE_WINDOW = 31
_BASE_GUIDE = (45, 0.3)
_DETAIL_GUIDE = (7, 1e-6)


def brightest(a: Levels, b: Levels, steps: Steps) -> Levels:
    """The brighter of the two: of one quantity in one window, the larger value."""
    return np.maximum(a, b)


def difference(a: Levels, b: Levels, steps: Steps) -> Levels:
    """Half of (b − a) about mid-grey: of one quantity in one window, (2 · grey − 1) · width is the difference."""
    return np.asarray(0.5 + 0.5 * (b - a), dtype=np.float32)


def energy(a: Levels, b: Levels, steps: Steps) -> Levels:
    """At each pixel the source with the greater mean square brightness around it."""
    return np.where(_stronger(a, b, steps), a, b)


def _stronger(a: Levels, b: Levels, steps: Steps) -> NDArray[np.bool_]:
    return np.asarray(_blur(a * a, _ENERGY_SIGMA, steps) >= _blur(b * b, _ENERGY_SIGMA, steps))


def detail(a: Levels, b: Levels, steps: Steps) -> Levels:
    """Two scales: the coarse parts laid over each other like two slides, 1 − (1 − a)(1 − b), and at each pixel the
    stronger of the two fine parts on top. Brightness of one source does not hide structure of the other."""
    coarse_a, coarse_b = _blur(a, DETAIL_SIGMA, steps), _blur(b, DETAIL_SIGMA, steps)
    fine_a, fine_b = a - coarse_a, b - coarse_b
    fine = np.where(np.abs(fine_a) >= np.abs(fine_b), fine_a, fine_b)
    return np.asarray(coarse_a + coarse_b - coarse_a * coarse_b + fine, dtype=np.float32)


def _blur(levels: Levels, sigma: float, steps: Steps) -> Levels:
    return np.asarray(ndimage.gaussian_filter(levels, [sigma / s for s in steps], mode="nearest", truncate=3.0))


# ---- Laplacian pyramid: Burt and Adelson 1983, doi:10.1109/TCOM.1983.1095851 -------------------------------


def pyramid(a: Levels, b: Levels, steps: Steps) -> Levels:
    """Of each band of frequencies the stronger coefficient; of what is left at the top, the mean. fuse(a, a) is a."""
    bands = []
    for _ in range(_PYRAMID_LEVELS):
        axes = _shrinking(a.shape, steps)
        if not axes:
            break
        small_a, small_b = _reduce(a, axes), _reduce(b, axes)
        band_a, band_b = a - _expand(small_a, a.shape, axes), b - _expand(small_b, b.shape, axes)
        bands.append((np.where(np.abs(band_a) >= np.abs(band_b), band_a, band_b), axes))
        a, b, steps = small_a, small_b, [s * (2 if k in axes else 1) for k, s in enumerate(steps)]
    merged: Levels = np.asarray(0.5 * (a + b), dtype=np.float32)
    for band, axes in reversed(bands):
        merged = band + _expand(merged, band.shape, axes)
    return merged


def _shrinking(shape: Sequence[int], steps: Steps) -> list[int]:
    """The axes to halve: those with room, but for axes whose steps are coarser already."""
    finest = min((s for s, n in zip(steps, shape, strict=True) if n >= _LEAST_SIDE), default=0.0)
    return [k for k, (s, n) in enumerate(zip(steps, shape, strict=True)) if n >= _LEAST_SIDE and s < 1.5 * finest]


def _reduce(levels: Levels, axes: Sequence[int]) -> Levels:
    for axis in axes:
        levels = ndimage.correlate1d(levels, _BURT, axis=axis, mode="mirror")
    return levels[tuple(slice(None, None, 2 if k in axes else 1) for k in range(levels.ndim))]


def _expand(small: Levels, shape: Sequence[int], axes: Sequence[int]) -> Levels:
    """Zeros between the pixels, then the same filter, doubled along each axis."""
    for axis in axes:
        size = [n if k != axis else shape[axis] for k, n in enumerate(small.shape)]
        wide = np.zeros(size, np.float32)
        wide[tuple(slice(None, None, 2 if k == axis else 1) for k in range(small.ndim))] = small
        small = ndimage.correlate1d(wide, 2 * _BURT, axis=axis, mode="mirror")
    return small


# ---- guided filter: Li, Kang and Hu 2013, doi:10.1109/TIP.2013.2244222 -------------------------------------


def guided(a: Levels, b: Levels, steps: Steps) -> Levels:
    """Base and detail of each source, weighted by local energy, with weights that follow the source's own edges.

    The paper weighs by the Laplacian; of a smooth PET that is nothing, and the picture would be a copy of the MRI.
    """
    base_a, base_b = (_mean(x, _BASE_WINDOW, steps) for x in (a, b))
    strong = _stronger(a, b, steps)
    merged = np.zeros_like(a)
    for parts, guide in (((base_a, base_b), _BASE_GUIDE), ((a - base_a, b - base_b), _DETAIL_GUIDE)):
        weight_a = _guided_filter(strong.astype(np.float32), a, *guide, steps)
        weight_b = _guided_filter((~strong).astype(np.float32), b, *guide, steps)
        total = np.maximum(weight_a + weight_b, 1e-6)
        merged += (weight_a * parts[0] + weight_b * parts[1]) / total
    return merged


def _guided_filter(p: Levels, guide: Levels, radius: int, smooth: float, steps: Steps) -> Levels:
    """``p`` as a local linear function of ``guide`` (He 2013, doi:10.1109/TPAMI.2012.213), kept in 0 to 1."""
    size = 2 * radius + 1
    mean_g, mean_p = _mean(guide, size, steps), _mean(p, size, steps)
    variance = _mean(guide * guide, size, steps) - mean_g * mean_g
    slope = (_mean(guide * p, size, steps) - mean_g * mean_p) / (np.maximum(variance, 0.0) + np.float32(smooth))
    offset = mean_p - slope * mean_g
    return np.asarray(np.clip(_mean(slope, size, steps) * guide + _mean(offset, size, steps), 0.0, 1.0))


def _mean(levels: NDArray[np.floating], size: int, steps: Steps) -> Levels:
    sizes = [max(1, 2 * round((size / s - 1) / 2) + 1) for s in steps]
    return np.asarray(ndimage.uniform_filter(levels, sizes, mode="nearest"))


MERGES: dict[str, Merge] = {
    "max": brightest,
    "difference": difference,
    "energy": energy,
    "pyramid": pyramid,
    "guided": guided,
    "detail": detail,
}
