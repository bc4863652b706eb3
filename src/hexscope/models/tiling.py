"""A network over an array larger than its tile, in memory of one row of tiles: slabs of probabilities, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from hexscope.core.patches import tiles
from hexscope.core.pixels import Region

Floats = NDArray[np.float32]


def regions_of(shape: Sequence[int], tile: Sequence[int], overlap: Sequence[int]) -> list[Region]:
    """The tiles that cover ``shape``, those along the first axis last."""
    return list(tiles(shape, tile, overlap))


def slabs(array: Floats, regions: Sequence[Region], run: Callable[[Floats], Floats]) -> Iterator[Floats]:
    """``run`` on every region of ``array`` (planes, *spatial), blended where they overlap, as slabs along the first
    spatial axis that follow on one another: (outputs, rows, *others) float32, the answers' own numbers.

    Each answer counts most at the middle of its tile and fades to its border, so no seam shows. Kept at a time: one
    row of tiles of answers.
    """
    if len(regions) == 1:
        yield run(array)
        return
    held: Floats | None = None
    weight = np.zeros(0, np.float32)
    at = 0
    for start, row in groupby(regions, key=lambda region: region[0].start):
        if held is not None:
            done = start - at
            yield held[:, :done] / weight[:done]
            held, weight = held[:, done:], weight[done:]
            at = start
        for region in row:
            part = run(np.ascontiguousarray(array[(slice(None), *region)]))
            held, weight = _grown(held, weight, part, array.shape[2:])
            inner = (slice(0, part.shape[1]), *region[1:])
            fade = _fade(part.shape[1:])
            part *= fade
            held[(slice(None), *inner)] += part
            weight[inner] += fade
    assert held is not None
    yield held / weight


def _grown(held: Floats | None, weight: Floats, part: Floats, across: Sequence[int]) -> tuple[Floats, Floats]:
    """``held`` and its weight with room for a row as deep as ``part``."""
    depth = part.shape[1]
    if held is not None and held.shape[1] >= depth:
        return held, weight
    more = np.zeros((len(part), depth, *across), np.float32)
    weights = np.zeros((depth, *across), np.float32)
    if held is not None:
        more[:, : held.shape[1]] = held
        weights[: len(weight)] = weight
    return more, weights


def _fade(shape: Sequence[int]) -> Floats:
    """A tent: 1 at the middle, near 0 at the border, never 0."""
    out = np.ones((), np.float32)
    for n in shape:
        ramp = np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)).astype(np.float32)
        out = np.multiply.outer(out, ramp / ramp.max())
    return np.asarray(out, dtype=np.float32)
