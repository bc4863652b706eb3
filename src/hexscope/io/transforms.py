"""Transforms on disk, always as ITK resamples: fixed LPS to moving LPS, the inverse of our ``Transform.matrix``.

So ``SimpleITK.Resample(moving, fixed, SimpleITK.ReadTransform(path))`` gives the picture that ``resample`` gives.
A ``.tfm`` file is text; a line that begins with ``# hexscope`` keeps what ITK has no word for, and ITK skips it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hexscope.core.geometry import Array
from hexscope.core.transform import Certificate, Transform
from hexscope.errors import FormatError, UsageError
from hexscope.io.files import atomic_write, suffix_of

_TEXT = (".tfm", ".txt")
_HDF5 = (".h5", ".hdf5")
_MARK = "# hexscope "
_RIGID_TOLERANCE = 1e-6


def save_transform(transform: Transform, path: Path) -> None:
    """Write .tfm (text, with certificate, frames and steps) or .h5 (the matrix alone), fixed to moving.

    Raises UsageError for another suffix.
    """
    suffix = suffix_of(path)
    if suffix in _TEXT:
        text = _as_text(transform)
        atomic_write(path, lambda beside: beside.write_text(text, encoding="ascii"))
    elif suffix in _HDF5:
        atomic_write(path, lambda beside: _write_hdf5(transform, beside))
    else:
        raise UsageError(f"a transform is written as .tfm or .h5; got {path.name}")


def read_transform(path: Path) -> Transform:
    """Read .tfm or .h5, ours or any linear 3-D transform of ITK's, also several composed.

    Raises FormatError for broken files, UsageError for transforms that are not linear (fields, B-splines).
    """
    if not path.is_file():
        raise UsageError(f"{path} is no file; name a .tfm or .h5")
    matrix = _fixed_to_moving(path)
    told = _told(path)
    to_fixed = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    certificate = told.get("certificate")
    return Transform(
        to_fixed,
        str(told.get("kind") or _kind(to_fixed)),
        told.get("fixed_frame"),
        told.get("moving_frame"),
        None if certificate is None else Certificate.from_json(certificate),
        tuple(told.get("steps", ())),
    )


def _as_text(transform: Transform) -> str:
    matrix = transform.inverse.matrix
    numbers = " ".join(repr(float(v)) for v in [*matrix[:3, :3].ravel(), *matrix[:3, 3]])
    told = {
        "kind": transform.kind,
        "fixed_frame": transform.fixed_frame,
        "moving_frame": transform.moving_frame,
        "certificate": None if transform.certificate is None else transform.certificate.as_json(),
        "steps": list(transform.steps),
    }
    return (
        "#Insight Transform File V1.0\n"
        f"{_MARK}{json.dumps(told)}\n"
        "#Transform 0\n"
        "Transform: AffineTransform_double_3_3\n"
        f"Parameters: {numbers}\n"
        "FixedParameters: 0 0 0\n"
    )


def _write_hdf5(transform: Transform, path: Path) -> None:
    import SimpleITK as sitk

    matrix = transform.inverse.matrix
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(matrix[:3, :3].ravel().tolist())
    affine.SetTranslation(matrix[:3, 3].tolist())
    sitk.WriteTransform(affine, str(path))


def _told(path: Path) -> dict[str, Any]:
    """What the line of ours says; empty in others' files."""
    with path.open("rb") as stream:
        lines = stream.read(1 << 20).splitlines()[:8]
    for line in lines:
        if line.startswith(_MARK.encode()):
            try:
                found = json.loads(line[len(_MARK) :])
            except ValueError as error:
                raise FormatError(f"{path.name}: the line '{_MARK.strip()}' is broken; remove it or mend it") from error
            return found if isinstance(found, dict) else {}
    return {}


def _fixed_to_moving(path: Path) -> Array:
    import SimpleITK as sitk

    try:
        found = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise FormatError(f"{path.name} is no transform that ITK reads ({reason})", code="file.unreadable") from error
    if found.GetDimension() != 3:
        raise UsageError(f"{path.name} is a transform of {found.GetDimension()} dimensions; 3 are needed")
    if not found.IsLinear():
        raise UsageError(f"{path.name} holds a {found.GetName()}; only linear transforms are read")
    origin = np.array(found.TransformPoint((0.0, 0.0, 0.0)))
    steps = [np.array(found.TransformPoint(axis)) - origin for axis in np.eye(3).tolist()]
    matrix = np.eye(4)
    matrix[:3] = np.stack([*steps, origin], axis=1)
    return matrix


def _kind(matrix: Array) -> str:
    if np.allclose(matrix, np.eye(4), atol=1e-12):
        return "identity"
    linear = matrix[:3, :3]
    is_rotation = np.allclose(linear @ linear.T, np.eye(3), atol=_RIGID_TOLERANCE) and np.linalg.det(linear) > 0
    return "rigid" if is_rotation else "affine"
