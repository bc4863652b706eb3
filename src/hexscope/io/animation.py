"""Moving pictures out: GIF, animated PNG and WebP, from an RGB or grey image (t, y, x[, 3])."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hexscope.core.image import Image
from hexscope.errors import UsageError
from hexscope.io.comment import MARK, comment_of, dump
from hexscope.io.files import atomic_write, suffix_of

_KINDS = {".gif": "GIF", ".apng": "PNG", ".webp": "WEBP"}
#: How long a frame stands where the image does not say, in ms.
_FRAME_MS = 100.0


def save_animation(image: Image, path: Path) -> None:
    """Write a moving picture that repeats, in the format of the name of ``path``; FrameTime of its facts is in ms.

    Animated PNG and WebP keep the 8-bit numbers as they are; GIF holds 256 colours a frame and comes close to them.
    UsageError for a still, and for numbers that are not 8-bit.
    """
    if image.axes[:3] != ("t", "y", "x") or image.pixels.dtype != np.uint8:
        raise UsageError(
            f"{path.name} is a moving picture, 8-bit (t, y, x) or (t, y, x, c); got {image.pixels.dtype} {image.axes}. "
            "A still is written as .png"
        )
    kind = _KINDS[suffix_of(path)]
    atomic_write(path, lambda beside: _write(image, beside, kind))


def _write(image: Image, path: Path, kind: str) -> None:
    import PIL.Image
    from PIL.PngImagePlugin import PngInfo

    frames = [PIL.Image.fromarray(np.ascontiguousarray(frame)) for frame in image.array]
    milliseconds = round(float(image.facts.get("FrameTime") or _FRAME_MS))
    options: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "duration": milliseconds, "loop": 0}
    comment = dump(comment_of(image))
    if kind == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text(MARK, comment)
    elif kind == "WEBP":
        options |= {"lossless": True, "quality": 50}
    else:
        options |= {"comment": comment.encode(), "optimize": True}
    frames[0].save(path, kind, **options)
