"""Where pixels lie: the Grid, and the one place that knows LPS from RAS.

World coordinates are DICOM's: LPS (x to the patient's left, y to posterior, z to superior), millimetres,
float64. Arrays are in memory order, (z, y, x) or (y, x). A Grid's affine maps an array index in that order
to LPS mm. See ``docs/conventions.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import GeometryError, UncalibratedError

Array = NDArray[np.float64]
Plane = Literal["patient", "detector", "slide", "unknown"]

#: Two grids whose voxel centres all lie closer than this are the same grid, in mm.
SAME_GRID_TOLERANCE_MM = 1e-3


def flip_lps_ras(matrix_or_points: NDArray[Any]) -> Array:
    """Turn LPS into RAS or back: the same flip of x and y does both.

    Takes points (..., 3), or an affine with 4 rows whose rows are world x, y, z, 1.
    """
    a = np.array(matrix_or_points, dtype=np.float64)
    if a.ndim == 2 and a.shape[0] == 4:
        a[:2] *= -1.0
        return a
    if a.shape[-1] != 3:
        raise GeometryError(f"points are (..., 3) and affines have 4 rows; got shape {a.shape}")
    a[..., :2] *= -1.0
    return a


def reverse_axes(affine: NDArray[Any]) -> Array:
    """Exchange (z, y, x) index order with (i, j, k) = (x, y, z), as NIfTI and ITK count; its own inverse."""
    a = np.asarray(affine, dtype=np.float64)
    n = a.shape[1] - 1
    return a[:, [*range(n - 1, -1, -1), n]].copy()


@dataclass(frozen=True, eq=False)
class Grid:
    """A lattice of pixel centres, without pixels.

    shape               spatial axes only, in array order: (z, y, x) or (y, x)
    affine              (4, n + 1), array index (in array order, then 1) to LPS mm; None where the file
                        does not say where the patient was (PNG, ultrasound, a plain slide)
    spacing_mm          distance between neighbours along each array axis. Follows from the affine where there
                        is one; else what the file says; None where it does not say. Never a made-up 1.
    plane               what the mm are measured in: "patient", the X-ray "detector" plane (magnified), the
                        "slide", or "unknown"
    frame_of_reference  DICOM Frame of Reference UID; only grids that share it, or that a Transform joins,
                        may be compared point by point
    """

    shape: tuple[int, ...]
    affine: Array | None = None
    spacing_mm: tuple[float, ...] | None = None
    plane: Plane = "patient"
    frame_of_reference: str | None = None

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise GeometryError(f"a grid has 2 or 3 spatial axes of at least 1 pixel; got shape {shape}")
        object.__setattr__(self, "shape", shape)
        if self.affine is not None:
            self._accept_affine(np.array(self.affine, dtype=np.float64))
        if self.spacing_mm is not None:
            self._accept_spacing(tuple(float(s) for s in self.spacing_mm))

    def _accept_affine(self, affine: Array) -> None:
        n = len(self.shape)
        if affine.shape != (4, n + 1):
            raise GeometryError(f"a grid of {n} axes needs a (4, {n + 1}) affine; got {affine.shape}")
        if not np.all(np.isfinite(affine)):
            raise GeometryError("the affine holds NaN or infinity", code="geometry.bad_affine")
        columns = affine[:3, :n]
        steps = np.linalg.norm(columns, axis=0)
        if np.any(steps <= 0) or np.linalg.matrix_rank(columns / np.where(steps > 0, steps, 1)) < n:
            raise GeometryError(
                f"the axes of the affine are zero or parallel (steps {steps.tolist()} mm)",
                code="geometry.bad_affine",
            )
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "spacing_mm", tuple(float(s) for s in steps))

    def _accept_spacing(self, spacing: tuple[float, ...]) -> None:
        if len(spacing) != len(self.shape):
            raise GeometryError(f"spacing {spacing} does not fit shape {self.shape}; give one value an axis")
        if not all(np.isfinite(s) and s > 0 for s in spacing):
            raise GeometryError(f"spacing must be positive, in mm; got {spacing}", code="geometry.zero_spacing")
        object.__setattr__(self, "spacing_mm", spacing)

    # ---- what it says -------------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """mm along each array axis, or None where the file does not say."""
        return self.spacing_mm

    @property
    def affine_lps_mm(self) -> Array | None:
        """4 × 4 matrix from array index (z, y, x, 1) to LPS mm; None unless the grid is a placed volume."""
        return self.affine if self.ndim == 3 else None

    @cached_property
    def voxel_volume_ml(self) -> float | None:
        """Volume of one voxel, or None for planes and uncalibrated grids. A sheared grid is measured right."""
        if self.ndim != 3 or self.spacing_mm is None:
            return None
        if self.affine is None:
            return float(np.prod(self.spacing_mm)) / 1000.0
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def require_spacing(self, purpose: str) -> tuple[float, ...]:
        """The spacing, or an UncalibratedError that says what cannot be done without it."""
        if self.spacing_mm is None:
            raise UncalibratedError(
                f"{purpose} needs a spacing, and the file gives none. Pass spacing_mm= to read() "
                "(--spacing-mm z,y,x on the command line), or ask for pixels.",
                code="geometry.no_spacing",
            )
        return self.spacing_mm

    def require_affine(self, purpose: str) -> Array:
        """The affine, or an UncalibratedError that says what cannot be done without it."""
        if self.affine is None:
            raise UncalibratedError(
                f"{purpose} needs to know where the image lies in the patient, and the file does not say.",
                code="geometry.no_position",
            )
        return self.affine

    def placed(self, purpose: str) -> Grid:
        """The grid with a place. A plane whose file names none becomes its own world: x along its rows, y down, in mm
        from its first pixel.

        Raises UncalibratedError for a plane without a spacing, and for a volume without a place.
        """
        if self.affine is None and self.ndim == 2:
            down, right = self.require_spacing(purpose)
            affine = np.array([[0.0, right, 0.0], [down, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
            return replace(self, affine=affine)
        self.require_affine(purpose)
        return self

    def as_slice(self) -> Grid:
        """A placed plane as a volume of one slice, as thick as its pixels are small; a volume as it is."""
        if self.ndim == 3:
            return self
        affine = self.require_affine("a slice")
        normal = np.cross(affine[:3, 0], affine[:3, 1])
        thick = np.zeros((4, 4))
        thick[:3, 0] = normal * (min(self.require_spacing("a slice")) / np.linalg.norm(normal))
        thick[:, 1:] = affine
        return replace(self, shape=(1, *self.shape), affine=thick)

    # ---- indices and points -------------------------------------------------------------------------

    def to_world(self, index: NDArray[Any] | Sequence[float]) -> Array:
        """Array indices (..., n), in array order, to LPS mm (..., 3)."""
        affine = self.require_affine("a position in mm")
        i = np.asarray(index, dtype=np.float64)
        return np.asarray(i @ affine[:3, :-1].T + affine[:3, -1])

    def to_index(self, points_mm: NDArray[Any] | Sequence[float]) -> Array:
        """LPS mm (..., 3) to fractional array indices (..., n). For a plane: of the nearest point in it."""
        affine = self.require_affine("an index of a position")
        p = np.asarray(points_mm, dtype=np.float64) - affine[:3, -1]
        return np.asarray(p @ np.linalg.pinv(affine[:3, :-1]).T)

    @property
    def center_mm(self) -> Array:
        """LPS position of the middle of the grid, (3,)."""
        return self.to_world((np.array(self.shape) - 1) / 2)

    def corners_mm(self) -> Array:
        """LPS positions of the outermost voxel centres, (2**n, 3)."""
        ends = [(0, n - 1) for n in self.shape]
        index = np.stack([m.ravel() for m in np.meshgrid(*ends, indexing="ij")], axis=1)
        return self.to_world(index)

    # ---- grids from grids: no world point moves -----------------------------------------------------

    def crop(self, start: Sequence[int], stop: Sequence[int]) -> Grid:
        """The part from ``start`` up to, not including, ``stop``, both in array order."""
        if any(not 0 <= a < b <= n for a, b, n in zip(start, stop, self.shape, strict=True)):
            raise GeometryError(f"crop {tuple(start)} to {tuple(stop)} does not fit shape {self.shape}")
        shape = tuple(b - a for a, b in zip(start, stop, strict=True))
        if self.affine is None:
            return replace(self, shape=shape)
        affine = self.affine.copy()
        affine[:3, -1] = self.to_world(start)
        return replace(self, shape=shape, affine=affine)

    def flip(self, axis: int) -> Grid:
        """Count ``axis`` from its other end, as ``np.flip`` does to the array."""
        if self.affine is None:
            return self
        first = np.zeros(self.ndim)
        first[axis] = self.shape[axis] - 1
        affine = self.affine.copy()
        affine[:3, -1] = self.to_world(first)
        affine[:3, axis] *= -1
        return replace(self, affine=affine)

    def permute(self, order: Sequence[int]) -> Grid:
        """Reorder the axes, as ``np.transpose`` does to the array."""
        shape = tuple(self.shape[i] for i in order)
        if self.affine is not None:
            return replace(self, shape=shape, affine=self.affine[:, [*order, self.ndim]])
        spacing = self.spacing_mm and tuple(self.spacing_mm[i] for i in order)
        return replace(self, shape=shape, spacing_mm=spacing)

    def with_spacing(self, spacing_mm: Sequence[float]) -> Grid:
        """A grid over the same extent (pixel edges, not centres) at another spacing."""
        old = self.require_spacing("a change of spacing")
        new = np.array(spacing_mm, dtype=np.float64)
        extent = np.array(self.shape) * old
        shape = tuple(int(n) for n in np.maximum(1, np.round(extent / new)))
        return self.with_shape(shape, spacing_mm=tuple(new))

    def with_shape(self, shape: Sequence[int], *, spacing_mm: Sequence[float] | None = None) -> Grid:
        """A grid of ``shape`` with the same centre; its spacing keeps the extent unless it is given."""
        old = np.array(self.shape, dtype=np.float64)
        if spacing_mm is None:
            if self.spacing_mm is None:
                return replace(self, shape=tuple(shape))
            ratio = old / np.array(shape)
        else:
            ratio = np.array(spacing_mm) / np.array(self.require_spacing("a change of spacing"))
        if self.affine is None:
            base = np.array(self.spacing_mm)
            return replace(self, shape=tuple(shape), spacing_mm=tuple(base * ratio))
        affine = self.affine.copy()
        affine[:3, :-1] *= ratio
        affine[:3, -1] = self.center_mm - affine[:3, :-1] @ ((np.array(shape) - 1) / 2)
        return replace(self, shape=tuple(shape), affine=affine)

    def calibrated(self, spacing_mm: Sequence[float]) -> Grid:
        """The same pixels with a spacing that the user vouches for. Refused where the file already says."""
        if self.spacing_mm is not None and not np.allclose(self.spacing_mm, spacing_mm, rtol=1e-3):
            raise GeometryError(
                f"the file says its spacing is {self.spacing_mm} mm; {tuple(spacing_mm)} was passed. "
                "Leave spacing_mm out, or mend the file.",
                code="geometry.spacing_conflict",
            )
        return self if self.spacing_mm else replace(self, spacing_mm=tuple(spacing_mm))

    # ---- comparison ---------------------------------------------------------------------------------

    def same_frame(self, other: Grid) -> bool | None:
        """True or False where both name their frame of reference; None where one is silent."""
        if self.frame_of_reference is None or other.frame_of_reference is None:
            return None
        return self.frame_of_reference == other.frame_of_reference

    def same_as(self, other: Grid, tolerance_mm: float = SAME_GRID_TOLERANCE_MM) -> bool:
        """Do all pixel centres coincide?"""
        if self.shape != other.shape or self.same_frame(other) is False:
            return False
        if self.affine is None or other.affine is None:
            return self.affine is other.affine and self.spacing_mm == other.spacing_mm
        return bool(np.abs(self.corners_mm() - other.corners_mm()).max() <= tolerance_mm)

    def patient_order(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """How to turn a placed volume so that its axes run (superior, posterior, left), by transposition and flips.

        (order, turned): ``np.flip(np.transpose(array, order), turned)``; each patient axis takes the array axis that
        runs most along it.
        """
        affine = self.require_affine("an order by the patient's axes")
        world = affine[[2, 1, 0], :3] / np.linalg.norm(affine[:3, :3], axis=0)  # rows: S, P, L; columns: array axes
        order = max(permutations(range(3)), key=lambda p: sum(abs(world[row, axis]) for row, axis in enumerate(p)))
        turned = tuple(row for row, axis in enumerate(order) if world[row, axis] < 0)
        return order, turned

    @property
    def is_sheared(self) -> bool:
        """Are two axes not at right angles (a tilted gantry, say)? By more than 0.05 degrees."""
        if self.affine is None:
            return False
        axes = self.affine[:3, :-1] / np.linalg.norm(self.affine[:3, :-1], axis=0)
        gram = axes.T @ axes
        return bool(np.abs(gram - np.eye(self.ndim)).max() > np.sin(np.radians(0.05)))
