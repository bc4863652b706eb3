"""How alike small patches of two images are, each laid on the other at many shifts."""

from __future__ import annotations

from typing import Any

import numpy as np

from hexscope.kernels.define import kernel

f4 = np.float32


@kernel("void(f4[:,:,::1], f4[:,:,::1], i8[:,::1], i8[::1], i8[::1], f4, f4[:,:,:,::1], i8, i8)")
def match(
    fixed: Any, moved: Any, centers: Any, half: Any, reach: Any, quiet: float, out: Any, start: int, stop: int
) -> None:
    """Squared correlation of patches of ``fixed`` with ``moved`` shifted by whole voxels.

    fixed, moved  (z, y, x), void below 0
    centers  (n, 3) middle of each patch; half (3,) voxels to each of its sides
    reach    (3,) voxels to shift each way
    quiet    variance below which there is nothing to see: added to both
    out      (n, 2 reach + 1 ...) is filled; 0 where under half of the patch can be compared
    """
    nz, ny, nx = fixed.shape[0], fixed.shape[1], fixed.shape[2]
    hz, hy, hx = half[0], half[1], half[2]
    whole = (2 * hz + 1) * (2 * hy + 1) * (2 * hx + 1)
    for n in range(start, stop):
        cz, cy, cx = centers[n, 0], centers[n, 1], centers[n, 2]
        for a in range(out.shape[1]):
            for b in range(out.shape[2]):
                for c in range(out.shape[3]):
                    dz, dy, dx = a - reach[0], b - reach[1], c - reach[2]
                    count, s, t, ss, tt, st = f4(0), f4(0), f4(0), f4(0), f4(0), f4(0)
                    for z in range(max(cz - hz, 0, -dz), min(cz + hz + 1, nz, nz - dz)):
                        for y in range(max(cy - hy, 0, -dy), min(cy + hy + 1, ny, ny - dy)):
                            for x in range(max(cx - hx, 0, -dx), min(cx + hx + 1, nx, nx - dx)):
                                f, m = fixed[z, y, x], moved[z + dz, y + dy, x + dx]
                                seen = f4(1) if f >= f4(0) and m >= f4(0) else f4(0)
                                count += seen
                                s += seen * f
                                t += seen * m
                                ss += seen * f * f
                                tt += seen * m * m
                                st += seen * f * m
                    if 2 * count < whole:
                        out[n, a, b, c] = f4(0)
                        continue
                    together = st - s * t / count
                    one, other = ss - s * s / count + quiet * count, tt - t * t / count + quiet * count
                    out[n, a, b, c] = together * together / (one * other)
