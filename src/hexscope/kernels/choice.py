"""Of many displacements the one that costs least, at each point of a lattice, tied to a smooth field."""

from __future__ import annotations

from typing import Any

import numpy as np

from hexscope.kernels.define import inline, kernel

f4 = np.float32

#: Displacements are looked at in runs of so many: the least of a run is found without a branch.
_RUN = 64

#: More than any cost.
_MOST = f4(3e38)


@kernel("void(f4[:,:,:,::1], f4[:,:,::1], i8, i8)", apart=True)
def deviations(costs: Any, out: Any, start: int, stop: int) -> None:
    """Standard deviation of the costs (Z, Y, X, D) of each point, (Z, Y, X)."""
    _, ny, nx, count = costs.shape
    for z in range(start, stop):
        for y in range(ny):
            for x in range(nx):
                some = costs[z, y, x]
                mean, away = f4(0), f4(0)
                for d in range(count):
                    mean += some[d]
                mean /= f4(count)
                for d in range(count):
                    away += (some[d] - mean) * (some[d] - mean)
                out[z, y, x] = np.sqrt(away / f4(count))


@inline
def _first(line: Any, least: Any, start: int) -> Any:
    """Where a value stands in a line, from ``start`` on."""
    at = start
    while line[at] != least:
        at += 1
    return at


@kernel("void(f4[:,:,:,::1], f4[:,::1], f4, f4[:,:,:,::1], f4[:,::1], f4[:,:,:,::1], i8, i8)", apart=True)
def closest(costs: Any, steps: Any, tie: float, field: Any, lines: Any, out: Any, start: int, stop: int) -> None:
    """The step s of least cost + tie · |s − u|² at each point, the first of such; out (3, Z, Y, X).

    costs  (Z, Y, X, D) of the steps, whose z, y, x and squared length are ``steps`` (4, D)
    field  (3, Z, Y, X), u; lines (Z, D): scratch
    """
    _, ny, nx, count = costs.shape
    for z in range(start, stop):
        line = lines[z]
        for y in range(ny):
            for x in range(nx):
                some = costs[z, y, x]
                twice = f4(-2) * tie
                a, b, c = twice * field[0, z, y, x], twice * field[1, z, y, x], twice * field[2, z, y, x]
                best, at = _MOST, 0
                for run in range(0, count, _RUN):
                    least = _MOST
                    for d in range(run, min(run + _RUN, count)):
                        line[d] = some[d] + (a * steps[0, d] + b * steps[1, d] + (c * steps[2, d] + tie * steps[3, d]))
                        least = min(least, line[d])
                    if least < best:
                        best, at = least, run
                at = _first(line, best, at)
                for q in range(3):
                    out[q, z, y, x] = steps[q, at]
