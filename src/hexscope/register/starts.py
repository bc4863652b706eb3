"""Where the search begins: what the headers say, centres and principal axes laid on each other, turns and shifts."""

from __future__ import annotations

from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Array
from hexscope.core.transform import rigid
from hexscope.register.pyramid import Level

#: Turns about each axis, degrees: a fine net about the headers' orientation, and a wide one about all others.
_NEAR, _FAR = (-45.0, -22.5, 0.0, 22.5, 45.0), (-30.0, 0.0, 30.0)

#: In a plane: every so many degrees all around.
_AROUND = 15.0

#: Sizes, where the size may differ.
_SIZES = (1.0, 0.8, 1.25)

#: Shifts along each axis, as parts of the length of what is known of the template.
_SHIFTS = (-0.25, 0.0, 0.25)


def guesses(template: Level, scene: Level, *, flat: bool = False, grown: bool = False) -> Array:
    """Poses (template to scene) worth a look, (k, 4, 4), the headers' own (identity) first.

    flat  of planes, which turn within themselves only; grown  in other sizes too
    """
    middle, mass = template.center_mm, _mass(template)
    near, far = _spins() if flat else _turns()
    axes = _axes(template)
    near, far = axes @ near @ axes.T, axes @ far @ axes.T
    if grown:
        sizes = [np.diag([size, size, 1.0 if flat else size]) for size in _SIZES]
        near, far = (np.concatenate([turns @ size for size in sizes]) for turns in (near, far))
    own = _principal(template, scene, flat=flat)
    return np.concatenate(
        [
            np.eye(4)[None],
            about(near, middle, middle),
            about(near, middle, scene.center_mm),
            about(np.concatenate([own, near, far]), mass, _mass(scene)),
        ]
    )


def shifted(poses: Array, template: Level) -> Array:
    """Each of (k, 4, 4) poses, shifted along and against the template's axes, alone and together: (26 k, 4, 4).

    Not along an axis of one voxel.
    """
    shape = np.array(template.values.shape)
    shares = (_SHIFTS if n > 1 else (0.0,) for n in shape)
    length = shape * np.cbrt(template.known)
    ways = np.array([way for way in product(*shares) if any(way)]) @ (template.affine[:3, :3] * length).T
    out = np.repeat(poses, len(ways), axis=0)
    turned = np.einsum("kij,mj->kmi", poses[:, :3, :3], ways)
    out[:, :3, 3] += turned.reshape(-1, 3)
    return out


def about(turns: Array, pivot: Array, target: Array) -> Array:
    """Poses (k, 4, 4) that turn by (k, 3, 3) about ``pivot`` and bring it to ``target``."""
    out = np.tile(np.eye(4), (len(turns), 1, 1))
    out[:, :3, :3] = turns
    out[:, :3, 3] = target - turns @ pivot
    return out


def distinct(poses: Array, keep: int, apart_mm: float, probes: Array) -> list[int]:
    """Which of (k, 4, 4) poses, in their order, lie ``apart_mm`` or more from each taken before; ``keep`` at most."""
    places = np.einsum("kij,pj->kpi", poses[:, :3, :3], probes) + poses[:, None, :3, 3]
    free = np.ones(len(poses), bool)
    kept: list[int] = []
    while len(kept) < keep and free.any():
        kept.append(int(np.argmax(free)))
        free &= np.linalg.norm(places - places[kept[-1]], axis=2).mean(axis=1) >= max(apart_mm, 1e-9)
    return kept


def gap_mm(a: Array, b: Array, probes: Array) -> float:
    """Mean distance between the images of the points ``probes`` (n, 3) under two 4 × 4 matrices."""
    difference = probes @ (a - b)[:3, :3].T + (a - b)[:3, 3]
    return float(np.linalg.norm(difference, axis=1).mean())


@cache
def _turns() -> tuple[Array, Array]:
    """(125, 3, 3) turns near none, and (621, 3, 3) about the 23 other ways to lay axes on axes without mirroring."""
    signed = [
        np.eye(3)[list(order)] * np.array(signs)
        for order in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    ]
    proper = np.array([m for m in signed if np.linalg.det(m) > 0 and np.trace(m) < 3])
    around = _euler(_FAR)
    return _euler(_NEAR), (around[None] @ proper[:, None]).reshape(-1, 3, 3)


@cache
def _spins() -> tuple[Array, Array]:
    """Turns in the plane: up to a quarter each way, and the others."""
    angles = np.arange(-180.0, 180.0, _AROUND)
    turns = np.array([rigid((0, 0, angle), (0, 0, 0), (0, 0, 0)).matrix[:3, :3] for angle in angles])
    return turns[np.abs(angles) <= 45], turns[np.abs(angles) > 45]


def _euler(angles: tuple[float, ...]) -> Array:
    return np.array([rigid(turn, (0, 0, 0), (0, 0, 0)).matrix[:3, :3] for turn in product(angles, repeat=3)])


def _axes(level: Level) -> Array:
    """The rotation nearest to the level's axes (x, y, z order of its columns turned to be right-handed)."""
    u, _, vt = np.linalg.svd(level.affine[:3, [2, 1, 0]] / level.spacing_mm[[2, 1, 0]])
    return np.asarray(u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt)


def _mass(level: Level) -> Array:
    """Centre of what is not background, LPS mm."""
    index, weight = _weights(level)
    return level.world(weight @ index / weight.sum()) if weight.any() else level.center_mm


def _principal(template: Level, scene: Level, *, flat: bool) -> Array:
    """Turns that lay the principal axes of what is no background on each other, by their lengths: (4, 3, 3)."""
    frames = []
    for level in (template, scene):
        index, weight = _weights(level)
        if flat or not weight.any():
            return np.eye(3)[None]
        apart = level.world(index) - level.world(weight @ index / weight.sum())
        frames.append(np.linalg.eigh((apart * weight[:, None]).T @ apart)[1])
    turns = [frames[1] @ np.diag(signs) @ frames[0].T for signs in product((1.0, -1.0), repeat=3)]
    return np.array([turn for turn in turns if np.linalg.det(turn) > 0])


def _weights(level: Level) -> tuple[Array, NDArray[np.float64]]:
    """Indices (n, 3) of a few thousand voxels, and how much each weighs: as it differs from what the border shows."""
    step = max(1, round((level.values.size / 4000) ** (1 / 3)))
    thin = level.values[::step, ::step, ::step]
    index = np.stack(np.meshgrid(*[np.arange(n) * step for n in thin.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    known = thin >= 0
    rim = thin[known & ~ndimage.binary_erosion(known, np.ones([3 if n > 2 else 1 for n in thin.shape]))]
    apart = np.abs(thin - (np.median(rim) if rim.size else 0.0))
    return index.astype(np.float64), np.where(known & (apart > 0.1), apart, 0.0).ravel().astype(np.float64)
