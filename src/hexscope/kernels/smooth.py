"""Smoothing along the axes, and shrinking, of stacks of volumes (K, Z, Y, X) float32. Values are held at the edges."""

from __future__ import annotations

import numpy as np

from hexscope.kernels.define import inline, kernel

f4 = np.float32


@inline
def _across(row, weights, line, out):  # type: ignore[no-untyped-def]
    """One row smoothed; ``line`` is scratch, a row and 2 radii long. weights: centre, then each distance."""
    reach, n = weights.shape[0] - 1, row.shape[0]
    for x in range(reach):
        line[x] = row[0]
        line[reach + n + x] = row[n - 1]
    for x in range(n):
        line[reach + x] = row[x]
        out[x] = weights[0] * row[x]
    for j in range(1, reach + 1):
        w = weights[j]
        for x in range(n):
            out[x] += w * (line[reach + x - j] + line[reach + x + j])


@kernel("void(f4[:,:,:,::1], f4[::1], f4[::1], f4[:,::1], f4[:,:,:,::1], i8, i8)", apart=True)
def planes(stack, weights_y, weights_x, rows, out, start, stop):  # type: ignore[no-untyped-def]
    """Along rows and columns of each plane. rows (Z, 2 X + 2 radius): scratch."""
    count, _, ny, nx = stack.shape
    reach = weights_y.shape[0] - 1
    for z in range(start, stop):
        line, mixed = rows[z, nx:], rows[z, :nx]
        for k in range(count):
            for y in range(ny):
                here = stack[k, z, y]
                for x in range(nx):
                    mixed[x] = weights_y[0] * here[x]
                for j in range(1, reach + 1):
                    w, up, down = weights_y[j], stack[k, z, max(y - j, 0)], stack[k, z, min(y + j, ny - 1)]
                    for x in range(nx):
                        mixed[x] += w * (up[x] + down[x])
                _across(mixed, weights_x, line, out[k, z, y])


@kernel("void(f4[:,:,:,::1], f4[::1], f4[:,:,:,::1], i8, i8)", apart=True)
def columns(stack, weights, out, start, stop):  # type: ignore[no-untyped-def]
    """Across the planes."""
    count, nz, ny, nx = stack.shape
    for z in range(start, stop):
        for k in range(count):
            for y in range(ny):
                here, sums = stack[k, z, y], out[k, z, y]
                for x in range(nx):
                    sums[x] = weights[0] * here[x]
                for j in range(1, weights.shape[0]):
                    w, up, down = weights[j], stack[k, max(z - j, 0), y], stack[k, min(z + j, nz - 1), y]
                    for x in range(nx):
                        sums[x] += w * (up[x] + down[x])


@kernel("void(f4[:,:,::1], i8[::1], f4[:,:,::1], i8, i8)", apart=True)
def shrink(volume, factors, out, start, stop):  # type: ignore[no-untyped-def]
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
