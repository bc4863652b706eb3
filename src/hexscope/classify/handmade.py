"""Hand-made features of a whole image as a network sees it: grey values, texture at two scales, layout.

Only what is in the frame is looked at, never how large the file was or what stands at its border: those tell hospitals
and devices apart, not patients.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hexscope.radiomics import FeatureSettings, of_array

Floats = NDArray[np.float32]

_FAMILIES = ("stat", "cm", "rlm", "ngt")
#: Cells of the layout along each axis.
_CELLS = 4


def handmade(views: Sequence[Floats]) -> dict[str, float]:
    """Features by name, the mean over ``views`` (planes, *frame), each normalised."""
    each = [_of_view(view) for view in views]
    return {name: float(np.nanmean([one[name] for one in each])) for name in each[0]}


def _of_view(view: Floats) -> dict[str, float]:
    out: dict[str, float] = {}
    for number, plane in enumerate(view):
        lead = f"p{number}." if len(view) > 1 else ""
        for scale, seen in (("", plane), ("half.", _halved(plane))):
            out |= {f"{lead}{scale}{name}": value for name, value in _texture(seen).items()}
        cells = _layout(plane)
        out |= {f"{lead}cell.{k}": float(value) for k, value in enumerate(cells)}
    return out


def _texture(plane: Floats) -> dict[str, float]:
    flat = plane.ndim == 2
    settings = FeatureSettings(aggregations=("2D",) if flat else ("3D",))
    volume = plane[None] if flat else plane
    found = of_array(volume, np.ones(volume.shape, bool), (1.0, 1.0, 1.0), _FAMILIES, settings)
    return {name: float(value) if np.isfinite(value) else 0.0 for name, value in found.items()}


def _halved(plane: Floats) -> Floats:
    for axis in range(plane.ndim):
        even = plane.shape[axis] // 2 * 2
        first, second = (plane[(slice(None),) * axis + (slice(k, even, 2),)] for k in (0, 1))
        plane = np.float32(0.5) * (first + second)
    return plane


def _layout(plane: Floats) -> Floats:
    """The mean and the deviation of each cell."""
    parts = [plane]
    for axis in range(plane.ndim):
        parts = [piece for part in parts for piece in np.array_split(part, _CELLS, axis=axis)]
    return np.array([figure for part in parts for figure in (part.mean(), part.std())], np.float32)
