"""What a registration may do to the moving image: the kinds of motion, each by its small changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hexscope.core.geometry import Array
from hexscope.errors import UsageError

#: Turns about x, y and z; growth; stretches and shears: together any linear change. Each has Frobenius norm 1.
_TURNS = (((2, 1), (1, 2)), ((0, 2), (2, 0)), ((1, 0), (0, 1)))


@dataclass(frozen=True, eq=False)
class Motion:
    """Degrees of freedom about a centre.

    linear  (k, 3, 3) small linear changes, orthonormal
    shifts  (m, 3) directions to shift along, orthonormal
    """

    linear: Array
    shifts: Array

    def __len__(self) -> int:
        return len(self.linear) + len(self.shifts)

    def gradient(self, force: Array, moment: Array, radius_mm: float) -> Array:
        """Slope along each degree of freedom, a linear change measured in mm at the radius.

        force   (3,) slope by a shift; moment  (3, 3) slope by a linear change
        """
        turned = self.linear.reshape(-1, 9) @ moment.ravel() / radius_mm
        return np.concatenate([turned, self.shifts @ force])

    def moved(self, matrix: Array, change_mm: Array, center_mm: Array, radius_mm: float) -> Array:
        """``matrix`` followed by a change about the image of ``center_mm``."""
        count = len(self.linear)
        linear = exponential((change_mm[:count] / radius_mm @ self.linear.reshape(-1, 9)).reshape(3, 3))
        center = matrix[:3, :3] @ center_mm + matrix[:3, 3]
        out = matrix.copy()
        out[:3, :3] = linear @ matrix[:3, :3]
        out[:3, 3] = center + change_mm[count:] @ self.shifts - out[:3, :3] @ center_mm
        return out


def motion(kind: str, *, flat: bool = False) -> Motion:
    """Rigid, similarity or affine; ``flat`` keeps it within the plane of x and y."""
    turns = np.zeros((3, 3, 3))
    for turn, (up, down) in zip(turns, _TURNS, strict=True):
        turn[up], turn[down] = np.sqrt(0.5), -np.sqrt(0.5)
    axes = np.diag([1.0, 1.0, 0.0 if flat else 1.0])
    growth = axes / np.linalg.norm(axes)
    linear = {
        "rigid": turns[2:] if flat else turns,
        "similarity": np.concatenate([turns[2:] if flat else turns, growth[None]]),
        "affine": np.einsum("ij,kl->ikjl", axes, axes).reshape(9, 3, 3),
    }
    if kind not in linear:
        raise UsageError(f"unknown kind of motion {kind!r}; known are {', '.join(linear)}")
    chosen = linear[kind]
    return Motion(chosen[np.any(chosen, axis=(1, 2))], axes[: 2 if flat else 3])


def exponential(small: Array) -> Array:
    """Matrix exponential of a 3 × 3 matrix of norm about 1 or less: a rotation for a skew one, never a mirror."""
    out = term = np.eye(3)
    for order in range(1, 16):
        term = term @ small / order
        out = out + term
        if np.abs(term).max() < 1e-17:
            break
    return out
