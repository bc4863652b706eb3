"""The eight numbers by which the fusion literature ranks methods, in the form of its published tables.

They take a fused picture and its two sources, 2-D, brightness 0 to 255, and round to whole numbers first, as the
tables are made from 8-bit pictures. Higher is said to be better. What they do not measure is in `hexscope.fuse.kept`:
EN, SD and SF rise with noise and stretch, the others are largely won by copying one source. So neither row is to be
shown without the rows of the two copies.

    EN    entropy of the grey values, bits
    SD    standard deviation of the grey values
    SF    spatial frequency: root mean square of the steps between neighbours (Eskicioglu 1995, doi:10.1109/26.477498)
    MI    mutual information with either source, summed, in nats (Qu 2002, doi:10.1049/el:20020212)
    SCD   sum of the correlations of differences (Aslantas 2015, doi:10.1016/j.aeue.2015.09.004)
    VIF   visual information fidelity in the pixel domain, of either source, summed (Sheikh 2006,
          doi:10.1109/TIP.2005.859378; pixel domain, four scales, noise variance 2)
    Qabf  share of the sources' edges found in the picture, by strength and direction (Xydeas 2000,
          doi:10.1049/el:20000267)
    SSIM  structural similarity to either source, summed (Wang 2004, doi:10.1109/TIP.2003.819861), uniform window of 7.
          The tables took a data range of 2 for pictures of 0 to 255 (the default of their library for floats, −1 to 1),
          which makes every constant vanish; ``SSIM 255`` is the same with the right range
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.errors import UsageError

Plane = NDArray[np.float64]

FIELD = ("EN", "SD", "SF", "MI", "SCD", "VIF", "Qabf", "SSIM", "SSIM 255")

#: Variance of the eye's noise in VIF, and below what variance a window counts as flat.
_VIF_NOISE = 2.0
_FLAT = 1e-10
#: Qabf: height, slope and middle of the two sigmoids, for strength and direction of an edge (Xydeas 2000).
_STRENGTH = (0.9994, -15.0, 0.5)
_DIRECTION = (0.9879, -22.0, 0.8)
_SSIM_WINDOW = 7
_LEAST_SIDE = 84


def field_scores(fused: NDArray[np.floating], a: NDArray[np.floating], b: NDArray[np.floating]) -> dict[str, float]:
    """All of ``FIELD`` of one picture. Three arrays (y, x), brightness 0 to 255, at least 84 pixels a side.

    UsageError for other shapes: VIF looks at four scales with windows of 17 to 3 pixels.
    """
    if not (fused.shape == a.shape == b.shape) or fused.ndim != 2 or min(fused.shape) < _LEAST_SIDE:
        raise UsageError(
            f"the eight metrics compare three planes of one shape, {_LEAST_SIDE} pixels a side or more; "
            f"got {fused.shape}, {a.shape}, {b.shape}"
        )
    f, x, y = (_as_bytes(p) for p in (fused, a, b))
    return {
        "EN": entropy(f),
        "SD": float(f.std()),
        "SF": spatial_frequency(f),
        "MI": mutual_information(f, x) + mutual_information(f, y),
        "SCD": _correlation(f - y, x) + _correlation(f - x, y),
        "VIF": visual_fidelity(f, x) + visual_fidelity(f, y),
        "Qabf": edges_kept(f, x, y),
        "SSIM": similarity(f, x, 2.0) + similarity(f, y, 2.0),
        "SSIM 255": similarity(f, x, 255.0) + similarity(f, y, 255.0),
    }


def _as_bytes(plane: NDArray[np.floating]) -> Plane:
    """Whole numbers 0 to 255, kept in float."""
    return np.asarray(np.clip(np.round(plane), 0.0, 255.0), dtype=np.float64)


def entropy(plane: Plane) -> float:
    """Bits a pixel, of a plane of whole numbers 0 to 255."""
    share = np.bincount(plane.astype(np.intp).ravel(), minlength=256) / plane.size
    return -float(np.sum(share[share > 0] * np.log2(share[share > 0])))


def spatial_frequency(plane: Plane) -> float:
    rows, columns = np.diff(plane, axis=0), np.diff(plane, axis=1)
    return float(np.sqrt((rows**2).mean() + (columns**2).mean()))


def mutual_information(f: Plane, source: Plane) -> float:
    """Nats, of two planes of whole numbers 0 to 255."""
    pairs = 256 * f.astype(np.intp).ravel() + source.astype(np.intp).ravel()
    joint = np.bincount(pairs, minlength=65536).reshape(256, 256) / f.size
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    seen = joint > 0
    return float(np.sum(joint[seen] * np.log(joint[seen] / product[seen])))


def _correlation(p: Plane, q: Plane) -> float:
    """Pearson's; 0 where one of the two is flat."""
    p, q = p - p.mean(), q - q.mean()
    size = float(np.sqrt((p**2).sum() * (q**2).sum()))
    return float((p * q).sum()) / size if size > 0 else 0.0


def visual_fidelity(f: Plane, source: Plane) -> float:
    """What of the information in ``source`` is in ``f``. 1 for a copy, above 1 for more contrast."""
    told = total = 0.0
    for scale in range(4):
        window = _gauss(2 ** (4 - scale) + 1)
        if scale:
            source, f = (_inside(p, window)[::2, ::2] for p in (source, f))
        gain, left, variance = _channel(source, f, window)
        told += float(np.log10(1 + gain**2 * variance / (left + _VIF_NOISE)).sum())
        total += float(np.log10(1 + variance / _VIF_NOISE).sum())
    return told / total if total > 0 else 1.0


def _channel(source: Plane, f: Plane, window: Plane) -> tuple[Plane, Plane, Plane]:
    """The local model f = gain · source + noise: gain, variance of the noise, variance of the source."""
    mean_s, mean_f = _inside(source, window), _inside(f, window)
    var_s = np.maximum(_inside(source * source, window) - mean_s**2, 0.0)
    var_f = np.maximum(_inside(f * f, window) - mean_f**2, 0.0)
    both = _inside(source * f, window) - mean_s * mean_f
    gain = both / (var_s + _FLAT)
    left = var_f - gain * both
    told = (var_s >= _FLAT) & (var_f >= _FLAT) & (gain >= 0)
    left = np.where(told, left, np.where(var_f < _FLAT, 0.0, var_f))
    return np.where(told, gain, 0.0), np.maximum(left, _FLAT), np.where(var_s < _FLAT, 0.0, var_s)


def _gauss(size: int) -> Plane:
    at = np.arange(size) - (size - 1) / 2
    weight = np.exp(-(at**2) / (2 * (size / 5) ** 2))
    return np.asarray(weight / weight.sum())


def _inside(plane: Plane, window: Plane) -> Plane:
    """Weighted means of the windows that lie wholly inside the plane."""
    half = len(window) // 2
    rows = ndimage.correlate1d(plane, window, axis=0, mode="constant")[half:-half]
    return np.asarray(ndimage.correlate1d(rows, window, axis=1, mode="constant")[:, half:-half])


def edges_kept(f: Plane, a: Plane, b: Plane) -> float:
    """Qabf: edges of both sources, weighted by their strength, as far as ``f`` has them."""
    strength_f, angle_f = _edges(f)
    kept = total = 0.0
    for source in (a, b):
        strength, angle = _edges(source)
        larger = np.maximum(strength, strength_f)
        # where both are equal the tables take the strength itself and not 1: the sigmoid of a strong edge is 1 anyhow
        ratio = np.divide(np.minimum(strength, strength_f), larger, out=np.zeros_like(f), where=larger > 0)
        ratio = np.where(strength == strength_f, strength_f, ratio)
        turned = 1 - np.abs(angle - angle_f) / (np.pi / 2)
        kept += float((_sigmoid(ratio, _STRENGTH) * _sigmoid(turned, _DIRECTION) * strength).sum())
        total += float(strength.sum())
    return kept / total if total > 0 else 0.0


def _edges(plane: Plane) -> tuple[Plane, Plane]:
    """Strength and direction (−π/2 to π/2) of Sobel's gradient, zero beyond the border."""
    across = ndimage.sobel(plane, axis=1, mode="constant")
    down = ndimage.sobel(plane, axis=0, mode="constant")
    slope = np.divide(down, across, out=np.full_like(plane, np.inf), where=across != 0)
    return np.hypot(across, down), np.arctan(slope)


def _sigmoid(value: Plane, shape: tuple[float, float, float]) -> Plane:
    height, slope, middle = shape
    return np.asarray(height / (1 + np.exp(np.minimum(slope * (value - middle), 700.0))))


def similarity(f: Plane, source: Plane, data_range: float) -> float:
    """Mean SSIM over all windows of 7 × 7 inside the plane, with unbiased variances."""
    count = _SSIM_WINDOW**2
    half = _SSIM_WINDOW // 2

    def mean(plane: Plane) -> Plane:
        return np.asarray(ndimage.uniform_filter(plane, _SSIM_WINDOW))[half:-half, half:-half]

    mean_f, mean_s = mean(f), mean(source)
    unbiased = count / (count - 1)
    var_f = unbiased * (mean(f * f) - mean_f**2)
    var_s = unbiased * (mean(source * source) - mean_s**2)
    both = unbiased * (mean(f * source) - mean_f * mean_s)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    top = (2 * mean_f * mean_s + c1) * (2 * both + c2)
    return float((top / ((mean_f**2 + mean_s**2 + c1) * (var_f + var_s + c2))).mean())
