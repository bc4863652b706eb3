from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from hexscope.core.transform import Certificate, Transform, rigid
from hexscope.errors import GeometryError
from tests.core.strategies import transforms

POINTS = np.array([[10.0, -20.0, 35.0], [0.0, 7.0, -3.0], [-120.0, 44.0, 80.5]])


@given(transforms(), transforms())
def test_compose_is_apply_in_turn(a: Transform, b: Transform) -> None:
    assert np.allclose((a @ b).points(POINTS), a.points(b.points(POINTS)), atol=1e-6)


@given(transforms())
def test_inverse_undoes(t: Transform) -> None:
    assert np.allclose((t @ t.inverse).matrix, np.eye(4), atol=1e-6)
    assert np.allclose(t.inverse.points(t.points(POINTS)), POINTS, atol=1e-6)


@given(transforms())
def test_rigid_keeps_distances(t: Transform) -> None:
    moved = t.points(POINTS)
    assert np.linalg.norm(moved[0] - moved[1]) == pytest.approx(np.linalg.norm(POINTS[0] - POINTS[1]))
    assert np.linalg.det(t.matrix[:3, :3]) == pytest.approx(1.0)


def test_rotation_about_a_centre_leaves_it() -> None:
    turn = rigid((10, 20, 30), (0, 0, 0), (5, 6, 7))
    assert turn.points((5, 6, 7)) == pytest.approx((5, 6, 7))
    quarter = rigid((0, 0, 90), (1, 2, 3), (0, 0, 0))
    assert quarter.points((10, 0, 0)) == pytest.approx((1, 12, 3))
    assert quarter.rotation_degrees == pytest.approx(90)


@pytest.mark.parametrize("matrix", [np.eye(3), np.zeros((4, 4)), np.full((4, 4), np.nan), np.diag([1, 1, 0, 1.0])])
def test_impossible_matrices_are_refused(matrix: np.ndarray) -> None:
    with pytest.raises(GeometryError):
        Transform(matrix)


def test_a_composition_carries_no_certificate() -> None:
    sure = Transform(np.eye(4), certificate=Certificate("accept", 0.9, ("fine",), (("overlap", 1.0),)))
    assert (sure @ sure).certificate is None
    assert sure.certificate is not None
    assert Certificate.from_json(sure.certificate.as_json()) == sure.certificate
