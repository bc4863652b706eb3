"""A volume turned so that its axes run (superior, posterior, left), by flips and transposition only.

Rules look at this view, so none of them can depend on how a file happens to store its slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Grid
from hexscope.core.image import Image

Part = NDArray[np.bool_]

#: Shapes are found on voxels of about this size, edges on the full ones.
COARSE_MM = 3.0


@dataclass(frozen=True)
class View:
    """Array along the patient's axes and its grid: ``order`` transposed it, ``turned`` axes are flipped."""

    array: NDArray[Any]
    grid: Grid
    order: tuple[int, ...]
    turned: tuple[int, ...]

    @classmethod
    def of(cls, image: Image, purpose: str) -> View:
        """Raises GeometryError where ``image`` is not one placed volume."""
        array = image.require_volume(purpose)
        order, turned = image.grid.patient_order()
        grid = image.grid.permute(order)
        for axis in turned:
            grid = grid.flip(axis)
        return cls(np.flip(np.transpose(array, order), turned), grid, order, turned)

    def back(self, part: Part) -> Part:
        """A result in this view, in the array order of the image."""
        return np.ascontiguousarray(np.transpose(np.flip(part, self.turned), np.argsort(self.order)))

    @cached_property
    def spacing_mm(self) -> tuple[float, ...]:
        return self.grid.require_spacing("a rule")

    # ---- two resolutions --------------------------------------------------------------------------------

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Every how many voxels the coarse array takes one."""
        return tuple(max(1, round(COARSE_MM / s)) for s in self.spacing_mm)

    @cached_property
    def coarse(self) -> NDArray[Any]:
        return self.array[
            tuple(slice(min(k // 2, n - 1), None, k) for k, n in zip(self.steps, self.array.shape, strict=True))
        ]

    @cached_property
    def coarse_mm(self) -> tuple[float, ...]:
        return tuple(s * k for s, k in zip(self.spacing_mm, self.steps, strict=True))

    @cached_property
    def coarse_ml(self) -> float:
        volume = self.grid.voxel_volume_ml
        return 0.0 if volume is None else volume * float(np.prod(self.steps))

    def refined(self, shape: Part, fine: Part, margin_mm: float) -> Part:
        """``fine`` (full resolution) near the edge of ``shape`` (coarse); inside it all, outside nothing."""
        wide = self.full(grown(shape, self.coarse_mm, margin_mm))
        core = self.full(shrunk(shape, self.coarse_mm, margin_mm))
        return np.asarray(core | (wide & fine))

    def full(self, shape: Part) -> Part:
        """A coarse part at full resolution."""
        index = [
            np.minimum(np.arange(n) // k, m - 1)
            for n, k, m in zip(self.array.shape, self.steps, shape.shape, strict=True)
        ]
        return np.asarray(shape[np.ix_(*index)])


# ---- morphology in mm: exact balls by distance, whatever the spacing ------------------------------------


def grown(part: Part, spacing_mm: Sequence[float], radius_mm: float) -> Part:
    """All within ``radius_mm`` of ``part``."""
    if not part.any():
        return part
    return np.asarray(ndimage.distance_transform_edt(~part, sampling=spacing_mm) <= radius_mm)


def shrunk(part: Part, spacing_mm: Sequence[float], radius_mm: float) -> Part:
    """All of ``part`` further than ``radius_mm`` from what is not; the border of the image does not count."""
    if part.all():
        return part
    return np.asarray(ndimage.distance_transform_edt(part, sampling=spacing_mm) > radius_mm)


def opened(part: Part, spacing_mm: Sequence[float], radius_mm: float) -> Part:
    """Without what is thinner than twice ``radius_mm``."""
    return part & grown(shrunk(part, spacing_mm, radius_mm), spacing_mm, radius_mm)


def closed(part: Part, spacing_mm: Sequence[float], radius_mm: float) -> Part:
    """With gaps narrower than twice ``radius_mm`` filled."""
    margin = [int(np.ceil(radius_mm / s)) + 1 for s in spacing_mm]  # room to grow beyond the image's border
    wide = grown(np.pad(part, [(m, m) for m in margin]), spacing_mm, radius_mm)
    back = tuple(slice(m, -m) for m in margin)
    return np.asarray(part | shrunk(wide, spacing_mm, radius_mm)[back])


def filled(part: Part) -> Part:
    """Holes filled slice by slice along the first axis, so that a tube cut by the image is filled too."""
    return np.stack([ndimage.binary_fill_holes(plane) for plane in part])


def large(part: Part, least: float) -> list[Part]:
    """Connected pieces (sides touching) of at least ``least`` pixels, largest first."""
    labels, n = ndimage.label(part)
    sizes = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    return [labels == i + 1 for i in np.argsort(-sizes, kind="stable") if sizes[i] >= least]
