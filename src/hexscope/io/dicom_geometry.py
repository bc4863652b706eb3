"""Geometry of a stack of slices: order, even steps, tilt, and the affine. Nothing is invented.

The place of pixel (row, column) of a slice is PS3.3 C.7.6.2.1.1:
``position + column · row_cosine · column_spacing + row · column_cosine · row_spacing``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hexscope.core.faults import Fault
from hexscope.core.geometry import Array, Grid
from hexscope.io.dicom_frames import Frame

#: Cosines further than this from orthonormal are repaired and told; beyond the second they are refused: three
#: decimals in a header make up to 0.0018.
NOTICEABLE_COSINES = 1e-4
REFUSED_COSINES = 2e-3
#: Jitter of positions that still counts as even: the larger of the two.
JITTER_MM = 0.01
JITTER_SHARE = 0.01
#: Positions written with one decimal at most may lie this far off, mm, but no further than this share of the step.
ROUNDED_MM = 0.1
ROUNDED_SHARE = 0.1
#: Evening out never makes steps finer than this share of the median step.
_FINEST_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Plane:
    """The in-plane axes of a slice: unit vectors along a row and a column, and spacing (rows, columns)."""

    row: Array
    column: Array
    spacing: tuple[float, float]
    deviation: float

    @property
    def normal(self) -> Array:
        """The direction in which slices are counted: x, y and it are right-handed."""
        return np.asarray(np.cross(self.row, self.column))

    @property
    def columns_of_affine(self) -> Array:
        """(3, 2): mm per row index, mm per column index."""
        return np.stack([self.column * self.spacing[0], self.row * self.spacing[1]], axis=1)


def plane_of(frames: Sequence[Frame]) -> tuple[Plane | None, tuple[Fault, ...]]:
    """The common plane of placed frames. None with a fault where cosines or spacing are beyond repair."""
    cosines = np.mean(np.array([f.orientation for f in frames], dtype=np.float64), axis=0)
    spacing = frames[0].pixel_spacing
    name = frames[0].header.path.name
    if spacing is None or np.any(spacing <= 0):
        told = None if spacing is None else spacing.tolist()
        return None, (Fault("geometry.zero_spacing", f"{name}: PixelSpacing is {told}; wanted two above 0"),)
    row, column = cosines[:3], cosines[3:]
    gram = np.array([np.linalg.norm(row) - 1, np.linalg.norm(column) - 1, row @ column])
    deviation = float(np.abs(gram).max())
    if deviation > REFUSED_COSINES:
        told = np.round(cosines, 5).tolist()
        detail = f"{name}: ImageOrientationPatient {told} is {deviation:.2g} off orthonormal"
        return None, (Fault("geometry.bad_affine", detail),)
    u, _, vt = np.linalg.svd(np.stack([row, column]), full_matrices=False)
    row, column = u @ vt
    plane = Plane(row, column, (float(spacing[0]), float(spacing[1])), deviation)
    if deviation <= NOTICEABLE_COSINES:
        return plane, ()
    detail = f"ImageOrientationPatient was {deviation:.2g} off orthonormal in {len(frames)} slices"
    return plane, (Fault("geometry.rounded_cosines", detail),)


@dataclass(frozen=True, eq=False)
class Evening:
    """How uneven slices would be brought onto even steps: from heights along the normal, mm, to a grid.

    heights  (n,) of the slices that are there, growing
    places   (m,) of the slices of ``grid``
    """

    heights: Array
    places: Array
    grid: Grid


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in order along the normal.

    frames   in array order
    grid     where the slices are even; else None, and ``faults`` say why
    evening  how they could be brought onto even steps by interpolation; None where that would be invention
    """

    frames: tuple[Frame, ...]
    grid: Grid | None
    faults: tuple[Fault, ...]
    evening: Evening | None = None


def tolerance_mm(step: float, positions: Array | None = None) -> float:
    """How far a position may lie off its even place; further where the header rounded ``positions``."""
    strict = max(JITTER_MM, JITTER_SHARE * abs(step))
    if positions is None or np.abs(positions * 10 - np.round(positions * 10)).max() > 1e-6:
        return strict
    return max(strict, min(ROUNDED_MM, ROUNDED_SHARE * abs(step)))


def in_order(frames: Sequence[Frame], plane: Plane) -> tuple[Frame, ...]:
    """Frames by their place along the normal, growing."""
    heights = np.array([f.position for f in frames], dtype=np.float64) @ plane.normal
    return tuple(frames[i] for i in np.argsort(heights, kind="stable"))


def stack_of(frames: Sequence[Frame], plane: Plane, frame_of_reference: str | None) -> Stack:
    """Order at least two frames of one plane by their place along its normal, and judge their steps."""
    ordered = in_order(frames, plane)
    positions = np.array([f.position for f in ordered], dtype=np.float64)
    step = (positions[-1] - positions[0]) / (len(frames) - 1)
    line = positions[0] + np.arange(len(frames))[:, None] * step
    rise = float(step @ plane.normal)
    shape = ordered[0].stored.shape[:2]
    off = float(np.abs(positions - line).max())
    if off > tolerance_mm(rise, positions):
        fault = _unevenness(positions, plane, ordered)
        evening = _evening(positions, plane, shape, frame_of_reference)
        return Stack(ordered, None, (fault,), evening)
    grid = grid_of(positions[0], step, plane, (len(frames), *shape), frame_of_reference)
    tilt = (_tilt(step, plane, ordered[0]),) if grid.is_sheared else ()
    return Stack(ordered, grid, (*_rounding(off, rise), *tilt))


def _rounding(off: float, rise: float) -> tuple[Fault, ...]:
    if off <= tolerance_mm(rise):
        return ()
    told = f"ImagePositionPatient, written with one decimal, lies up to {off:.3f} mm off steps of {rise:.4g} mm"
    return (Fault("geometry.rounded_positions", told),)


def grid_of(origin: Array, step: Array, plane: Plane, shape: tuple[int, ...], frame: str | None) -> Grid:
    """The grid of even slices: (z, y, x) to LPS mm."""
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1:3] = plane.columns_of_affine
    affine[:3, 3] = origin
    return Grid(shape, affine, frame_of_reference=frame)


def _tilt(step: Array, plane: Plane, frame: Frame) -> Fault:
    cosine = float(step @ plane.normal) / float(np.linalg.norm(step))
    degrees = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    told = frame.number("GantryDetectorTilt")
    header = "absent" if told is None else f"{told:g}"
    return Fault(
        "geometry.gantry_tilt",
        f"slices are stacked {degrees:.2f}° off their normal (GantryDetectorTilt: {header})",
    )


def _unevenness(positions: Array, plane: Plane, frames: Sequence[Frame]) -> Fault:
    """Gaps of whole multiples of the step are missing slices, unless more than half would be missing."""
    heights = positions @ plane.normal
    gaps = np.diff(heights)
    fitted = whole_steps(gaps, positions)
    lost = 0 if fitted is None else int(fitted[1].sum()) - len(gaps)
    if fitted is not None and 0 < lost <= len(frames) and _is_straight(positions, plane):
        counts = fitted[1]
        holes = [(int(i), int(counts[i]) - 1) for i in np.flatnonzero(counts > 1)]
        told = "; ".join(f"{n} after {frames[i].header.path.name} at {heights[i]:.2f} mm" for i, n in holes[:4])
        more = f" and {len(holes) - 4} more gaps" if len(holes) > 4 else ""
        return Fault("geometry.missing_slice", f"{lost} of {len(frames) + lost} slices are missing: {told}{more}")
    detail = (
        f"{len(frames)} slices have steps of {gaps.min():.3f} to {gaps.max():.3f} mm along the normal, "
        f"the widest after {heights[int(np.argmax(gaps))]:.2f} mm"
    )
    return Fault("geometry.uneven_spacing", detail)


def whole_steps(gaps: Array, positions: Array) -> tuple[float, Array] | None:
    """The step, mm, and how many of it each gap is; None where the gaps are no whole multiples of one step."""
    if gaps.min() <= 0:
        return None
    counts = np.round(gaps / base_step(gaps))
    step = float(gaps.sum() / counts.sum())
    off = np.abs(gaps - counts * step)
    return (step, counts) if np.all(off <= tolerance_mm(step, positions) * counts) else None


def base_step(gaps: Array) -> float:
    """The step that most gaps have, mm: the median of those near the smallest."""
    smallest = float(np.min(gaps))
    near = gaps[gaps <= smallest * 1.25 + JITTER_MM]
    return float(np.median(near))


def _is_straight(positions: Array, plane: Plane) -> bool:
    """Do the positions lie on one line, within half a pixel?"""
    span = positions[-1] - positions[0]
    rise = float(span @ plane.normal)
    if rise <= 0:
        return False
    share = ((positions - positions[0]) @ plane.normal) / rise
    aside = positions - positions[0] - share[:, None] * span
    return bool(np.linalg.norm(aside, axis=1).max() <= min(plane.spacing) / 2)


def _evening(positions: Array, plane: Plane, shape: tuple[int, ...], frame: str | None) -> Evening | None:
    """Even steps of the smallest size that occurs, but no finer than a quarter of the median one.

    None where the slices are not on one line, or where most of the result would be invented.
    """
    heights = positions @ plane.normal
    gaps = np.diff(heights)
    median = float(np.median(gaps))
    rise = float(heights[-1] - heights[0])
    if not _is_straight(positions, plane) or gaps.min() <= 0 or rise > 2 * len(gaps) * median:
        return None
    fitted = whole_steps(gaps, positions)
    step = max(base_step(gaps) if fitted is None else fitted[0], _FINEST_SHARE * median)
    count = int(np.floor(rise / step + JITTER_SHARE)) + 1
    places = np.minimum(heights[0] + np.arange(count) * step, heights[-1])
    vector = (positions[-1] - positions[0]) / rise * step
    return Evening(heights, places, grid_of(positions[0], vector, plane, (count, *shape), frame))
