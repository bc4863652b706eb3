"""Pixels of slices as one array: plain, cut from mosaics, or folded into time and place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hexscope.core.pixels import LazyPixels, Region
from hexscope.io.dicom_mosaic import Tile
from hexscope.io.dicom_pixels import output_dtype, read_slices, stack_pixels
from hexscope.io.dicom_stored import Slice


def volume_pixels(slices: Sequence[Slice], tiles: Sequence[Tile], lead: tuple[int, ...]) -> LazyPixels:
    """Lazy pixels of shape (*lead, y, x[, c]); a region reads only the files it needs.

    lead  (), (n,) or (t, z); slices are in that order
    """
    flat = _untiled(slices, tiles) if tiles else stack_pixels(slices, single=not lead)
    return _folded(flat, lead) if len(lead) == 2 else flat


def _untiled(slices: Sequence[Slice], tiles: Sequence[Tile]) -> LazyPixels:
    """(n, y, x) of slices that are tiles; each mosaic is read once for a region."""
    dtype = output_dtype(slices)
    rows, columns = tiles[0].shape

    def read_region(region: Region) -> NDArray[np.generic]:
        wanted = range(region[0].start, region[0].stop)
        by_mosaic: dict[int, list[int]] = {}
        for k in wanted:
            by_mosaic.setdefault(id(tiles[k].whole), []).append(k)
        out = np.empty((len(wanted), rows, columns), dtype)
        for members in by_mosaic.values():
            (mosaic,) = read_slices([slices[members[0]]], dtype)
            for k in members:
                row, column = tiles[k].row, tiles[k].column
                out[k - region[0].start] = mosaic[row : row + rows, column : column + columns]
        return np.asarray(out[(slice(None), *region[1:])])

    return LazyPixels((len(slices), rows, columns), dtype, read_region)


def _folded(flat: LazyPixels, lead: tuple[int, ...]) -> LazyPixels:
    """(t, z, …) of (t · z, …), t slowest."""
    depth = lead[1]

    def read_region(region: Region) -> NDArray[np.generic]:
        t, z = region[0], region[1]
        if (z.start, z.stop) == (0, depth):
            runs = [flat.read((slice(t.start * depth, t.stop * depth), *region[2:]))]
        else:
            starts = [k * depth for k in range(t.start, t.stop)]
            runs = [flat.read((slice(s + z.start, s + z.stop), *region[2:])) for s in starts]
        whole = runs[0] if len(runs) == 1 else np.concatenate(runs)
        return whole.reshape(t.stop - t.start, z.stop - z.start, *whole.shape[1:])

    assert math.prod(lead) == flat.shape[0]
    return LazyPixels((*lead, *flat.shape[1:]), flat.dtype, read_region)
