"""NIfTI out: forms in RAS, numbers of the same kind, and what they mean in a header extension."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array, Grid, flip_lps_ras, reverse_axes
from hexscope.core.image import Image, Mask
from hexscope.errors import UsageError
from hexscope.io.comment import comment_of, dump, parse
from hexscope.io.files import atomic_write, suffix_of
from hexscope.io.nifti_header import RGB, NiftiHeader

COMMENT = 6  # NIFTI_ECODE_COMMENT: plain text
#: Level of gzip: half the time of the usual one, a few per cent more bytes.
_QUICK = 1
#: Times between frames that differ by less than this part count as one.
_SAME_TIME = 1e-3


def read_comment(header: NiftiHeader) -> dict[str, Any]:
    """What Hexscope wrote into a NIfTI header; empty in others' files."""
    for code, content in header.extensions:
        if code == COMMENT and (found := parse(content)):
            return found
    return {}


def save_nifti(thing: Image | Mask, path: Path) -> None:
    """Write .nii or .nii.gz. Numbers keep their kind; position is kept in sform (and qform where no axis is sheared).

    Colour of three bytes is RGB24; other channels go along the fifth axis as a vector.

    What the numbers mean, label names, frame of reference and steps go into a header extension and are read back.
    Raises UsageError for another suffix.
    """
    if suffix_of(path) not in (".nii", ".nii.gz"):
        raise UsageError(f"NIfTI is written as .nii or .nii.gz; got {path.name}")
    array = _in_file_order(thing)
    header = NiftiHeader.of(array)
    _place(header, thing.grid)
    _time(header, thing)
    header.extensions.append((COMMENT, dump(comment_of(thing)).encode()))
    write_file(header, array, path)


def write_file(header: NiftiHeader, array: NDArray[Any], path: Path) -> None:
    """The header and the numbers (x, y, z, …) behind it, gzipped where the name says so. Same input, same bytes."""
    numbers = np.ascontiguousarray(array.T).reshape(-1).view(np.uint8).data

    def write(beside: Path) -> None:
        with beside.open("wb") as file:
            if suffix_of(path) != ".nii.gz":
                file.write(header.as_bytes())
                file.write(numbers)
                return
            with gzip.GzipFile("", "wb", _QUICK, file, mtime=0) as zipped:
                zipped.write(header.as_bytes())
                zipped.write(numbers)

    atomic_write(path, write)


def _ras(grid: Grid) -> Array | None:
    """4 × 4, index (x, y, z) to RAS mm; a plane gets its normal as third axis."""
    if grid.affine is None:
        return None
    affine = grid.affine
    if grid.ndim == 2:
        normal = np.cross(affine[:3, 1], affine[:3, 0])
        column = np.append(normal / np.linalg.norm(normal), 0.0)
        affine = np.concatenate([column[:, None], affine], axis=1)
    return reverse_axes(flip_lps_ras(affine))


def _place(header: NiftiHeader, grid: Grid) -> None:
    header.set_units("mm" if grid.spacing_mm is not None else "unknown")
    affine = _ras(grid)
    if affine is not None:
        header.place(affine, as_qform=not grid.is_sheared)
    elif grid.spacing_mm is not None:
        header["pixdim"][1 : 1 + grid.ndim] = grid.spacing_mm[::-1]


def _time(header: NiftiHeader, thing: Image | Mask) -> None:
    """The time between frames in seconds, where the image knows one for all of them; else no unit."""
    if isinstance(thing, Mask) or "t" not in thing.axes:
        return
    step, times = thing.facts.get("frame_time_ms"), thing.facts.get("frame_times_ms", ())
    gaps = np.diff(np.array(times, dtype=np.float64))
    if step is None and gaps.size and np.ptp(gaps) <= _SAME_TIME * gaps.mean():
        step = float(gaps.mean())
    if isinstance(step, float) and step > 0:
        header.set_units(header.length_unit, "sec")
        header["pixdim"][4] = step / 1000.0


def _in_file_order(thing: Image | Mask) -> NDArray[Any]:
    """The numbers as (x, y[, z[, t or layer]]), of a kind that NIfTI knows."""
    if isinstance(thing, Mask):
        array = thing.layers[0] if len(thing.layers) == 1 else np.stack(thing.layers)
        letters = "zyx"[-thing.grid.ndim :]
        axes = (*letters,) if len(thing.layers) == 1 else ("t", *letters)
    else:
        array, axes = thing.array, thing.axes
    if "c" in axes and array.shape[-1] == 3 and array.dtype == np.uint8:
        array = np.ascontiguousarray(array).view(RGB)[..., 0]
    elif "c" in axes:
        return _as_vectors(array, axes)
    if "t" in axes and "z" not in axes:
        array = array[:, None]
    return array.astype(_storable(array)).T


def _as_vectors(array: NDArray[Any], axes: tuple[str, ...]) -> NDArray[Any]:
    """(…, c) as (x, y, z, t, c), with sizes of one for the axes that are not there."""
    sizes = dict(zip(axes, array.shape, strict=True))
    full = np.moveaxis(array, -1, 0).reshape([sizes.get(a, 1) for a in "ctzyx"])
    return full.astype(_storable(array)).T


def _storable(array: NDArray[Any]) -> np.dtype[Any]:
    """int64 is written as int32 where it fits: several readers know no int64. Half precision becomes single."""
    if array.dtype == bool:
        return np.dtype(np.uint8)
    if array.dtype == np.float16:
        return np.dtype(np.float32)
    if array.dtype in (np.int64, np.uint64) and np.abs(array).max(initial=0) < 2**31:
        return np.dtype(np.int32)
    return array.dtype
