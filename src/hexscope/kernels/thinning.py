"""Voxels averaged in blocks, and values looked up in a table: an image made smaller and evenly spread."""

from __future__ import annotations

from typing import Any

from hexscope.kernels.define import kernel


@kernel("void(f4[:,:,::1], f4[::1], f8, f8, f4[:,:,::1], i8, i8)")
def spread(values: Any, table: Any, low: float, steps: float, out: Any, start: int, stop: int) -> None:
    """``out`` = the table's entry at (value − low) · steps, the nearest below; ends are held."""
    last = table.shape[0] - 1
    for z in range(start, stop):
        for y in range(values.shape[1]):
            for x in range(values.shape[2]):
                place = (values[z, y, x] - low) * steps
                out[z, y, x] = table[int(min(max(place, 0), last))]


@kernel("void(f4[:,:,::1], f4[:,:,::1], i8, i8, i8, i8, i8, i8, i8, i8)")
def thin(values: Any, out: Any, dz: int, dy: int, dx: int, oz: int, oy: int, ox: int, start: int, stop: int) -> None:
    """Means of blocks of dz × dy × dx voxels from the offset (oz, oy, ox) on; void (below 0) where half of it is."""
    for z in range(start, stop):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                total = values[0, 0, 0] * 0
                known = 0
                for k in range(oz + z * dz, oz + (z + 1) * dz):
                    for j in range(oy + y * dy, oy + (y + 1) * dy):
                        for i in range(ox + x * dx, ox + (x + 1) * dx):
                            if values[k, j, i] >= 0:
                                total += values[k, j, i]
                                known += 1
                out[z, y, x] = total / known if 2 * known > dz * dy * dx else -1000
