"""Colours of DICOM: YBR to RGB (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.io.dicom_stored import Stored

#: Rows R, G, B over columns Y, Cb, Cr (ITU-R BT.601); the partial one spans 16 to 235, and 16 to 240.
_FULL = np.array([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]], np.float32)
_PARTIAL = _FULL * np.array([255 / 219, 255 / 224, 255 / 224], np.float32)


def rgb_from_ybr(pixels: NDArray[Any], stored: Stored) -> NDArray[Any]:
    """(y, x, 3) as RGB. YBR_ICT and YBR_RCT are undone by the decoder already; other words mean RGB or grey."""
    if stored.samples != 3 or not stored.photometric.startswith(("YBR_FULL", "YBR_PARTIAL")):
        return pixels
    scale = 1 << stored.bits_stored - 8 if stored.bits_stored > 8 else 1
    is_partial = stored.photometric.startswith("YBR_PARTIAL")
    offset = np.array([16 if is_partial else 0, 128, 128], np.float32) * scale
    rgb = (pixels.astype(np.float32) - offset) @ (_PARTIAL if is_partial else _FULL).T
    most = (1 << stored.bits_stored) - 1
    return np.asarray(np.clip(np.round(rgb), 0, most).astype(pixels.dtype))


def unpacked_422(flat: NDArray[Any], stored: Stored) -> NDArray[Any]:
    """(y, x, 3) of two pixels in four numbers: Y, Y, Cb, Cr (PS3.3 C.7.6.3.1.2, PS3.5 8.1)."""
    pairs = flat.reshape(stored.rows, stored.columns // 2, 4)
    luma = pairs[..., :2].reshape(stored.rows, stored.columns)
    blue, red = (np.repeat(pairs[..., k], 2, axis=1) for k in (2, 3))
    return np.stack([luma, blue, red], axis=-1)
