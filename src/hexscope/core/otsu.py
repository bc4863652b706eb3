"""The threshold that best parts values into two groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def otsu(values: NDArray[Any], bins: int = 256) -> float:
    """Otsu's threshold, doi:10.1109/TSMC.1979.4310076: the greatest variance between the groups.

    Values above it belong to the upper group. The value itself where all are equal.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    moment = np.cumsum(counts * middles)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (moment / below - (moment[-1] - moment) / above) ** 2
    best = np.flatnonzero(between[:-1] >= np.nanmax(between[:-1]) * (1 - 1e-9))
    return float(edges[1:][best].mean())  # of a gap without values, the middle
