"""A small chest CT of simple shapes, tilted in the scanner, with a couch: the left lung is the smaller one."""

from __future__ import annotations

import numpy as np

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.transform import rigid

SHAPE, SPACING = (26, 62, 84), (8.0, 4.5, 4.0)


def grid() -> Grid:
    """Axes (z, y, x) up to a tilt of some degrees; the body's middle lies far from LPS zero."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = SPACING
    affine[:3, 3] = [-120.0, 40.0, -310.0]
    affine[3, 3] = 1.0
    return Grid(SHAPE, rigid((7.0, -5.0, 9.0), (0, 0, 0), (30, 150, -200)).matrix @ affine)


def torso() -> tuple[Image, dict[str, np.ndarray]]:
    """The image in HU and the truth by name."""
    g = grid()
    p = g.to_world(np.stack(np.indices(SHAPE), axis=-1)) - g.center_mm

    def ellipsoid(center: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
        return (((p - center) / radii) ** 2).sum(axis=-1) <= 1

    body = (p[..., 0] / 140) ** 2 + (p[..., 1] / 95) ** 2 <= 1
    left = ellipsoid((70, 0, 0), (42, 60, 75))
    right = ellipsoid((-62, -5, 5), (52, 65, 85))
    spine = (p[..., 0] / 16) ** 2 + ((p[..., 1] - 66) / 16) ** 2 <= 1
    couch = np.abs(p[..., 1] - 115) < 3
    rng = np.random.default_rng(5)
    hu = np.full(SHAPE, -1000.0)
    hu[couch] = 100
    hu[body] = 40
    hu[left | right] = -800
    hu[spine] = 400
    hu += rng.normal(0, 15, SHAPE)
    image = Image.from_array(hu.astype(np.float32), g, modality="CT", quantity="HU", name="torso")
    return image, {"body": body, "lung left": left, "lung right": right, "bone": spine}
