"""Points, fields and values: where each point goes, and what an image holds there.

Points are (n, 3) float64, changed in place. A ``to_index`` matrix (3, 4) takes a point to the array index (z, y, x)
of a volume; a plane is a volume of one slice. Displacements are (z, y, x, 3), in the unit and order of the points.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hexscope.kernels.define import inline, kernel

#: How far (in voxels) a point may lie past half a voxel outside and still be inside: rounding.
_SLACK = 1e-6


@inline
def _along(matrix: Any, row: Any, x: Any, y: Any, z: Any) -> Any:
    return matrix[row, 0] * x + matrix[row, 1] * y + matrix[row, 2] * z + matrix[row, 3]


@inline
def _held(index: Any, count: Any) -> Any:
    """The index, or the edge's where it lies outside."""
    return min(max(index, 0.0), count - 1.0)


@inline
def _outside(index: Any, count: Any) -> Any:
    return index < -0.5 - _SLACK or index > count - 0.5 + _SLACK


@kernel("void(f8[:,::1], i8, i8, i8, f8[:,::1], i8, i8)")
def lattice(matrix: Any, first_row: Any, rows_a_plane: Any, columns: Any, points: Any, start: Any, stop: Any) -> None:
    """Rows ``first_row + start`` to ``first_row + stop`` of a grid's pixel centres, through ``matrix`` (3, 4)."""
    for row in range(start, stop):
        z = (first_row + row) // rows_a_plane
        y = (first_row + row) % rows_a_plane
        for x in range(columns):
            n = row * columns + x
            for k in range(3):
                points[n, k] = _along(matrix, k, z, y, x)


@kernel("void(f8[:,::1], f8[:,::1], i8, i8)")
def affine(points: Any, matrix: Any, start: Any, stop: Any) -> None:
    """Points through ``matrix`` (3, 4)."""
    for n in range(start, stop):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        for k in range(3):
            points[n, k] = _along(matrix, k, x, y, z)


@kernel("void(f8[:,::1], f4[:,:,:,::1], f8[:,::1], i8, i8)")
def displace(points: Any, field: Any, to_index: Any, start: Any, stop: Any) -> None:
    """p becomes p + u(p), u trilinear, its edge value held outside."""
    nz, ny, nx = field.shape[0], field.shape[1], field.shape[2]
    for n in range(start, stop):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        pz = _held(_along(to_index, 0, x, y, z), nz)
        py = _held(_along(to_index, 1, x, y, z), ny)
        px = _held(_along(to_index, 2, x, y, z), nx)
        z0, y0, x0 = int(pz), int(py), int(px)
        z1, y1, x1 = min(z0 + 1, nz - 1), min(y0 + 1, ny - 1), min(x0 + 1, nx - 1)
        a, b, c = pz - z0, py - y0, px - x0
        for k in range(3):
            near = (1 - b) * ((1 - c) * field[z0, y0, x0, k] + c * field[z0, y0, x1, k])
            near += b * ((1 - c) * field[z0, y1, x0, k] + c * field[z0, y1, x1, k])
            far = (1 - b) * ((1 - c) * field[z1, y0, x0, k] + c * field[z1, y0, x1, k])
            far += b * ((1 - c) * field[z1, y1, x0, k] + c * field[z1, y1, x1, k])
            points[n, k] += (1 - a) * near + a * far


@inline
def _slope(field: Any, to_index: Any, point: Any, value: Any, slope: Any) -> Any:
    """u at a point into ``value``, and the derivative of p + u(p) into ``slope`` (3, 3)."""
    nz, ny, nx = field.shape[0], field.shape[1], field.shape[2]
    qz = _along(to_index, 0, point[0], point[1], point[2])
    qy = _along(to_index, 1, point[0], point[1], point[2])
    qx = _along(to_index, 2, point[0], point[1], point[2])
    pz, py, px = _held(qz, nz), _held(qy, ny), _held(qx, nx)
    z0, y0, x0 = int(pz), int(py), int(px)
    z1, y1, x1 = min(z0 + 1, nz - 1), min(y0 + 1, ny - 1), min(x0 + 1, nx - 1)
    a, b, c = pz - z0, py - y0, px - x0
    in_z, in_y, in_x = 1.0 * (pz == qz), 1.0 * (py == qy), 1.0 * (px == qx)
    for k in range(3):
        f000, f001 = field[z0, y0, x0, k], field[z0, y0, x1, k]
        f010, f011 = field[z0, y1, x0, k], field[z0, y1, x1, k]
        f100, f101 = field[z1, y0, x0, k], field[z1, y0, x1, k]
        f110, f111 = field[z1, y1, x0, k], field[z1, y1, x1, k]
        near0, near1 = (1 - c) * f000 + c * f001, (1 - c) * f010 + c * f011
        far0, far1 = (1 - c) * f100 + c * f101, (1 - c) * f110 + c * f111
        near, far = (1 - b) * near0 + b * near1, (1 - b) * far0 + b * far1
        value[k] = (1 - a) * near + a * far
        d_z = in_z * (far - near)
        d_y = in_y * ((1 - a) * (near1 - near0) + a * (far1 - far0))
        front = (1 - b) * (f001 - f000) + b * (f011 - f010)
        back = (1 - b) * (f101 - f100) + b * (f111 - f110)
        d_x = in_x * ((1 - a) * front + a * back)
        for j in range(3):
            slope[k, j] = d_z * to_index[0, j] + d_y * to_index[1, j] + d_x * to_index[2, j]
        slope[k, k] += 1.0


@inline
def _miss(target: Any, place: Any, value: Any, gap: Any) -> Any:
    """target − (p + u(p)) into ``gap``; gives its squared length."""
    total = 0.0
    for k in range(3):
        gap[k] = target[k] - place[k] - value[k]
        total += gap[k] * gap[k]
    return total


@inline
def _newton(m: Any, gap: Any, step: Any) -> Any:
    """Solve m · step = gap; where m turns space over, take the gap itself."""
    c00 = m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1]
    c01 = m[1, 2] * m[2, 0] - m[1, 0] * m[2, 2]
    c02 = m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0]
    whole = m[0, 0] * c00 + m[0, 1] * c01 + m[0, 2] * c02
    if whole > 1e-3:
        c10 = m[0, 2] * m[2, 1] - m[0, 1] * m[2, 2]
        c11 = m[0, 0] * m[2, 2] - m[0, 2] * m[2, 0]
        c12 = m[0, 1] * m[2, 0] - m[0, 0] * m[2, 1]
        c20 = m[0, 1] * m[1, 2] - m[0, 2] * m[1, 1]
        c21 = m[0, 2] * m[1, 0] - m[0, 0] * m[1, 2]
        c22 = m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]
        step[0] = (c00 * gap[0] + c10 * gap[1] + c20 * gap[2]) / whole
        step[1] = (c01 * gap[0] + c11 * gap[1] + c21 * gap[2]) / whole
        step[2] = (c02 * gap[0] + c12 * gap[1] + c22 * gap[2]) / whole
    else:
        for k in range(3):
            step[k] = gap[k]


@kernel("void(f8[:,::1], f4[:,:,:,::1], f8[:,::1], f8, i8, f8[:,:,::1], f4[::1], i8, i8, i8)")
def undisplace(
    points: Any,
    field: Any,
    to_index: Any,
    within: Any,
    most: Any,
    scratch: Any,
    missed: Any,
    block: Any,
    start: Any,
    stop: Any,
) -> None:
    """q becomes the p with p + u(p) = q: Newton on the trilinear field, steps halved until they help.

    within   the squared miss, in mm², at which a point is found; ``most`` steps are taken
    scratch  (blocks, 9, 3): room for the vectors of a point; a call does blocks of ``block`` points
    missed   (n,) how far, in mm, each point still is from its answer
    """
    for part in range(start, stop):
        room = scratch[part]
        target, place, value, gap, step, best = room[0], room[1], room[2], room[3], room[4], room[5]
        slope = room[6:9]
        for n in range(part * block, min((part + 1) * block, points.shape[0])):
            for k in range(3):
                target[k] = points[n, k]
                place[k] = target[k]
                best[k] = target[k]
            _slope(field, to_index, place, value, slope)
            least = _miss(target, place, value, gap)
            _newton(slope, gap, step)
            share = 1.0
            for _ in range(most):
                if least <= within:
                    break
                for k in range(3):
                    place[k] = best[k] + share * step[k]
                _slope(field, to_index, place, value, slope)
                miss = _miss(target, place, value, gap)
                if miss < least:
                    least = miss
                    share = 1.0
                    for k in range(3):
                        best[k] = place[k]
                    _newton(slope, gap, step)
                else:
                    share *= 0.5
            for k in range(3):
                points[n, k] = best[k]
            missed[n] = np.sqrt(least)


@kernel("void(f4[:,:,::1], f8[:,::1], f8[:,::1], f8, f4[::1], i8, i8)")
def linear(volume: Any, points: Any, to_index: Any, outside: Any, out: Any, start: Any, stop: Any) -> None:
    """Trilinear values; the edge's up to half a voxel past the last centre, ``outside`` beyond."""
    nz, ny, nx = volume.shape
    for n in range(start, stop):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        qz, qy, qx = _along(to_index, 0, x, y, z), _along(to_index, 1, x, y, z), _along(to_index, 2, x, y, z)
        if _outside(qz, nz) or _outside(qy, ny) or _outside(qx, nx):
            out[n] = outside
        else:
            pz, py, px = _held(qz, nz), _held(qy, ny), _held(qx, nx)
            z0, y0, x0 = int(pz), int(py), int(px)
            z1, y1, x1 = min(z0 + 1, nz - 1), min(y0 + 1, ny - 1), min(x0 + 1, nx - 1)
            a, b, c = np.float32(pz - z0), np.float32(py - y0), np.float32(px - x0)
            near0 = volume[z0, y0, x0] + c * (volume[z0, y0, x1] - volume[z0, y0, x0])
            near1 = volume[z0, y1, x0] + c * (volume[z0, y1, x1] - volume[z0, y1, x0])
            far0 = volume[z1, y0, x0] + c * (volume[z1, y0, x1] - volume[z1, y0, x0])
            far1 = volume[z1, y1, x0] + c * (volume[z1, y1, x1] - volume[z1, y1, x0])
            near, far = near0 + b * (near1 - near0), far0 + b * (far1 - far0)
            out[n] = near + a * (far - near)


@kernel("void(i8[::1], f8[:,::1], f8[:,::1], i8[::1], i8, i8)")
def nearest(shape: Any, points: Any, to_index: Any, out: Any, start: Any, stop: Any) -> None:
    """Place of the nearest voxel in the flat array of ``shape`` (z, y, x); −1 outside."""
    nz, ny, nx = shape[0], shape[1], shape[2]
    for n in range(start, stop):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        qz, qy, qx = _along(to_index, 0, x, y, z), _along(to_index, 1, x, y, z), _along(to_index, 2, x, y, z)
        if _outside(qz, nz) or _outside(qy, ny) or _outside(qx, nx):
            out[n] = -1
        else:
            iz, iy, ix = int(_held(qz, nz) + 0.5), int(_held(qy, ny) + 0.5), int(_held(qx, nx) + 0.5)
            out[n] = (iz * ny + iy) * nx + ix


@kernel("void(u2[:,:,::1], f8[:,::1], f8[:,::1], u2[::1], i8, i8)")
def vote(labels: Any, points: Any, to_index: Any, out: Any, start: Any, stop: Any) -> None:
    """The label that has the most of the trilinear weights of the eight voxels around; 0 outside.

    The same as to interpolate each label's indicator and take the largest.
    """
    nz, ny, nx = labels.shape
    for n in range(start, stop):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        qz, qy, qx = _along(to_index, 0, x, y, z), _along(to_index, 1, x, y, z), _along(to_index, 2, x, y, z)
        out[n] = 0
        if not (_outside(qz, nz) or _outside(qy, ny) or _outside(qx, nx)):
            pz, py, px = _held(qz, nz), _held(qy, ny), _held(qx, nx)
            z0, y0, x0 = int(pz), int(py), int(px)
            z1, y1, x1 = min(z0 + 1, nz - 1), min(y0 + 1, ny - 1), min(x0 + 1, nx - 1)
            a, b, c = pz - z0, py - y0, px - x0
            most = -1.0
            for one in range(8):
                label = labels[z1 if one & 4 else z0, y1 if one & 2 else y0, x1 if one & 1 else x0]
                votes = 0.0
                for other in range(8):
                    same = labels[z1 if other & 4 else z0, y1 if other & 2 else y0, x1 if other & 1 else x0] == label
                    weight = (a if other & 4 else 1 - a) * (b if other & 2 else 1 - b) * (c if other & 1 else 1 - c)
                    votes += weight if same else 0.0
                if votes > most + 1e-9:
                    most = votes
                    out[n] = label


@inline
def _volume(z: Any, y: Any, x: Any) -> Any:
    """Triple product of three vectors."""
    total = z[0] * (y[1] * x[2] - y[2] * x[1])
    total += z[1] * (y[2] * x[0] - y[0] * x[2])
    return total + z[2] * (y[0] * x[1] - y[1] * x[0])


@kernel("void(f8[:,:,:,::1], f8, f8[:,:,:,::1], f4[:,:,::1], f4[:,:,::1], i8, i8)")
def determinants(mapped: Any, voxel: Any, scratch: Any, middle: Any, least: Any, start: Any, stop: Any) -> None:
    """How much a map swells each voxel: ``mapped`` (z, y, x, 3) says where its centre goes.

    voxel    signed volume of a voxel before
    scratch  (planes, 3, 3, 3)
    middle   by central differences (one-sided at the faces); ``least`` the least of the eight corners between the
             neighbours, where one below zero is a fold
    """
    nz, ny, nx = mapped.shape[0], mapped.shape[1], mapped.shape[2]
    for z in range(start, stop):
        step = scratch[z]
        z0, z1 = max(z - 1, 0), min(z + 1, nz - 1)
        for y in range(ny):
            y0, y1 = max(y - 1, 0), min(y + 1, ny - 1)
            for x in range(nx):
                x0, x1 = max(x - 1, 0), min(x + 1, nx - 1)
                for k in range(3):
                    here = mapped[z, y, x, k]
                    step[0, 0, k] = here - mapped[z0, y, x, k] if z0 < z else mapped[z1, y, x, k] - here
                    step[0, 1, k] = mapped[z1, y, x, k] - here if z1 > z else here - mapped[z0, y, x, k]
                    step[1, 0, k] = here - mapped[z, y0, x, k] if y0 < y else mapped[z, y1, x, k] - here
                    step[1, 1, k] = mapped[z, y1, x, k] - here if y1 > y else here - mapped[z, y0, x, k]
                    step[2, 0, k] = here - mapped[z, y, x0, k] if x0 < x else mapped[z, y, x1, k] - here
                    step[2, 1, k] = mapped[z, y, x1, k] - here if x1 > x else here - mapped[z, y, x0, k]
                    for axis in range(3):
                        step[axis, 2, k] = 0.5 * (step[axis, 0, k] + step[axis, 1, k])
                middle[z, y, x] = _volume(step[0, 2], step[1, 2], step[2, 2]) / voxel
                smallest = np.inf
                for corner in range(8):
                    part = _volume(step[0, corner >> 2], step[1, corner >> 1 & 1], step[2, corner & 1]) / voxel
                    smallest = min(smallest, part)
                least[z, y, x] = smallest
