"""Smoothing along the axes, and shrinking, of stacks of volumes (K, Z, Y, X) float32. Values are held at the edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from hexscope.kernels.define import inline, kernel

f4 = np.float32


@inline
def _taps(weights: Any, first: Any) -> Any:
    """Two weights from ``first`` on, 0 past the last: two are added in one pass over a row."""
    return weights[first], (weights[first + 1] if first + 1 < weights.shape[0] else f4(0))


@inline
def _add(into: Any, one: Any, a: Any, b: Any, two: Any, c: Any, d: Any) -> Any:
    for x in range(into.shape[0]):
        into[x] += one * (a[x] + b[x]) + two * (c[x] + d[x])


@inline
def _across(line: Any, weights: Any, reach: Any, out: Any) -> Any:
    """One row smoothed: ``line`` holds it from ``reach`` on. weights: the centre's, then each distance's."""
    n = out.shape[0]
    for x in range(reach):
        line[x] = line[reach]
        line[reach + n + x] = line[reach + n - 1]
    for x in range(n):
        out[x] = weights[0] * line[reach + x]
    for j in range(1, reach + 1, 2):
        one, two = _taps(weights, j)
        k = min(j + 1, reach)
        a, b, c, d = line[reach - j :], line[reach + j :], line[reach - k :], line[reach + k :]
        _add(out, one, a, b, two, c, d)


@kernel("void(f4[:,:,:,::1], f4[::1], f4[::1], f4[:,:,::1], f4[:,:,:,::1], i8, i8)", apart=True)
def planes(stack: Any, weights_y: Any, weights_x: Any, rows: Any, out: Any, start: Any, stop: Any) -> None:
    """Along rows and columns of each plane. rows (Z, 1 or more, X + 2 reach): scratch."""
    count, _, ny, nx = stack.shape
    far, reach = weights_y.shape[0] - 1, weights_x.shape[0] - 1
    for z in range(start, stop):
        line = rows[z, 0]
        mixed = line[reach : reach + nx]
        for k in range(count):
            for y in range(ny):
                here = stack[k, z, y]
                for x in range(nx):
                    mixed[x] = weights_y[0] * here[x]
                for j in range(1, far + 1, 2):
                    one, two = _taps(weights_y, j)
                    i = min(j + 1, far)
                    a, b = stack[k, z, max(y - j, 0)], stack[k, z, min(y + j, ny - 1)]
                    c, d = stack[k, z, max(y - i, 0)], stack[k, z, min(y + i, ny - 1)]
                    _add(mixed, one, a, b, two, c, d)
                _across(line, weights_x, reach, out[k, z, y])


@kernel("void(f4[:,:,:,::1], f4[::1], f4[:,:,:,::1], i8, i8)", apart=True)
def columns(stack: Any, weights: Any, out: Any, start: Any, stop: Any) -> None:
    """Across the planes."""
    count, nz, ny, nx = stack.shape
    far = weights.shape[0] - 1
    for z in range(start, stop):
        for k in range(count):
            for y in range(ny):
                here, sums = stack[k, z, y], out[k, z, y]
                for x in range(nx):
                    sums[x] = weights[0] * here[x]
                for j in range(1, far + 1, 2):
                    one, two = _taps(weights, j)
                    i = min(j + 1, far)
                    a, b = stack[k, max(z - j, 0), y], stack[k, min(z + j, nz - 1), y]
                    c, d = stack[k, max(z - i, 0), y], stack[k, min(z + i, nz - 1), y]
                    _add(sums, one, a, b, two, c, d)


@kernel("void(f4[:,:,::1], i8[::1], f4[:,:,::1], i8, i8)", apart=True)
def shrink(volume: Any, factors: Any, out: Any, start: Any, stop: Any) -> None:
    """Means of blocks of ``factors`` voxels; of what there is of the last ones."""
    nz, ny, nx = volume.shape
    kz, ky, kx = factors
    for z in range(start, stop):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                total, count = f4(0), 0
                for i in range(z * kz, min(z * kz + kz, nz)):
                    for j in range(y * ky, min(y * ky + ky, ny)):
                        for k in range(x * kx, min(x * kx + kx, nx)):
                            total += volume[i, j, k]
                            count += 1
                out[z, y, x] = total / f4(count)
