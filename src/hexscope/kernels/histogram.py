"""Joint counts of two images at sampled points under many poses, and how each sample pulls on a pose."""

from __future__ import annotations

from typing import Any

import numpy as np

from hexscope.kernels.define import kernel

f4 = np.float32


@kernel("void(f4[:,::1], i4[::1], f4[::1], i8[::1], f4[:,:,::1], f4[:,:,::1], f4[:,::1], i8, i8, i8)")
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
    felt    (n, 4) is filled, or has no rows: slope of the scene's position among its bins along z, y, x; and that
            position, -1 where void. For one pose only.
    """
    columns = counts.shape[2]
    samples = points.shape[0]
    blocks = (samples + block - 1) // block
    keeps = felt.shape[0] > 0
    width, plane = shape[2], shape[1] * shape[2]
    step_z, step_y, step_x = min(shape[0] - 1, 1) * plane, min(shape[1] - 1, 1) * width, min(shape[2] - 1, 1)
    last_z, last_y, last_x = max(shape[0] - 2, 0), max(shape[1] - 2, 0), max(shape[2] - 2, 0)
    far_z, far_y, far_x = f4(shape[0] - 1), f4(shape[1] - 1), f4(shape[2] - 1)
    none, half, one, scale = f4(0), f4(0.5), f4(1), f4(columns - 1)
    for piece in range(start, stop):
        cells, m = counts[piece], maps[piece // blocks]
        first = (piece % blocks) * block
        for i in range(first, min(first + block, samples)):
            if keeps:
                felt[i, 3] = -one
            p, q, r = points[i, 0], points[i, 1], points[i, 2]
            z = m[0, 0] * p + m[0, 1] * q + m[0, 2] * r + m[0, 3]
            y = m[1, 0] * p + m[1, 1] * q + m[1, 2] * r + m[1, 3]
            x = m[2, 0] * p + m[2, 1] * q + m[2, 2] * r + m[2, 3]
            if z < -half or y < -half or x < -half or z > far_z + half or y > far_y + half or x > far_x + half:
                continue
            held_z, held_y, held_x = min(max(z, none), far_z), min(max(y, none), far_y), min(max(x, none), far_x)
            z0, y0, x0 = min(int(held_z), last_z), min(int(held_y), last_y), min(int(held_x), last_x)
            a, b, c = held_z - f4(z0), held_y - f4(y0), held_x - f4(x0)
            k = z0 * plane + y0 * width + x0
            v000, s00 = scene[k], scene[k + step_x] - scene[k]
            v010, s01 = scene[k + step_y], scene[k + step_y + step_x] - scene[k + step_y]
            k += step_z
            v100, s10 = scene[k], scene[k + step_x] - scene[k]
            v110, s11 = scene[k + step_y], scene[k + step_y + step_x] - scene[k + step_y]
            l00, l01, l10, l11 = v000 + c * s00, v010 + c * s01, v100 + c * s10, v110 + c * s11
            l0, l1 = l00 + b * (l01 - l00), l10 + b * (l11 - l10)
            value = l0 + a * (l1 - l0)
            if value < none:
                continue
            place = min(value, one) * scale
            column = min(int(place), columns - 2)
            upper = place - f4(column)
            cells[shown[i], column] += one - upper
            cells[shown[i], column + 1] += upper
            if keeps:
                s0, s1 = s00 + b * (s01 - s00), s10 + b * (s11 - s10)
                felt[i, 0] = (l1 - l0) * scale if held_z == z else none
                felt[i, 1] = ((l01 - l00) + a * ((l11 - l10) - (l01 - l00))) * scale if held_y == y else none
                felt[i, 2] = (s0 + a * (s1 - s0)) * scale if held_x == x else none
                felt[i, 3] = place


@kernel("void(f4[:,::1], i4[::1], f4[:,::1], f4[:,::1], f8[:,:,::1], i8, i8, i8)")
def pull(points: Any, shown: Any, felt: Any, gain: Any, sums: Any, block: int, start: int, stop: int) -> None:
    """How the score rises with the map of points to indices, one piece of work a block of samples.

    gain  (rows, columns - 1) rise of the score when a count moves one column up
    sums  (blocks, 3, 4) is filled: rise by the index along z, y, x, times the point's three coordinates and 1
    The others are as in `count`.
    """
    samples = points.shape[0]
    for piece in range(start, stop):
        s = sums[piece]
        for j in range(3):
            for k in range(4):
                s[j, k] = 0
        for i in range(piece * block, min((piece + 1) * block, samples)):
            if felt[i, 3] < 0 or (felt[i, 0] == 0 and felt[i, 1] == 0 and felt[i, 2] == 0):
                continue
            rise = gain[shown[i], min(int(felt[i, 3]), gain.shape[1] - 1)]
            for j in range(3):
                part = rise * felt[i, j]
                s[j, 0] += part * points[i, 0]
                s[j, 1] += part * points[i, 1]
                s[j, 2] += part * points[i, 2]
                s[j, 3] += part
