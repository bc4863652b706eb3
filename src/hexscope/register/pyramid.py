"""Images made ready for comparison: values on a common 0..1 scale, smoothed and thinned to a resolution in mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Array
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.errors import GeometryError

Floats = NDArray[np.float32]

#: An axis is never thinned below this many voxels, nor may it start below _FEWEST.
_KEEP_VOXELS = 8
_FEWEST = 4

#: HU to 0..1. Half of the scale for the soft tissues, where a joint histogram has to tell fat from muscle; beyond
#: 1500 HU there is metal.
_HU_KNOTS = (-1000.0, -250.0, 250.0, 1500.0)
_HU_LEVELS = (0.0, 0.2, 0.8, 1.0)


@dataclass(frozen=True, eq=False)
class Level:
    """One resolution of an image.

    values   (z, y, x) float32 in 0..1
    affine   array index to LPS mm, 4 × 4
    """

    values: Floats
    affine: Array

    @property
    def extent_mm(self) -> Array:
        """Length of each axis between the outermost voxel centres, (3,)."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0) * (np.array(self.values.shape) - 1))

    @property
    def volume_mm3(self) -> float:
        """Volume between the outermost voxel centres; a sheared grid is measured right."""
        box = self.affine[:3, :3] * (np.array(self.values.shape) - 1)
        return float(abs(np.linalg.det(box)))

    @property
    def voxel_mm(self) -> float:
        """Cube root of the volume of a voxel."""
        return float(np.cbrt(abs(np.linalg.det(self.affine[:3, :3]))))

    @property
    def center_mm(self) -> Array:
        return self.world((np.array(self.values.shape) - 1) / 2)

    def world(self, index: NDArray[np.float64]) -> Array:
        """Array indices (..., 3) to LPS mm."""
        return np.asarray(index @ self.affine[:3, :3].T + self.affine[:3, 3])

    def corners_mm(self) -> Array:
        """The eight outermost voxel centres, LPS mm, (8, 3)."""
        ends = np.stack(np.meshgrid(*[(0, n - 1) for n in self.values.shape], indexing="ij"), axis=-1)
        return self.world(ends.reshape(-1, 3).astype(np.float64))


def prepare(image: Image) -> Level:
    """The image at its own resolution, values on 0..1. GeometryError where it is not one placed volume."""
    array = image.require_volume("registration")
    if min(array.shape) < _FEWEST:
        raise GeometryError(
            f"registration in space needs at least {_FEWEST} voxels along each axis; {image.name or 'the image'} has "
            f"shape {array.shape}. Register a stack of more slices."
        )
    return Level(_scaled(array, image.quantity), image.grid.require_affine("registration"))


def _scaled(array: NDArray[np.generic], quantity: Quantity) -> Floats:
    values = np.asarray(array, dtype=np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, np.float32(quantity.outside))
    if quantity is Quantity.HU:
        return np.interp(values, _HU_KNOTS, _HU_LEVELS).astype(np.float32)
    low, high = np.percentile(values, [0.5, 99.5])
    if high <= low:  # nearly all voxels alike: the few others carry what there is to see
        low, high = float(values.min()), float(values.max())
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)
    # Counts spread with the root of their mean: the root gives faint and hot regions like contrast.
    return np.asarray(np.sqrt(scaled) if _is_emission(quantity) else scaled, dtype=np.float32)


def _is_emission(quantity: Quantity) -> bool:
    return quantity.is_suv or quantity in (Quantity.BQML, Quantity.COUNTS)


def coarsen(level: Level, resolution_mm: float) -> Level:
    """Blurred to ``resolution_mm`` (per axis; finer axes only) and thinned by whole steps."""
    spacing = np.linalg.norm(level.affine[:3, :3], axis=0)
    ratio = np.maximum(resolution_mm / spacing, 1.0)
    blurred = ndimage.gaussian_filter(level.values, 0.5 * np.sqrt(ratio**2 - 1), mode="nearest", truncate=3.0)
    most = np.maximum(np.array(level.values.shape) // _KEEP_VOXELS, 1)
    stride = np.minimum(np.floor(ratio + 1e-6).astype(int), most)
    first = ((np.array(level.values.shape) - 1) % stride) // 2  # what is lost is shared by both ends
    thin = blurred[tuple(slice(int(a), None, int(s)) for a, s in zip(first, stride, strict=True))]
    affine = level.affine.copy()
    affine[:3, :3] *= stride
    affine[:3, 3] = level.world(first.astype(np.float64))
    return Level(np.ascontiguousarray(thin), affine)
