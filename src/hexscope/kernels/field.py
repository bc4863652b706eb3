"""Displacement fields (3, Z, Y, X) float32, in voxels of their own grid, component 0 along z, 1 along y, 2 along x."""

from __future__ import annotations

from typing import Any

import numpy as np

from hexscope.kernels.define import inline, kernel

f4 = np.float32


@inline
def _lower(place: Any, last: Any) -> Any:
    return min(np.int32(place), np.int32(max(last - 1, 0)))


@inline
def _met(z: Any, y: Any, x: Any, nz: Any, ny: Any, nx: Any) -> Any:
    """Where a place, held inside, stands in the flat array: of its lower corner, and its share of each step up."""
    z, y, x = min(max(z, f4(0)), f4(nz - 1)), min(max(y, f4(0)), f4(ny - 1)), min(max(x, f4(0)), f4(nx - 1))
    iz, iy, ix = _lower(z, nz - 1), _lower(y, ny - 1), _lower(x, nx - 1)
    return iz * np.int32(ny * nx) + iy * np.int32(nx) + ix, (z - f4(iz), y - f4(iy), x - f4(ix))


@inline
def _at(flat: Any, size: Any, corner: Any, steps: Any, parts: Any) -> Any:
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


@kernel("void(f4[:,:,:,::1], f4[:,:,:,::1], f4[::1], f4[:,:,:,::1], i8, i8)", apart=True)
def compose(field: Any, step: Any, rule: Any, out: Any, start: Any, stop: Any) -> None:
    """out(x) = d + field(x + d) with d = scale · step(x), none longer than the rule says; trilinear, edges held.

    rule (7): the scale of each component, the mm of a voxel along each axis, the longest d in mm.
    """
    _, nz, ny, nx = field.shape
    flat = field.ravel()
    size = np.int32(nz * ny * nx)
    steps = np.int32(ny * nx if nz > 1 else 0), np.int32(nx if ny > 1 else 0), np.int32(1 if nx > 1 else 0)
    for z in range(start, stop):
        for y in range(ny):
            for x in range(nx):
                dz, dy, dx = rule[0] * step[0, z, y, x], rule[1] * step[1, z, y, x], rule[2] * step[2, z, y, x]
                mz, my, mx = rule[3] * dz, rule[4] * dy, rule[5] * dx
                cut = min(f4(1), rule[6] / np.sqrt(mz * mz + my * my + mx * mx + f4(1e-20)))
                dz, dy, dx = cut * dz, cut * dy, cut * dx
                k, parts = _met(f4(z) + dz, f4(y) + dy, f4(x) + dx, nz, ny, nx)
                out[0, z, y, x] = dz + _at(flat, size, k, steps, parts)
                out[1, z, y, x] = dy + _at(flat, size, k + size, steps, parts)
                out[2, z, y, x] = dx + _at(flat, size, k + size + size, steps, parts)


@kernel("void(f4[:,:,:,::1], f4[:,:,:,::1], f4, f4[:,:,:,::1], i8, i8)", apart=True)
def approach(field: Any, found: Any, part: float, out: Any, start: int, stop: int) -> None:
    """``found`` a step nearer to the inverse of the field: out(x) = v − part · (v + field(x + v)), v = found(x)."""
    _, nz, ny, nx = field.shape
    flat = field.ravel()
    size = np.int32(nz * ny * nx)
    steps = np.int32(ny * nx if nz > 1 else 0), np.int32(nx if ny > 1 else 0), np.int32(1 if nx > 1 else 0)
    for z in range(start, stop):
        for y in range(ny):
            for x in range(nx):
                dz, dy, dx = found[0, z, y, x], found[1, z, y, x], found[2, z, y, x]
                k, parts = _met(f4(z) + dz, f4(y) + dy, f4(x) + dx, nz, ny, nx)
                out[0, z, y, x] = dz - part * (dz + _at(flat, size, k, steps, parts))
                out[1, z, y, x] = dy - part * (dy + _at(flat, size, k + size, steps, parts))
                out[2, z, y, x] = dx - part * (dx + _at(flat, size, k + size + size, steps, parts))


@kernel("void(f4[:,:,:,::1], i8[::1], f4[:,:,:,::1], i8, i8)", apart=True)
def refine(field: Any, factors: Any, out: Any, start: Any, stop: Any) -> None:
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


@kernel("void(f4[:,:,:,::1], f4[:,:,::1], i8, i8)", apart=True)
def divergence(field: Any, out: Any, start: Any, stop: Any) -> None:
    """How much each voxel swells: the differences to the voxels before it, summed; none before the first."""
    _, _, ny, nx = field.shape
    for z in range(start, stop):
        for y in range(ny):
            down, across, along = field[0, z, y], field[1, z, y], field[2, z, y]
            above, behind = field[0, max(z - 1, 0), y], field[1, z, max(y - 1, 0)]
            out[z, y, 0] = down[0] - above[0] + (across[0] - behind[0])
            for x in range(1, nx):
                out[z, y, x] = down[x] - above[x] + (across[x] - behind[x]) + (along[x] - along[x - 1])


@kernel("void(f4[:,:,::1], f4[::1], f4[:,:,:,::1], i8, i8)", apart=True)
def even_out(swelling: Any, rates: Any, field: Any, start: Any, stop: Any) -> None:
    """Move each component, at its rate, to where the swelling differs less from the next voxel's."""
    nz, ny, nx = swelling.shape
    for z in range(start, stop):
        below = min(z + 1, nz - 1)
        for y in range(ny):
            here, after, under = swelling[z, y], swelling[z, min(y + 1, ny - 1)], swelling[below, y]
            down, across, along = field[0, z, y], field[1, z, y], field[2, z, y]
            for x in range(nx):
                down[x] += rates[0] * (under[x] - here[x])
                across[x] += rates[1] * (after[x] - here[x])
            for x in range(nx - 1):
                along[x] += rates[2] * (here[x + 1] - here[x])


@kernel("void(f4[:,:,:,::1], f4[::1], f4[::1], i8, i8)", apart=True)
def lengths(field: Any, weights: Any, out: Any, start: Any, stop: Any) -> None:
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


@inline
def _slope(field: Any, z: Any, y: Any, x: Any, dz: Any, dy: Any, dx: Any) -> Any:
    """How the three components change over one voxel along one axis; before the first and behind the last: not."""
    i, j, k = z + dz, y + dy, x + dx
    _, nz, ny, nx = field.shape
    if i < 0 or j < 0 or k < 0 or i >= nz or j >= ny or k >= nx:
        i, j, k, z, y, x = z, y, x, z - dz, y - dy, x - dx
    if z < 0 or y < 0 or x < 0 or z >= nz or y >= ny or x >= nx:
        return f4(0), f4(0), f4(0)
    way = f4(dz + dy + dx)
    return (
        way * (field[0, i, j, k] - field[0, z, y, x]),
        way * (field[1, i, j, k] - field[1, z, y, x]),
        way * (field[2, i, j, k] - field[2, z, y, x]),
    )


@inline
def _volume(down: Any, across: Any, along: Any) -> Any:
    """Determinant of the identity plus three slopes: how large a voxel's corner becomes."""
    a, b, c = f4(1) + down[0], down[1], down[2]
    d, e, f = across[0], f4(1) + across[1], across[2]
    g, h, i = along[0], along[1], f4(1) + along[2]
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


@kernel("void(f4[:,:,:,::1], f4[:,:,::1], i8, i8)", apart=True)
def corners(field: Any, out: Any, start: Any, stop: Any) -> None:
    """The least Jacobian determinant at the eight corners of each voxel: neighbours before or behind, axis by axis."""
    _, _, ny, nx = field.shape
    for z in range(start, stop):
        for y in range(ny):
            for x in range(nx):
                least = f4(1e9)
                for i in (-1, 1):
                    down = _slope(field, z, y, x, i, 0, 0)
                    for j in (-1, 1):
                        across = _slope(field, z, y, x, 0, j, 0)
                        least = min(least, _volume(down, across, _slope(field, z, y, x, 0, 0, -1)))
                        least = min(least, _volume(down, across, _slope(field, z, y, x, 0, 0, 1)))
                out[z, y, x] = least
