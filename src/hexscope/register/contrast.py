"""Do two images show tissue in the same contrast? Then their local correlation can be trusted."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from hexscope.core.geometry import Array
from hexscope.register.pair import Pair

#: Places along the first axis that are looked at; half the width of the windows there (of a plane's, which are flat);
#: the least variance of a window.
_PLACES, _HALF, _HALF_FLAT, _VARIES = 24, 2, 5, 4e-5

#: Two people's folds do not match before they are deformed: pairs are averaged to so many voxels to be judged.
VOXELS = 1_000_000

#: Signed local correlations sum to this share of their sizes, or more, where the contrast is the same. Measured at the
#: start of the deformation: .87 to .96 on hippocampus crops and brains of two people; T1 with FLAIR .5, with T2 .0.
_AGREE = 0.72


def named_apart(fixed_modality: str, moving_modality: str) -> bool:
    """Are both modalities named, and not the same? ``OT`` names none."""
    return len({fixed_modality, moving_modality} - {"OT", ""}) == 2


def same_contrast(pair: Pair) -> bool:
    """Do brightnesses go up and down together, nearly everywhere?"""
    return agreement(pair) >= _AGREE


def agreement(pair: Pair) -> float:
    """Sum of signed correlations in small windows, over the sum of their sizes: −1 to 1; 1 where nothing is seen."""
    pair = pair.fitting(VOXELS)
    half = _HALF if len(pair.fixed) > 2 * _HALF else 0
    some = np.unique(np.linspace(half, len(pair.fixed) - 1 - half, _PLACES).astype(int))
    signed, size = 0.0, 0.0
    for z in some:
        f, m = (v[z - half : z + half + 1].astype(np.float64) for v in (pair.fixed, pair.moving))
        mean_f, mean_m = _mean(f), _mean(m)
        var_f, var_m = _mean(f * f) - mean_f**2, _mean(m * m) - mean_m**2
        seen = (var_f > _VARIES) & (var_m > _VARIES) & (pair.weight[z] > 0)
        both = (_mean(f * m) - mean_f * mean_m)[seen] / np.sqrt(var_f[seen] * var_m[seen])
        signed, size = signed + float(both.sum()), size + float(np.abs(both).sum())
    return signed / size if size > 0 else 1.0


def _mean(slab: Array) -> Array:
    """Mean over the planes of a slab, and over square windows in it, (y, x)."""
    half = _HALF if len(slab) > 1 else _HALF_FLAT
    return np.asarray(ndimage.uniform_filter(slab.mean(axis=0), 2 * half + 1, mode="nearest"))
