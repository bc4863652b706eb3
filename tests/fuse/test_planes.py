"""Right is on the left, front and head are up, whatever the axes of the array are."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.errors import GeometryError, UsageError
from hexscope.fuse import mip, plane, window
from tests.conftest import OBLIQUE

#: A bright ball near the right (−x), front (−y) and feet (−z) of the field.
BALL = np.array([-12.0, 31.0, 88.0])
CENTER = np.array([4.0, 41.0, 105.0])


def _ball(axes: np.ndarray, spacing: tuple[float, float, float]) -> Image:
    shape = (21, 25, 31)
    affine = np.eye(4)
    affine[:3, :3] = axes * np.array(spacing)
    affine[:3, 3] = CENTER - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    grid = Grid(shape, affine)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    apart = np.linalg.norm(grid.to_world(index) - BALL, axis=-1)
    return Image.from_array((100 * np.exp(-((apart / 5) ** 2))).astype(np.float32), grid)


UPRIGHT = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
TURNED = [
    UPRIGHT[:, list(order)] * np.array(sign) for order in permutations(range(3)) for sign in ((1, -1, 1), (-1, 1, -1))
]


@pytest.mark.parametrize("axes", [*TURNED, OBLIQUE], ids=lambda a: "".join(f"{v:+.0f}" for v in a.ravel()))
def test_hung_the_radiologists_way(axes: np.ndarray) -> None:
    image = _ball(axes, (2.4, 2.1, 1.9))
    for name, at, wanted in (("axial", 88.0, (0, 0)), ("coronal", 31.0, (1, 0)), ("sagittal", -12.0, (1, 0))):
        picture = plane(image, name, at)
        row, column = np.unravel_index(picture.argmax(), picture.shape)
        assert picture.max() > 80
        assert (row > picture.shape[0] / 2, column > picture.shape[1] / 2) == tuple(map(bool, wanted))
        projected = mip(image, name)
        assert np.unravel_index(projected.argmax(), projected.shape) == pytest.approx((row, column), abs=1)


def test_pixels_are_square_and_lie_where_they_say() -> None:
    image = _ball(UPRIGHT, (3.0, 0.7, 1.1))
    picture = plane(image, "coronal", spacing_mm=1.0)
    assert picture.shape == (61, 34)
    fine = plane(image, "axial", 90.0)
    assert fine.shape == (25, 48)
    assert plane(image, "axial").shape == fine.shape


def test_colour_and_labels(oblique_grid: Grid) -> None:
    colour = np.zeros((*oblique_grid.shape, 3), np.uint8)
    colour[..., 1] = 200
    image = Image.from_array(colour, oblique_grid, quantity="RGB", axes=("z", "y", "x", "c"))
    picture = plane(image, "axial")
    assert picture.ndim == 3 and picture.shape[-1] == 3 and (picture[..., 1] == 200).any()
    labels = np.zeros(oblique_grid.shape, np.uint16)
    labels[2, 3, 5] = 7
    shown = plane(Mask.from_array(labels, oblique_grid), "sagittal")
    assert set(np.unique(shown)) <= {0, 7}


def test_outside_there_is_air(oblique_ct: Image) -> None:
    corner = plane(oblique_ct, "axial")[0, 0]
    assert corner == -1000


def test_an_image_without_a_place_is_refused() -> None:
    with pytest.raises(GeometryError):
        plane(Image.from_array(np.zeros((5, 7, 11))), "axial")


def test_window() -> None:
    values = np.array([-200.0, -160.0, 40.0, 240.0, 900.0, np.nan, np.inf])
    assert window(values, -160, 240).tolist() == [0, 0, 0.5, 1, 1, 0, 1]
    with pytest.raises(UsageError, match="low to high"):
        window(values, 5, 5)
