"""Plain pictures: PNG, JPEG, TIFF, BMP. Numbers and colours, hardly ever millimetres.

The resolution that such files carry is a printer's (72, 96, 300 dpi) and is left unread; only what ImageJ, OME or
Hexscope itself wrote with a unit of length counts.
"""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.faults import Fault
from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.pixels import ArrayPixels
from hexscope.core.quantity import Quantity
from hexscope.errors import FormatError
from hexscope.io.codestream import is_jpeg_ls, is_rare_jpeg, samples_claimed, size_claimed
from hexscope.io.comment import MARK, labels_of, parse
from hexscope.io.raster_write import save_picture
from hexscope.io.scanning import made_finite, scan_each
from hexscope.io.series import Inventory, Series
from hexscope.io.tiff import MAGIC as TIFF_MAGIC
from hexscope.io.tiff import check_complete, imagej_spacing_mm, opened

__all__ = ["RASTER", "RasterFormat", "save_picture"]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
#: A picture that would take more memory is refused before it is asked for.
LARGEST_BYTES = 1 << 30
#: What a pixel takes while Pillow decodes it: up to 4 bytes of its own, and 4 of ours.
_PILLOW_BYTES = 8

#: How Pillow's modes become grey or RGB, and what to say of it.
_MODES = {
    "1": ("L", "black and white widened to 0 and 255"),
    "L": ("L", ""),
    "I;16": ("I;16", ""),
    "I;16B": ("I;16", ""),
    "I": ("I", ""),
    "F": ("F", ""),
    "RGB": ("RGB", ""),
    "P": ("RGB", "palette turned into RGB"),
    "LA": ("L", "alpha channel left out"),
    "RGBA": ("RGB", "alpha channel left out"),
    "PA": ("RGB", "palette turned into RGB, alpha channel left out"),
    "CMYK": ("RGB", "CMYK turned into RGB without a colour profile"),
    "YCbCr": ("RGB", "YCbCr turned into RGB"),
}
_DTYPES = {"L": np.uint8, "I;16": np.uint16, "I": np.int32, "F": np.float32, "RGB": np.uint8}
_ORIENTATION = 0x0112


class RasterFormat:
    """PNG, JPEG, BMP, and every TIFF that is no slide."""

    name = "picture"

    def sniff(self, head: bytes, path: Path) -> bool:
        is_bitmap = head[:2] == b"BM" and head[14:18] in (
            b"\x28\0\0\0",
            b"\x0c\0\0\0",
            b"\x6c\0\0\0",
            b"\x7c\0\0\0",
        )
        return head.startswith((_PNG, _JPEG)) or head[:4] in TIFF_MAGIC or is_bitmap

    def scan(self, paths: Sequence[Path], *, progress: Callable[[int], object] | None = None) -> Inventory:
        return scan_each(paths, _series, progress)


RASTER = RasterFormat()


def _series(path: Path) -> Series:
    with path.open("rb") as stream:
        head = stream.read(8)
    if head[:4] in TIFF_MAGIC:
        check_complete(path)
        picture = _Tiff(path)
        if not picture.needs_pillow:
            return _described(path, picture)
        return _described(path, _Picture(path))
    _check_ending(path, head)
    is_rare = head.startswith(_JPEG) and is_rare_jpeg(path.read_bytes())
    return _described(path, _RareJpeg(path) if is_rare else _Picture(path))


class _Picture:
    """One picture through Pillow: header when made, pixels with ``read``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _pillow(path) as picture:
            if picture.mode not in _MODES:
                raise FormatError(f"{path.name}: pixels of kind {picture.mode} are not read", code="file.no_codec")
            self.mode, note = _MODES[picture.mode]
            width, height = picture.size
            self.comment = _comment(picture.info)
            turned = picture.getexif().get(_ORIENTATION, 1)
            transparent = "transparency" in picture.info
            frames = getattr(picture, "n_frames", 1)
        _check_bytes(path, width * height * _PILLOW_BYTES)
        self.dtype = np.dtype(_DTYPES[self.mode])
        colour = self.mode == "RGB"
        self.axes: tuple[str, ...] = ("y", "x", "c") if colour else ("y", "x")
        self.shape: tuple[int, ...] = (height, width, 3) if colour else (height, width)
        self.spacing_mm: tuple[float, ...] | None = None
        self.inverted = False
        self.steps = tuple(
            text
            for text in (
                note,
                "transparency left out" if transparent else "",
                "reduced from 16 to 8 bits a channel" if colour and _is_deep_png(path) else "",
                f"EXIF orientation {turned} not applied: pixels as stored" if turned not in (0, 1) else "",
                f"first of {frames} pictures in the file" if frames > 1 else "",
            )
            if text
        )

    def read(self) -> NDArray[Any]:
        with _pillow(self.path) as picture:
            try:
                if self.mode == "RGB" and "transparency" in picture.info:
                    picture = picture.convert("RGBA")
                converted = picture if picture.mode == self.mode else picture.convert(self.mode)
                return np.array(converted).astype(self.dtype, copy=False).reshape(self.shape)
            except (OSError, SyntaxError, ValueError, struct.error) as error:
                raise FormatError(
                    f"{self.path.name} ends before its pixels do, or they are broken ({error})",
                    code="file.truncated",
                ) from error


class _RareJpeg:
    """A JPEG that Pillow does not know: lossless, 12 bits, or JPEG-LS. Grey or RGB, its numbers as they are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        data = path.read_bytes()
        size, self._samples = size_claimed(data), samples_claimed(data)
        if size is None or self._samples not in (1, 3):
            raise FormatError(
                f"{path.name}: a JPEG of {self._samples} channels and size {size} is not read", code="file.no_codec"
            )
        _check_bytes(path, size[0] * size[1] * self._samples * _PILLOW_BYTES)
        self.axes: tuple[str, ...] = ("y", "x", "c") if self._samples == 3 else ("y", "x")
        self.shape: tuple[int, ...] = (*size, 3) if self._samples == 3 else size
        self.spacing_mm: tuple[float, ...] | None = None
        self.comment: dict[str, Any] = {}
        self.inverted = False
        self.steps: tuple[str, ...] = ()

    def read(self) -> NDArray[Any]:
        from imagecodecs import jpeg8_decode, jpegls_decode

        data = self.path.read_bytes()
        try:
            array = np.asarray(jpegls_decode(data) if is_jpeg_ls(data) else jpeg8_decode(data))
        except (RuntimeError, ValueError) as error:
            raise FormatError(
                f"{self.path.name} ends before its pixels do, or they are broken ({error})", code="file.truncated"
            ) from error
        return array.reshape(self.shape)


class _Tiff:
    """A TIFF through tifffile: any depth, several pages, ImageJ's and OME's units."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with opened(path) as file:
            series = file.series[0]
            page = series.keyframe
            photometric = int(page.photometric)
            self.needs_pillow = photometric in (3, 5, 6, 8) and len(file.pages) == 1
            letters = series.axes.replace("S", "C")
            self.shape, self.axes, self._take = _meaning(path, tuple(series.shape), letters)
            self.dtype = np.dtype(bool if series.dtype == bool else series.dtype).newbyteorder("=")
            self.dtype = np.dtype(np.uint8) if self.dtype == bool else self.dtype
            self.spacing_mm = imagej_spacing_mm(file, self.axes) or _ome_spacing_mm(file, self.axes)
            self.comment = parse(page.description or "")
            self.inverted = photometric == 0
            count = len(file.series)
            claimed = math.prod(series.shape) * series.dtype.itemsize
            if page.compression == 1 and claimed > path.stat().st_size * (8 if series.dtype == bool else 1):
                raise FormatError(
                    f"{path.name} claims {claimed} bytes of pixels it does not hold", code="file.truncated"
                )
        _check_bytes(path, claimed)
        told = letters[: len(self.shape) - 2].lower()
        self.steps = tuple(
            text
            for text in (
                "pages taken as time: the file does not say what they are"
                if "t" in self.axes and "t" not in told
                else "",
                f"first of {count} pictures in the file" if count > 1 else "",
                "alpha channel left out" if "c" in self.axes and self._take is not None else "",
            )
            if text
        )

    def read(self) -> NDArray[Any]:
        with opened(self.path) as file:
            array = np.asarray(file.series[0].asarray())
            if self._take is not None:
                array = array[..., : self._take]
            return array.astype(self.dtype, copy=False).reshape(self.shape)


_Readable = _Picture | _RareJpeg | _Tiff


def _meaning(path: Path, shape: tuple[int, ...], letters: str) -> tuple[tuple[int, ...], tuple[str, ...], int | None]:
    """Shape, axes, and how many channels to keep (None: all), from tifffile's letters."""
    kept = [(n, a) for n, a in zip(shape, letters, strict=True) if n > 1 or a in "YX"]
    sizes, names = [n for n, _ in kept], "".join(a for _, a in kept)
    colour = names.endswith("YXC") and sizes[-1] in (3, 4)
    lead = names[: -3 if colour else -2]
    if not names.endswith(("YXC" if colour else "YX",)) or len(lead) > 1:
        raise FormatError(f"{path.name}: a picture with axes {letters} {shape} is not read", code="file.unreadable")
    axes = (*(("z" if lead == "Z" else "t",) if lead else ()), "y", "x", *(("c",) if colour else ()))
    take = 3 if colour and sizes[-1] == 4 else None
    return (*sizes[:-1], 3) if take else tuple(sizes), axes, take


def _ome_spacing_mm(file: Any, axes: tuple[str, ...]) -> tuple[float, ...] | None:
    from hexscope.io.slide_sources import ome_spacing_mm

    return ome_spacing_mm(file.ome_metadata) if "z" not in axes else None


def _described(path: Path, picture: _Readable) -> Series:
    comment = picture.comment
    faults: list[Fault] = []
    spatial = tuple(n for n, a in zip(picture.shape, picture.axes, strict=True) if a in "zyx")
    grid = _grid(spatial, picture.spacing_mm, comment)
    if grid.spacing_mm is None:
        faults.append(Fault("geometry.no_spacing", f"{path.name}: a picture file says nothing of millimetres"))
    if picture.inverted:
        faults.append(Fault("value.inverted_polarity", f"{path.name}: white is zero (TIFF photometric 0)"))
    colour = "c" in picture.axes
    quantity = Quantity(comment.get("quantity", Quantity.RGB if colour else Quantity.ARBITRARY))
    is_mask = comment.get("kind") == "mask"
    load = partial(_load_mask if is_mask else _load_image, path, picture, grid, quantity, tuple(faults))
    return Series(
        path.name, RASTER.name, "mask" if is_mask else "image", comment.get("modality", "OT"), (str(path),), load,
        quantity=quantity, shape=picture.shape, axes=picture.axes, grid=grid, description=path.name,
        faults=tuple(faults),
    )  # fmt: skip


def _grid(spatial: tuple[int, ...], spacing_mm: tuple[float, ...] | None, comment: dict[str, Any]) -> Grid:
    if not comment:
        return Grid(spatial, spacing_mm=spacing_mm, plane="unknown")
    affine = comment.get("affine")
    return Grid(
        spatial,
        None if affine is None else np.array(affine, dtype=np.float64),
        spacing_mm=comment["spacing_mm"],
        plane=comment["plane"],
        frame_of_reference=comment["frame_of_reference"],
    )


def _load_image(path: Path, picture: _Readable, grid: Grid, quantity: Quantity, faults: tuple[Fault, ...]) -> Image:
    array, steps, more = made_finite(picture.read(), quantity, path.name)
    return Image(
        ArrayPixels(array), grid, picture.comment.get("modality", "OT"), quantity, axes=picture.axes,
        facts={"PhotometricInterpretation": "MONOCHROME1"} if picture.inverted else {},
        steps=(*picture.comment.get("steps", ()), *picture.steps, *steps), faults=(*faults, *more),
        files=(str(path),), name=path.name,
    )  # fmt: skip


def _load_mask(path: Path, picture: _Readable, grid: Grid, quantity: Quantity, faults: tuple[Fault, ...]) -> Mask:
    steps = tuple(picture.comment.get("steps", ()))
    labels = labels_of(picture.comment)
    return Mask((picture.read(),), grid, labels, steps=steps, files=(str(path),), name=path.name)


# ---- Pillow ---------------------------------------------------------------------------------------------


def _pillow(path: Path) -> Any:
    """Pillow's open picture; its own bomb check is a warning, ours (``LARGEST_BYTES``) an error."""
    import PIL.Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return PIL.Image.open(path)
    except PIL.Image.DecompressionBombError as error:
        raise FormatError(f"{path.name} claims too many pixels ({error})", code="file.too_large") from error
    except (OSError, SyntaxError, ValueError, TypeError, struct.error) as error:
        raise FormatError(f"{path.name} has no sound header ({error})", code="file.unreadable") from error


def _check_bytes(path: Path, count: int) -> None:
    if count > LARGEST_BYTES:
        raise FormatError(
            f"{path.name} claims pixels that take {count} bytes; at most {LARGEST_BYTES} are read",
            code="file.too_large",
        )


def _comment(info: dict[Any, Any]) -> dict[str, Any]:
    text = info.get(MARK) or info.get("comment") or ""
    return parse(text) if isinstance(text, str | bytes) else {}


def _is_deep_png(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(26)
    return head.startswith(_PNG) and head[24] == 16


def _check_ending(path: Path, head: bytes) -> None:
    """Raise FormatError where a PNG lacks its last chunk, or a JPEG its end of image."""
    data = path.read_bytes()
    if head.startswith(_PNG):
        at = 8
        while at + 12 <= len(data) and data[at + 4 : at + 8] != b"IEND":
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        whole = at + 12 <= len(data)
    elif head.startswith(_JPEG):
        whole = data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    else:
        whole = True
    if not whole:
        raise FormatError(f"{path.name} ends before its pixels do ({len(data)} bytes)", code="file.truncated")
