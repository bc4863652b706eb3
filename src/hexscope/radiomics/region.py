"""The region of interest: its values, its two masks, its grey levels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import InputError, UsageError
from hexscope.radiomics.settings import FeatureSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Part = NDArray[np.bool_]

#: Grey levels beyond which a bin width is a slip: textures count levels that recur.
_MOST_LEVELS = 10_000


@dataclass(frozen=True, eq=False)
class Region:
    """A region in the box that holds it; arrays are (z, y, x).

    around      all values of the image, `box` the region's place in it
    shape_mask  the region as drawn, for its form;  mask  what re-segmentation left of it, for its values
    spacing_mm  None where it is not known
    """

    around: NDArray[Any]
    box: tuple[slice, ...]
    shape_mask: Part
    mask: Part
    spacing_mm: tuple[float, ...] | None
    settings: FeatureSettings

    @classmethod
    def of(
        cls, values: NDArray[Any], mask: Part, spacing_mm: tuple[float, ...] | None, settings: FeatureSettings
    ) -> Region:
        """The region of ``mask`` in ``values``. Raises InputError where it is empty or holds what is no number."""
        if values.ndim != 3 or values.shape != mask.shape:
            raise UsageError(f"values and mask are (z, y, x) and alike; got {values.shape} and {mask.shape}")
        mask = np.asarray(mask, dtype=bool)
        box = _box(mask)
        drawn = mask[box]
        inside = values[box]
        if not np.all(np.isfinite(inside[drawn])):
            raise InputError("the region holds NaN or infinite values; mend the image, or leave them out of the mask")
        return cls(values, box, drawn, _resegmented(inside, drawn, settings), spacing_mm, settings)

    @cached_property
    def inside(self) -> Floats:
        """Values of the region's box."""
        return np.asarray(self.around[self.box], dtype=np.float64)

    @cached_property
    def values(self) -> Floats:
        """Values of the intensity mask, (n,)."""
        return self.inside[self.mask]

    @cached_property
    def levels(self) -> Ints:
        """Grey levels from 1 in the region's box; 0 outside the intensity mask."""
        out = np.zeros(self.mask.shape, np.int64)
        out[self.mask] = levels_of(self.values, self.settings)
        return out

    @property
    def level_count(self) -> int:
        """The highest grey level; all bins where their number is fixed."""
        return int(self.levels.max())


def _box(mask: Part) -> tuple[slice, ...]:
    box = []
    for axis in range(mask.ndim):
        seen = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        if not seen.size:
            raise InputError("the region is empty: no voxel of the mask has this label")
        box.append(slice(int(seen[0]), int(seen[-1]) + 1))
    return tuple(box)


def _resegmented(inside: NDArray[Any], drawn: Part, settings: FeatureSettings) -> Part:
    """The part of the mask whose values count: within the range, and no outlier of the region as drawn."""
    kept = drawn.copy()
    low, high = settings.range
    if low is not None:
        kept &= inside >= low
    if high is not None:
        kept &= inside <= high
    if settings.outlier_sd is not None:
        values = inside[kept].astype(np.float64)
        if values.size:
            kept &= np.abs(inside - values.mean()) <= settings.outlier_sd * values.std()
    if not kept.any():
        raise InputError(f"no value of the region lies within {settings.range}; widen the range")
    return kept


def levels_of(values: Floats, settings: FeatureSettings) -> Ints:
    """Grey levels from 1 of values (n,): bins of a fixed width, else a fixed number of them."""
    low = float(values.min())
    if settings.bin_width is not None:
        start = low if settings.range[0] is None else settings.range[0]
        levels = np.asarray(np.floor((values - start) / settings.bin_width), dtype=np.int64) + 1
        if levels.max() > _MOST_LEVELS:
            raise UsageError(
                f"a bin width of {settings.bin_width:g} makes {levels.max()} grey levels of values from {low:g} to "
                f"{values.max():g}, more than {_MOST_LEVELS}; take a wider one, or a narrower range"
            )
        return levels
    return fixed_number(values, low, float(values.max()), settings.bins)


def fixed_number(values: Floats, low: float, high: float, bins: int) -> Ints:
    """Levels 1 to ``bins`` that cut the range of the values into equal parts; 1 where there is one value only."""
    if high == low:
        return np.ones(values.shape, np.int64)
    return np.minimum((bins * (values - low) / (high - low)).astype(np.int64) + 1, bins)
