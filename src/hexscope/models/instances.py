"""Objects that touch, told apart: what a network learns of an instance map, and the map back from its answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

#: How much deeper than the valley between them each of two summits must be to be two objects.
RISE = 0.1
#: Steps of depth in which the sea falls, and the softening (pixels) of what the network says before.
_STEP, _SOFT = 0.05, 1.0
#: The part of the way from the edge to the middle at which an object is as deep as it gets: a plateau that a network
#: can learn whole, while the rims keep neighbours apart.
PLATEAU = 0.5
#: Objects of fewer pixels are noise.
LEAST_PIXELS = 8


def instance_planes(instances: NDArray[np.integer]) -> Floats:
    """(2, *spatial) targets in 0..1: is it an object; and how deep within it, 0 at its edge and 1 from half way in.

    Depth is the distance to the object's edge over half the largest one within it, at most 1, so that it separates
    objects of any size at one threshold. ``instances`` holds 0 or a value of its own for each object.
    """
    from scipy import ndimage

    out = np.zeros((2, *instances.shape), np.float32)
    out[0] = instances > 0
    for value, where in enumerate(ndimage.find_objects(instances.astype(np.int32)), start=1):
        if where is None:
            continue
        part = instances[where] == value
        distance = ndimage.distance_transform_edt(np.pad(part, 1))
        distance = distance[(slice(1, -1),) * part.ndim]
        out[1][where][part] = np.minimum(distance / (PLATEAU * distance.max()), 1.0)[part]
    return out


def instances_of(
    belongs: Floats, depth: Floats, *, rise: float = RISE, least: int = LEAST_PIXELS
) -> NDArray[np.uint16]:
    """1, 2, … for each object, 0 elsewhere: the summits of ``depth`` within ``belongs`` > ½ (both 0..1).

    Those of fewer than ``least`` pixels are left out. What belongs to an object goes to the nearest summit.
    """
    from scipy import ndimage

    inside = belongs > 0.5
    found = _summits(inside, ndimage.gaussian_filter(depth, _SOFT), rise)
    rest = inside & (found == 0)
    if rest.any():
        nearest = ndimage.distance_transform_edt(found == 0, return_distances=False, return_indices=True)
        found[rest] = found[tuple(index[rest] for index in nearest)]
    sizes = np.bincount(found.ravel())
    keep = np.flatnonzero(sizes >= least)
    names = np.zeros(len(sizes), np.uint16)
    names[keep[keep > 0]] = np.arange(1, 1 + np.count_nonzero(keep > 0))
    return np.asarray(names[found])


def _summits(inside: NDArray[np.bool_], depth: Floats, rise: float) -> NDArray[np.int32]:
    """A number for each summit that rises ``rise`` above the pass to a higher one, down to that pass (h-maxima by a
    falling sea: Soille, Morphological Image Analysis, 2003, 6.3.4)."""
    from scipy import ndimage

    found = np.zeros(inside.shape, np.int32)
    height = np.array([np.inf])  # of each summit, by its number
    for level in np.arange(1.0, -_STEP / 2, -_STEP):
        above = inside & (depth >= level) if level > _STEP / 2 else inside
        islands, n = ndimage.label(above)
        pairs = np.unique(islands[found > 0].astype(np.int64) * len(height) + found[found > 0])
        island, summit = np.divmod(pairs, len(height))
        best = np.full(n + 1, -np.inf)
        np.maximum.at(best, island, height[summit])
        stands = (height[summit] - level > rise - _STEP / 2) | (height[summit] == best[island])
        count = np.bincount(island[stands], minlength=n + 1)
        owner = np.zeros(n + 1, np.int32)  # of islands with one summit, whose shore is its own
        owner[island[stands]] = summit[stands]
        fresh = np.setdiff1d(np.arange(1, n + 1), island)
        owner[fresh] = len(height) + np.arange(len(fresh))
        height = np.append(height, level - 1e-6 * (len(height) + np.arange(len(fresh))))  # no two are alike
        lost = np.ones(len(height), bool)
        lost[summit[stands]] = False
        found[lost[found]] = 0
        whole = (count <= 1)[islands] & above
        found[whole] = owner[islands[whole]]
    return found
