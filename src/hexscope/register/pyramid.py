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

#: Values are laid on this many steps between their 0.5th and 99.5th percentile.
_STEPS = 4096


@dataclass(frozen=True, eq=False)
class Level:
    """One resolution of an image.

    values   (z, y, x) float32 in 0..1
    affine   array index to LPS mm, 4 × 4
    """

    values: Floats
    affine: Array

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
    """Half the value, clipped at percentiles, and half its rank among all voxels: together 0..1.

    The value alone leaves two bins for fat and muscle where air and bone span the scale, as in CT; the rank alone
    makes much of noise in the background.
    """
    values = np.asarray(array, dtype=np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, np.float32(quantity.outside))
    some = slice(None, None, max(1, values.size // 1_000_000))
    low, high = np.percentile(values.ravel()[some], [0.5, 99.5])
    if high <= low:  # nearly all voxels alike: the few others carry what there is to see
        low, high = float(values.min()), float(values.max())
    scale = np.float32((_STEPS - 1) / max(high - low, 1e-12))
    steps = (np.clip(values - np.float32(low), 0, np.float32(high - low)) * scale).astype(np.int16)
    counts = np.bincount(steps.ravel()[some], minlength=_STEPS)
    rank = np.cumsum(counts) - counts / 2
    spread = (rank - rank[0]) / max(rank[-1] - rank[0], 1e-12)
    table = 0.5 * np.linspace(0, 1, _STEPS) + 0.5 * spread
    return np.asarray(table.astype(np.float32)[steps])


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
