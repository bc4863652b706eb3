"""The scan area of an ultrasound picture: where echoes are drawn, not the scales and words around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

from hexscope.core.image import Image
from hexscope.segment.found import Found

_DARK = 0.03
#: Letters and callipers are thinner than this part of the picture's shorter side; the scan area is not.
_THIN = 0.02
_LEAST_AREA = 0.02


def find(image: Image, names: Sequence[str]) -> Found:
    """``names`` is ("fan",). The convex hull of the largest piece that is not black, over all frames.

    A convex probe's own arc at the top, which is dark, lies inside the hull.
    """
    bright = _brightest(image)
    lit = bright > _DARK * max(float(bright.max()), 1.0)
    radius = max(2, round(_THIN * min(lit.shape) / 2))
    solid = ndimage.binary_closing(np.pad(lit, radius), iterations=radius)[(slice(radius, -radius),) * lit.ndim]
    solid = ndimage.binary_opening(np.pad(solid, radius, mode="edge"), iterations=radius)[
        (slice(radius, -radius),) * lit.ndim
    ]
    labels, n = ndimage.label(solid)
    sizes = np.bincount(labels.ravel(), minlength=n + 1)
    sizes[0] = 0
    if sizes.max() < _LEAST_AREA * lit.size:
        return Found(image.grid, {"fan": np.zeros(lit.shape, bool)}, "largest lit area", ("no scan area was found",))
    hull = _hull(labels == int(sizes.argmax()))
    return Found(image.grid, {"fan": hull}, "convex hull of the largest lit area")


def _brightest(image: Image) -> NDArray[np.float32]:
    """The most that a pixel ever shows, over frames and colours."""
    array: NDArray[Any] = image.array
    over = tuple(i for i, axis in enumerate(image.axes) if axis in "tc")
    return np.asarray(array.max(axis=over), dtype=np.float32) if over else array.astype(np.float32)


def _hull(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All pixels whose centres lie in the convex hull of the centres of ``part``."""
    points = np.argwhere(part & ~ndimage.binary_erosion(part))
    hull = ConvexHull(points, qhull_options="QJ")
    inside = np.ones(part.shape, bool)
    axes = np.ogrid[tuple(slice(n) for n in part.shape)]
    for *normal, offset in hull.equations:
        inside &= sum(a * c for a, c in zip(axes, normal, strict=True)) + offset <= 1e-6
    return inside | part
