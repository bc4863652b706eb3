"""What a scanner of the phantom hands over, and the grid it scans on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hexscope.phantom.anatomy import Affine, Patient


@dataclass(frozen=True, eq=False)
class Volume:
    """A stack of slices.

    Attributes:
        array: (z, y, x) float32.
        affine: 4x4, array index (z, y, x, 1) to LPS mm of the scanner's own frame of reference.
        unit: what a value is: "HU", "SUVbw", or "" where it has no unit.
        facts: DICOM keyword -> value, the physics that belongs in the header.
    """

    array: NDArray[np.float32]
    affine: Affine
    unit: str
    facts: Mapping[str, object]


@dataclass(frozen=True, eq=False)
class Plane:
    """A flat picture.

    Attributes:
        array: (y, x), unsigned integers.
        spacing_mm: (y, x) between pixel centres, in the plane that `facts` name (detector or patient).
        facts: DICOM keyword -> value.
        spots: lesion name -> (y, x) pixel of its centre in this picture.
    """

    array: NDArray[np.uint8] | NDArray[np.uint16]
    spacing_mm: tuple[float, float]
    facts: Mapping[str, object]
    spots: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class ScanGrid:
    """Where a scanner samples: voxel centres of a box of slices.

    Attributes:
        shape: (z, y, x) voxels.
        spacing_mm: (z, y, x).
        centre_mm: LPS mm of the middle of the box, in the scanner's frame.
        turn: 3x3 rotation of the box; its columns are the directions of x, y and slice axis in LPS.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    centre_mm: tuple[float, float, float]
    turn: NDArray[np.float64]

    @property
    def affine(self) -> Affine:
        """4x4, array index (z, y, x, 1) to LPS mm."""
        return self.refined((1, 1, 1))

    def refined(self, factors: tuple[int, int, int]) -> Affine:
        """The affine of the same box with each voxel cut into `factors` (z, y, x) parts."""
        axes = self.turn[:, ::-1] * (np.asarray(self.spacing_mm) / np.asarray(factors))
        middle = (np.asarray(self.shape) * np.asarray(factors) - 1.0) / 2.0
        affine = np.eye(4)
        affine[:3, :3] = axes
        affine[:3, 3] = np.asarray(self.centre_mm) - axes @ middle
        return affine


def sample(
    patient: Patient,
    grid: ScanGrid,
    table: NDArray[np.float32],
    factors: tuple[int, int, int],
    pose: Affine | None = None,
) -> NDArray[np.float32]:
    """Values by label on the grid refined by `factors`: (z, y, x) float32.

    Args:
        table: 256 values, indexed by label.
        pose: 4x4, the scanner's LPS mm to those of the CT; identity where None.
    """
    fine = tuple(size * factor for size, factor in zip(grid.shape, factors, strict=True))
    return table[patient.label_on(grid.refined(factors), fine, pose)]


def merge(fine: NDArray[np.float32], factors: tuple[int, int, int]) -> NDArray[np.float32]:
    """The mean over each block of `factors` (z, y, x) voxels: partial volume."""
    z, y, x = (size // factor for size, factor in zip(fine.shape, factors, strict=True))
    blocks = fine.reshape(z, factors[0], y, factors[1], x, factors[2])
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))
