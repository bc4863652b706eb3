"""ITK's transform files: text (.tfm, .txt) and HDF5 (.h5). The last transform of a composite is applied first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array, Grid, reverse_axes
from hexscope.core.warp import Affine, Part, Warp
from hexscope.errors import FormatError, UsageError
from hexscope.io.files import atomic_write
from hexscope.io.hdf5 import forget_times
from hexscope.io.transforms_field import fitted

_MARK = "# hexscope "


def write_text(parts: Sequence[Part], told: dict[str, Any], path: Path) -> None:
    """Write parts (fixed to moving) as a text file; ``told`` goes into a comment."""
    ready = [fitted(part) for part in parts] or [Affine(np.eye(4))]

    def write(beside: Path) -> None:
        with beside.open("w", encoding="ascii", newline="\n") as stream:
            stream.write(f"#Insight Transform File V1.0\n{_MARK}{json.dumps(told)}\n#Transform 0\n")
            if len(ready) > 1:
                stream.write("Transform: CompositeTransform_double_3_3\n")
            for number, part in enumerate(reversed(ready), start=1):
                if len(ready) > 1:
                    stream.write(f"#Transform {number}\n")
                name, numbers, fixed = _described(part)
                stream.write(f"Transform: {name}_double_3_3\nParameters: ")
                digits = "%.9g " if numbers.dtype == np.float32 else "%.17g "  # as many as bring the number back
                for some in np.array_split(numbers, max(1, numbers.size >> 16)):
                    stream.write(digits * some.size % tuple(some.tolist()))
                stream.write(f"\nFixedParameters: {' '.join(repr(float(v)) for v in fixed)}\n")

    atomic_write(path, write)


def _described(part: Affine | Warp) -> tuple[str, NDArray[Any], Sequence[float]]:
    """ITK's name, parameters and fixed parameters of a part."""
    if isinstance(part, Affine):
        return "AffineTransform", np.concatenate([part.matrix[:3, :3].ravel(), part.matrix[:3, 3]]), [0.0] * 3
    size, origin, spacing, direction = _itk_place(part.grid)
    return "DisplacementFieldTransform", part.displacement_mm.ravel(), [*size, *origin, *spacing, *direction]


def write_hdf5(parts: Sequence[Part], path: Path) -> None:
    """Write parts (fixed to moving) as HDF5, without the time of writing: the same transform gives the same bytes."""
    import SimpleITK as sitk

    ready = [_as_itk(fitted(part)) for part in parts] or [_as_itk(Affine(np.eye(4)))]
    whole = ready[0] if len(ready) == 1 else sitk.CompositeTransform(ready[::-1])

    def write(beside: Path) -> None:
        sitk.WriteTransform(whole, str(beside))
        forget_times(beside)

    atomic_write(path, write)


def _as_itk(part: Affine | Warp) -> Any:
    import SimpleITK as sitk

    if isinstance(part, Affine):
        affine = sitk.AffineTransform(3)
        affine.SetMatrix(part.matrix[:3, :3].ravel().tolist())
        affine.SetTranslation(part.matrix[:3, 3].tolist())
        return affine
    field = sitk.GetImageFromArray(part.displacement_mm.astype(np.float64), isVector=True)
    _, origin, spacing, direction = _itk_place(part.grid)
    field.SetOrigin(origin)
    field.SetSpacing(spacing)
    field.SetDirection(direction)
    return sitk.DisplacementFieldTransform(field)


def _itk_place(grid: Grid) -> tuple[list[int], list[float], list[float], list[float]]:
    """Size, origin, spacing and direction (rows of the matrix), in ITK's order x, y, z."""
    affine = reverse_axes(grid.require_affine("a displacement field"))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / spacing
    return list(grid.shape[::-1]), affine[:3, 3].tolist(), spacing.tolist(), direction.ravel().tolist()


# ---- reading ------------------------------------------------------------------------------------------------


def read_itk(path: Path) -> tuple[list[Part], dict[str, Any]]:
    """Parts from fixed to moving, and what our comment says. Raises FormatError, and UsageError for B-splines."""
    import SimpleITK as sitk

    told = _told(path)
    try:
        found = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise FormatError(f"{path.name} is no transform that ITK reads ({reason})", code="file.unreadable") from error
    if found.GetDimension() != 3:
        raise UsageError(f"{path.name} is a transform of {found.GetDimension()} dimensions; 3 are needed")
    return list(_parts(found, path.name)), told


def _parts(found: Any, name: str) -> list[Part]:
    import SimpleITK as sitk

    if found.GetName() == "CompositeTransform":
        several = sitk.CompositeTransform(found)
        numbers = reversed(range(several.GetNumberOfTransforms()))
        return [part for number in numbers for part in _parts(several.GetNthTransform(number), name)]
    if found.GetName() == "DisplacementFieldTransform":
        return [_warp(sitk.DisplacementFieldTransform(found).GetDisplacementField())]
    if not found.IsLinear():
        raise UsageError(
            f"{name} holds a {found.GetName()}; linear transforms and displacement fields are read. "
            "ITK makes a field of it: TransformToDisplacementField"
        )
    origin = np.array(found.TransformPoint((0.0, 0.0, 0.0)))
    steps = [np.array(found.TransformPoint(axis)) - origin for axis in np.eye(3).tolist()]
    return [Affine(_checked(np.stack([*steps, origin], axis=1), name))]


def _checked(matrix: Array, name: str) -> Array:
    if not np.all(np.isfinite(matrix)) or abs(np.linalg.det(matrix[:, :3])) < 1e-9:
        raise FormatError(f"{name} holds a transform that is singular or not finite", code="file.unreadable")
    return matrix


def _warp(field: Any) -> Warp:
    import SimpleITK as sitk

    values = sitk.GetArrayFromImage(field)
    affine = np.eye(4)
    affine[:3, :3] = np.array(field.GetDirection()).reshape(3, 3) * np.array(field.GetSpacing())
    affine[:3, 3] = field.GetOrigin()
    return Warp(Grid(values.shape[:3], reverse_axes(affine)), values)


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
