"""Where lesions may lie: everywhere, or in what is no background. The first stage of a detector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.models.detector import Region

#: The background lies below this part of Otsu's threshold of the smoothed image.
_BELOW = 0.6
_BINS = 128


def region_of(plane: NDArray[np.floating[Any]], kind: Region) -> NDArray[np.bool_]:
    """Pixels of ``plane`` where candidates may lie.

    "body" is the largest piece that is brighter than the background, its holes filled; where nothing stands out, the
    whole.
    """
    if kind == "whole":
        return np.ones(plane.shape, bool)
    smooth = ndimage.gaussian_filter(plane, 1.0)
    low = float(smooth.min())
    bright = smooth > low + _BELOW * (_otsu(smooth) - low)
    labels, count = ndimage.label(bright)
    if not count:
        return np.ones(plane.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(labels == sizes.argmax()))


def _otsu(values: NDArray[np.floating[Any]]) -> float:
    """The threshold that parts two groups of values best (Otsu 1979, doi:10.1109/TSMC.1979.4310076)."""
    counts, edges = np.histogram(values, _BINS)
    middle = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(middle[int(np.nanargmax(np.where(above > 0, apart, -1.0)))])
