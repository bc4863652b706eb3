"""Objects that touch, told apart: what a network learns of an instance map, and the map back from its answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

#: Depth from which a pixel is the core of an object: half way from its edge to its middle.
CORE = 0.5
#: Objects of fewer pixels are noise.
LEAST_PIXELS = 8


def instance_planes(instances: NDArray[np.integer]) -> Floats:
    """(2, *spatial) targets in 0..1: is it an object; and how deep within it, 0 at its edge and 1 at its middle.

    Depth is the distance to the object's edge over the largest one within it, so that it separates objects of any
    size at one threshold. ``instances`` holds 0 or a value of its own for each object.
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
        out[1][where][part] = (distance / distance.max())[part]
    return out


def instances_of(
    belongs: Floats, depth: Floats, *, core: float = CORE, least: int = LEAST_PIXELS
) -> NDArray[np.uint16]:
    """1, 2, … for each object, 0 elsewhere: cores of ``depth`` flooded within ``belongs`` > ½ (both 0..1).

    The flood is scipy's image foresting transform (doi:10.1109/TPAMI.2004.1261076) on depth. What belongs to an
    object but reaches no core is an object of its own; those of fewer than ``least`` pixels are left out.
    """
    from scipy import ndimage

    inside = belongs > 0.5
    cores, n = ndimage.label(inside & (depth > core))
    pieces, _ = ndimage.label(inside)
    cored = np.unique(pieces[cores > 0])
    lone = inside & ~np.isin(pieces, cored)
    cores = np.where(lone, pieces + n, cores).astype(np.int32)
    cores[~inside] = -1  # what is outside floods nothing and is flooded by nothing
    cost = np.round(255 * (1.0 - np.clip(depth, 0.0, 1.0))).astype(np.uint8)
    flooded = ndimage.watershed_ift(cost, cores)
    flooded[~inside] = 0
    sizes = np.bincount(flooded.ravel().clip(0))
    keep = np.flatnonzero(sizes >= least)
    names = np.zeros(len(sizes), np.uint16)
    names[keep[keep > 0]] = np.arange(1, 1 + np.count_nonzero(keep > 0))
    return np.asarray(names[flooded])
