"""What a Transform is made of: maps of LPS points, each with its inverse. Affine, Warp, and a Warp undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array, Grid
from hexscope.errors import GeometryError

#: A warp is undone to this, in mm; where it cannot be, it folds.
SOLVED_MM = 1e-4
_NEWTON_STEPS = 80
_BLOCK = 4096
_POINTS = 1 << 18
_FEWEST_POINTS = 4096


@dataclass(frozen=True, eq=False)
class Affine:
    """x → A x + t. matrix is (3, 4) or (4, 4); it may also lead from array indices or to them."""

    matrix: Array

    def __post_init__(self) -> None:
        matrix = np.eye(4)
        matrix[:3] = np.asarray(self.matrix, dtype=np.float64)[:3]
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    def move(self, points: Array) -> None:
        """Change points (n, 3), float64 and contiguous, in place."""
        from hexscope.kernels import sampling
        from hexscope.kernels.threads import share

        share(sampling.affine, len(points), points, self.matrix, least=_FEWEST_POINTS)

    @property
    def inverse(self) -> Affine:
        return Affine(np.asarray(np.linalg.inv(self.matrix), dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Warp:
    """x → x + u(x): a field of displacements, trilinear between pixel centres, its edge value held outside.

    grid             where the field is known; a plane may be one (displacements are looked up at the nearest point
                     of the plane)
    displacement_mm  (z, y, x, 3) or (y, x, 3) float32: x, y, z of LPS mm, on the grid

    Raises GeometryError where the field does not fit the grid, has no place, or is not finite.
    """

    grid: Grid
    displacement_mm: NDArray[np.float32]

    def __post_init__(self) -> None:
        self.grid.require_affine("a displacement field")
        field = np.ascontiguousarray(self.displacement_mm, dtype=np.float32).view()
        if field.shape != (*self.grid.shape, 3):
            raise GeometryError(
                f"a displacement field on a grid of {self.grid.shape} has shape {(*self.grid.shape, 3)}; "
                f"got {field.shape}"
            )
        if not np.isfinite(field.sum(dtype=np.float64)):
            raise GeometryError("the displacement field holds NaN or infinity")
        field.setflags(write=False)
        object.__setattr__(self, "displacement_mm", field)

    def move(self, points: Array) -> None:
        """Change points (n, 3), float64 and contiguous, in place."""
        from hexscope.kernels import sampling
        from hexscope.kernels.threads import share

        args = points, self._volume, to_index(self.grid)
        share(sampling.displace, len(points), *args, least=_FEWEST_POINTS)

    @property
    def inverse(self) -> Unwarp:
        return Unwarp(self)

    @property
    def _volume(self) -> NDArray[np.float32]:
        """(z, y, x, 3), a plane as a volume of one slice."""
        return self.displacement_mm.reshape(-1, *self.displacement_mm.shape[-3:])


@dataclass(frozen=True, eq=False)
class Unwarp:
    """A Warp undone: y → the x with x + u(x) = y, solved at each point, so that the two cancel exactly."""

    warp: Warp

    def move(self, points: Array) -> None:
        """Change points (n, 3), float64 and contiguous, in place. Raises GeometryError where the warp folds."""
        from hexscope.kernels import sampling
        from hexscope.kernels.threads import share

        blocks = -(-len(points) // _BLOCK)
        missed = np.empty(len(points), np.float32)
        within = (0.1 * SOLVED_MM) ** 2
        room = np.empty((blocks, 9, 3))
        args = points, self.warp._volume, to_index(self.warp.grid), within, _NEWTON_STEPS, room, missed, _BLOCK
        share(sampling.undisplace, blocks, *args, least=1)
        lost = int(np.count_nonzero(missed > SOLVED_MM))
        if lost:
            raise GeometryError(
                f"the deformation cannot be undone at {lost} of {len(points)} points (missed by up to "
                f"{float(missed.max()):.3g} mm): it folds there. Use its other direction, or make it smoother"
            )

    @property
    def inverse(self) -> Warp:
        return self.warp


Part = Affine | Warp | Unwarp


def to_index(grid: Grid) -> Array:
    """(3, 4): LPS mm to array index (z, y, x); z of a plane is 0."""
    affine = grid.require_affine("an index of a position")
    inverse = np.linalg.pinv(affine[:3, :-1])
    matrix = np.zeros((3, 4))
    matrix[-grid.ndim :, :3] = inverse
    matrix[-grid.ndim :, 3] = -inverse @ affine[:3, -1]
    return matrix


def from_index(grid: Grid) -> Array:
    """(3, 4): array index (z, y, x) to LPS mm; z of a plane counts for nothing."""
    affine = grid.require_affine("a position in mm")
    matrix = np.zeros((3, 4))
    matrix[:, -grid.ndim - 1 :] = affine[:3]
    return matrix


def merged(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The same map with neighbouring affine parts made one, and a warp next to its own undoing left out."""
    done: list[Part] = []
    for part in parts:
        last = done[-1] if done else None
        if isinstance(part, Affine) and isinstance(last, Affine):
            done[-1] = Affine(part.matrix @ last.matrix)
        elif _cancel(last, part):
            done.pop()
        elif len(done) > 1 and _stays(done[-1]) and _cancel(done[-2], part):
            del done[-2:]
        else:
            done.append(part)
    return tuple(done)


def _stays(part: Part) -> bool:
    return isinstance(part, Affine) and np.allclose(part.matrix, np.eye(4), rtol=0, atol=1e-10)


def _cancel(first: Part | None, second: Part) -> bool:
    if isinstance(first, Unwarp) and isinstance(second, Warp):
        return first.warp is second
    return isinstance(first, Warp) and isinstance(second, Unwarp) and second.warp is first


def moved(parts: Sequence[Part], points_mm: NDArray[Any] | Sequence[float]) -> Array:
    """Points (..., 3) after all parts, first to last."""
    given = np.asarray(points_mm, dtype=np.float64)
    points = np.array(given.reshape(-1, 3), order="C")
    for part in parts:
        part.move(points)
    return points.reshape(given.shape)


def sampled(parts: Sequence[Part], grid: Grid) -> Warp:
    """The whole map as one field on ``grid``: exact at its pixels, and between them where the map is a warp on that
    very grid with only affine parts after it. Raises GeometryError where a warp that is undone folds."""
    index = np.stack([np.zeros(grid.shape[-1])] * 3, axis=1)
    field = np.empty((*grid.shape, 3), np.float32)
    rows = field.reshape(-1, grid.shape[-1], 3)
    index[:, 2] = np.arange(grid.shape[-1])
    matrix = from_index(grid)
    at_once = max(1, _POINTS // grid.shape[-1])
    for first in range(0, len(rows), at_once):
        last = min(first + at_once, len(rows))
        numbers = np.divmod(np.arange(first, last, dtype=np.float64), grid.shape[-2])
        here = np.repeat(index[None], last - first, axis=0)
        here[..., 0], here[..., 1] = numbers[0][:, None], numbers[1][:, None]
        start = here @ matrix[:, :3].T + matrix[:, 3]
        rows[first:last] = moved(parts, start) - start
    return Warp(grid, field)
