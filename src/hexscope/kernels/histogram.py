"""Joint counts of two images at sampled points under many poses, and how each sample pulls on a pose."""

from __future__ import annotations

from typing import Any

import numpy as np

from hexscope.kernels.define import inline, kernel

f4 = np.float32

#: A sample counts less and less over as many voxels before it leaves the scene: the score has no steps then.
_FADE = f4(2)


@inline
def _depth(place: Any, far: Any) -> Any:
    """How far inside a place is along one axis, whose last index is ``far``."""
    return min(place, far - place) + f4(0.5)


@inline
def _weight(place: Any, far: Any) -> Any:
    """How much a sample counts for its place along one axis."""
    inner = _depth(place, far)
    return f4(1) if far == 0 or inner >= _FADE else inner / _FADE


@inline
def _lean(place: Any, far: Any) -> Any:
    """The slope of `_weight`."""
    if far == 0 or _depth(place, far) >= _FADE:
        return f4(0)
    return f4(1) / _FADE if place < far - place else f4(-1) / _FADE


@inline
def _along(m: Any, row: Any, p: Any) -> Any:
    return m[row, 0] * p[0] + m[row, 1] * p[1] + m[row, 2] * p[2] + m[row, 3]


@inline
def _outside(place: Any, far: Any) -> Any:
    return place < f4(-0.5) or place > far + f4(0.5)


@inline
def _held(place: Any, far: Any) -> Any:
    return min(max(place, f4(0)), far)


@kernel("void(f4[:,::1], i4[::1], f4[::1], i8[::1], f4[:,:,::1], f4[:,:,::1], f4[:,::1], i8, i8, i8)", apart=True)
def count(
    points: Any,
    shown: Any,
    scene: Any,
    shape: Any,
    maps: Any,
    counts: Any,
    felt: Any,
    block: int,
    start: int,
    stop: int,
) -> None:
    """Joint counts, one piece of work a pose and a block of samples.

    points  (n, 3) samples in mm            shown   (n,) the bin of the template that each falls into
    scene   the voxels of a (z, y, x) ``shape`` in a row, in 0..1; void below 0 and more than half a voxel outside
    maps    (k, 3, 4) from points to indices of the scene
    counts  (k * blocks, rows, columns), zeros, is filled: template by scene, with linear weights on the scene's side
    felt    (n, 8) is filled, or has no rows: slope of the scene's position among its bins along z, y, x; that position,
            -1 where void; how much the sample counts, and its slope along z, y, x. For one pose only.
    """
    columns, samples = counts.shape[2], points.shape[0]
    blocks = (samples + block - 1) // block
    keeps, width, plane = felt.shape[0] > 0, shape[2], shape[1] * shape[2]
    step_z, step_y, step_x = min(shape[0] - 1, 1) * plane, min(shape[1] - 1, 1) * width, min(shape[2] - 1, 1)
    last_z, last_y, last_x = max(shape[0] - 2, 0), max(shape[1] - 2, 0), max(shape[2] - 2, 0)
    far_z, far_y, far_x = f4(shape[0] - 1), f4(shape[1] - 1), f4(shape[2] - 1)
    none, one, scale = f4(0), f4(1), f4(columns - 1)
    for piece in range(start, stop):
        cells, m = counts[piece], maps[piece // blocks]
        first = (piece % blocks) * block
        for i in range(first, min(first + block, samples)):
            if keeps:
                felt[i, 3] = -one
            z, y, x = _along(m, 0, points[i]), _along(m, 1, points[i]), _along(m, 2, points[i])
            held_z, held_y, held_x, wz, wy, wx = z, y, x, one, one, one
            if min(_depth(z, far_z), _depth(y, far_y), _depth(x, far_x)) < _FADE:
                if _outside(z, far_z) or _outside(y, far_y) or _outside(x, far_x):
                    continue
                held_z, held_y, held_x = _held(z, far_z), _held(y, far_y), _held(x, far_x)
                wz, wy, wx = _weight(z, far_z), _weight(y, far_y), _weight(x, far_x)
            z0, y0, x0 = min(int(held_z), last_z), min(int(held_y), last_y), min(int(held_x), last_x)
            a, b, c = held_z - f4(z0), held_y - f4(y0), held_x - f4(x0)
            k = z0 * plane + y0 * width + x0
            k_y, k_z, k_zy = k + step_y, k + step_z, k + step_z + step_y
            s00, s01 = scene[k + step_x] - scene[k], scene[k_y + step_x] - scene[k_y]
            s10, s11 = scene[k_z + step_x] - scene[k_z], scene[k_zy + step_x] - scene[k_zy]
            l00, l01, l10, l11 = scene[k] + c * s00, scene[k_y] + c * s01, scene[k_z] + c * s10, scene[k_zy] + c * s11
            l0, l1 = l00 + b * (l01 - l00), l10 + b * (l11 - l10)
            value = l0 + a * (l1 - l0)
            if value < none:
                continue
            place = min(value, one) * scale
            column = min(int(place), columns - 2)
            upper = place - f4(column)
            weight = wz * wy * wx
            cells[shown[i], column] += weight * (one - upper)
            cells[shown[i], column + 1] += weight * upper
            if keeps:
                s0, s1 = s00 + b * (s01 - s00), s10 + b * (s11 - s10)
                felt[i, 0] = (l1 - l0) * scale if held_z == z else none
                felt[i, 1] = ((l01 - l00) + a * ((l11 - l10) - (l01 - l00))) * scale if held_y == y else none
                felt[i, 2] = (s0 + a * (s1 - s0)) * scale if held_x == x else none
                felt[i, 3], felt[i, 4] = place, weight
                if weight < one:
                    felt[i, 5] = _lean(z, far_z) * wy * wx
                    felt[i, 6] = _lean(y, far_y) * wz * wx
                    felt[i, 7] = _lean(x, far_x) * wz * wy


@kernel("void(f4[:,::1], i4[::1], f4[:,::1], f4[:,::1], f8[:,:,::1], i8, i8, i8)", apart=True)
def pull(points: Any, shown: Any, felt: Any, rise: Any, sums: Any, block: int, start: int, stop: int) -> None:
    """How the score rises with the map of points to indices, one piece of work a block of samples.

    rise  (rows, columns) rise of the score with each count
    sums  (blocks, 3, 4), zeros, is filled: rise by the index along z, y, x, times the point's three coordinates and 1
    The others are as in `count`.
    """
    samples = points.shape[0]
    for piece in range(start, stop):
        s = sums[piece]
        for i in range(piece * block, min((piece + 1) * block, samples)):
            known = felt[i, 3] >= 0
            level = felt[i, 0] == 0 and felt[i, 1] == 0 and felt[i, 2] == 0 and felt[i, 4] == 1
            if level or not known:
                continue
            column = min(int(felt[i, 3]), rise.shape[1] - 2)
            here = rise[shown[i], column]
            step = rise[shown[i], column + 1] - here
            here += (felt[i, 3] - f4(column)) * step
            for j in range(3):
                part = felt[i, 4] * step * felt[i, j]
                if felt[i, 4] < 1:
                    part += here * felt[i, 5 + j]
                s[j, 0] += part * points[i, 0]
                s[j, 1] += part * points[i, 1]
                s[j, 2] += part * points[i, 2]
                s[j, 3] += part


@kernel("void(f8[:,:,::1], f8[::1], f8[:,:,::1], f8[:,:,::1], i8, i8)", apart=True)
def widen(counts: Any, taps: Any, between: Any, out: Any, start: int, stop: int) -> None:
    """Counts (k, rows, columns) weighed by a window along both axes, what lies outside being none.

    taps: the weight of the middle, then of each distance on either side; between: scratch, like ``out``
    """
    _, rows, columns = counts.shape
    for k in range(start, stop):
        for r in range(rows):
            line = between[k, r]
            for c in range(columns):
                line[c] = taps[0] * counts[k, r, c]
            for j in range(1, taps.shape[0]):
                for other in (r - j, r + j):
                    if 0 <= other < rows:
                        for c in range(columns):
                            line[c] += taps[j] * counts[k, other, c]
        for r in range(rows):
            line, wide = between[k, r], out[k, r]
            for c in range(columns):
                wide[c] = taps[0] * line[c]
            for j in range(1, min(taps.shape[0], columns)):
                for c in range(columns - j):
                    wide[c] += taps[j] * line[c + j]
                for c in range(columns - j):
                    wide[c + j] += taps[j] * line[c]
