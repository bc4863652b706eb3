"""Transforms on disk, always as ITK resamples: fixed LPS to moving LPS, the inverse of our ``Transform.points``.

So ``SimpleITK.Resample(moving, fixed, SimpleITK.ReadTransform(path))`` gives the picture that ``resample`` gives.
What a file says beside the numbers is ours: kind, frames of reference, certificate, steps. A ``.tfm`` keeps it in a
line that ITK skips, a NIfTI field in a header extension, DICOM in its own attributes and a private one, ``.h5`` not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hexscope.core.geometry import Array
from hexscope.core.image import Image
from hexscope.core.transform import KINDS, Certificate, Transform
from hexscope.core.warp import Affine, Part, Unwarp, merged
from hexscope.errors import FormatError, UsageError
from hexscope.io.files import suffix_of

TEXT = (".tfm", ".txt")
HDF5 = (".h5", ".hdf5")
FIELD = (".nii", ".nii.gz")
DICOM = (".dcm",)
_KNOWN = ".tfm, .h5, .nii.gz (a field) or .dcm (a DICOM registration)"
_RIGID_TOLERANCE = 1e-6


def save_transform(transform: Transform, path: Path, *, source: tuple[Image, Image] | None = None) -> None:
    """Write .tfm (text), .h5 (numbers alone), .nii.gz (a displacement field) or .dcm, fixed to moving.

    source  the DICOM images (fixed, moving) that a .dcm refers to

    Where a warp has to be undone on the way from fixed to moving, or lies on a sheared grid, it is sampled on a grid
    that the format can say. Raises UsageError for another suffix, for a linear transform as a field (it has no grid),
    and for a .dcm without source.
    """
    suffix, parts = suffix_of(path), transform.inverse.parts
    told = _told_of(transform, any(isinstance(part, Unwarp) for part in parts))
    if suffix in (*TEXT, *HDF5):
        from hexscope.io.transforms_itk import write_hdf5, write_text

        write_text(parts, told, path) if suffix in TEXT else write_hdf5(parts, path)
    elif suffix in FIELD:
        from hexscope.io.transforms_field import write_field

        write_field(parts, told, path)
    elif suffix in DICOM:
        from hexscope.io.dicom_write_reg import save_registration

        if source is None:
            raise UsageError(
                "a DICOM registration refers to the DICOM images it joins; pass source=(fixed, moving), or write .tfm"
            )
        save_registration(transform, told, path, *source)
    else:
        raise UsageError(f"a transform is written as {_KNOWN}; got {path.name}")


def read_transform(path: Path) -> Transform:
    """Read .tfm or .h5, ours or ITK's (linear ones and fields, also several composed), a field in NIfTI, a DICOM
    Spatial Registration or Deformable Spatial Registration.

    Raises FormatError for broken files, UsageError for what is no such thing (B-splines among them).
    """
    if not path.is_file():
        raise UsageError(f"{path} is no file; name {_KNOWN}")
    parts, told = _read(path)
    chain = merged([part.inverse for part in reversed(parts)])
    try:
        return _with_told(chain, told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"{path.name}: what Hexscope wrote beside the numbers is broken; remove it") from error


def _read(path: Path) -> tuple[Sequence[Part], dict[str, Any]]:
    """Parts from fixed to moving, and what the file says beside them."""
    suffix = suffix_of(path)
    if suffix in FIELD:
        from hexscope.io.transforms_field import read_field

        return read_field(path)
    if suffix in (*TEXT, *HDF5):
        from hexscope.io.transforms_itk import read_itk

        return read_itk(path)
    from hexscope.io.dicom_reg import read_registration

    return read_registration(path)


def _told_of(transform: Transform, is_sampled: bool) -> dict[str, Any]:
    certificate = transform.certificate
    told = ("an undone warp sampled on its own grid to be written",) if is_sampled else ()
    return {
        "kind": transform.kind,
        "fixed_frame": transform.fixed_frame,
        "moving_frame": transform.moving_frame,
        "certificate": None if certificate is None else certificate.as_json(),
        "steps": [*transform.steps, *told],
    }


def _with_told(parts: tuple[Part, ...], told: dict[str, Any]) -> Transform:
    kind = told.get("kind")
    certificate = told.get("certificate")
    return Transform(
        None,
        kind if kind in KINDS else _kind(parts),
        told.get("fixed_frame"),
        told.get("moving_frame"),
        None if certificate is None else Certificate.from_json(certificate),
        tuple(told.get("steps", ())),
        parts=parts,
    )


def _kind(parts: tuple[Part, ...]) -> str:
    if not all(isinstance(part, Affine) for part in parts):
        return "deformable"
    matrix: Array = parts[0].matrix if parts and isinstance(parts[0], Affine) else np.eye(4)
    if np.allclose(matrix, np.eye(4), atol=1e-12):
        return "identity"
    linear = matrix[:3, :3]
    size = np.cbrt(np.linalg.det(linear))
    if size <= 0 or not np.allclose(linear @ linear.T, size**2 * np.eye(3), atol=_RIGID_TOLERANCE):
        return "affine"
    return "rigid" if abs(size - 1.0) < _RIGID_TOLERANCE else "similarity"
