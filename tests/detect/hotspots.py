"""A small PET in SUVbw with three lesions whose truth is known, on a tilted grid."""

from __future__ import annotations

import numpy as np

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.transform import rigid

SHAPE, SPACING = (27, 34, 41), (4.0, 3.6, 3.3)
#: Offset from the middle of the grid (LPS mm), radius in mm, SUV. The last two are neighbours.
LESIONS = (((-35.0, 10.0, 20.0), 9.0, 12.0), ((20.0, -22.0, -15.0), 10.0, 9.0), ((45.0, -18.0, -15.0), 8.0, 7.0))


def grid() -> Grid:
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = SPACING
    affine[:3, 3] = [-80.0, 30.0, -410.0]
    affine[3, 3] = 1.0
    return Grid(SHAPE, rigid((6.0, -8.0, 11.0), (0, 0, 0), (10, 60, -300)).matrix @ affine)


def hotspots() -> tuple[Image, list[np.ndarray]]:
    """The image, and each lesion's voxels. Edges are a logistic step of about a voxel; background SUV 1."""
    g = grid()
    points = g.to_world(np.stack(np.indices(SHAPE), axis=-1)) - g.center_mm
    suv = np.random.default_rng(7).normal(1.0, 0.05, SHAPE)
    truth = []
    for center, radius, height in LESIONS:
        distance = np.linalg.norm(points - center, axis=-1)
        suv += (height - 1) / (1 + np.exp((distance - radius) / 1.2))
        truth.append(distance <= radius)
    image = Image.from_array(suv.astype(np.float32), g, modality="PT", quantity="SUVbw", name="hotspots")
    return image, truth
