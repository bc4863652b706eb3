"""Displacement fields in NIfTI, as ITK and ANTs write them: five axes (x, y, z, 1, 3), intent 1007 (vector).

Vectors are x, y, z of LPS mm, fixed to moving, as they stand: readers of ITK turn only those of intent 1006
(displacement vectors) from RAS, and so do we.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hexscope.core.geometry import Grid, flip_lps_ras, reverse_axes
from hexscope.core.resample import straight
from hexscope.core.warp import Affine, Part, Unwarp, Warp, sampled
from hexscope.errors import FormatError, UsageError
from hexscope.io.nifti import NiftiFile
from hexscope.io.nifti_header import VECTOR, NiftiHeader
from hexscope.io.nifti_write import COMMENT, write_file

_KEY = "hexscope_transform"
_DISPLACEMENT_RAS = 1006


def fitted(part: Part) -> Affine | Warp:
    """The part as files can say it: a warp on a volume at right angles. What is undone, or sheared, is sampled."""
    if isinstance(part, Affine):
        return part
    grid = part.warp.grid if isinstance(part, Unwarp) else part.grid
    volume = straight(_volume(grid))
    if isinstance(part, Unwarp) or volume.shape != _volume(grid).shape or grid.is_sheared:
        return sampled([part], volume)
    return Warp(volume, part.displacement_mm.reshape(*volume.shape, 3))


def whole_field(parts: Sequence[Part]) -> Warp:
    """All parts as one field on the grid of the first warp. Raises UsageError where there is none."""
    warps = [part for part in parts if not isinstance(part, Affine)]
    if not warps:
        raise UsageError("a linear transform has no grid to make a field on; write it as .tfm, .h5 or .dcm")
    if len(parts) == 1:
        found = fitted(parts[0])
        assert isinstance(found, Warp)
        return found
    first = warps[0].warp if isinstance(warps[0], Unwarp) else warps[0]
    return sampled(parts, straight(_volume(first.grid)))


def _volume(grid: Grid) -> Grid:
    """A plane as a volume of one slice, as thick as its pixels are wide."""
    if grid.ndim == 3:
        return grid
    affine = grid.require_affine("a displacement field")
    normal = np.cross(affine[:3, 1], affine[:3, 0])
    normal *= np.linalg.norm(affine[:3, 1]) / np.linalg.norm(normal)
    return Grid((1, *grid.shape), np.column_stack([np.append(normal, 0.0), affine]), plane=grid.plane)


def write_field(parts: Sequence[Part], told: dict[str, Any], path: Path) -> None:
    """Write parts (fixed to moving) as one field; ``told`` goes into a header extension."""
    warp = whole_field(parts)
    affine = reverse_axes(flip_lps_ras(warp.grid.require_affine("a displacement field")))
    array = warp.displacement_mm.transpose(2, 1, 0, 3)[:, :, :, None]
    header = NiftiHeader.of(array)
    header.place(affine)
    header.set_units("mm")
    header.extensions.append((COMMENT, json.dumps({_KEY: told}).encode()))
    write_file(header, array, path)


def read_field(path: Path) -> tuple[list[Part], dict[str, Any]]:
    """A field from fixed to moving, and what we wrote beside it. Raises FormatError for what is no field."""
    file = NiftiFile(path)
    intent = int(file.header["intent_code"])
    if file.axes != ("z", "y", "x", "c") or file.shape[3:] != (1, 3) or intent not in (_DISPLACEMENT_RAS, VECTOR):
        raise FormatError(
            f"{path.name} is no displacement field: shape (x, y, z, 1, 3) and intent 1007 (vector, LPS mm) or 1006 "
            f"(RAS mm) are wanted; it has {file.shape} and intent {intent}",
            code="file.unreadable",
        )
    field = file.read((slice(None),) * 4).astype(np.float32)
    if intent == _DISPLACEMENT_RAS:
        field[..., :2] *= -1.0
    return [Warp(Grid(file.grid.shape, file.grid.affine), field)], _told(file.header)


def _told(header: NiftiHeader) -> dict[str, Any]:
    for _, content in header.extensions:
        try:
            found = json.loads(content)
        except ValueError:
            continue
        if isinstance(found, dict) and isinstance(found.get(_KEY), dict):
            return dict(found[_KEY])
    return {}
