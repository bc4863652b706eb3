"""Objects that touch (nuclei, cells): planes that a network can learn, and objects from such planes.

A network says of every pixel whether it belongs to an object, and in which direction the middle of its object lies.
Where two objects touch, the direction turns round: that is sharper than any line drawn between them. To find the
objects, the pixels walk where they are sent, and those that meet are one (after doi:10.1038/s41592-020-01018-x).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

#: A direction of -1..1 along an axis is written as 0.5 ± this, so that a network need not reach for 0 or 1.
SPAN = 0.4
#: Nearer to the middle than so many pixels a direction shrinks to nothing: there is where pixels meet.
_NEAR_PX = 2.0
#: Pixels of a step, and how many are taken: objects of up to about 150 pixels across come together.
_STEP_PX, _STEPS = 1.0, 80
#: Pixels by which meeting places are blurred, and how many ends a pixel a meeting place then has at least.
_BLUR_PX, _LEAST_MET = 1.5, 2.0
#: Pixels from a meeting place at which one no longer belongs to it.
_FAR_PX = 10.0
#: Objects of fewer pixels are noise.
LEAST_PIXELS = 8


def instance_planes(instances: NDArray[np.integer]) -> Floats:
    """(1 + dims, *spatial) targets in 0..1: is it an object; and the direction to its middle, 0.5 + `SPAN` times the
    part along each axis, of length 1 but near the middle; 0.5 outside.

    ``instances`` holds 0 or a value of its own for each object. The middle is the pixel of the object that is nearest
    to its centre of mass, so that it lies within.
    """
    out = np.full((1 + instances.ndim, *instances.shape), 0.5, np.float32)
    inside = instances > 0
    out[0] = inside
    if not inside.any():
        return out
    _, names = np.unique(instances[inside], return_inverse=True)
    places = np.argwhere(inside).astype(np.float64)
    away = _middles(places, names)[names] - places
    length = np.sqrt((away**2).sum(axis=1, keepdims=True))
    out[1:, inside] += (SPAN * away / np.maximum(length, _NEAR_PX)).T
    return out


def _middles(places: NDArray[np.float64], names: NDArray[np.intp]) -> NDArray[np.float64]:
    """(objects, dims): of each object the place that is nearest to its centre of mass."""
    count = np.bincount(names)
    centre = np.stack([np.bincount(names, weights=axis) for axis in places.T], axis=1) / count[:, None]
    order = np.lexsort((((places - centre[names]) ** 2).sum(axis=1), names))
    first = np.r_[0, np.cumsum(count)[:-1]]
    return places[order[first]]


def instances_of(planes: Floats, *, least: int = LEAST_PIXELS) -> NDArray[np.uint16]:
    """1, 2, … for each object, 0 elsewhere, from planes as `instance_planes` gives them.

    Those of fewer than ``least`` pixels are left out.
    """
    inside = planes[0] > 0.5
    out = np.zeros(inside.shape, np.uint16)
    places = np.argwhere(inside)
    if not len(places):
        return out
    names = _meeting(_walked(places, (planes[1:] - 0.5) / SPAN), inside)
    sizes = np.bincount(names)
    sizes[0] = 0
    keep = np.flatnonzero(sizes >= least)
    new = np.zeros(len(sizes), np.uint16)
    new[keep] = np.arange(1, 1 + len(keep))
    out[inside] = new[names]
    return out


def _walked(places: NDArray[np.intp], direction: Floats) -> NDArray[np.intp]:
    """Where each pixel of ``places`` (pixels, dims) ends that goes where it is sent, step by step."""
    last = np.array(direction.shape[1:], np.float32) - 1
    at = places.astype(np.float32)
    flat = np.ascontiguousarray(direction.reshape(len(direction), -1).T)
    nearest = places
    for _ in range(_STEPS):
        at += _STEP_PX * flat[np.ravel_multi_index(tuple(nearest.T), direction.shape[1:])]
        np.clip(at, 0, last, out=at)
        nearest = np.rint(at).astype(np.intp)
    return nearest


def _meeting(ends: NDArray[np.intp], inside: NDArray[np.bool_]) -> NDArray[np.intp]:
    """For each pixel of ``inside`` the number of the place where many end, from 1.

    Those that end far from any such place are one with what they touch.
    """
    from scipy import ndimage

    index = np.ravel_multi_index(tuple(ends.T), inside.shape)
    crowd = np.bincount(index, minlength=inside.size).reshape(inside.shape).astype(np.float32)
    around = np.ones((3,) * inside.ndim)
    numbers, found = ndimage.label(ndimage.gaussian_filter(crowd, _BLUR_PX) > _LEAST_MET, around)
    pieces, _ = ndimage.label(inside)
    if not found:
        return np.asarray(pieces[inside], dtype=np.intp)
    far, near = ndimage.distance_transform_edt(numbers == 0, return_indices=True)
    nearest = numbers[tuple(near)].ravel()[index]
    return np.asarray(np.where(far.ravel()[index] <= _FAR_PX, nearest, found + pieces[inside]), dtype=np.intp)
