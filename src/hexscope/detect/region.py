"""Where lesions may lie: everywhere, or in what is no background. The first stage of a detector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.otsu import otsu
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
    bright = smooth > low + _BELOW * (otsu(smooth, _BINS) - low)
    labels, count = ndimage.label(bright)
    if not count:
        return np.ones(plane.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(labels == sizes.argmax()))
