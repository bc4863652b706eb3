"""Values and their distribution: statistics, histogram, intensity-volume histogram, local peaks.

Definitions: IBSI reference manual, doi:10.48550/arXiv.1612.07003, sections 3.2 to 3.5.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import signal

from hexscope.errors import UncalibratedError
from hexscope.radiomics.region import Floats, Ints, Region, fixed_number

Values = dict[str, float]

#: Radius of a sphere of 1 cm³, in mm, as the manual gives it: (3 / 4π)^⅓ cm.
_PEAK_RADIUS_MM = 10.0 * (3.0 / (4.0 * np.pi)) ** (1 / 3)
_IVH_BINS = 1000


def statistics(region: Region) -> Values:
    """`stat_*`, of the values as they are."""
    values = np.sort(region.values)
    out = _moments(values, "stat_")
    squares = float(values @ values)
    return out | {"stat_energy": squares, "stat_rms": float(np.sqrt(squares / values.size))}


def histogram(region: Region) -> Values:
    """`ih_*`, of the grey levels."""
    levels = np.sort(region.levels[region.mask])
    out = _moments(levels.astype(np.float64), "ih_")
    counts = np.bincount(levels, minlength=region.level_count + 1)[1:].astype(np.float64)
    share = counts[counts > 0] / levels.size
    modes = np.flatnonzero(counts == counts.max()) + 1
    slope = np.gradient(counts) if counts.size > 1 else np.zeros(1)
    return out | {
        "ih_mode": float(modes[np.argmin(np.abs(modes - out["ih_mean"]))]),
        "ih_entropy": float(-(share * np.log2(share)).sum()),
        "ih_uniformity": float((share**2).sum()),
        "ih_max_grad": float(slope.max()),
        "ih_max_grad_g": float(slope.argmax() + 1),
        "ih_min_grad": float(slope.min()),
        "ih_min_grad_g": float(slope.argmin() + 1),
    }


def _moments(ordered: Floats, prefix: str) -> Values:
    """What statistics and histogram have in common, of values in rising order."""
    mean = float(ordered.mean())
    off = ordered - mean
    second = off * off
    variance = float(second.mean())
    flat = variance <= np.finfo(np.float64).eps * mean * mean  # one value, but for its rounding
    p10, p25, median, p75, p90 = _percentiles(ordered, (0.1, 0.25, 0.5, 0.75, 0.9))
    low, high = float(ordered[0]), float(ordered[-1])
    core = ordered[np.searchsorted(ordered, p10, "left") : np.searchsorted(ordered, p90, "right")]
    values = {
        "mean": mean,
        "var": variance,
        "skew": 0.0 if flat else float((second * off).mean()) / variance**1.5,
        "kurt": 0.0 if flat else float((second * second).mean()) / variance**2 - 3.0,
        "median": median,
        "min": low,
        "p10": p10,
        "p90": p90,
        "max": high,
        "iqr": p75 - p25,
        "range": high - low,
        "mad": float(np.abs(off).mean()),
        "rmad": float(np.abs(core - core.mean()).mean()) if core.size else 0.0,
        "medad": float(np.abs(ordered - median).mean()),
        "cov": _ratio(float(np.sqrt(variance)), mean),
        "qcod": _ratio(p75 - p25, p75 + p25),
    }
    return {prefix + name: value for name, value in values.items()}


def _ratio(above: float, below: float) -> float:
    """NaN where it means nothing."""
    return above / below if below else float("nan")


def _percentiles(ordered: Floats, shares: tuple[float, ...]) -> list[float]:
    """As ``np.percentile``, at a tenth of its cost."""
    out = []
    for share in shares:
        place = share * (ordered.size - 1)
        first = int(place)
        low, high = float(ordered[first]), float(ordered[min(first + 1, ordered.size - 1)])
        out.append(low + (place - first) * (high - low))
    return out


# ---- intensity-volume histogram -----------------------------------------------------------------------------


def volume_histogram(region: Region) -> Values:
    """`ivh_*`: what share of the volume is at least so bright, and how bright a share of the volume is at least."""
    levels, count, value_of = _fine_levels(region)
    below = np.concatenate([[0], np.cumsum(np.bincount(levels, minlength=count + 1)[1:])])
    volume = 1.0 - below / levels.size  # that is at level 1, 2, ... or above; at the end: above all
    height = np.arange(count) / max(count - 1, 1)  # of the range of values
    tiny = 1e-12

    def volume_at(fraction: float) -> float:
        return float(volume[np.flatnonzero(height >= fraction - tiny)[0]]) if count > 1 else 1.0

    def value_at(fraction: float) -> float:
        return value_of(int(np.flatnonzero(volume <= fraction + tiny)[0]) + 1)

    v10, v90, i10, i90 = volume_at(0.1), volume_at(0.9), value_at(0.1), value_at(0.9)
    return {
        "ivh_v10": v10,
        "ivh_v90": v90,
        "ivh_i10": i10,
        "ivh_i90": i90,
        "ivh_diff_v10_v90": v10 - v90,
        "ivh_diff_i10_i90": i10 - i90,
    }


def _fine_levels(region: Region) -> tuple[Ints, int, Callable[[int], float]]:
    """Levels from 1 of the values, how many there are in all, and what value a level stands for.

    Whole numbers in steps of 1 stand for themselves, wider bins for their middle. Where no width is known, a level of
    1000 stands for its own number, as the manual has it for arbitrary units.
    """
    values, width = region.values, region.settings.ivh_bin_width
    if width is None:
        levels = fixed_number(values, float(values.min()), float(values.max()), _IVH_BINS)
        return levels, int(levels.max()), float
    low, high = region.settings.range
    start = float(values.min()) if low is None else low
    end = float(values.max()) if high is None else high
    whole = width == 1.0 and start == round(start) and np.array_equal(values, np.round(values))
    count = int(end - start) + 1 if whole else max(int(np.ceil((end - start) / width)), 1)
    levels = np.minimum(((values - start) / width).astype(np.int64) + 1, count)
    middle = 0.0 if whole else 0.5
    return levels, count, lambda level: start + (level - 1 + middle) * width


# ---- local peaks --------------------------------------------------------------------------------------------


def local_peaks(region: Region) -> Values:
    """`loc_*`: the mean in a sphere of 1 cm³ around the brightest voxel, and the brightest such mean.

    The sphere may reach beyond the region; a voxel counts where its centre lies in it. Of several brightest voxels the
    best counts. (`core.measure.peak`, the SUV peak, weighs voxels that the sphere cuts.)
    """
    if region.spacing_mm is None:
        raise UncalibratedError("local peaks need a spacing: their sphere is 1 cm³", code="geometry.no_spacing")
    reach = [int(_PEAK_RADIUS_MM / step) for step in region.spacing_mm]
    offsets = np.meshgrid(*[np.arange(-r, r + 1) * s for r, s in zip(reach, region.spacing_mm, strict=True)])
    sphere = (sum(o**2 for o in offsets) <= _PEAK_RADIUS_MM**2).astype(np.float64).swapaxes(0, 1)
    wide = [
        slice(max(b.start - r, 0), min(b.stop + r, n))
        for b, r, n in zip(region.box, reach, region.around.shape, strict=True)
    ]
    around = np.asarray(region.around[tuple(wide)], dtype=np.float64)
    known = np.isfinite(around)
    base = float(region.values.min())  # far values would blunt the sums near by
    lifted = np.where(known, around - base, 0.0)
    total = signal.convolve(lifted, sphere, mode="same")
    weight = np.round(signal.convolve(known.astype(np.float64), sphere, mode="same"))
    inner = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(region.box, wide, strict=True))
    means = (total[inner] / np.maximum(weight[inner], 1.0))[region.mask] + base
    brightest = region.values == region.values.max()
    return {"loc_peak_loc": float(means[brightest].max()), "loc_peak_glob": float(means.max())}
