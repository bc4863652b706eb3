"""Boxes as arrays: (n, 2 * dims), least edges then greatest, in array order; pixel i runs from i to i + 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.models.prepare import Prepared

Floats = NDArray[np.floating[Any]]
Numbers = NDArray[np.intp]


def volumes(boxes: Floats) -> Floats:
    """Area (volume) of each box."""
    dims = boxes.shape[1] // 2
    return np.asarray(np.prod(np.maximum(boxes[:, dims:] - boxes[:, :dims], 0), axis=1))


def middles(boxes: Floats) -> Floats:
    """(n, dims)."""
    dims = boxes.shape[1] // 2
    return (boxes[:, :dims] + boxes[:, dims:]) / 2


def overlap(a: Floats, b: Floats) -> Floats:
    """IoU of every pair, (len(a), len(b))."""
    dims = a.shape[1] // 2
    low = np.maximum(a[:, None, :dims], b[None, :, :dims])
    high = np.minimum(a[:, None, dims:], b[None, :, dims:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    union = volumes(a)[:, None] + volumes(b)[None] - shared
    return np.asarray(shared / np.maximum(union, 1e-9))


def inside(points: Floats, boxes: Floats) -> NDArray[np.bool_]:
    """Does each point (n, dims) lie in each box? (n, boxes)"""
    dims = points.shape[1]
    low, high = boxes[None, :, :dims], boxes[None, :, dims:]
    return np.asarray(np.all((points[:, None] >= low) & (points[:, None] <= high), axis=2))


def suppressed(boxes: Floats, scores: Floats, most: float) -> Numbers:
    """Which boxes stay, best first, when each puts out those of lower score that overlap it by more than ``most``."""
    order = np.argsort(-scores, kind="stable")
    pairs = overlap(boxes, boxes) > most
    out: list[int] = []
    gone = np.zeros(len(boxes), bool)
    for i in order:
        if not gone[i]:
            out.append(int(i))
            gone |= pairs[i]
    return np.array(out, np.intp)


def voted(kept: Floats, boxes: Floats, weights: Floats, least: float) -> Floats:
    """``kept`` boxes, each the weighted mean of those of ``boxes`` that overlap it by ``least`` at least.

    Box voting (doi:10.1109/ICCV.2015.135): neighbours that saw the same object err in different ways.
    """
    shares = weights[None] * (overlap(kept, boxes) >= least)
    total = shares.sum(axis=1, keepdims=True)
    return np.where(total > 0, shares @ boxes / np.maximum(total, 1e-12), kept)


# ---- from grid to grid --------------------------------------------------------------------------------------


def seen(boxes: Floats, prepared: Prepared) -> Floats:
    """Boxes in pixels of the source, in pixels of what the network sees."""
    dims = prepared.source.ndim
    order, turned = prepared.turn.order, prepared.turn.turned
    low, high = boxes[:, [*order]], boxes[:, [dims + a for a in order]]
    sides = np.array(prepared.turn.grid(prepared.source).shape, float)
    for axis in turned:
        low[:, axis], high[:, axis] = sides[axis] - high[:, axis], sides[axis] - low[:, axis]
    middle, own = sides / 2, np.array(prepared.grid.shape) / 2
    step = _step(prepared)
    return np.concatenate([(low - middle) / step + own, (high - middle) / step + own], axis=1)


def given(boxes: Floats, prepared: Prepared) -> Floats:
    """Boxes in pixels of what the network sees, in pixels of the source: the way back of ``seen``."""
    dims = prepared.source.ndim
    sides = np.array(prepared.turn.grid(prepared.source).shape, float)
    step, own = _step(prepared), np.array(prepared.grid.shape) / 2
    low, high = ((part - own) * step + sides / 2 for part in (boxes[:, :dims], boxes[:, dims:]))
    for axis in prepared.turn.turned:
        low[:, axis], high[:, axis] = sides[axis] - high[:, axis], sides[axis] - low[:, axis]
    back = np.argsort(prepared.turn.order)
    return np.concatenate([low[:, back], high[:, back]], axis=1)


def _step(prepared: Prepared) -> Floats:
    """Pixels of the turned source to one of the network's, by axis; both grids have one centre."""
    turned = prepared.turn.grid(prepared.source)
    if turned.spacing_mm is not None and prepared.grid.spacing_mm is not None:
        return np.asarray(np.array(prepared.grid.spacing_mm) / np.array(turned.spacing_mm), np.float64)
    return np.asarray(np.array(turned.shape) / np.array(prepared.grid.shape), np.float64)


def world_box(box: Floats, grid: Grid) -> tuple[float, ...]:
    """Least and greatest LPS x, y, z of a box on a placed grid."""
    dims = grid.ndim
    ends: Any = np.meshgrid(*[(box[a] - 0.5, box[a + dims] - 0.5) for a in range(dims)], indexing="ij")
    corners = grid.to_world(np.stack([e.ravel() for e in ends], axis=1))
    return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
