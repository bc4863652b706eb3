"""NIfTI-1 and -2, both ways. Files without an extension of ours are arbitrary numbers of no known modality."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.faults import Fault
from hexscope.core.geometry import Array, Grid, flip_lps_ras, reverse_axes
from hexscope.core.image import Image, Mask
from hexscope.core.pixels import ArrayPixels, LazyPixels, Region
from hexscope.core.quantity import Quantity
from hexscope.errors import FormatError, GeometryError
from hexscope.io.comment import labels_of
from hexscope.io.nifti_header import NiftiHeader
from hexscope.io.nifti_write import read_comment, save_nifti
from hexscope.io.scanning import LARGEST_RATIO, scan_each
from hexscope.io.series import Inventory, Series

__all__ = ["NIFTI", "NiftiFormat", "save_nifti"]

_MAGIC_1 = (b"n+1\0", b"ni1\0")
_MAGIC_2 = (b"n+2\0", b"ni2\0")
_TO_MM = {"mm": 1.0, "micron": 1e-3, "meter": 1e3}
_TO_MS = {"sec": 1e3, "msec": 1.0, "usec": 1e-3}
#: What a form places the image in, by its code.
_SPACES = {1: "scanner", 2: "aligned to another file", 3: "Talairach", 4: "MNI 152", 5: "another template"}
#: The most that extensions are read of, whatever they claim.
_LARGEST_HEADER = 1 << 20
#: What is taken from a gzipped file at a time: memory grows with what is there, not with what is promised.
_CHUNK = 1 << 24
#: sform and qform are the same where no corner differs by more than this part of the smallest spacing.
_SAME_FORM = 0.05
#: Files of floats up to this size are looked through for NaN when loaded; larger ones are mended as they are read.
_LOOK_THROUGH_BYTES = 1 << 30


class NiftiFormat:
    """NIfTI-1 and -2, single files or pairs, plain or gzipped."""

    name = "NIfTI"

    def sniff(self, head: bytes, path: Path) -> bool:
        if path.suffix.lower() == ".img" and path.with_suffix(".hdr").exists():
            return self.sniff(path.with_suffix(".hdr").read_bytes()[:4096], path.with_suffix(".hdr"))
        if head[:2] == b"\x1f\x8b":
            try:
                head = zlib.decompressobj(31).decompress(head, 4096)
            except zlib.error:
                return path.name.lower().endswith(".nii.gz")
        return head[344:348] in _MAGIC_1 or head[4:8] in _MAGIC_2

    def scan(self, paths: Sequence[Path], *, progress: Callable[[int], object] | None = None) -> Inventory:
        return scan_each(paths, _series, progress)


NIFTI = NiftiFormat()


@dataclass(frozen=True, eq=False)
class NiftiFile:
    """One file: its header, and its numbers in array order (…, z, y, x) before any is read."""

    path: Path

    def __post_init__(self) -> None:
        if self.bytes_promised > self.bytes_possible:
            raise FormatError(
                f"{self.path.name} promises {self.bytes_promised} bytes of pixels {self.shape} "
                f"and cannot hold more than {self.bytes_possible}",
                code="file.truncated",
            )

    @cached_property
    def header(self) -> NiftiHeader:
        try:
            with self._open(self.path) as stream:
                return NiftiHeader.read(stream, _LARGEST_HEADER)
        except (EOFError, OSError, zlib.error, ValueError) as error:
            raise FormatError(
                f"{self.path.name} has no sound NIfTI header ({type(error).__name__}: {error})",
                code="file.unreadable",
            ) from error

    @staticmethod
    def _open(path: Path) -> Any:
        with path.open("rb") as stream:
            zipped = stream.read(2) == b"\x1f\x8b"
        return gzip.open(path) if zipped else path.open("rb")

    @cached_property
    def data_path(self) -> Path:
        """Where the numbers lie: the file itself, or the .img of a pair."""
        if self.header.is_single:
            return self.path
        image = self.path.with_suffix(".img")
        if not image.exists():
            raise FormatError(f"{self.path.name} is a header without its {image.name}", code="file.truncated")
        return image

    @cached_property
    def is_zipped(self) -> bool:
        with self.data_path.open("rb") as stream:
            return stream.read(2) == b"\x1f\x8b"

    @cached_property
    def offset(self) -> int:
        offset = float(self.header["vox_offset"])
        return int(offset) if np.isfinite(offset) and offset >= 0 else 0

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        try:
            kind = self.header.kind
        except ValueError as error:
            raise FormatError(f"{self.path.name}: {error}", code="file.unreadable") from error
        if kind is None:
            code = int(self.header["datatype"])
            raise FormatError(f"{self.path.name}: numbers of datatype {code} are not read", code="file.no_codec")
        return kind

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """(x, y[, z[, t[, c]]]) as the header counts; trailing ones left out above the third."""
        count = int(self.header["dim"][0])
        shape = [int(n) for n in self.header["dim"][1 : 1 + count]] if 1 <= count <= 7 else []
        while len(shape) > 3 and shape[-1] == 1:
            shape.pop()
        if not 2 <= len(shape) <= 5 or min(shape) < 1:
            raise FormatError(
                f"{self.path.name}: dim is {self.header['dim'].tolist()}; 2 to 5 axes of at least 1 are read",
                code="file.unreadable",
            )
        return tuple(shape)

    @property
    def bytes_promised(self) -> int:
        return self.offset + self.dtype.itemsize * int(np.prod(self.shape, dtype=np.float64))

    @property
    def bytes_possible(self) -> int:
        size = self.data_path.stat().st_size
        return size * LARGEST_RATIO if self.is_zipped else size

    @cached_property
    def scaling(self) -> tuple[float, float] | None:
        """(slope, intercept); None where the numbers stand as they are."""
        slope, intercept = float(self.header["scl_slope"]), float(self.header["scl_inter"])
        if slope == 0 or not np.isfinite(slope) or not np.isfinite(intercept) or self.dtype.kind == "V":
            return None
        return None if (slope, intercept) == (1.0, 0.0) else (slope, intercept)

    @cached_property
    def comment(self) -> dict[str, Any]:
        """What Hexscope wrote into the header; empty in others' files."""
        return read_comment(self.header)

    # ---- geometry -----------------------------------------------------------------------------------

    @cached_property
    def faults_of_place(self) -> tuple[Fault, ...]:
        return self._place[1]

    @property
    def affine(self) -> Array | None:
        """Index (x, y, z) to RAS in mm, as the form in force says; None where neither form is."""
        return self._place[0]

    @cached_property
    def _place(self) -> tuple[Array | None, tuple[Fault, ...]]:
        name = self.path.name
        sform = self.header.sform
        faults = list(self._unit_faults)
        try:
            qform = self.header.qform
        except ValueError as error:
            if sform is None:
                raise GeometryError(f"{name}: qform is no rotation ({error})", code="geometry.bad_affine") from error
            faults.append(Fault("geometry.differing_forms", f"{name}: qform is no rotation ({error})"))
            qform = None
        if sform is None and qform is None:
            faults.append(Fault("geometry.no_position", f"{name}: sform_code and qform_code are both 0"))
            return None, tuple(faults)
        if sform is not None and qform is not None:
            apart = self._corner_distance(sform, qform)
            if not apart <= _SAME_FORM * np.linalg.norm(sform[:3, :3], axis=0).min():
                spaces = [_SPACES.get(int(self.header[k]), "unknown") for k in ("sform_code", "qform_code")]
                told = f"sform ({spaces[0]}) and qform ({spaces[1]}) differ by up to {apart:.2f} mm"
                faults.append(Fault("geometry.differing_forms", f"{name}: {told}"))
        affine = np.array(qform if sform is None else sform, dtype=np.float64)
        affine[:3] *= self._unit_mm
        return affine, tuple(faults)

    def _corner_distance(self, one: Array, other: Array) -> float:
        shape = (*self.shape, 1)[:3]
        corners = np.array([[x, y, z, 1] for x in (0, shape[0]) for y in (0, shape[1]) for z in (0, shape[2])])
        return float(np.abs((one - other) @ corners.T).max()) * self._unit_mm

    @cached_property
    def _unit_mm(self) -> float:
        return _TO_MM.get(self.header.length_unit, 1.0)

    @property
    def _unit_faults(self) -> list[Fault]:
        if self.header.length_unit in _TO_MM or self.comment:
            return []
        return [Fault("geometry.unknown_units", f"{self.path.name}: xyzt_units is {int(self.header['xyzt_units'])}")]

    @cached_property
    def axes(self) -> tuple[str, ...]:
        if told := self.comment.get("axes"):
            axes = tuple(told)
        elif len(self.shape) == 5:
            axes = ("t", "z", "y", "x", "c") if self.shape[3] > 1 else ("z", "y", "x", "c")
        else:
            axes = ("t", "z", "y", "x")[-len(self.shape) :]
        return (*axes, "c") if self.dtype.kind == "V" and "c" not in axes else axes

    @cached_property
    def array_shape(self) -> tuple[int, ...]:
        """Shape in ``axes`` order; for a mask of several layers, the layers first."""
        sizes = dict(zip("xyztc", (*self.shape, 1, 1, 1), strict=False))
        if self.dtype.kind == "V":
            sizes["c"] = 3
        layers = (sizes["t"],) if self.comment.get("layers", 1) > 1 else ()
        return (*layers, *(sizes[a] for a in self.axes))

    @property
    def facts(self) -> dict[str, Any]:
        """Which space the form in force places it in; of the axis t, its unit and the time between frames."""
        facts: dict[str, Any] = {}
        if self.affine is not None:
            code = int(self.header["sform_code"]) or int(self.header["qform_code"])
            facts["space"] = _SPACES.get(code, "unknown")
        if "t" not in self.axes:
            return facts
        unit = self.header.time_unit
        step = float(self.header["pixdim"][4]) * _TO_MS.get(unit, 0.0)
        facts["axis_t"] = unit
        return {**facts, "frame_time_ms": step} if np.isfinite(step) and step > 0 else facts

    @cached_property
    def grid(self) -> Grid:
        shape = tuple(n for a, n in zip(self.axes, self.array_shape[-len(self.axes) :], strict=True) if a in "zyx")
        frame, plane = self.comment.get("frame_of_reference"), self.comment.get("plane", "patient")
        if self.affine is None:
            spacing = self._spacing(len(shape))
            plane = self.comment.get("plane", "unknown")
            return Grid(shape, spacing_mm=spacing, plane=plane, frame_of_reference=frame)
        lps = reverse_axes(flip_lps_ras(self.affine))
        return Grid(shape, lps[:, -1 - len(shape) :], plane=plane, frame_of_reference=frame)

    def _spacing(self, count: int) -> tuple[float, ...] | None:
        if self.comment:
            given = self.comment.get("spacing_mm")
            return None if given is None else tuple(given)
        steps = np.abs(np.asarray(self.header["pixdim"][1 : 1 + count], dtype=np.float64)) * self._unit_mm
        if not np.all(np.isfinite(steps)) or np.any(steps == 0):
            raise GeometryError(
                f"{self.path.name}: pixdim is {steps.tolist()}; each must be above 0",
                code="geometry.zero_spacing",
            )
        return tuple(float(s) for s in steps[::-1])

    # ---- numbers ------------------------------------------------------------------------------------

    @property
    def out_dtype(self) -> np.dtype[Any]:
        """As stored; scaled numbers are float32, or float64 where 24 bits would not hold them."""
        if self.dtype.kind == "V":
            return np.dtype(np.uint8)
        native: np.dtype[Any] = self.dtype.newbyteorder("=")
        if self.scaling is None:
            return native if native.itemsize <= 8 else np.dtype(np.float64)
        return np.dtype(np.float32 if native.itemsize <= 2 or native == np.float32 else np.float64)

    @cached_property
    def _stored(self) -> NDArray[Any]:
        """The numbers as stored, in array order: mapped where the file is plain, else read."""
        count = int(np.prod(self.shape))
        if not self.is_zipped:
            flat: NDArray[Any] = np.memmap(self.data_path, self.dtype, "r", self.offset, (count,))
        else:
            try:
                with gzip.open(self.data_path) as stream:
                    stream.seek(self.offset)
                    flat = np.frombuffer(_taken(stream, count * self.dtype.itemsize), self.dtype)
            except (EOFError, OSError, zlib.error, ValueError) as error:
                raise FormatError(
                    f"{self.path.name} ends before its pixels do ({error})", code="file.truncated"
                ) from error
            if flat.size < count:
                raise FormatError(f"{self.path.name} ends before its pixels do", code="file.truncated")
        if self.dtype.kind == "V":
            return flat.view(np.uint8).reshape(self.array_shape)
        shape = self.array_shape
        if len(self.shape) == 5:
            return np.moveaxis(flat.reshape(shape[-1], *shape[:-1]), 0, -1)
        return flat.reshape(shape)

    def read(self, region: Region) -> NDArray[Any]:
        """Scaled numbers of a region; NaN and infinity become the value of nothing."""
        part = np.array(self._stored[region], dtype=self.out_dtype)
        if self.scaling is not None:
            part = (self._stored[region] * self.scaling[0] + self.scaling[1]).astype(self.out_dtype)
        if part.dtype.kind == "f":
            part[~np.isfinite(part)] = self.quantity.outside
        return part

    @property
    def quantity(self) -> Quantity:
        default = Quantity.RGB if self.dtype.kind == "V" else Quantity.ARBITRARY
        return Quantity(self.comment.get("quantity", default))

    def count_not_finite(self) -> int:
        return 0 if self.dtype.kind != "f" else int(np.size(self._stored) - np.isfinite(self._stored).sum())


def _taken(stream: Any, wanted: int) -> bytearray:
    data = bytearray()
    while len(data) < wanted and (piece := stream.read(min(_CHUNK, wanted - len(data)))):
        data += piece
    return data


def _series(path: Path) -> Series | None:
    if path.suffix.lower() == ".img":
        return None  # the data of the header beside it
    file = NiftiFile(path)
    is_mask = file.comment.get("kind") == "mask"
    files = (str(file.path),) if file.data_path == file.path else (str(file.path), str(file.data_path))
    return Series(
        id=file.path.name, format=NIFTI.name, kind="mask" if is_mask else "image",
        modality=file.comment.get("modality", "OT"), files=files,
        load=(lambda: _mask(file, files)) if is_mask else (lambda: _image(file, files)),
        quantity=file.quantity, shape=file.array_shape, axes=file.axes, grid=file.grid,
        description=file.path.name, faults=file.faults_of_place, facts=file.facts,
    )  # fmt: skip


def _image(file: NiftiFile, files: tuple[str, ...]) -> Image:
    steps, faults = tuple(file.comment.get("steps", ())), file.faults_of_place
    if file.dtype.kind == "f":
        if file.bytes_promised > _LOOK_THROUGH_BYTES:
            steps = (*steps, f"NaN and infinity are read as {file.quantity.outside:g}")
        elif count := file.count_not_finite():
            steps = (*steps, f"{count} voxels that were not finite set to {file.quantity.outside:g}")
            faults = (
                *faults,
                Fault("value.not_finite", f"{file.path.name}: {count} voxels are NaN or infinite"),
            )
    image = Image(
        LazyPixels(file.array_shape, file.out_dtype, file.read), file.grid, file.comment.get("modality", "OT"),
        file.quantity, axes=file.axes, steps=steps, faults=faults, files=files, name=file.path.name, facts=file.facts,
    )  # fmt: skip
    return replace(image, pixels=ArrayPixels(image.array)) if file.is_zipped else image


def _mask(file: NiftiFile, files: tuple[str, ...]) -> Mask:
    array = file.read(tuple(slice(None) for _ in file.array_shape))
    layers = tuple(array) if file.comment.get("layers", 1) > 1 else (array,)
    return Mask(
        layers,
        file.grid,
        labels_of(file.comment),
        steps=tuple(file.comment.get("steps", ())),
        files=files,
        name=file.path.name,
    )
