"""Two images on one grid, as a deformable registration takes them: the moving one brought there by a linear map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Array, Grid
from hexscope.core.image import Image, Mask
from hexscope.core.pull import Sampler, pull
from hexscope.core.warp import Affine, Warp
from hexscope.register.field import ready
from hexscope.register.pyramid import VOID, Level
from hexscope.register.stages import shrunk

Floats = NDArray[np.float32]
Box = tuple[slice, slice, slice]

#: Edge that a moving image is continued by, at most, in its voxels, where the fixed one reaches beyond it.
_MOST_EDGE = 48

#: Where neither image is brighter than this share of its range there is nothing to align; room left about the rest.
_DARK, _MARGIN = 0.02, 5

#: Voxels that are looked at to learn how values spread; an odd stride meets all columns.
_LOOKED_AT = 250_000


@dataclass(frozen=True, eq=False)
class Pair:
    """Both on the fixed grid (a plane as one slice), cropped to where there is something to see.

    fixed, moving  (z, y, x) float32 in 0..1
    weight         (z, y, x) float32: 1 where both are known and count, else 0
    affine         (4, 4) array index to mm of the fixed image's own world; ``place``: (4, 4) from there to LPS mm
    flat           is it a plane?
    notes          what was done, in words
    """

    fixed: Floats
    moving: Floats
    weight: Floats
    affine: Array
    place: Array
    flat: bool
    frame: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def spacing_mm(self) -> Array:
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    def fitting(self, most_voxels: int) -> Pair:
        """The same, averaged to no more than ``most_voxels``, with a word on it where that is a change."""
        size, shrink = self.fixed.size, np.ones(3, np.int64)
        while size / shrink.prod() > most_voxels:
            mm = np.where(np.array(self.fixed.shape) > shrink, self.spacing_mm * shrink, np.inf)
            shrink[mm < 1.5 * mm.min()] *= 2
        if shrink.max() == 1:
            return self
        volumes = [shrunk(v, _three(shrink)) for v in (self.fixed, self.moving, self.weight)]
        affine = np.asarray(np.linalg.inv(self.place) @ self.cells(_three(shrink)))
        note = f"deformed at {(self.spacing_mm * shrink).min():.3g} mm: {size / 1e6:.0f} million voxels are many"
        small = replace(self, affine=affine, notes=(*self.notes, note))
        return replace(small, fixed=volumes[0], moving=volumes[1], weight=volumes[2])

    def cells(self, per_cell: tuple[int, int, int]) -> Array:
        """(4, 4) array index of cells of ``per_cell`` voxels to LPS mm."""
        affine = np.asarray(self.place @ self.affine)
        factors = np.array(per_cell, dtype=np.float64)
        affine[:3, 3] += affine[:3, :3] @ ((factors - 1) / 2)
        affine[:3, :3] *= factors
        return affine

    def marked(self, mask: Mask, per_cell: tuple[int, int, int], cells: tuple[int, ...]) -> NDArray[np.bool_]:
        """Cells of ``per_cell`` voxels that a mask on the fixed image, or anywhere in its frame, touches, (z, y, x)."""
        points = mask.grid.placed("a mask").to_world(np.argwhere(mask.any))
        at = np.linalg.inv(self.cells(per_cell))
        place = np.round(points @ at[:3, :3].T + at[:3, 3]).astype(np.int64)
        inside = np.all((place >= 0) & (place < cells), axis=1)
        out = np.zeros(cells, bool)
        out[tuple(place[inside].T)] = True
        return np.asarray(ndimage.binary_closing(np.pad(out, 1), iterations=1)[1:-1, 1:-1, 1:-1])

    def warp(self, field: Floats, per_cell: tuple[int, int, int]) -> Warp:
        """A field (3, z, y, x), in cells of ``per_cell`` voxels, as displacements in LPS mm."""
        affine = self.cells(per_cell)
        moved = np.moveaxis(np.tensordot(affine[:3, :3].astype(np.float32), field, 1), 0, -1)
        if not self.flat:
            return Warp(Grid(field.shape[1:], affine, frame_of_reference=self.frame), np.ascontiguousarray(moved))
        grid = Grid(field.shape[2:], affine[:, 1:], frame_of_reference=self.frame)
        return Warp(grid, np.ascontiguousarray(moved[0]))


def paired(
    fixed: Image,
    moving: Image,
    matrix: Array,
    masks: tuple[Mask | None, Mask | None] = (None, None),
    how: str = "linear",
) -> Pair:
    """Make two images ready. ``matrix`` is 4 × 4, moving to fixed LPS mm; masks: fixed and moving, where each counts.
    how: the moving image is interpolated, "linear" or "cubic".

    Raises what `hexscope.register.field.ready` raises.
    """
    ours, theirs = ready(fixed, moving, scale=stretched)
    level = ours.level
    to_fixed = np.linalg.inv(ours.place) @ matrix @ theirs.place
    pulled, known = _brought(theirs.level, level, to_fixed, how)
    known *= level.values >= 0
    for image, mask, way in ((fixed, masks[0], np.eye(4)), (moving, masks[1], to_fixed)):
        if mask is not None:
            marked = ready(image, image, mask, mask, scale=_marks)[0].level
            known *= _brought(marked, level, way)[0] > 0.5
    del theirs  # of a large pair each volume is half a GB
    frame = fixed.grid.frame_of_reference
    return _cropped(Pair(_shown(level.values), pulled, known, level.affine, ours.place, ours.flat, frame))


def _shown(values: Floats) -> Floats:
    """The darkest value where nothing is known."""
    return np.maximum(values, np.float32(0)) if values.min() < 0 else values


def stretched(array: NDArray[Any], known: NDArray[np.bool_] | None = None) -> Floats:
    """Values on 0..1 between their 0.5th and 99.5th percentile; VOID where a voxel is no number or not ``known``."""
    values = np.array(array, dtype=np.float32, order="C")
    void = None if known is None else ~known
    if not np.isfinite(values.sum()):
        void = ~np.isfinite(values) if void is None else void | ~np.isfinite(values)
    some = (values if void is None else values[~void]).ravel()
    some = some[:: max(1, some.size // _LOOKED_AT) | 1]
    low, high = np.percentile(some, [0.5, 99.5]) if some.size else (0.0, 1.0)
    if high <= low:
        low, high = float(some.min()), float(some.max())
    values -= np.float32(low)
    values *= np.float32(1 / max(high - low, 1e-12))
    np.clip(values, 0, 1, out=values)
    if void is not None:
        values[void] = VOID
    return values


def _marks(array: NDArray[Any], known: NDArray[np.bool_] | None = None) -> Floats:
    """A mask as an image."""
    return np.ones(array.shape, np.float32) if known is None else np.asarray(known, dtype=np.float32)


def _brought(moving: Level, onto: Level, matrix: Array, how: str = "linear") -> tuple[Floats, Floats]:
    """The moving level on another's grid, its edges held beyond it, and where it reaches and is known (1, else 0)."""
    to_index = np.linalg.inv(matrix @ moving.affine) @ onto.affine
    shape = np.array(moving.values.shape)
    ends = np.stack(np.meshgrid(*[(0, n - 1) for n in onto.values.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    reached = ends @ to_index[:3, :3].T + to_index[:3, 3]
    before = np.clip(np.ceil(-reached.min(axis=0)), 0, _MOST_EDGE).astype(int)
    behind = np.clip(np.ceil(reached.max(axis=0) - (shape - 1)), 0, _MOST_EDGE).astype(int)
    padded = _shown(moving.values)
    if before.any() or behind.any():
        padded = np.pad(padded, list(zip(before, behind, strict=True)), mode="edge")
    shifted = to_index.copy()
    shifted[:3, 3] += before
    size = onto.values.shape
    pulled = pull(Sampler(padded, how, 0.0), (Affine(shifted), Affine(np.eye(4))), size)
    return pulled, _reached(to_index, moving.values, size)


def _reached(to_index: Array, values: Floats, size: tuple[int, ...]) -> Floats:
    """1 where an index of ``size`` falls on a known voxel of ``values``, else 0."""
    if values.min() < 0:
        known = (values >= 0).astype(np.float32)
        return (pull(Sampler(known, "linear", 0.0), (Affine(to_index), Affine(np.eye(4))), size) > 0.99).astype(
            np.float32
        )
    inside = np.ones(size, bool)
    steps = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in size), indexing="ij", sparse=True)
    for row, n in zip(to_index[:3].astype(np.float32), values.shape, strict=True):
        index = row[0] * steps[0] + row[3] + (row[1] * steps[1] + row[2] * steps[2])
        inside &= (index > -0.51) & (index < n - 0.49)
    return inside.astype(np.float32)


def _cropped(pair: Pair) -> Pair:
    """The part in which either image is bright, and some room about it: the rest has nothing to say."""
    seen = (pair.fixed > _DARK) | ((pair.moving > _DARK) & (pair.weight > 0))
    box: list[slice] = []
    for axis, n in enumerate(seen.shape):
        on = np.flatnonzero(seen.any(axis=tuple(j for j in range(3) if j != axis)))
        low, high = (on[0], on[-1] + 1) if on.size else (0, n)
        box.append(slice(max(int(low) - _MARGIN, 0), min(int(high) + _MARGIN, n)))
    part = (box[0], box[1], box[2])
    affine = pair.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array([b.start for b in box])
    fixed, moving, weight = (np.ascontiguousarray(v[part]) for v in (pair.fixed, pair.moving, pair.weight))
    return replace(pair, fixed=fixed, moving=moving, weight=weight, affine=affine)


def _three(values: NDArray[np.int64]) -> tuple[int, int, int]:
    z, y, x = (int(v) for v in values)
    return z, y, x
