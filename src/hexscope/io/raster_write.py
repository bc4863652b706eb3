"""Pictures out: PNG, JPEG, TIFF, BMP, with what the numbers mean in the file's own comment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.image import Image, Mask
from hexscope.errors import UsageError
from hexscope.io.comment import MARK, comment_of, dump
from hexscope.io.files import atomic_write, suffix_of

_KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP"}
_TIFF = (".tif", ".tiff")
_JPEG_QUALITY = 95


def save_picture(thing: Image | Mask | NDArray[Any], path: Path) -> None:
    """Write one 2-D picture, grey (y, x) or RGB (y, x, 3), in the format of the name of ``path``.

    PNG holds 8 and 16 bits, TIFF any number, JPEG and BMP 8 bits. Numbers are never stretched to fit: raises
    UsageError where they do not, and for anything that is not 2-D. JPEG changes the numbers a little.
    """
    suffix = suffix_of(path)
    if suffix not in _KINDS and suffix not in _TIFF:
        raise UsageError(f"a picture is written as {', '.join([*_KINDS, *_TIFF])}; got {path.name}")
    array = _flat(thing)
    comment = "" if isinstance(thing, np.ndarray) else _comment(thing)
    if suffix in _TIFF:
        atomic_write(path, lambda beside: _write_tiff(array, beside, comment))
    else:
        fitting = _fit(array, suffix, path)
        atomic_write(path, lambda beside: _write_pillow(fitting, beside, _KINDS[suffix], comment))


def _flat(thing: Image | Mask | NDArray[Any]) -> NDArray[Any]:
    array = thing if isinstance(thing, np.ndarray) else thing.array
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise UsageError(f"a picture is (y, x) or (y, x, 3); got {array.shape}. Take one slice, or write .nii.gz")
    if isinstance(thing, Image) and thing.axes[:2] != ("y", "x"):
        raise UsageError(f"a picture has axes y, x; this image has {thing.axes}. Take one slice, or write .nii.gz")
    return array.astype(np.uint8) if array.dtype == bool else array


def _comment(thing: Image | Mask) -> str:
    affine = thing.grid.affine
    return dump(comment_of(thing) | {"affine": None if affine is None else affine.tolist()})


def _fit(array: NDArray[Any], suffix: str, path: Path) -> NDArray[Any]:
    """The same numbers in as few bytes as PNG, JPEG or BMP know."""
    low, high = array.min(), array.max()
    whole = array.dtype.kind in "iu"
    keeps_16_bits = suffix == ".png" and array.ndim == 2
    if whole and low >= 0 and high <= 255 and not (array.dtype == np.uint16 and keeps_16_bits):
        return array.astype(np.uint8)
    if whole and low >= 0 and high <= 65535 and keeps_16_bits:
        return array.astype(np.uint16)
    raise UsageError(
        f"{path.name} cannot hold {array.dtype} from {low:g} to {high:g} unchanged; write .tif or .nii.gz, "
        "or make a picture with a window first"
    )


def _write_pillow(array: NDArray[Any], path: Path, kind: str, comment: str) -> None:
    import PIL.Image
    from PIL.PngImagePlugin import PngInfo

    options: dict[str, Any] = {}
    if kind == "PNG" and comment:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text(MARK, comment)
    if kind == "JPEG":
        options = {"quality": _JPEG_QUALITY, **({"comment": comment} if comment else {})}
    PIL.Image.fromarray(np.ascontiguousarray(array)).save(path, kind, **options)


def _write_tiff(array: NDArray[Any], path: Path, comment: str) -> None:
    import tifffile

    photometric = "rgb" if array.ndim == 3 else "minisblack"
    tifffile.imwrite(
        path, array, photometric=photometric, compression="deflate", metadata=None, description=comment,
        software="Hexscope",
    )  # fmt: skip
