"""Transform: named by what it does to points, from the moving image's space to the fixed image's.

``T = register(fixed, moving)``: ``T.points(p)`` takes moving LPS mm to fixed LPS mm. On disk it is written the
other way round, as ITK resamples (fixed to moving); `hexscope.io.transforms` alone knows that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array
from hexscope.errors import GeometryError

Verdict = Literal["accept", "review", "reject"]


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


@dataclass(frozen=True, eq=False)
class Transform:
    """An affine map of LPS points, moving to fixed.

    matrix       4 × 4, moving LPS mm to fixed LPS mm
    kind         "identity", "rigid" or "affine"
    fixed_frame, moving_frame  frames of reference it joins, where known
    certificate  how far to trust it; None for a transform that nobody judged
    """

    matrix: Array = field(default_factory=lambda: np.eye(4))
    kind: str = "affine"
    fixed_frame: str | None = None
    moving_frame: str | None = None
    certificate: Certificate | None = None
    steps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)) or not np.allclose(matrix[3], [0, 0, 0, 1]):
            raise GeometryError(f"a transform is a finite 4 × 4 matrix with last row 0 0 0 1; got {matrix.tolist()}")
        if abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
            raise GeometryError("the transform is singular: it cannot be undone")
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    def points(self, points_mm: NDArray[Any] | Sequence[float]) -> Array:
        """Moving LPS mm (..., 3) to fixed LPS mm (..., 3)."""
        p = np.asarray(points_mm, dtype=np.float64)
        return np.asarray(p @ self.matrix[:3, :3].T + self.matrix[:3, 3])

    @property
    def inverse(self) -> Transform:
        """The way back: fixed to moving."""
        return replace(
            self,
            matrix=np.asarray(np.linalg.inv(self.matrix), dtype=np.float64),
            fixed_frame=self.moving_frame,
            moving_frame=self.fixed_frame,
        )

    def __matmul__(self, other: Transform) -> Transform:
        """``(A @ B).points(p) == A.points(B.points(p))``. The certificate is that of neither: it is dropped."""
        kinds = {self.kind, other.kind} - {"identity"}
        kind = "affine" if "affine" in kinds else next(iter(kinds), "identity")
        return Transform(self.matrix @ other.matrix, kind, self.fixed_frame, other.moving_frame)

    @property
    def rotation_degrees(self) -> float:
        """Angle of the rotation nearest to the linear part."""
        u, _, vt = np.linalg.svd(self.matrix[:3, :3])
        trace = float(np.trace(u @ vt))
        return float(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))))

    def displacement_mm(self, points_mm: NDArray[Any]) -> Array:
        """How far each moving point travels, (...,) in mm."""
        p = np.asarray(points_mm, dtype=np.float64)
        return np.asarray(np.linalg.norm(self.points(p) - p, axis=-1))


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
