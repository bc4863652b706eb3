"""Siemens mosaics: the slices of one volume as tiles of one large picture, and where each tile lies.

Tiles run along rows from the upper left in a square of tiles; the last may be empty. ImagePositionPatient is that of a
picture as large as the mosaic with the centre of the first slice, so half the difference in size leads back. The header
proper does not say on which side of the first slice the second lies: SliceNormalVector of the CSA header does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from hexscope.core.geometry import Array
from hexscope.errors import FormatError
from hexscope.io.dicom_csa import csa_of
from hexscope.io.dicom_header import Header
from hexscope.io.dicom_stored import Stored

#: SliceNormalVector must lie this close to the normal of rows and columns, as a cosine.
_ALONG = 0.99


@dataclass(frozen=True, eq=False)
class Tile:
    """One slice of a mosaic.

    whole         how the mosaic is stored
    row, column   of the tile's first pixel in the mosaic
    shape         (rows, columns) of the tile
    position      LPS mm of the centre of that pixel, (3,)
    """

    whole: Stored
    row: int
    column: int
    shape: tuple[int, int]
    position: Array


def is_mosaic(header: Header) -> bool:
    """Image Type says MOSAIC (a value of the maker's own)."""
    return "MOSAIC" in str(header.get("ImageType") or "").upper()


def _tile_shape(stored: Stored, count: int) -> tuple[int, int]:
    """(rows, columns) of a tile where ``count`` of them lie in a square; (0, 0) where that does not come out even."""
    side = math.isqrt(max(count - 1, 0)) + 1
    if count < 1 or stored.rows % side or stored.columns % side:
        return 0, 0
    return stored.rows // side, stored.columns // side


def tiles_of(header: Header, stored: Stored, position: Array, orientation: Array, spacing: Array) -> tuple[Tile, ...]:
    """The slices of a mosaic in the maker's order. FormatError names what is missing to place them."""
    csa = csa_of(header.dataset)
    if csa is None:
        _refuse(header, "its CSA Image Header Info (0029,1010) is absent or broken, which alone says the slice order")
    count = _numbers(csa.get("NumberOfImagesInMosaic", ()), 1)
    normal = _numbers(csa.get("SliceNormalVector", ()), 3)
    first = _numbers(csa.get("ProtocolSliceNumber", ())[:1], 1)
    if count is None or normal is None:
        _refuse(header, "its CSA header lacks NumberOfImagesInMosaic or SliceNormalVector")
    if first is not None and first[0] > 1:
        _refuse(header, f"its CSA ProtocolSliceNumber begins at {first[0]:g}: the order of the tiles is not known")
    rows, columns = _tile_shape(stored, int(count[0]))
    if not rows:
        _refuse(header, f"{int(count[0])} tiles do not fit {stored.rows} × {stored.columns} pixels")
    right, down = orientation[:3], orientation[3:]
    along = np.cross(right, down)
    share = float(along @ normal)
    if abs(share) < _ALONG * float(np.linalg.norm(along) * np.linalg.norm(normal)) or share == 0.0:
        _refuse(header, f"its CSA SliceNormalVector {normal.tolist()} is not the normal of its rows and columns")
    step = np.sign(share) * along * _step(header)
    inward = down * spacing[0] * (stored.rows - rows) / 2 + right * spacing[1] * (stored.columns - columns) / 2
    side = stored.columns // columns
    return tuple(
        Tile(stored, k // side * rows, k % side * columns, (rows, columns), position + inward + step * k)
        for k in range(int(count[0]))
    )


def _step(header: Header) -> float:
    value = _numbers((str(header.get("SpacingBetweenSlices") or ""),), 1)
    if value is None or value[0] <= 0:
        _refuse(header, "SpacingBetweenSlices (0018,0088) is absent")
    return float(value[0])


def _numbers(values: tuple[str, ...], count: int) -> Array | None:
    try:
        out = np.array([float(v) for v in values[:count]])
    except ValueError:
        return None
    return out if out.shape == (count,) and bool(np.all(np.isfinite(out))) else None


def _refuse(header: Header, why: str) -> NoReturn:
    raise FormatError(
        f"{header.path.name} is a Siemens mosaic whose slices cannot be placed: {why}",
        code="geometry.mosaic_unplaced",
    )
