"""A network over an array larger than its tile, in memory of one row of tiles: slabs of probabilities, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from hexscope.core.pixels import Region

Floats = NDArray[np.float32]

#: Rows of answers that are handed on at a time.
_ROWS = 8


def slabs(array: Floats, regions: Sequence[Region], run: Callable[[Floats], Floats]) -> Iterator[Floats]:
    """``run`` on every region of ``array`` (planes, *spatial), blended where they overlap, as slabs along the first
    spatial axis that follow on one another: (outputs, rows, *others) float32, the answers' own numbers.

    Each answer counts most at the middle of its tile and fades to its border, so no seam shows. Kept at a time: one
    row of tiles of answers.
    """
    if len(regions) == 1:
        yield run(array)
        return
    shares = [_shares(axis, n) for n, axis in zip(array.shape[1:], zip(*regions, strict=True), strict=True)]
    held: Floats | None = None
    at = 0
    for start, row in groupby(regions, key=lambda region: region[0].start):
        if held is not None:
            yield from _pieces(held[:, : start - at])
            held[:, : at - start] = held[:, start - at :].copy()
            held[:, at - start :] = 0
            at = start
        for region in row:
            part = run(np.ascontiguousarray(array[(slice(None), *region)]))
            for axis, (share, along) in enumerate(zip(shares, region, strict=True), start=1):
                part *= share[along.start].reshape(-1, *[1] * (part.ndim - axis - 1))
            if held is None:
                held = np.zeros((*part.shape[:2], *array.shape[2:]), np.float32)
            held[(slice(None), slice(None), *region[1:])] += part
    assert held is not None
    yield from _pieces(held)


def _pieces(rows: Floats) -> Iterator[Floats]:
    """``rows`` in copies of a few at a time, so that what is done with them needs little memory."""
    for start in range(0, rows.shape[1], _ROWS):
        yield rows[:, start : start + _ROWS].copy()


def _shares(along: Sequence[slice], n: int) -> dict[int, Floats]:
    """By start of a tile along one axis of ``n`` pixels: what its pixels count for. All tiles together count 1."""
    whole = np.zeros(n, np.float64)
    tents = {part.start: (part, _tent(part.stop - part.start)) for part in along}
    for part, tent in tents.values():
        whole[part] += tent
    return {start: (tent / whole[part]).astype(np.float32) for start, (part, tent) in tents.items()}


def _tent(n: int) -> NDArray[np.float64]:
    """Highest at the middle, low at the ends, never 0."""
    return np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)).astype(np.float64)
