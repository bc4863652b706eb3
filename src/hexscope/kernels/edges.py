"""How well the edges of two images run along each other, and how that changes as one is moved."""

from __future__ import annotations

from typing import Any

import numpy as np

from hexscope.kernels.define import kernel

f4 = np.float32


@kernel("void(f4[:,::1], f4[:,::1], f4[:,:,:,::1], f4[:,::1], f4[:,::1], i8, i8)")
def agree(points: Any, normals: Any, field: Any, to_index: Any, out: Any, start: int, stop: int) -> None:
    """Squared product of each edge's normal with the field of normals where a map takes its point.

    points    (n, 3) mm; normals (n, 3), turned already, in the axes of the field's vectors
    field     (z, y, x, 3) normals of the other image, lengths 0..1
    to_index  (3, 4) from a point to an index of the field
    out       (n, 7) is filled: the squared product, -1 outside; its slope by the index along z, y, x; and by the normal
    """
    nz, ny, nx = field.shape[0], field.shape[1], field.shape[2]
    half = f4(0.5)
    for n in range(start, stop):
        p, q, r = points[n, 0], points[n, 1], points[n, 2]
        z = to_index[0, 0] * p + to_index[0, 1] * q + to_index[0, 2] * r + to_index[0, 3]
        y = to_index[1, 0] * p + to_index[1, 1] * q + to_index[1, 2] * r + to_index[1, 3]
        x = to_index[2, 0] * p + to_index[2, 1] * q + to_index[2, 2] * r + to_index[2, 3]
        out[n, 0] = f4(-1)
        for k in range(1, 7):
            out[n, k] = f4(0)
        if z < -half or y < -half or x < -half or z > nz - half or y > ny - half or x > nx - half:
            continue
        z, y, x = min(max(z, f4(0)), f4(nz - 1)), min(max(y, f4(0)), f4(ny - 1)), min(max(x, f4(0)), f4(nx - 1))
        z0, y0, x0 = min(int(z), max(nz - 2, 0)), min(int(y), max(ny - 2, 0)), min(int(x), max(nx - 2, 0))
        z1, y1, x1 = min(z0 + 1, nz - 1), min(y0 + 1, ny - 1), min(x0 + 1, nx - 1)
        a, b, c = z - f4(z0), y - f4(y0), x - f4(x0)
        dot, along_z, along_y, along_x = f4(0), f4(0), f4(0), f4(0)
        for k in range(3):
            v000, v001 = field[z0, y0, x0, k], field[z0, y0, x1, k]
            v010, v011 = field[z0, y1, x0, k], field[z0, y1, x1, k]
            v100, v101 = field[z1, y0, x0, k], field[z1, y0, x1, k]
            v110, v111 = field[z1, y1, x0, k], field[z1, y1, x1, k]
            s00, s01, s10, s11 = v001 - v000, v011 - v010, v101 - v100, v111 - v110
            l00, l01, l10, l11 = v000 + c * s00, v010 + c * s01, v100 + c * s10, v110 + c * s11
            l0, l1 = l00 + b * (l01 - l00), l10 + b * (l11 - l10)
            s0, s1 = s00 + b * (s01 - s00), s10 + b * (s11 - s10)
            normal = normals[n, k]
            out[n, 4 + k] = l0 + a * (l1 - l0)
            dot += normal * out[n, 4 + k]
            along_z += normal * (l1 - l0)
            along_y += normal * ((l01 - l00) + a * ((l11 - l10) - (l01 - l00)))
            along_x += normal * (s0 + a * (s1 - s0))
        out[n, 0] = dot * dot
        out[n, 1], out[n, 2], out[n, 3] = 2 * dot * along_z, 2 * dot * along_y, 2 * dot * along_x
        for k in range(4, 7):
            out[n, k] *= 2 * dot
