"""Heart, great vessels, airways, and the trees of vessels in lungs and liver."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hexscope.phantom.shape import Ellipsoid, Layer, Segment, Vector, along, tube
from hexscope.phantom.tissue import Tissue

_LUNGS = (Tissue.LUNG_RIGHT, Tissue.LUNG_LEFT)
_HEART_CENTRE = np.array([22.0, -32.0, 26.0])
_HEART_AXIS: Vector = (0.68, -0.52, -0.52)
"""From base to apex: to the left, forwards and down."""


def _place(offset_along: float, offset: Vector) -> Vector:
    """A point of the heart: mm along its axis from its centre, and then `offset` in LPS mm."""
    axis = np.asarray(_HEART_AXIS) / np.linalg.norm(_HEART_AXIS)
    x, y, z = _HEART_CENTRE + offset_along * axis + np.asarray(offset)
    return (float(x), float(y), float(z))


def heart_layers() -> list[Layer]:
    """Fat around the heart, its wall, the thick left ventricle, and four chambers of blood."""
    turn = along(_HEART_AXIS)
    left = _place(12.0, (9.0, 10.0, 1.0))
    return [
        Layer(Tissue.FAT, Ellipsoid(_place(0.0, (0.0, 0.0, 0.0)), (68.0, 51.0, 49.0), turn)),
        Layer(Tissue.HEART_WALL, Ellipsoid(_place(0.0, (0.0, 0.0, 0.0)), (63.0, 46.0, 44.0), turn)),
        Layer(Tissue.HEART_BLOOD, Ellipsoid(_place(6.0, (-11.0, -15.0, -2.0)), (45.0, 21.0, 27.0), turn)),
        Layer(Tissue.HEART_BLOOD, Ellipsoid(_place(-36.0, (-16.0, -2.0, -8.0)), (20.0, 24.0, 28.0), turn)),
        Layer(Tissue.HEART_BLOOD, Ellipsoid(_place(-34.0, (12.0, 20.0, 8.0)), (20.0, 21.0, 24.0), turn)),
        Layer(Tissue.LEFT_VENTRICLE, Ellipsoid(left, (45.0, 29.0, 28.0), turn)),
        Layer(Tissue.HEART_BLOOD, Ellipsoid(_place(6.0, (9.0, 10.0, 1.0)), (38.0, 18.5, 17.5), turn)),
    ]


def _pipe(label: Tissue, radii: tuple[float, ...], *path: Vector) -> list[Layer]:
    return [Layer(label, piece) for piece in tube(np.array(path), np.array(radii))]


def great_vessel_layers() -> list[Layer]:
    """Aorta, pulmonary arteries, great veins, gullet and airways, each a tube with radii in mm."""
    layers = _pipe(Tissue.OESOPHAGUS, (7.0,) * 4, (4, 31, 175), (5, 33, 60), (9, 30, 0), (16, 6, -38))
    layers += _pipe(Tissue.VESSEL, (9.0, 9.0, 10.0), (-24, -14, 104), (-26, -14, 70), (-22, -12, 30))
    layers += _pipe(
        Tissue.VESSEL, (10.0, 10.0, 10.5, 9.5), (-22, 8, 4), (-24, 14, -60), (-19, 14, -120), (-15, 9, -235)
    )
    layers += _pipe(Tissue.VESSEL, (5.5, 6.0, 9.0), (34, -16, 150), (6, -30, 112), (-24, -14, 102))
    layers += _pipe(Tissue.VESSEL, (13.0, 12.0, 9.5, 8.0), (8, -50, 52), (16, -22, 70), (40, 8, 66), (54, 14, 56))
    layers += _pipe(Tissue.VESSEL, (11.0, 10.0, 8.0), (16, -22, 70), (-14, -4, 58), (-48, 6, 48))
    layers += _pipe(Tissue.VESSEL, (8.0, 7.0), (-16, 4, 30), (-46, 10, 24))
    layers += _pipe(Tissue.VESSEL, (8.0, 7.0), (22, 2, 34), (52, 16, 26))
    layers += _pipe(Tissue.AORTA, (15.0, 15.0, 14.0), (4, -30, 44), (-12, -28, 74), (-6, -14, 94))
    layers += _pipe(Tissue.AORTA, (14.0, 13.5, 13.0, 12.5), (-6, -14, 94), (6, 2, 100), (17, 18, 92), (22, 25, 72))
    layers += _pipe(Tissue.AORTA, (12.5, 12.0, 11.0, 9.5), (22, 25, 72), (20, 25, -10), (9, 14, -110), (4, 4, -235))
    layers += _pipe(Tissue.VESSEL, (6.0, 5.5, 5.0), (-10, -18, 102), (-20, -6, 132), (-30, -6, 180))
    layers += _pipe(Tissue.VESSEL, (4.0, 4.0), (4, -2, 104), (18, -4, 180))
    layers += _pipe(Tissue.VESSEL, (4.5, 4.5, 4.5), (15, 14, 100), (26, 8, 136), (80, 4, 146))
    layers += _pipe(Tissue.AIRWAY, (8.5, 8.0, 8.0), (2, 14, 180), (1, 15, 110), (0, 15, 56))
    layers += _pipe(Tissue.AIRWAY, (7.0, 6.0, 4.0), (0, 15, 56), (-28, 15, 40), (-52, 18, 12))
    layers += _pipe(Tissue.AIRWAY, (6.5, 5.5, 4.0), (0, 15, 56), (38, 20, 38), (58, 26, 10))
    return layers


def _sprout(
    start: NDArray[np.float64],
    way: NDArray[np.float64],
    length: float,
    radius: float,
    thin: float,
    rng: np.random.Generator,
) -> list[Segment]:
    """A vessel and all that branches from it, until thinner than `thin` mm; two branches at each fork."""
    end = start + way * length
    tip = radius * 0.86
    pieces = [Segment((start[0], start[1], start[2]), (end[0], end[1], end[2]), radius, tip)]
    if tip <= thin:
        return pieces
    for share in (rng.uniform(0.78, 0.92), rng.uniform(0.6, 0.8)):
        bend = way + rng.normal(0.0, 0.42, 3)
        pieces += _sprout(end, bend / np.linalg.norm(bend), length * rng.uniform(0.72, 0.92), tip * share, thin, rng)
    return pieces


def _tree(
    root: Vector,
    ways: tuple[Vector, ...],
    length: float,
    radius: float,
    thin: float,
    rng: np.random.Generator,
) -> list[Segment]:
    """Several vessels that sprout from one root, each towards one of `ways`."""
    pieces: list[Segment] = []
    for way in ways:
        direction = np.asarray(way, dtype=np.float64)
        pieces += _sprout(
            np.asarray(root, dtype=np.float64),
            direction / np.linalg.norm(direction),
            length,
            radius,
            thin,
            rng,
        )
    return pieces


def lung_vessel_layers(rng: np.random.Generator) -> list[Layer]:
    """Branching vessels from the roots of both lungs, painted on lung only."""
    right = (
        (-0.5, -0.3, 0.9),
        (-0.9, -0.5, 0.1),
        (-0.7, 0.6, 0.2),
        (-0.6, -0.3, -0.8),
        (-0.5, 0.6, -0.8),
        (-0.3, 0.1, -1.0),
    )
    left = (
        (0.4, -0.4, 0.9),
        (0.8, -0.6, 0.2),
        (0.7, 0.6, 0.3),
        (0.8, 0.1, -0.5),
        (0.5, 0.6, -0.8),
        (0.3, 0.7, -0.6),
    )
    pieces = _tree((-46.0, 8.0, 40.0), right, 27.0, 5.6, 1.0, rng)
    pieces += _tree((53.0, 16.0, 44.0), left, 26.0, 5.4, 1.0, rng)
    return [Layer(Tissue.LUNG_VESSEL, piece, over=_LUNGS) for piece in pieces]


def liver_vessel_layers(rng: np.random.Generator) -> list[Layer]:
    """Portal vein and hepatic veins, painted on liver only."""
    portal = ((-0.9, 0.3, 0.1), (-0.8, -0.5, 0.4), (-0.7, 0.3, -0.6), (0.5, -0.8, 0.5))
    veins = ((-0.8, 0.3, -0.4), (-0.4, -0.6, -0.5), (0.4, -0.7, -0.3))
    pieces = _tree((-26.0, -12.0, -84.0), portal, 27.0, 5.5, 1.5, rng)
    pieces += _tree((-22.0, 8.0, -26.0), veins, 30.0, 5.0, 1.5, rng)
    return [Layer(Tissue.LIVER_VESSEL, piece, over=(Tissue.LIVER,)) for piece in pieces]
