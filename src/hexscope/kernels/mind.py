"""What a voxel's surroundings look like to each other, whatever the modality, and the force that makes two images agree
in it: self-similarity context (Heinrich 2013, doi:10.1007/978-3-642-40811-3_24).

Twelve channels: the differences between the six neighbours, of all pairs that lie at a right angle.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hexscope.kernels.define import inline, kernel

f4 = np.float32


@inline
def _near(n: Any, at: Any, step: Any) -> Any:
    """An index ``step`` further, held inside."""
    return min(max(at + step, 0), n - 1)


@kernel("void(f4[:,:,::1], i8[:,::1], f4[:,:,:,::1], i8, i8)", apart=True)
def differences(image: Any, pairs: Any, out: Any, start: Any, stop: Any) -> None:
    """Squared differences of pairs of neighbours, (12, Z, Y, X). pairs (12, 6): z, y, x of the one, then the other."""
    nz, ny, nx = image.shape
    for z in range(start, stop):
        for c in range(pairs.shape[0]):
            z0, z1 = _near(nz, z, pairs[c, 0]), _near(nz, z, pairs[c, 3])
            for y in range(ny):
                one = image[z0, _near(ny, y, pairs[c, 1])]
                two = image[z1, _near(ny, y, pairs[c, 4])]
                i, j = pairs[c, 2], pairs[c, 5]
                for x in range(nx):
                    d = one[_near(nx, x, i)] - two[_near(nx, x, j)]
                    out[c, z, y, x] = d * d


@kernel("void(f4[:,:,:,::1], f4, f4[:,:,:,::1], i8, i8)", apart=True)
def describe(smoothed: Any, floor: Any, out: Any, start: Any, stop: Any) -> None:
    """Smoothed differences to channels in 0..1, (Z, Y, X, 12): exp(−(d − least) / mean), the mean not below floor."""
    count, _, ny, nx = smoothed.shape
    for z in range(start, stop):
        for y in range(ny):
            for x in range(nx):
                least, total = smoothed[0, z, y, x], f4(0)
                for c in range(count):
                    least = min(least, smoothed[c, z, y, x])
                    total += smoothed[c, z, y, x]
                spread = f4(1) / max(total / f4(count), floor)
                for c in range(count):
                    out[z, y, x, c] = np.exp((least - smoothed[c, z, y, x]) * spread)


@inline
def _corner(place: Any, step: Any, n: Any) -> Any:
    """Lower index, index after it, and share of the latter, of a place along an axis of n."""
    p = min(max(f4(place) + step, f4(0)), f4(n - 1))
    low = min(int(p), max(n - 2, 0))
    return low, min(low + 1, n - 1), p - f4(low)


@kernel(
    "void(f4[:,:,:,::1], f4[:,:,:,::1], f4[:,:,:,::1], f4[:,:,::1], i8[::1], f4[:,:,:,::1], f4[::1], i8, i8)",
    apart=True,
)
def force(
    still: Any, moving: Any, field: Any, weight: Any, sizes: Any, out: Any, values: Any, start: Any, stop: Any
) -> None:
    """How the squared difference of the channels falls with each component of the field, once a cell.

    field (3, Z, Y, X): at each voxel, in voxels; weight, out (3, z, y, x): of cells of ``sizes`` voxels; values[z]:
    minus the sum of squared differences over a plane of cells.
    """
    _, nz, ny, nx = field.shape
    channels = still.shape[3]
    for c in range(start, stop):
        total = f4(0)
        for q in range(3):
            for y in range(out.shape[2]):
                for x in range(out.shape[3]):
                    out[q, c, y, x] = f4(0)
        for z in range(sizes[0] * c, min(sizes[0] * (c + 1), nz)):
            for y in range(ny):
                j = y // sizes[1]
                for x in range(nx):
                    i = x // sizes[2]
                    z0, z1, a = _corner(z, field[0, z, y, x], nz)
                    y0, y1, b = _corner(y, field[1, z, y, x], ny)
                    x0, x1, d = _corner(x, field[2, z, y, x], nx)
                    gz, gy, gx, away = f4(0), f4(0), f4(0), f4(0)
                    for k in range(channels):
                        m000, m001, m010, m011 = (
                            moving[z0, y0, x0, k],
                            moving[z0, y0, x1, k],
                            moving[z0, y1, x0, k],
                            moving[z0, y1, x1, k],
                        )
                        m100, m101, m110, m111 = (
                            moving[z1, y0, x0, k],
                            moving[z1, y0, x1, k],
                            moving[z1, y1, x0, k],
                            moving[z1, y1, x1, k],
                        )
                        m00, m01 = m000 + d * (m001 - m000), m010 + d * (m011 - m010)
                        m10, m11 = m100 + d * (m101 - m100), m110 + d * (m111 - m110)
                        m0, m1 = m00 + b * (m01 - m00), m10 + b * (m11 - m10)
                        e = still[z, y, x, k] - (m0 + a * (m1 - m0))
                        s0, s1 = (
                            (m001 - m000) + b * ((m011 - m010) - (m001 - m000)),
                            (m101 - m100) + b * ((m111 - m110) - (m101 - m100)),
                        )
                        away += e * e
                        gz += e * (m1 - m0)
                        gy += e * ((m01 - m00) + a * ((m11 - m10) - (m01 - m00)))
                        gx += e * (s0 + a * (s1 - s0))
                    w = weight[c, j, i]
                    out[0, c, j, i] += w * gz
                    out[1, c, j, i] += w * gy
                    out[2, c, j, i] += w * gx
                    total -= w * away
        values[c] = total


@kernel("void(f4[:,:,:,::1], f4[:,:,:,::1], i8[:,::1], f4[:,:,:,::1], i8, i8)", apart=True)
def scan(still: Any, moving: Any, steps: Any, out: Any, start: Any, stop: Any) -> None:
    """Squared difference of the channels (Z, Y, X, 12) under each of ``steps`` (D, 3) voxels, (Z, Y, X, D)."""
    nz, ny, nx, channels = still.shape
    for z in range(start, stop):
        for y in range(ny):
            for x in range(nx):
                for d in range(steps.shape[0]):
                    i, j, k = _near(nz, z, steps[d, 0]), _near(ny, y, steps[d, 1]), _near(nx, x, steps[d, 2])
                    total = f4(0)
                    for c in range(channels):
                        away = still[z, y, x, c] - moving[i, j, k, c]
                        total += away * away
                    out[z, y, x, d] = total
