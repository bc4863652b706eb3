"""Measures of the structures of a Mask: size always, values where an image lies on the same grid.

Lengths, areas and volumes in mm exist only where the grid knows its spacing; else they are None and pixels
count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from hexscope.core.geometry import Array, Grid
from hexscope.core.image import Image, Label, Mask
from hexscope.errors import GeometryError, QuantityError

Part = NDArray[np.bool_]

#: Radius of a sphere of 1 cm³, in mm.
PEAK_RADIUS_MM = (3 * 1000.0 / (4 * np.pi)) ** (1 / 3)
_SUBSAMPLES = 7
_MOST_ROWS = 512


@dataclass(frozen=True)
class LabelMeasures:
    """What was measured of one structure. None: not measurable here, or the structure is empty.

    area_px       number of pixels or voxels
    volume_ml     of a volume;  area_mm2  of a plane
    diameter_mm   the longest diameter in one axial slice (RECIST 1.1, doi:10.1016/j.ejca.2008.10.026);
                  of a plane, the longest in it. Between the outer sides of the end pixels
    circumference_mm  of a plane: of the ellipse with the structure's area moments (a head in obstetric ultrasound)
    feret_mm      the longest diameter in space, through all slices
    mean, max, min, sd  of the image, in its quantity; sd over the population
    suv_peak      highest mean SUV in a sphere of 1 cm³ centred in the structure, see `peak`
    mtv_ml, tlg   metabolic tumour volume and total lesion glycolysis (mean SUV × volume), of SUV images only
    """

    value: int
    name: str
    area_px: int
    volume_ml: float | None = None
    area_mm2: float | None = None
    diameter_mm: float | None = None
    diameter_px: float | None = None
    circumference_mm: float | None = None
    feret_mm: float | None = None
    mean: float | None = None
    max: float | None = None
    min: float | None = None
    sd: float | None = None
    suv_peak: float | None = None
    mtv_ml: float | None = None
    tlg: float | None = None
    centroid_lps_mm: tuple[float, ...] | None = None
    centroid_px: tuple[float, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """All fields; lengths in mm, points in LPS mm, ``centroid_px`` in array order."""
        out: dict[str, Any] = {}
        for key, value in vars(self).items():
            if isinstance(value, tuple):
                out[key] = [round(v, 4) for v in value]
            else:
                out[key] = round(value, 5) if isinstance(value, float) else value
        return out


def measure(mask: Mask, image: Image | None = None) -> list[LabelMeasures]:
    """Measures of every label, in the mask's order. ``image`` adds its values; it lies on the mask's grid.

    Raises GeometryError where the grids differ, QuantityError for colour or several time points.
    """
    values = None if image is None else _values(mask, image)
    boxes = [ndimage.find_objects(layer) for layer in mask.layers]
    out = []
    for label in mask.labels:
        found = boxes[label.layer]
        box = found[label.value - 1] if label.value <= len(found) else None
        if box is None:
            out.append(_empty(label, mask.grid))
            continue
        part = mask.layers[label.layer][box] == label.value
        sizes = _sizes(part, box, mask.grid)
        of_values = {} if values is None or image is None else _statistics(part, box, values, image)
        out.append(LabelMeasures(label.value, label.name, **sizes, **of_values))
    return out


def _values(mask: Mask, image: Image) -> NDArray[Any]:
    if not mask.grid.same_as(image.grid):
        raise GeometryError(
            f"the mask {mask.name or mask.grid.shape} and the image {image.name or image.shape} lie on "
            "different grids; bring one onto the other with resample()"
        )
    if len(image.axes) != image.grid.ndim:
        raise QuantityError(
            f"values are measured on one number a pixel; {image.name or 'this image'} has axes {image.axes}. "
            "Take one time point or one channel, or measure the mask alone"
        )
    return image.array


def _empty(label: Label, grid: Grid) -> LabelMeasures:
    volume = None if grid.voxel_volume_ml is None else 0.0
    return LabelMeasures(label.value, label.name, 0, volume_ml=volume)


def _sizes(part: Part, box: tuple[slice, ...], grid: Grid) -> dict[str, Any]:
    start = np.array([s.start for s in box], dtype=np.float64)
    count = int(part.sum())
    middle = np.array([i.mean() for i in np.nonzero(part)]) + start
    out: dict[str, Any] = {"area_px": count, "centroid_px": tuple(middle.tolist())}
    if grid.affine is not None:
        out["centroid_lps_mm"] = tuple(grid.to_world(middle).tolist())
    if grid.ndim == 2:
        out["diameter_px"] = _longest(part, np.eye(2))
    if grid.spacing_mm is None:
        return out
    axes = axes_mm(grid)
    out["diameter_mm"] = _diameter(part, grid, axes)
    if grid.ndim == 2:
        out["area_mm2"] = count * float(np.sqrt(np.linalg.det(axes.T @ axes)))
        out["circumference_mm"] = circumference_of(part, axes)
        return out
    volume = grid.voxel_volume_ml
    out["volume_ml"] = None if volume is None else count * volume
    out["feret_mm"] = _longest(part, axes)
    return out


def axes_mm(grid: Grid) -> Array:
    """A column a pixel axis: its step in mm, in world axes where there is an affine. Needs a spacing."""
    if grid.affine is not None:
        return grid.affine[:3, :-1]
    return np.diag(grid.require_spacing("a length in mm"))


# ---- diameters ------------------------------------------------------------------------------------------


def diameter_mm(mask: Mask, label: str | int) -> float:
    """The longest axial diameter of one structure; 0 where it is empty.

    Raises UncalibratedError where the grid has no spacing: a length in mm cannot be told then.
    """
    mask.grid.require_spacing(f"the diameter of {label} in mm")
    part = mask.of(label)
    if not part.any():
        return 0.0
    box = ndimage.find_objects(part.astype(np.uint8))[0]
    return _diameter(part[box], mask.grid, axes_mm(mask.grid))


def circumference_mm(mask: Mask, label: str | int) -> float:
    """Circumference of the ellipse that has the second moments of one structure of a plane; 0 where it is empty.

    For outlines that are ellipses, as a head's in obstetric ultrasound. Raises UncalibratedError where the grid has no
    spacing, GeometryError for a volume.
    """
    mask.grid.require_spacing(f"the circumference of {label} in mm")
    if mask.grid.ndim != 2:
        raise GeometryError("a circumference is measured in a plane; take one slice of the volume")
    part = mask.of(label)
    return circumference_of(part, axes_mm(mask.grid)) if part.any() else 0.0


def circumference_of(part: Part, axes: Array) -> float:
    """Circumference in mm of the ellipse with the moments of ``part``, a plane whose columns of ``axes`` are in mm.

    Semi-axes are twice the deviations along the main axes; each pixel is a small square, not a point.

    Length by Ramanujan's second formula (1914), whose error is below 1e-4 down to flat ellipses.
    """
    points = np.stack(np.nonzero(part)).astype(np.float64)
    spread = axes @ (np.cov(points, bias=True) + np.eye(2) / 12) @ axes.T
    a, b = 2 * np.sqrt(np.maximum(np.sort(np.linalg.eigvalsh(spread))[::-1][:2], 0))
    h = ((a - b) / (a + b)) ** 2
    return float(np.pi * (a + b) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h))))


def _diameter(part: Part, grid: Grid, axes: Array) -> float:
    """In the plane, or in that axial slice of a volume where it is longest."""
    if grid.ndim == 2:
        return _longest(part, axes)
    across = _axial_axis(grid)
    in_plane = np.delete(axes, across, axis=1)
    return max(_longest(plane, in_plane) for plane in np.moveaxis(part, across, 0) if plane.any())


def _axial_axis(grid: Grid) -> int:
    """The array axis that runs most along the patient; the first where that is unknown."""
    if grid.affine is None:
        return 0
    columns = grid.affine[:3, :-1]
    return int(np.argmax(np.abs(columns[2]) / np.linalg.norm(columns, axis=0)))


def _longest(part: Part, axes: Array) -> float:
    """Greatest distance between the outer sides of any two pixels; ``axes`` has a column of mm a pixel axis.

    The sides' middles are taken, where a mesh at half height runs too (IBSI, doi:10.48550/arXiv.1612.07003,
    maximum 3D diameter); so a row of n pixels is n pixels long.
    """
    ends = _line_ends(part)
    half = np.eye(part.ndim) / 2
    points = np.concatenate([ends + side for side in (*half, *-half)])
    corners = points[ConvexHull(points).vertices] @ axes.T
    rows = range(0, len(corners), _MOST_ROWS)
    return float(max(cdist(corners[i : i + _MOST_ROWS], corners).max() for i in rows))


def _line_ends(part: Part) -> Array:
    """First and last pixel of every line along the last axis: all that a convex hull can touch. (n, ndim)"""
    lines = np.argwhere(part.any(axis=-1))
    chosen = part[tuple(lines.T)]
    first = chosen.argmax(axis=1)
    last = part.shape[-1] - 1 - chosen[:, ::-1].argmax(axis=1)
    ends = [np.concatenate([lines, end[:, None]], axis=1) for end in (first, last)]
    return np.concatenate(ends).astype(np.float64)


# ---- values ---------------------------------------------------------------------------------------------


def _statistics(part: Part, box: tuple[slice, ...], values: NDArray[Any], image: Image) -> dict[str, Any]:
    inside = values[box][part].astype(np.float64)
    mean = float(inside.mean())
    out: dict[str, Any] = {
        "mean": mean,
        "max": float(inside.max()),
        "min": float(inside.min()),
        "sd": float(inside.std()),
    }
    volume = image.grid.voxel_volume_ml
    if not image.quantity.is_suv or volume is None:
        return out
    out["mtv_ml"] = inside.size * volume
    out["tlg"] = mean * inside.size * volume
    return out | {"suv_peak": peak(values, part, box, image.grid)}


def peak(values: NDArray[Any], part: Part, box: tuple[slice, ...], grid: Grid) -> float:
    """The highest mean of ``values`` in a sphere of 1 cm³ centred on a voxel of ``part`` (lying in ``box``).

    SUVpeak after Wahl et al. 2009, doi:10.2967/jnumed.108.057307. The sphere may reach beyond the structure;
    voxels that it cuts count by the part inside it; beyond the image nothing counts.
    """
    kernel = _sphere(axes_mm(grid), PEAK_RADIUS_MM)
    reach = [n // 2 for n in kernel.shape]
    wide = tuple(
        slice(max(s.start - r, 0), min(s.stop + r, n)) for s, r, n in zip(box, reach, values.shape, strict=True)
    )
    around = values[wide].astype(np.float64)
    total = ndimage.correlate(around, kernel, mode="constant")
    weight = ndimage.correlate(np.ones(around.shape), kernel, mode="constant")
    inner = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(box, wide, strict=True))
    return float((total[inner] / weight[inner])[part].max())


def _sphere(axes: Array, radius_mm: float) -> Array:
    """How much of each voxel around a voxel lies in the sphere about its centre, 0..1; odd shape."""
    reach = np.ceil(radius_mm * np.linalg.norm(np.linalg.inv(axes), axis=1) - 0.5).astype(int)
    parts = (np.arange(_SUBSAMPLES) + 0.5) / _SUBSAMPLES - 0.5
    offsets = [(np.arange(-r, r + 1)[:, None] + parts).ravel() for r in np.maximum(reach, 0)]
    points = np.stack(np.meshgrid(*offsets, indexing="ij"), axis=-1) @ axes.T
    inside = (points**2).sum(axis=-1) <= radius_mm**2
    shape = [n for r in reach for n in (2 * r + 1, _SUBSAMPLES)]
    return np.asarray(inside.reshape(shape).mean(axis=(1, 3, 5)), dtype=np.float64)
