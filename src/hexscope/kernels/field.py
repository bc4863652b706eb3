"""Displacement fields (3, Z, Y, X) float32, in voxels of their own grid, component 0 along z, 1 along y, 2 along x."""

from __future__ import annotations

import numpy as np

from hexscope.kernels.define import inline, kernel

f4 = np.float32


@inline
def _lower(place, last):  # type: ignore[no-untyped-def]
    return min(np.int32(place), np.int32(max(last - 1, 0)))


@inline
def _at(flat, size, corner, steps, parts):  # type: ignore[no-untyped-def]
    """One component (``flat`` from ``corner`` on) between eight voxels."""
    dz, dy, dx = steps
    a, b, c = parts
    k = corner
    v00 = flat[k] + c * (flat[k + dx] - flat[k])
    v01 = flat[k + dy] + c * (flat[k + dy + dx] - flat[k + dy])
    v10 = flat[k + dz] + c * (flat[k + dz + dx] - flat[k + dz])
    v11 = flat[k + dz + dy] + c * (flat[k + dz + dy + dx] - flat[k + dz + dy])
    v0, v1 = v00 + b * (v01 - v00), v10 + b * (v11 - v10)
    return v0 + a * (v1 - v0)


@kernel("void(f4[:,:,:,::1], f4[:,:,:,::1], f4, f4, f4[:,:,:,::1], i8, i8)", apart=True)
def compose(field, step, scale, longest, out, start, stop):  # type: ignore[no-untyped-def]
    """out(x) = d + field(x + d) with d = scale · step(x), no longer than ``longest`` voxels; trilinear, edges held."""
    _, nz, ny, nx = field.shape
    flat = field.ravel()
    size = np.int32(nz * ny * nx)
    steps = np.int32(ny * nx if nz > 1 else 0), np.int32(nx if ny > 1 else 0), np.int32(1 if nx > 1 else 0)
    for z in range(start, stop):
        for y in range(ny):
            for x in range(nx):
                dz, dy, dx = scale * step[0, z, y, x], scale * step[1, z, y, x], scale * step[2, z, y, x]
                cut = min(f4(1), longest / np.sqrt(dz * dz + dy * dy + dx * dx + f4(1e-20)))
                dz, dy, dx = cut * dz, cut * dy, cut * dx
                pz = min(max(f4(z) + dz, f4(0)), f4(nz - 1))
                py = min(max(f4(y) + dy, f4(0)), f4(ny - 1))
                px = min(max(f4(x) + dx, f4(0)), f4(nx - 1))
                iz, iy, ix = _lower(pz, nz - 1), _lower(py, ny - 1), _lower(px, nx - 1)
                parts = pz - f4(iz), py - f4(iy), px - f4(ix)
                k = iz * np.int32(ny * nx) + iy * np.int32(nx) + ix
                out[0, z, y, x] = dz + _at(flat, size, k, steps, parts)
                out[1, z, y, x] = dy + _at(flat, size, k + size, steps, parts)
                out[2, z, y, x] = dx + _at(flat, size, k + size + size, steps, parts)


@kernel("void(f4[:,:,:,::1], i8[::1], f4[:,:,:,::1], i8, i8)", apart=True)
def refine(field, factors, out, start, stop):  # type: ignore[no-untyped-def]
    """The field on a grid with ``factors`` voxels in each of its own: linear, centres aligned, edges held."""
    _, cz, cy, cx = field.shape
    for z in range(start, stop):
        pz = min(max((f4(z) + f4(0.5)) / f4(factors[0]) - f4(0.5), f4(0)), f4(cz - 1))
        z0 = _lower(pz, cz - 1)
        z1, a = min(z0 + 1, cz - 1), pz - f4(z0)
        for y in range(out.shape[2]):
            py = min(max((f4(y) + f4(0.5)) / f4(factors[1]) - f4(0.5), f4(0)), f4(cy - 1))
            y0 = _lower(py, cy - 1)
            y1, b = min(y0 + 1, cy - 1), py - f4(y0)
            for q in range(3):
                scale = f4(factors[q])
                for x in range(out.shape[3]):
                    px = min(max((f4(x) + f4(0.5)) / f4(factors[2]) - f4(0.5), f4(0)), f4(cx - 1))
                    x0 = _lower(px, cx - 1)
                    x1, c = min(x0 + 1, cx - 1), px - f4(x0)
                    low = (f4(1) - b) * field[q, z0, y0, x0] + b * field[q, z0, y1, x0]
                    low = low + a * ((f4(1) - b) * field[q, z1, y0, x0] + b * field[q, z1, y1, x0] - low)
                    high = (f4(1) - b) * field[q, z0, y0, x1] + b * field[q, z0, y1, x1]
                    high = high + a * ((f4(1) - b) * field[q, z1, y0, x1] + b * field[q, z1, y1, x1] - high)
                    out[q, z, y, x] = scale * (low + c * (high - low))


@kernel("void(f4[:,:,:,::1], f4[::1], f4[::1], i8, i8)", apart=True)
def lengths(field, weights, out, start, stop):  # type: ignore[no-untyped-def]
    """Of each plane, the sum of squared lengths, each component times its weight; into out[z]."""
    _, _, ny, nx = field.shape
    for z in range(start, stop):
        total = f4(0)
        for q in range(3):
            part = f4(0)
            for y in range(ny):
                for x in range(nx):
                    part += field[q, z, y, x] * field[q, z, y, x]
            total += weights[q] * weights[q] * part
        out[z] = total
