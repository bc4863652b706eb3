"""A start for large motion: of all displacements on a coarse lattice the ones that agree best, made smooth together.

Self-similarity of each coarse voxel is compared under every displacement, then costs and smoothness are coupled more
and more closely (Heinrich 2014, doi:10.1007/978-3-319-10404-1_50): no gradient, so that no valley in between stops it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.kernels import choice, mind
from hexscope.kernels.threads import share
from hexscope.register.context import channels
from hexscope.register.stages import Floats, Stage, shrunk
from hexscope.register.unfold import made_mutual, refined, unfolded

#: How far is looked, in mm, as a share of each axis, and in lattice steps.
_REACH_MM, _REACH_SHARE, _MOST_STEPS = 40.0, 0.2, 5

#: Smaller volumes than this, in mm along any axis that bends, have no room for motion that a climb would miss.
_LEAST_MM = 120.0

#: A lattice has no more points than this: it is thinned where there are more.
_MOST_POINTS = 16_000

#: How closely the choice of each point is tied to the smooth field, from loose to close.
_TIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def leap(still: Floats, moving: Floats, stage: Stage) -> tuple[Floats, Floats] | None:
    """Fields there and back (3, z, y, x) in cells of the stage; None where there is no room for large motion."""
    extent = (np.array(still.shape) * stage.mm)[stage.free > 0]
    if extent.min() < _LEAST_MM:
        return None
    thin = 1
    while np.prod(np.ceil(np.array(still.shape) / thin)) > _MOST_POINTS:
        thin *= 2
    factors = (thin, thin, thin)
    lattice = replace(stage, mm=stage.mm * thin, cells=(1, 1, 1))
    ours, theirs = (channels(shrunk(v, factors), lattice) for v in (still, moving))
    steps = _steps(lattice, ours.shape[:3])
    fields = made_mutual(_agreed(ours, theirs, steps, lattice), _agreed(theirs, ours, steps, lattice))
    there, back = (unfolded(field)[0] for field in fields)
    size = np.array(factors, np.int64)
    return refined(there, size, still.shape), refined(back, size, still.shape)


def _steps(lattice: Stage, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """All displacements in lattice steps, (D, 3)."""
    reach = np.minimum(_REACH_MM / lattice.mm, _REACH_SHARE * np.array(shape))
    most = (np.minimum(np.round(reach), _MOST_STEPS) * lattice.free).astype(np.int64)
    ranges = [np.arange(-r, r + 1) for r in most]
    return np.ascontiguousarray(np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3))


def _agreed(still: Floats, moving: Floats, steps: NDArray[np.int64], lattice: Stage) -> Floats:
    """The smooth field of least cost."""
    costs = np.empty((*still.shape[:3], len(steps)), np.float32)
    share(mind.scan, len(still), still, moving, steps, costs)
    apart = np.empty(still.shape[:3], np.float32)
    share(choice.deviations, len(still), costs, apart)
    typical = max(float(apart.mean(dtype=np.float64)), 1e-9)
    known = np.stack([*steps.T, (steps**2).sum(axis=1)]).astype(np.float32)
    best = np.empty((3, *still.shape[:3]), np.float32)
    field = np.zeros_like(best)
    lines = np.empty((len(still), len(steps)), np.float32)
    for tie in _TIES:
        share(choice.closest, len(still), costs, known, tie * typical, field, lines, best)
        field = np.stack([_smooth(component) for component in best])
    return field


def _smooth(component: Floats) -> Floats:
    return np.asarray(ndimage.gaussian_filter(component, 1.2, mode="nearest", truncate=2.5), dtype=np.float32)
