"""Groups: the mean leans to none of them, and all land on it."""

from __future__ import annotations

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.transform import Transform, rigid
from hexscope.core.warp import Unwarp, Warp
from hexscope.errors import UsageError
from hexscope.register.groupwise import Group, _middle, mean_matrix, register_group
from tests.conftest import OBLIQUE
from tests.register import scene

FIXED = scene.grid((26, 32, 36), (4.0, 3.2, 3.1), OBLIQUE)
MOTIONS = (
    Transform(),
    rigid((9.0, -6.0, 4.0), (11.0, -8.0, 6.0), (0.0, 5.0, 95.0)),
    rigid((-5.0, 8.0, -7.0), (-6.0, 10.0, 5.0), (0.0, 5.0, 95.0)),
)


@pytest.fixture(scope="module")
def images() -> list[Image]:
    return [scene.seen(FIXED, motion) for motion in MOTIONS]


@pytest.fixture(scope="module")
def group(images: list[Image]) -> Group:
    return register_group(images)


def test_all_land_on_their_mean(group: Group, images: list[Image]) -> None:
    spots = scene.landmarks()
    there = [t.points(m.points(spots)) for t, m in zip(group.transforms, MOTIONS, strict=True)]
    assert np.linalg.norm(np.array(there) - np.mean(there, axis=0), axis=-1).max() < 1.0
    assert np.allclose(mean_matrix([t.matrix for t in group.transforms]), np.eye(4), atol=1e-6)
    assert all(t.certificate is not None and t.certificate.verdict == "accept" for t in group.transforms)
    assert group.mean.array.std() > 0.8 * images[0].array.std() / np.percentile(images[0].array, 99)


def test_the_order_is_no_matter(group: Group, images: list[Image]) -> None:
    first = [t.points(scene.landmarks()) for t in group.transforms]
    second = [t.points(scene.landmarks()) for t in register_group(images[::-1]).transforms][::-1]
    assert np.linalg.norm(np.array(first) - np.array(second), axis=-1).max() < 1.0


def test_onto_a_reference(images: list[Image]) -> None:
    group = register_group(images[1:], images[0])
    assert group.mean.grid.same_as(images[0].grid)
    for found, motion in zip(group.transforms, MOTIONS[1:], strict=True):
        assert scene.error_mm(found @ motion, Transform()) < 0.8


def test_the_mean_of_motions() -> None:
    pair = [rigid((0, 0, a), (b, 0, 0), (0, 0, 0)).matrix for a, b in ((10, 4), (30, 4))]
    middle = mean_matrix(pair)
    assert np.degrees(np.arctan2(middle[1, 0], middle[0, 0])) == pytest.approx(20)
    assert np.allclose(mean_matrix(pair[::-1]), middle)


def test_the_mean_deformation_is_undone(oblique_grid: Grid) -> None:
    """Two subjects bent by +u and by 3u: in the middle template each lies as far on either side."""
    field = np.full((*oblique_grid.shape, 3), (1.0, -0.5, 2.0), np.float32)
    transforms = [Transform(parts=(Unwarp(Warp(oblique_grid, k * field)),), kind="deformable") for k in (1.0, 3.0)]
    middle = Transform(parts=(_middle(transforms, oblique_grid),), kind="deformable")
    point = oblique_grid.center_mm
    there = [(middle @ t).points(point) - point for t in transforms]
    assert np.allclose(there[0], field[0, 0, 0], atol=1e-3) and np.allclose(there[1], -field[0, 0, 0], atol=1e-3)


def test_what_is_no_group(images: list[Image]) -> None:
    with pytest.raises(UsageError, match="two images or more"):
        register_group(images[:1])
    ct = Image.from_array(images[0].array, FIXED, modality="CT", quantity="HU")
    with pytest.raises(UsageError, match="reference="):
        register_group([images[0], ct])
