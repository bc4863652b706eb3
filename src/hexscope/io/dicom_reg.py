"""DICOM registrations in: Spatial Registration (PS3.3 C.20.2) and Deformable Spatial Registration (C.20.3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from hexscope.core.geometry import Array, Grid
from hexscope.core.transform import Transform
from hexscope.core.warp import Affine, Part, Warp, from_index
from hexscope.errors import FormatError, UsageError
from hexscope.io.dicom_header import quiet
from hexscope.io.dicom_write_reg import DEFORMABLE, PRIVATE_CREATOR, PRIVATE_GROUP, SPATIAL


def read_registration(path: Path) -> tuple[list[Part], dict[str, Any]]:
    """Parts from the registered (fixed) frame to the source (moving) frame, and what else the object says.

    Raises FormatError for a broken object, UsageError where the file is no registration, or joins more than two
    frames and so does not say which is meant.
    """
    with quiet():
        try:
            dataset = dcmread(path)
        except Exception as error:  # pydicom raises many kinds on what is no DICOM
            raise FormatError(f"{path.name} is no transform that can be read ({error})") from error
        sop_class = str(dataset.get("SOPClassUID", ""))
        if sop_class not in (SPATIAL, DEFORMABLE):
            raise UsageError(f"{path.name} is a DICOM object of class {sop_class or 'unknown'}, not a registration")
        try:
            parts, moving = (_linear if sop_class == SPATIAL else _deformable)(dataset, path.name)
            told = {"fixed_frame": str(dataset.FrameOfReferenceUID), "moving_frame": moving}
            return parts, {**_private(dataset), **told}
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{path.name}: the registration is broken ({error})", code="file.unreadable") from error


def _private(dataset: Dataset) -> dict[str, Any]:
    """What we keep beside the numbers; empty in others' files."""
    try:
        found = json.loads(dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR)[0x01].value)
    except KeyError:
        return {}
    return dict(found)


def _linear(dataset: Dataset, name: str) -> tuple[list[Part], str]:
    """The one item that is not the fixed image's own. Where both images share a frame, the fixed comes first."""
    items = list(dataset.RegistrationSequence)
    fixed = dataset.FrameOfReferenceUID
    moving = [item for item in items if item.get("FrameOfReferenceUID") not in (fixed, None)]
    if not moving and len(items) > 1:
        moving = [item for item in items if not np.array_equal(_chain(item), np.eye(4))] or items[-1:]
    if len(moving) != 1 and len(items) > 1:
        raise UsageError(f"{name} brings {len(moving)} images into the frame of another; one is wanted")
    item = (moving or items)[0]
    to_fixed = Transform(_chain(item)).matrix
    return [Affine(to_fixed).inverse], str(item.get("FrameOfReferenceUID", fixed))


def _chain(item: Dataset) -> Array:
    """Several matrices of one item are applied first to last (C.20.2.1.1)."""
    matrix = np.eye(4)
    for entry in item.MatrixRegistrationSequence[0].MatrixSequence:
        matrix = _matrix(entry) @ matrix
    return matrix


def _matrix(entry: Dataset) -> Array:
    return np.array(entry.FrameOfReferenceTransformationMatrix, dtype=np.float64).reshape(4, 4)


def _deformable(dataset: Dataset, name: str) -> tuple[list[Part], str]:
    """x → after (before x + u(x)): the matrix before goes into the field, exactly so within the grid."""
    items = [i for i in dataset.DeformableRegistrationSequence if i.get("DeformableRegistrationGridSequence")]
    if len(items) != 1:
        raise UsageError(f"{name} holds {len(items)} deformations; one is wanted")
    (item,) = items
    before, after = (_single(item, f"{word}DeformationMatrixRegistrationSequence") for word in ("Pre", "Post"))
    grid, field = _grid(item.DeformableRegistrationGridSequence[0])
    if not np.allclose(before, np.eye(4)):
        field = field + _carried(before, grid)
    parts: list[Part] = [Warp(grid, field)]
    if not np.allclose(after, np.eye(4), atol=1e-12):
        parts.append(Affine(Transform(after).matrix))
    return parts, str(item.SourceFrameOfReferenceUID)


def _single(item: Dataset, keyword: str) -> Array:
    found = item.get(keyword)
    return _matrix(found[0]) if found else np.eye(4)


def _grid(item: Dataset) -> tuple[Grid, NDArray[np.float32]]:
    """Vectors that are not a number stand where the sender knows nothing: no displacement is taken there."""
    columns, rows, planes = (int(n) for n in item.GridDimensions)
    spacing = np.array(item.GridResolution, dtype=np.float64)
    cosines = np.array(item.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    axes = np.stack([np.cross(*cosines), cosines[1], cosines[0]], axis=1)
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing[::-1]
    affine[:3, 3] = np.array(item.ImagePositionPatient, dtype=np.float64)
    field = np.frombuffer(item.VectorGridData, "<f4").reshape(planes, rows, columns, 3).astype(np.float32)
    return Grid((planes, rows, columns), affine), np.where(np.isfinite(field), field, np.float32(0))


def _carried(before: Array, grid: Grid) -> NDArray[np.float32]:
    """before x − x at the pixels of the grid."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    step = (before - np.eye(4)) @ np.vstack([from_index(grid), [0, 0, 0, 1]])
    return np.asarray(index @ step[:3, :3].T + step[:3, 3], dtype=np.float32)
