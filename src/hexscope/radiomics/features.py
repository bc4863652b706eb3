"""Features of a structure of a mask on an image: prepared as the settings say, named by the IBSI, every step told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.pull import Sampler, pull
from hexscope.core.quantity import Quantity
from hexscope.core.resample import index_map
from hexscope.core.transform import Transform
from hexscope.errors import GeometryError, InputError, QuantityError, UncalibratedError, UsageError
from hexscope.radiomics.extract import families_of
from hexscope.radiomics.region import Region
from hexscope.radiomics.settings import FAMILIES, FeatureSettings

#: What surrounds the region and is kept for local peaks and interpolation, in mm and in voxels.
_MARGIN_MM = 7.0
_MARGIN_VOXELS = 4
#: An interpolated mask is cut at one half; its weights are known to so much.
_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class Features(Mapping[str, float]):
    """Values by IBSI name; a feature that means nothing for this region is NaN.

    steps     what was done to image and mask before
    left_out  families of the IBSI that do not fit this image, and why
    """

    values_by_name: Mapping[str, float]
    steps: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def as_json(self) -> dict[str, float | None]:
        """``{name: value}``; None for NaN, which JSON does not know."""
        return {name: float(f"{value:.9g}") if np.isfinite(value) else None for name, value in self.items()}


def features(
    image: Image,
    mask: Mask,
    *,
    label: int | str | None = None,
    families: Sequence[str] | None = None,
    settings: FeatureSettings | None = None,
) -> Features:
    """Features of one structure of ``mask`` on ``image``, which lie on one grid.

    label     value or name; the mask's only one where it has one
    families  some of `FAMILIES`; without it all that fit the image, and ``left_out`` says which do not

    Raises GeometryError for two grids and for volume families of a plane, UncalibratedError where a family that was
    asked for needs a spacing, InputError for an empty structure, QuantityError for colour or several time points,
    UsageError for an unknown label or family.
    """
    chosen = settings or FeatureSettings()
    _require_numbers(image, mask)
    which = _label(mask, label)
    part = mask.of(which)
    if not part.any():
        raise InputError(f"the mask {mask.name} has no voxel of label {which}; nothing can be measured there")
    misfits = _misfits(image.grid)
    wanted = _wanted(families, misfits)
    values, part, grid, steps = _prepared(image, part, chosen)
    chosen = _fitting(chosen, image)
    if values.ndim == 2:
        values, part = values[None], part[None]
    spacing = grid.spacing_mm if grid.spacing_mm is None or grid.ndim == 3 else (1.0, *grid.spacing_mm)
    region = Region.of(values, part, spacing, chosen)
    steps = (f"label {which}: {int(part.sum())} voxels", *steps, *_told(region, image, wanted))
    left_out = {} if families is not None else {f: why for f, why in misfits.items() if f != "plane"}
    return Features(families_of(region, wanted), steps, left_out)


# ---- what fits ----------------------------------------------------------------------------------------------


def _require_numbers(image: Image, mask: Mask) -> None:
    if len(image.axes) != image.grid.ndim:
        raise QuantityError(
            f"features are taken of one number a pixel; {image.name or 'this image'} has axes {image.axes}. "
            "Take one time point with frame(), or one channel"
        )
    if not mask.grid.same_as(image.grid):
        raise GeometryError(
            f"the mask {mask.name or mask.grid.shape} and the image {image.name or image.shape} lie on "
            "different grids; bring one onto the other with resample"
        )


def _label(mask: Mask, label: int | str | None) -> int | str:
    if label is not None:
        return label
    known = ", ".join(f"{e.value} {e.name}" for e in mask)
    if len(mask.labels) != 1:
        what = f"holds {known}; name one (label=, --label)" if known else "is empty: it has no label"
        raise (UsageError if known else InputError)(f"the mask {mask.name} {what}")
    return mask.labels[0].value


def _misfits(grid: Grid) -> dict[str, str]:
    """Families that this grid cannot have, and why."""
    if grid.ndim == 2:
        why = "is of volumes, and this image is a plane: ask for the family plane"
        return {"morph": why, "loc": why}
    out = {"plane": "is of planes, and this image is a volume: ask for the family morph"}
    if grid.spacing_mm is None:
        why = "needs a spacing, and the file gives none: pass spacing_mm (--spacing-mm z,y,x)"
    elif grid.is_sheared:
        why = "needs axes at right angles, and this grid is sheared: read it with even=True (--even)"
    else:
        return out
    return out | {"morph": why, "loc": why}


def _wanted(families: Sequence[str] | None, misfits: Mapping[str, str]) -> list[str]:
    if families is None:
        return [f for f in FAMILIES if f not in misfits]
    for name in families:
        if name in misfits:
            error = UncalibratedError if "needs a spacing" in misfits[name] else GeometryError
            raise error(f"the family {name} {misfits[name]}")
    return list(families)


def _fitting(settings: FeatureSettings, image: Image) -> FeatureSettings:
    """FeatureSettings that hang on the image: Hounsfield units come one by one; a plane has one aggregation."""
    if settings.ivh_bin_width is None and image.quantity is Quantity.HU:
        settings = replace(settings, ivh_bin_width=1.0)
    return replace(settings, aggregations=("2D",)) if image.grid.ndim == 2 else settings


# ---- preparation --------------------------------------------------------------------------------------------


def _prepared(
    image: Image, part: NDArray[np.bool_], settings: FeatureSettings
) -> tuple[Any, Any, Grid, tuple[str, ...]]:
    """Values and mask around the structure, their grid, and the steps: resampled where that is asked."""
    box = _surroundings(part, image.grid.spacing_mm)
    if settings.resample_mm is None:
        return image.array[box], part[box], image.grid, ()
    grid = _located(image.grid)
    to = _part_of(_resampled_grid(grid, settings.resample_mm), grid, box)
    way = index_map(grid, to, Transform(kind="identity"))
    values = pull(
        Sampler(image.array.astype(np.float32), settings.interpolation, image.quantity.outside), way, to.shape
    )
    weight = pull(Sampler(part.astype(np.float32), "linear", 0.0), way, to.shape)
    to_mm = " × ".join(f"{s:g}" for s in settings.resample_mm)
    steps = [f"resampled to {to_mm} mm, not blurred: image {settings.interpolation}, mask linear, cut at one half"]
    if image.quantity is Quantity.HU:
        values = np.round(values)
        steps.append("values rounded to whole HU")
    found = weight >= 0.5 - _ROUNDING
    if not found.any():
        raise InputError(f"nothing of the structure is left at {to_mm} mm: it is smaller than half a voxel")
    return values, found, to, tuple(steps)


def _surroundings(part: NDArray[np.bool_], spacing_mm: tuple[float, ...] | None) -> tuple[slice, ...]:
    """The structure's box with a margin."""
    out = []
    for axis, step in enumerate(spacing_mm or (_MARGIN_MM,) * part.ndim):
        seen = np.flatnonzero(part.any(axis=tuple(a for a in range(part.ndim) if a != axis)))
        margin = int(np.ceil(_MARGIN_MM / step)) + _MARGIN_VOXELS
        out.append(slice(max(int(seen[0]) - margin, 0), min(int(seen[-1]) + margin + 1, part.shape[axis])))
    return tuple(out)


def _part_of(to: Grid, grid: Grid, box: tuple[slice, ...]) -> Grid:
    """The part of ``to`` that covers a box of ``grid``, whose axes are the same."""
    sides = np.array([[s.start for s in box], [s.stop for s in box]]) - 0.5
    ends = to.to_index(grid.to_world(sides))
    low = np.maximum(np.floor(ends.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(ends.max(axis=0)).astype(int) + 1, to.shape)
    return to.crop(low.tolist(), high.tolist())


def _located(grid: Grid) -> Grid:
    """The grid with a place, any: only steps between pixels matter here."""
    if grid.affine is not None:
        return grid
    spacing = grid.require_spacing("resampling")
    affine = np.zeros((4, grid.ndim + 1))
    affine[range(grid.ndim - 1, -1, -1), range(grid.ndim)] = spacing
    affine[3, -1] = 1.0
    return replace(grid, affine=affine)


def _resampled_grid(grid: Grid, spacing_mm: Sequence[float]) -> Grid:
    """As the IBSI lays it: middles on each other, and no smaller than the old one."""
    if len(spacing_mm) != grid.ndim:
        raise UsageError(f"resample_mm has one number an axis, here {grid.ndim}; got {tuple(spacing_mm)}")
    if grid.is_sheared:
        raise GeometryError(
            "resampling for features needs axes at right angles; this grid is sheared: read it with even=True"
        )
    extent = np.array(grid.shape) * grid.require_spacing("resampling")
    shape = np.ceil(np.round(extent / np.array(spacing_mm), 6)).astype(int)
    return grid.with_shape(shape.tolist(), spacing_mm=tuple(spacing_mm))


# ---- what was done ------------------------------------------------------------------------------------------


def _told(region: Region, image: Image, families: Sequence[str]) -> Iterator[str]:
    settings, unit = region.settings, image.quantity.unit
    drawn, left = int(region.shape_mask.sum()), int(region.mask.sum())
    if settings.range != (None, None) or settings.outlier_sd is not None:
        low, high = ("open" if v is None else f"{v:g}" for v in settings.range)
        outliers = "" if settings.outlier_sd is None else f", within {settings.outlier_sd:g} deviations"
        yield f"re-segmented to {low} … {high} {unit}{outliers}: {left} of {drawn} voxels left".replace("  ", " ")
    if set(families) - {"morph", "plane", "loc", "stat", "ivh"}:
        low, high = region.values.min(), region.values.max()
        if settings.bin_width is None:
            yield f"{settings.bins} grey levels from {low:.6g} to {high:.6g} {unit}".rstrip()
        else:
            start = low if settings.range[0] is None else settings.range[0]
            yield f"{region.level_count} grey levels of {settings.bin_width:g} {unit} from {start:.6g}".replace(
                "  ", " "
            )
