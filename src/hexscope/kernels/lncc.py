"""Local correlation of two images under a field, and the force that raises it: three passes over the planes.

CC² of windows (Avants 2008, doi:10.1016/j.media.2007.06.004), its gradient exact: each window's share is spread over
its voxels by summing the same windows once more. The field lives on cells of ``k`` voxels an axis (1 or 2), and so do
the windows' centres: the images are looked at in full, but sums, coefficients and forces are made once a cell.

Arrays: fine (Z, Y, X), cells (z, y, x), float32. ``sizes`` holds k for z, y, x, then the windows' radius in cells for
z, y, x. ``pair`` (2, Z, Y, X): the fixed image, and the moving one as it is warped here. ``work`` (9, z, y, x): 0-2
what a cell holds (in the end the force), 3-5 sums over windows within the plane, 6-8 the same of the coefficients.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hexscope.kernels.define import inline, kernel

f4 = np.float32

#: Added to the variance of a voxel, of images in 0..1: windows without contrast have nothing to say.
EPSILON = f4(1e-5)


@inline
def _node(fine: Any, factor: Any, cells: Any) -> Any:
    """The cells on either side of a fine voxel, as lower index and the upper one's weight."""
    place = (f4(fine) + f4(0.5)) / f4(factor) - f4(0.5)
    place = min(max(place, f4(0)), f4(cells - 1))
    low = min(int(place), max(cells - 2, 0))
    return low, place - f4(low)


@inline
def _blend(field: Any, scale: Any, plane: Any, row: Any, out: Any) -> Any:
    """A component of the field (z, y, x) at a fine (z, y): between the cells' planes and rows, times ``scale``."""
    z0, b = plane
    y0, c = row
    z1, y1 = min(z0 + 1, field.shape[0] - 1), min(y0 + 1, field.shape[1] - 1)
    w00, w01 = scale * (f4(1) - b) * (f4(1) - c), scale * (f4(1) - b) * c
    w10, w11 = scale * b * (f4(1) - c), scale * b * c
    for x in range(field.shape[2]):
        out[x] = w00 * field[z0, y0, x] + w01 * field[z0, y1, x] + w10 * field[z1, y0, x] + w11 * field[z1, y1, x]


@inline
def _spread(cells: Any, count: Any, factor: Any, out: Any) -> Any:
    """A row of cells on the fine voxels: linear, centres aligned, the end cells' values held outside."""
    n = out.shape[0]
    if factor == 1:
        for x in range(n):
            out[x] = cells[x]
    else:
        for x in range(1, n // 2):
            out[2 * x - 1] = f4(0.75) * cells[x - 1] + f4(0.25) * cells[x]
            out[2 * x] = f4(0.25) * cells[x - 1] + f4(0.75) * cells[x]
        out[0] = cells[0]
        if n % 2:
            out[n - 2] = f4(0.75) * cells[count - 2] + f4(0.25) * cells[count - 1] if count > 1 else cells[0]
        out[n - 1] = cells[count - 1]


@inline
def _fetch(moving: Any, z: Any, y: Any, steps: Any, out: Any) -> Any:
    """out(x) = moving at (z, y, x) + steps(x), trilinear, held at the edge."""
    mz, my, mx = moving.shape
    flat = moving.ravel()
    tz, ty, tx = mz - 1, my - 1, mx - 1
    dz, dy, dx = (mx * my if mz > 1 else 0), (mx if my > 1 else 0), (1 if mx > 1 else 0)
    for x in range(out.shape[0]):
        pz = min(max(f4(z) + steps[0, x], f4(0)), f4(tz))
        py = min(max(f4(y) + steps[1, x], f4(0)), f4(ty))
        px = min(max(f4(x) + steps[2, x], f4(0)), f4(tx))
        iz, iy, ix = (
            min(np.int32(pz), np.int32(max(tz - 1, 0))),
            min(np.int32(py), np.int32(max(ty - 1, 0))),
            min(np.int32(px), np.int32(max(tx - 1, 0))),
        )
        a, b, c = pz - f4(iz), py - f4(iy), px - f4(ix)
        k = np.int32(iz * np.int32(mx * my) + iy * np.int32(mx) + ix)
        v00 = flat[k] + c * (flat[k + dx] - flat[k])
        v01 = flat[k + dy] + c * (flat[k + dy + dx] - flat[k + dy])
        v10 = flat[k + dz] + c * (flat[k + dz + dx] - flat[k + dz])
        v11 = flat[k + dz + dy] + c * (flat[k + dz + dy + dx] - flat[k + dz + dy])
        v0, v1 = v00 + b * (v01 - v00), v10 + b * (v11 - v10)
        out[x] = v0 + a * (v1 - v0)


@inline
def _gather(still: Any, warped: Any, factor: Any, first: Any, sums: Any) -> Any:
    """A fine row's values, squares and products added to its row of cells; ``first``: written."""
    if first:
        for x in range(sums.shape[1]):
            sums[0, x] = f4(0)
            sums[1, x] = f4(0)
            sums[2, x] = f4(0)
    n = still.shape[0]
    if factor == 1:
        for x in range(n):
            sums[0, x] += warped[x]
            sums[1, x] += warped[x] * warped[x]
            sums[2, x] += warped[x] * still[x]
    else:
        for x in range(n // 2):
            v, w = warped[2 * x], warped[2 * x + 1]
            sums[0, x] += v + w
            sums[1, x] += v * v + w * w
            sums[2, x] += v * still[2 * x] + w * still[2 * x + 1]
        if n % 2:
            v = warped[n - 1]
            sums[0, n // 2] += v
            sums[1, n // 2] += v * v
            sums[2, n // 2] += v * still[n - 1]


@inline
def _box_plane(source: Any, radius_y: Any, radius_x: Any, line: Any, out: Any) -> Any:
    """Sums over windows in a plane; what lies outside counts nothing. ``line`` is a row and 2 radius_x longer."""
    ny, nx = source.shape
    for x in range(nx + 2 * radius_x):
        line[x] = f4(0)
    mixed = line[radius_x : radius_x + nx]
    for y in range(ny):
        for x in range(nx):
            mixed[x] = source[y, x]
        for j in range(1, radius_y + 1):
            if y >= j and y + j < ny:
                before, behind = source[y - j], source[y + j]
                for x in range(nx):
                    mixed[x] += before[x] + behind[x]
            elif y >= j or y + j < ny:
                other = source[y - j] if y >= j else source[y + j]
                for x in range(nx):
                    mixed[x] += other[x]
        for x in range(nx):
            out[y, x] = mixed[x]
        for j in range(1, radius_x + 1):
            before, behind = line[radius_x - j :], line[radius_x + j :]
            for x in range(nx):
                out[y, x] += before[x] + behind[x]


@kernel(
    "void(f4[:,:,::1], f4[:,:,:,::1], i8[::1], f4[:,:,::1], f4[:,:,::1], f4[:,:,::1], f4[:,:,:,::1], f4[:,:,:,::1],"
    "i8, i8)",
    apart=True,
)
def products(
    moving: Any,
    field: Any,
    sizes: Any,
    still: Any,
    rows: Any,
    warped: Any,
    cells: Any,
    sums: Any,
    start: Any,
    stop: Any,
) -> None:
    """Warp ``moving`` under the field; ``sums`` over windows in the plane, of it, its square, its product with still.

    cells (3, z, y, x) and rows (z, 6, X + 2 radius + 2): scratch.
    """
    nz, ny, nx = still.shape
    _, cz, cy, cx = field.shape
    for c in range(start, stop):
        for z in range(sizes[0] * c, min(sizes[0] * (c + 1), nz)):
            plane = _node(z, sizes[0], cz)
            for y in range(ny):
                row = _node(y, sizes[1], cy)
                for q in range(3):
                    _blend(field[q], f4(sizes[q]), plane, row, rows[c, q])
                    _spread(rows[c, q], cx, sizes[2], rows[c, 3 + q, :nx])
                _fetch(moving, z, y, rows[c, 3:], warped[z, y])
                first = z == sizes[0] * c and y % sizes[1] == 0
                _gather(still[z, y], warped[z, y], sizes[2], first, cells[:, c, y // sizes[1]])
        for q in range(3):
            _box_plane(cells[q, c], sizes[4], sizes[5], rows[c, 0], sums[q, c])


@inline
def _down(stack: Any, z: Any, y: Any, radius: Any, out: Any) -> Any:
    """Rows of a stack (K, z, y, x) summed over the planes of a window. out (K or more, x)."""
    count, nz, _, nx = stack.shape
    for q in range(count):
        for x in range(nx):
            out[q, x] = stack[q, z, y, x]
        for j in range(max(z - radius, 0), min(z + radius + 1, nz)):
            if j != z:
                for x in range(nx):
                    out[q, x] += stack[q, j, y, x]


@kernel(
    "void(f4[:,:,:,::1], f4[:,:,:,::1], f4[:,::1], i8[::1], f4[:,:,::1], f4[:,:,:,::1], f4[:,:,:,::1], f4[::1],i8, i8)",
    apart=True,
)
def coefficients(
    sums: Any,
    still: Any,
    counts: Any,
    sizes: Any,
    rows: Any,
    cells: Any,
    spread: Any,
    values: Any,
    start: Any,
    stop: Any,
) -> None:
    """Each window's coefficients from its sums, summed over windows in the plane again (``spread``).

    still (3, z, y, x): the fixed image's local mean and variance from `standing`, and the window's weight; counts
    (3, n): voxels of a window along each axis; values[z]: the sum of CC² over a plane. cells, rows: scratch.
    """
    _, _, ny, nx = sums.shape
    for z in range(start, stop):
        total = f4(0)
        for y in range(ny):
            area = counts[0, z] * counts[1, y]
            _down(sums, z, y, sizes[3], rows[z])
            for x in range(nx):
                n = area * counts[2, x]
                mean = rows[z, 0, x] / n
                variance = max(rows[z, 1, x] - rows[z, 0, x] * mean, f4(0)) + EPSILON * n
                both = rows[z, 2, x] - rows[z, 0, x] * still[0, z, y, x]
                slope = both / variance
                scale = f4(2) * still[2, z, y, x] / still[1, z, y, x]
                a = scale * slope
                total += a * both
                cells[0, z, y, x] = a
                cells[1, z, y, x] = a * slope
                cells[2, z, y, x] = a * (still[0, z, y, x] - slope * mean)
        values[z] = f4(0.5) * total
        for q in range(3):
            _box_plane(cells[q, z], sizes[4], sizes[5], rows[z, 0], spread[q, z])


@inline
def _pull(still: Any, warped: Any, z: Any, y: Any, factor: Any, coefs: Any, out: Any) -> Any:
    """Add a fine row's forces, (F a − M b − c) ∇M, to its row of cells; coefs (3, x), out (3, x)."""
    nz, ny, nx = still.shape
    ours, here = still[z, y], warped[z, y]
    up, down = warped[max(z - 1, 0), y], warped[min(z + 1, nz - 1), y]
    back, front = warped[z, max(y - 1, 0)], warped[z, min(y + 1, ny - 1)]
    if factor == 1:
        for x in range(1, nx - 1):
            e = ours[x] * coefs[0, x] - here[x] * coefs[1, x] - coefs[2, x]
            out[0, x] += e * (down[x] - up[x])
            out[1, x] += e * (front[x] - back[x])
            out[2, x] += e * (here[x + 1] - here[x - 1])
    else:
        for c in range(1, (nx - 1) // 2):
            x = 2 * c
            e = ours[x] * coefs[0, c] - here[x] * coefs[1, c] - coefs[2, c]
            f = ours[x + 1] * coefs[0, c] - here[x + 1] * coefs[1, c] - coefs[2, c]
            out[0, c] += e * (down[x] - up[x]) + f * (down[x + 1] - up[x + 1])
            out[1, c] += e * (front[x] - back[x]) + f * (front[x + 1] - back[x + 1])
            out[2, c] += e * (here[x + 1] - here[x - 1]) + f * (here[x + 2] - here[x])


@kernel(
    "void(f4[:,:,::1], f4[:,:,::1], f4[:,:,:,::1], i8[::1], f4[:,:,::1], f4[:,:,:,::1], i8, i8)",
    apart=True,
)
def force(still: Any, warped: Any, spread: Any, sizes: Any, rows: Any, out: Any, start: Any, stop: Any) -> None:
    """The slope of the mean CC² along each component of the field. The end voxels of rows have none."""
    nz, ny, _ = still.shape
    _, _, cy, cx = spread.shape
    for c in range(start, stop):
        for y in range(cy):
            _down(spread, c, y, sizes[3], rows[c])
            for q in range(3):
                for x in range(cx):
                    out[q, c, y, x] = f4(0)
            for fz in range(sizes[0] * c, min(sizes[0] * (c + 1), nz)):
                for fy in range(sizes[1] * y, min(sizes[1] * (y + 1), ny)):
                    _pull(still, warped, fz, fy, sizes[2], rows[c], out[:, c, y])


@kernel("void(f4[:,:,:,::1], f4[:,::1], i8[::1], f4[:,:,::1], f4[:,:,:,::1], i8, i8)", apart=True)
def standing(sums: Any, counts: Any, sizes: Any, rows: Any, still: Any, start: Any, stop: Any) -> None:
    """The fixed image's local mean and variance (times the count), from `products` of it with itself, unmoved."""
    _, _, ny, nx = sums.shape
    for z in range(start, stop):
        for y in range(ny):
            area = counts[0, z] * counts[1, y]
            _down(sums, z, y, sizes[3], rows[z])
            for x in range(nx):
                n = area * counts[2, x]
                mean = rows[z, 0, x] / n
                still[0, z, y, x] = mean
                still[1, z, y, x] = max(rows[z, 1, x] - rows[z, 0, x] * mean, f4(0)) + EPSILON * n
