"""Transform: named by what it does to points, from the moving image's space to the fixed image's.

``T = register(fixed, moving)``: ``T.points(p)`` takes moving LPS mm to fixed LPS mm. On disk it is written the
other way round, as ITK resamples (fixed to moving); `hexscope.io.transforms` alone knows that. What it is made of
stands in `hexscope.core.warp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array, Grid
from hexscope.core.jacobian import determinants, sd_log
from hexscope.core.warp import Affine, Part, Unwarp, Warp, merged, moved
from hexscope.errors import GeometryError

Verdict = Literal["accept", "review", "reject"]

#: From the least that a transform may do to the most: a composition is of the greater kind.
KINDS = ("identity", "rigid", "similarity", "affine", "deformable")

#: Points along each edge of a box whose faces a deformation bends.
_ALONG_EDGE = 17


@dataclass(frozen=True)
class Certificate:
    """How far to trust a registration: a verdict, a score in 0..1, the reasons (in Chinese too), and the evidence."""

    verdict: Verdict
    score: float
    reasons: tuple[str, ...]
    evidence: tuple[tuple[str, float], ...] = ()
    reasons_zh: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "score": round(self.score, 4),
            "reasons": list(self.reasons),
            "reasons_zh": list(self.reasons_zh),
            "evidence": {name: round(value, 5) for name, value in self.evidence},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Certificate:
        evidence = tuple((str(k), float(v)) for k, v in data.get("evidence", {}).items())
        return cls(
            data["verdict"], float(data["score"]), tuple(data["reasons"]), evidence, tuple(data.get("reasons_zh", ()))
        )


@dataclass(frozen=True, eq=False, init=False)
class Transform:
    """A map of LPS points, moving to fixed: affine parts and warps, one after the other.

    parts        what is done to a moving point, first to last
    kind         "identity", "rigid", "similarity", "affine" or "deformable"
    fixed_frame, moving_frame  frames of reference it joins, where known
    certificate  how far to trust it; None for a transform that nobody judged
    """

    parts: tuple[Part, ...]
    kind: str
    fixed_frame: str | None
    moving_frame: str | None
    certificate: Certificate | None
    steps: tuple[str, ...]

    def __init__(
        self,
        matrix: NDArray[Any] | None = None,
        kind: str = "affine",
        fixed_frame: str | None = None,
        moving_frame: str | None = None,
        certificate: Certificate | None = None,
        steps: tuple[str, ...] = (),
        *,
        parts: Sequence[Part] = (),
    ) -> None:
        """From a ``matrix`` (4 × 4, moving LPS mm to fixed LPS mm), or from ``parts``; of neither, the identity.

        Raises GeometryError for a matrix that is not finite, not affine, or singular.
        """
        chain = merged(parts) if matrix is None else (Affine(_checked(matrix)),)
        values = (chain, kind, fixed_frame, moving_frame, certificate, tuple(steps))
        for name, value in zip(self.__dataclass_fields__, values, strict=True):
            object.__setattr__(self, name, value)

    @classmethod
    def deformable(cls, matrix: NDArray[Any], warp: Warp, **more: Any) -> Transform:
        """What a deformable registration finds: back from fixed to moving it is x → matrix⁻¹ (x + u(x)).

        matrix  4 × 4, the affine part, moving to fixed
        warp    u, on the fixed grid
        more    frames, certificate and steps, as for a Transform
        """
        return cls(kind="deformable", parts=(Affine(_checked(matrix)), Unwarp(warp)), **more)

    # ---- where points go ----------------------------------------------------------------------------

    def points(self, points_mm: NDArray[Any] | Sequence[float]) -> Array:
        """Moving LPS mm (..., 3) to fixed LPS mm (..., 3).

        A warp is undone to 1e-4 mm; raises GeometryError where it folds and cannot be.
        """
        return moved(self.parts, points_mm)

    def boxes(self, boxes_mm: NDArray[Any] | Sequence[Any]) -> Array:
        """Moving boxes (..., 2, 3), least and greatest x, y, z in LPS mm, to the fixed boxes that hold them.

        Of a linear transform the corners are followed, of a deformable one a dense lattice on each box.
        """
        boxes = np.asarray(boxes_mm, dtype=np.float64)
        if boxes.shape[-2:] != (2, 3) or np.any(boxes[..., 0, :] > boxes[..., 1, :]):
            raise GeometryError(f"boxes are (..., 2, 3), least corner first; got {boxes.tolist()}")
        share = np.linspace(0.0, 1.0, 2 if self.is_linear else _ALONG_EDGE)
        lattice = np.stack(np.meshgrid(share, share, share, indexing="ij"), axis=-1).reshape(-1, 3)
        surface = lattice[np.any((lattice == 0) | (lattice == 1), axis=1)]
        low, high = boxes[..., :1, :], boxes[..., 1:, :]
        found = self.points(low + (high - low) * surface)
        return np.stack([found.min(axis=-2), found.max(axis=-2)], axis=-2)

    def displacement_mm(self, points_mm: NDArray[Any]) -> Array:
        """How far each moving point travels, (...,) in mm."""
        p = np.asarray(points_mm, dtype=np.float64)
        return np.asarray(np.linalg.norm(self.points(p) - p, axis=-1))

    @property
    def inverse(self) -> Transform:
        """The way back: fixed to moving."""
        backwards = tuple(part.inverse for part in reversed(self.parts))
        return replace(self, parts=backwards, fixed_frame=self.moving_frame, moving_frame=self.fixed_frame)

    def __matmul__(self, other: Transform) -> Transform:
        """``(A @ B).points(p) == A.points(B.points(p))``. The certificate is that of neither: it is dropped."""
        kind = max(self.kind, other.kind, key=KINDS.index)
        return Transform(None, kind, self.fixed_frame, other.moving_frame, parts=(*other.parts, *self.parts))

    # ---- linear ones --------------------------------------------------------------------------------

    @property
    def is_linear(self) -> bool:
        """Is it one matrix?"""
        return all(isinstance(part, Affine) for part in self.parts)

    @property
    def matrix(self) -> Array:
        """4 × 4, moving LPS mm to fixed LPS mm. Raises GeometryError for a deformable transform, which has none."""
        out = np.eye(4)
        for part in self.parts:
            if not isinstance(part, Affine):
                raise GeometryError("a deformable transform has no matrix; map points with points()")
            out = part.matrix @ out
        return out

    @property
    def resampling_matrix(self) -> Array | None:
        """4 × 4, fixed LPS mm to moving LPS mm, as it is written; None for a deformable transform."""
        return np.asarray(np.linalg.inv(self.matrix)) if self.is_linear else None

    @property
    def rotation_degrees(self) -> float:
        """Angle of the rotation nearest to the linear part. Raises GeometryError for a deformable transform."""
        u, _, vt = np.linalg.svd(self.matrix[:3, :3])
        trace = float(np.trace(u @ vt))
        return float(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))))

    def as_json(self) -> dict[str, Any]:
        """What the command line tells of it: the matrix as it is written, fixed to moving, or None where it deforms."""
        matrix = self.resampling_matrix
        return {
            "kind": self.kind,
            "matrix_lps": None if matrix is None else matrix.tolist(),
            "direction": "fixed_to_moving",
            "certificate": None if self.certificate is None else self.certificate.as_json(),
        }

    # ---- how it deforms -----------------------------------------------------------------------------

    @property
    def grid(self) -> Grid:
        """The grid of its first warp. Raises GeometryError for a linear transform, which needs none."""
        for part in self.parts:
            if not isinstance(part, Affine):
                return part.grid if isinstance(part, Warp) else part.warp.grid
        raise GeometryError("a linear transform has no grid of its own; name one")

    def jacobian(self, grid: Grid | None = None) -> NDArray[np.float32]:
        """Determinant of the fixed to moving map at each pixel of ``grid`` (of the warp's own, where it is left out).

        2 where a fixed voxel takes up twice its volume of the moving image; below 0 where the map folds.
        """
        return determinants(self.inverse.parts, grid or self.grid)[0]

    def folds(self, grid: Grid | None = None) -> int:
        """Pixels of ``grid`` at which space is turned over: one of the eight corner determinants is not above 0."""
        return int(np.count_nonzero(determinants(self.inverse.parts, grid or self.grid)[1] <= 0))

    def sd_log_jacobian(
        self, grid: Grid | None = None, *, inside: NDArray[np.bool_] | None = None, plus: float = 0.0
    ) -> float:
        """Standard deviation of log(J + plus) over ``grid``, or ``inside`` of it: how rough the map is.

        plus  3 for the figure of the Learn2Reg boards, which is not the standard deviation of log J
        """
        swelling = self.jacobian(grid)
        return sd_log(swelling if inside is None else swelling[inside], plus)


def _checked(matrix: NDArray[Any]) -> Array:
    given = np.array(matrix, dtype=np.float64)
    if given.shape != (4, 4) or not np.all(np.isfinite(given)) or not np.allclose(given[3], [0, 0, 0, 1]):
        raise GeometryError(f"a transform is a finite 4 × 4 matrix with last row 0 0 0 1; got {given.tolist()}")
    if abs(np.linalg.det(given[:3, :3])) < 1e-9:
        raise GeometryError("the transform is singular: it cannot be undone")
    return given


def rigid(
    rotation_xyz_degrees: Sequence[float], translation_mm: Sequence[float], center_mm: Sequence[float]
) -> Transform:
    """Rotation about ``center_mm`` by angles about x, then y, then z (fixed axes), then a translation."""
    ax, ay, az = np.radians(np.asarray(rotation_xyz_degrees, dtype=np.float64))
    cx, sx, cy, sy, cz, sz = np.cos(ax), np.sin(ax), np.cos(ay), np.sin(ay), np.cos(az), np.sin(az)
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = rz @ ry @ rx
    center = np.asarray(center_mm, dtype=np.float64)
    matrix[:3, 3] = center + np.asarray(translation_mm, dtype=np.float64) - matrix[:3, :3] @ center
    return Transform(matrix, "rigid")
