"""Tiles of a big array and their stitching: for slides, and for models that see a part at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hexscope.core.pixels import Region
from hexscope.errors import UsageError


def tiles(shape: Sequence[int], size: Sequence[int], overlap: Sequence[int] | int = 0) -> Iterator[Region]:
    """Regions of ``size`` (smaller at a short axis) that cover ``shape``, neighbours sharing ``overlap`` pixels.

    The last tile of an axis is moved back to end at the border, so that every tile of a long axis is full.
    """
    shared = (overlap,) * len(shape) if isinstance(overlap, int) else tuple(overlap)
    if any(o < 0 or o >= s for o, s in zip(shared, size, strict=True)):
        raise UsageError(f"overlap {shared} must be at least 0 and less than the tile size {tuple(size)}")
    starts = []
    for n, s, o in zip(shape, size, shared, strict=True):
        last = max(n - s, 0)
        starts.append([*range(0, last, s - o), last])
    for corner in product(*starts):
        yield tuple(slice(a, min(a + s, n)) for a, s, n in zip(corner, size, shape, strict=True))


def stitch(
    parts: Iterable[tuple[Region, NDArray[Any]]], shape: Sequence[int], dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """The whole from its tiles. Where tiles overlap, a tent weight lets each count most at its own middle.

    Every pixel of ``shape`` must be covered by a tile; axes after ``len(region)`` (channels) come along.
    """
    total: NDArray[np.float64] | None = None
    weight = np.zeros(tuple(shape), np.float64)
    for region, part in parts:
        if total is None:
            total = np.zeros((*shape, *part.shape[len(region) :]), np.float64)
        tent = _tent(part.shape[: len(region)])
        total[region] += part * tent.reshape(*tent.shape, *[1] * (part.ndim - tent.ndim))
        weight[region] += tent
    if total is None or np.any(weight == 0):
        raise UsageError("the tiles do not cover the whole shape")
    whole = total / weight.reshape(*weight.shape, *[1] * (total.ndim - weight.ndim))
    return np.round(whole).astype(dtype) if np.issubdtype(np.dtype(dtype), np.integer) else whole.astype(dtype)


def _tent(shape: Sequence[int]) -> NDArray[np.float64]:
    out = np.ones(())
    for n in shape:
        ramp = np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)).astype(np.float64)
        out = np.multiply.outer(out, ramp)
    return out
