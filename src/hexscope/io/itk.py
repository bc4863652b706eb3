"""NRRD and MetaImage through SimpleITK, whose world is LPS like ours; only the axis order is turned round."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.faults import Fault
from hexscope.core.geometry import Array, Grid, reverse_axes
from hexscope.core.image import Image, Mask
from hexscope.core.pixels import ArrayPixels
from hexscope.core.quantity import Quantity
from hexscope.errors import FormatError, GeometryError, UsageError
from hexscope.io.comment import MARK, comment_of, dump, labels_of, parse
from hexscope.io.files import atomic_write, suffix_of
from hexscope.io.scanning import LARGEST_RATIO, made_finite, scan_each
from hexscope.io.series import Inventory, Series

_NRRD = b"NRRD000"
_HEADER_BYTES = 1 << 20
#: Spaces of NRRD that ITK turns into LPS; in others the patient's place is not known.
_PATIENT_SPACES = tuple(
    f"{name}{time}"
    for name in (
        "right-anterior-superior",
        "left-anterior-superior",
        "left-posterior-superior",
        "ras",
        "las",
        "lps",
    )
    for time in ("", "-time", "t")
)
_NUMBER = re.compile(r"^(vector of )?(\d+)-bit (signed integer|unsigned integer|float)$")


class ItkFormat:
    """NRRD (.nrrd, .nhdr with its data) and MetaImage (.mha, .mhd with its data)."""

    name = "ITK"

    def sniff(self, head: bytes, path: Path) -> bool:
        if path.suffix.lower() in (".raw", ".zraw", ".gz"):
            return any(
                path.with_name(path.name[: -len(path.suffix)]).with_suffix(s).exists() for s in (".mhd", ".nhdr")
            )
        return head.startswith(_NRRD) or (b"NDims" in head and head.lstrip()[:20].startswith((b"ObjectType", b"NDims")))

    def scan(self, paths: Sequence[Path], *, progress: Callable[[int], object] | None = None) -> Inventory:
        return scan_each(paths, _series, progress)


ITK = ItkFormat()


def save_itk(thing: Image | Mask, path: Path) -> None:
    """Write .nrrd or .mha, compressed; what the numbers mean, names, frame and steps stand in the header too.

    Raises UsageError for another suffix.
    """
    import SimpleITK as sitk

    if suffix_of(path) not in (".nrrd", ".mha"):
        raise UsageError(f"ITK files are written as .nrrd or .mha; got {path.name}")
    array, colour = _in_file_order(thing)
    image = sitk.GetImageFromArray(array, isVector=colour)
    _place(image, thing.grid)
    image.SetMetaData(MARK, dump(comment_of(thing)))
    atomic_write(path, lambda beside: sitk.WriteImage(image, str(beside), True))


def _in_file_order(thing: Image | Mask) -> tuple[NDArray[Any], bool]:
    if isinstance(thing, Mask):
        array, colour = (thing.layers[0] if len(thing.layers) == 1 else np.stack(thing.layers)), False
    else:
        array, colour = thing.array, "c" in thing.axes
    array = np.asarray(array.astype(np.uint8) if array.dtype == bool else array)
    array = array.astype(np.float32) if array.dtype == np.float16 else array
    flat = thing.grid.ndim == 2 and thing.grid.affine is not None
    return (array[..., None, :, :, :] if colour else array[..., None, :, :]) if flat else array, colour


def _place(image: Any, grid: Grid) -> None:
    """Origin, spacing and direction; what is unknown stays at ITK's zero and one, and the comment says so."""
    count = image.GetDimension()
    if grid.affine is None:
        if grid.spacing_mm is not None:
            image.SetSpacing((*grid.spacing_mm[::-1], *[1.0] * (count - grid.ndim)))
        return
    affine = grid.affine
    if grid.ndim == 2:
        normal = np.cross(affine[:3, 1], affine[:3, 0])
        affine = np.concatenate([np.append(normal / np.linalg.norm(normal), 0)[:, None], affine], axis=1)
    itk = reverse_axes(affine)
    spacing = np.linalg.norm(itk[:3, :3], axis=0)
    direction = np.eye(count)
    direction[:3, :3] = itk[:3, :3] / spacing
    image.SetSpacing((*spacing.tolist(), *[1.0] * (count - 3)))
    image.SetOrigin((*itk[:3, 3].tolist(), *[0.0] * (count - 3)))
    image.SetDirection(direction.ravel().tolist())


# ---- reading --------------------------------------------------------------------------------------------


def _series(path: Path) -> Series | None:
    if not ITK.sniff(path.read_bytes()[:4096] if path.stat().st_size < 4096 else _head(path, 4096), path):
        raise FormatError(f"{path.name} is neither NRRD nor MetaImage", code="file.unreadable")
    if path.suffix.lower() in (".raw", ".zraw", ".gz"):
        return None  # the data of a header beside it
    fields = _fields(path)
    reader = _reader(path)
    shape, dtype, axes, comment = _layout(reader, path)
    _check_size(path, fields, int(np.prod(shape, dtype=np.float64)) * dtype.itemsize)
    grid, faults = _grid(reader, fields, shape, axes, comment, path)
    is_mask = comment.get("kind") == "mask"
    quantity = Quantity(comment.get("quantity", Quantity.RGB if shape[-1:] == (3,) and "c" in axes else "arbitrary"))
    load = partial(_load_mask if is_mask else _load_image, path, shape, axes, grid, quantity, comment, faults)
    data = _data_path(path, fields)
    files = (str(path),) if data == path else (str(path), str(data))
    return Series(
        path.name, ITK.name, "mask" if is_mask else "image", comment.get("modality", "OT"), files, load,
        quantity=quantity, shape=shape, axes=axes, grid=grid, description=path.name, faults=faults,
    )  # fmt: skip


def _head(path: Path, count: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(count)


def _fields(path: Path) -> dict[str, str]:
    """The text header, keys in lower case."""
    text = _head(path, _HEADER_BYTES)
    end = re.search(rb"\n\r?\n" if text.startswith(_NRRD) else rb"ElementDataFile[^\n]*\n?", text)
    stop = len(text) if end is None else (end.start() if text.startswith(_NRRD) else end.end())
    lines = text[:stop].decode("latin-1").splitlines()
    separator = re.compile(r":=|:" if text.startswith(_NRRD) else r"=")
    pairs = (separator.split(line, maxsplit=1) for line in lines if not line.startswith("#"))
    return {p[0].strip().lower(): p[1].strip() for p in pairs if len(p) == 2}


def _reader(path: Path) -> Any:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("NrrdImageIO" if _head(path, 7) == _NRRD else "MetaImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise FormatError(f"{path.name} has no sound header ({reason})", code="file.unreadable") from error
    return reader


def _layout(reader: Any, path: Path) -> tuple[tuple[int, ...], np.dtype[Any], tuple[str, ...], dict[str, Any]]:
    """Shape in array order, kind of number, axes, and our comment."""
    import SimpleITK as sitk

    words = sitk.GetPixelIDValueAsString(reader.GetPixelIDValue())
    match = _NUMBER.match(words)
    size = tuple(int(n) for n in reader.GetSize())[::-1]
    if match is None or not 2 <= len(size) <= 4 or min(size) < 1:
        raise FormatError(f"{path.name}: {words} of shape {size} are not read", code="file.no_codec")
    kind = {"s": "i", "u": "u", "f": "f"}[match[3][0]]
    dtype = np.dtype(f"{kind}{int(match[2]) // 8}")
    comment = parse(reader.GetMetaData(MARK)) if reader.HasMetaDataKey(MARK) else {}
    layered = comment.get("layers", 1) > 1
    axes = tuple(comment.get("axes") or ("t", "z", "y", "x")[-len(size) :])
    spatial = [a for a in axes if a != "c"]
    if comment and not layered and len(size) == len(spatial) + 1:
        size = (*size[:-3], *size[-2:])  # a placed plane was written as a volume of one slice
    if layered and len(size) == len(spatial) + 2:
        size = (*size[:-3], *size[-2:])
    if match[1]:
        size = (*size, int(reader.GetNumberOfComponents()))
        axes = axes if "c" in axes else (*axes, "c")
    return size, dtype, axes, comment


def _data_path(path: Path, fields: Mapping[str, str]) -> Path:
    """Where the numbers lie; the header itself where they follow it, or where a list of files is named."""
    named = fields.get("elementdatafile") or fields.get("data file") or fields.get("datafile") or "LOCAL"
    if named.upper().startswith(("LOCAL", "LIST")) or "%" in named:
        return path
    return path.parent / named


def _check_size(path: Path, fields: Mapping[str, str], promised: int) -> None:
    data = _data_path(path, fields)
    if not data.exists():
        raise FormatError(f"{path.name} needs {data.name} beside it, which is missing", code="file.truncated")
    if data == path and any(fields.get(k, "").upper().startswith("LIST") for k in ("elementdatafile", "data file")):
        return
    packed = fields.get("compresseddata", "").lower() == "true" or fields.get("encoding", "raw").lower() != "raw"
    possible = data.stat().st_size * (LARGEST_RATIO if packed else 1)
    if promised > possible:
        raise FormatError(
            f"{path.name} promises {promised} bytes of pixels; {data.name} cannot hold more than {possible}",
            code="file.truncated",
        )


def _grid(
    reader: Any,
    fields: Mapping[str, str],
    shape: Sequence[int],
    axes: Sequence[str],
    comment: Mapping[str, Any],
    path: Path,
) -> tuple[Grid, tuple[Fault, ...]]:
    spatial = tuple(n for a, n in zip(axes, shape[-len(axes) :], strict=True) if a in "zyx")
    count = len(spatial)
    frame, plane = comment.get("frame_of_reference"), comment.get("plane", "patient")
    if comment:
        if not comment["placed"]:
            return Grid(spatial, spacing_mm=comment["spacing_mm"], plane=plane, frame_of_reference=frame), ()
        return Grid(spatial, _affine(reader)[:, -1 - count :], plane=plane, frame_of_reference=frame), ()
    units = fields.get("space units", "").replace('"', " ").split()
    if any(u.lower() not in ("mm", "millimeter", "millimeters", "s", "ms") for u in units):
        raise GeometryError(
            f"{path.name}: space units are {' '.join(units)}; only mm is read", code="geometry.bad_affine"
        )
    if count == 3 and _is_placed(fields):
        return Grid(spatial, _affine(reader)), ()
    faults = [Fault("geometry.no_position", f"{path.name}: its header names no patient space")]
    spacing: tuple[float, ...] | None = tuple(reader.GetSpacing()[:count])[::-1]
    if not any(k in fields for k in ("spacings", "space directions", "elementspacing", "elementsize")):
        spacing = None
        faults.append(Fault("geometry.no_spacing", f"{path.name}: its header gives no spacing"))
    return Grid(spatial, spacing_mm=spacing, plane="unknown"), tuple(faults)


def _is_placed(fields: Mapping[str, str]) -> bool:
    """Does the header say where the patient was? ITK would put zeros where it does not."""
    if "type" in fields:
        return fields.get("space", "").lower() in _PATIENT_SPACES and "space origin" in fields
    origin = ("offset", "position", "origin")
    direction = ("transformmatrix", "rotation", "orientation")
    return any(k in fields for k in origin) and any(k in fields for k in direction)


def _affine(reader: Any) -> Array:
    """(4, 4), index (z, y, x) to LPS mm, of the first three axes."""
    count = reader.GetDimension()
    direction = np.array(reader.GetDirection(), dtype=np.float64).reshape(count, count)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(reader.GetSpacing()[:3])
    affine[:3, 3] = reader.GetOrigin()[:3]
    return reverse_axes(affine)


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    import SimpleITK as sitk

    try:
        return np.asarray(sitk.GetArrayFromImage(_reader(path).Execute())).reshape(shape)
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise FormatError(
            f"{path.name} ends before its pixels do, or they are broken ({reason})", code="file.truncated"
        ) from error


def _load_image(
    path: Path, shape: tuple[int, ...], axes: tuple[str, ...], grid: Grid, quantity: Quantity,
    comment: Mapping[str, Any], faults: tuple[Fault, ...],
) -> Image:  # fmt: skip
    array, steps, more = made_finite(_read(path, shape), quantity, path.name)
    return Image(
        ArrayPixels(array), grid, comment.get("modality", "OT"), quantity, axes=axes,
        steps=(*comment.get("steps", ()), *steps), faults=(*faults, *more), files=(str(path),), name=path.name,
    )  # fmt: skip


def _load_mask(
    path: Path, shape: tuple[int, ...], axes: tuple[str, ...], grid: Grid, quantity: Quantity,
    comment: Mapping[str, Any], faults: tuple[Fault, ...],
) -> Mask:  # fmt: skip
    array = _read(path, shape)
    layers = tuple(array) if comment.get("layers", 1) > 1 else (array,)
    return Mask(
        layers,
        grid,
        labels_of(dict(comment)),
        steps=tuple(comment.get("steps", ())),
        files=(str(path),),
        name=path.name,
    )
