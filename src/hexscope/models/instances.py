"""Objects that touch, told apart: what a network learns of an instance map, and the map back from its answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

#: Depth from which a pixel is the core of an object.
CORE = 0.5
#: The part of the way from the edge to the middle at which an object is as deep as it gets: a plateau that a network
#: can learn whole, while the rims keep neighbours apart.
PLATEAU = 0.5
#: Objects of fewer pixels are noise.
LEAST_PIXELS = 8
#: Steps in which cores grow from deep to shallow.
_STEPS = 8


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
    belongs: Floats, depth: Floats, *, core: float = CORE, least: int = LEAST_PIXELS
) -> NDArray[np.uint16]:
    """1, 2, … for each object, 0 elsewhere: cores of ``depth`` grown within ``belongs`` > ½ (both 0..1).

    A watershed in steps: from deep to shallow, what becomes part of an object goes to the nearest one. What belongs to
    an object but reaches no core is an object of its own; those of fewer than ``least`` pixels are left out.
    """
    from scipy import ndimage

    inside = belongs > 0.5
    cores, n = ndimage.label(inside & (depth > core))
    pieces, _ = ndimage.label(inside)
    lone = inside & ~np.isin(pieces, np.unique(pieces[cores > 0]))
    grown = np.where(lone, pieces + n, cores).astype(np.int32)
    for level in np.linspace(core, 0.0, _STEPS + 1)[1:]:
        new = inside & (depth >= level) & (grown == 0)
        if new.any() and grown.any():
            nearest = ndimage.distance_transform_edt(grown == 0, return_distances=False, return_indices=True)
            grown[new] = grown[tuple(index[new] for index in nearest)]
    sizes = np.bincount(grown.ravel())
    keep = np.flatnonzero(sizes >= least)
    names = np.zeros(len(sizes), np.uint16)
    names[keep[keep > 0]] = np.arange(1, 1 + np.count_nonzero(keep > 0))
    return np.asarray(names[grown])
