"""Blank surroundings of an image that was turned and resampled: nothing is known there, so nothing should count.

They show one value exactly, and what they surround is a box, perhaps with corners cut off: convex, with few flat faces.
Nothing in a patient looks like that. Air that a scanner sets to zero about a head, or what is left of a head without
its skull, is no box and stays: its border tells much.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Array

#: An image is thinned to so many voxels along each axis to be judged.
_MOST = 48

#: What is blank takes up this share of the volume's border, or more, and of the volume.
_OF_BORDER, _OF_VOLUME = 0.2, 0.05

#: Share of the convex hull of what is known that is known; share of the hull's area on a few flat faces. Measured: 1.00
#: and .99 for a box that was turned; .9 and .4 to .5 for a head in air at zero, and for one without its skull.
_CONVEX, _FLAT = 0.95, 0.9

#: Voxels that are looked at to learn what share of the hull is known.
_LOOKED_AT = 8000

#: Faces of a box that corners were cut off; normals within this angle belong to one face.
_FACES, _DEGREES = 12, 12.0


def beside_padding(array: NDArray[Any]) -> NDArray[np.bool_] | None:
    """What is known of a (z, y, x) volume with blank surroundings; None where it has none.

    A voxel beside the blank is left out too: it may be mixed with it.
    """
    if min(array.shape) < 4:
        return None
    steps = [-(-n // _MOST) for n in array.shape]
    thin = array[tuple(slice(None, None, step) for step in steps)]
    inside = (slice(1, -1),) * 3
    border = np.ones(thin.shape, bool)
    border[inside] = False
    values, counts = np.unique(thin[border], return_counts=True)
    blank = values[counts.argmax()]
    if counts.max() < _OF_BORDER * counts.sum() or (thin == blank).mean() < _OF_VOLUME or not _is_box(thin != blank):
        return None
    return ~np.asarray(ndimage.binary_dilation(array == blank))


def _is_box(known: NDArray[np.bool_]) -> bool:
    """Is it convex, with few flat faces?"""
    from scipy.spatial import ConvexHull, QhullError

    rim = np.argwhere(known & ~ndimage.binary_erosion(known))
    try:
        hull = ConvexHull(rim)
    except (QhullError, ValueError):  # too few points, or all in one plane
        return False
    corners = hull.points[hull.simplices]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    if _on_faces(hull.equations[:, :3], areas) < _FLAT:
        return False
    looked_at = np.stack(np.unravel_index(np.arange(0, known.size, known.size // _LOOKED_AT + 1), known.shape), axis=1)
    within = (looked_at @ hull.equations[:, :3].T + hull.equations[:, 3]).max(axis=1) < 1e-6
    return bool(within.any()) and known[tuple(looked_at[within].T)].mean() >= _CONVEX


def _on_faces(normals: Array, areas: Array) -> float:
    """Share of the area of a hull's triangles that the largest few faces hold."""
    alike = normals @ normals.T > np.cos(np.radians(_DEGREES))
    left, held = areas.copy(), 0.0
    for _ in range(_FACES):
        sizes = alike @ left
        face = int(sizes.argmax())
        held += sizes[face]
        left[alike[face]] = 0.0
    return float(held / areas.sum())
