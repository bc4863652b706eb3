"""The trunk: skin, fat, muscle wall, the hollow inside it, lungs, mediastinum and diaphragm.

All sizes are invented for this phantom, within the range of an adult; none was taken from a person.
"""

from __future__ import annotations

from hexscope.phantom.shape import Both, Column, Dome, Either, Ellipsoid, Half, Layer, Shape
from hexscope.phantom.tissue import Tissue

SKIN = Column(
    (
        (-230, 158, 112, 100),
        (-160, 156, 114, 98),
        (-100, 160, 114, 100),
        (-40, 165, 112, 106),
        (20, 169, 108, 111),
        (80, 170, 100, 112),
        (125, 166, 88, 106),
        (165, 150, 72, 92),
        (200, 120, 60, 80),
    )
)
MUSCLE = Column(
    (
        (-230, 134, 88, 84),
        (-160, 133, 91, 83),
        (-100, 140, 95, 86),
        (-40, 149, 97, 94),
        (20, 156, 95, 100),
        (80, 159, 89, 101),
        (125, 156, 78, 95),
        (165, 138, 62, 80),
        (200, 108, 50, 68),
    ),
    centre_x=1.0,
)
CAVITY = Column(
    (
        (-230, 116, 76, 58),
        (-160, 117, 80, 60),
        (-100, 128, 85, 70),
        (-40, 139, 87, 82),
        (20, 138, 85, 86),
        (80, 119, 73, 84),
        (115, 90, 57, 78),
        (140, 56, 38, 66),
        (155, 24, 20, 52),
    ),
    centre_x=1.5,
)
CAGE_GAP = 5.0
"""mm between the lung surface and the middle of a rib."""


def inset(column: Column, mm: float) -> Column:
    """The column with its wall moved inwards by `mm` (outwards if negative)."""
    rows = tuple((z, wide - mm, front - mm, back - mm) for z, wide, front, back in column.table)
    return Column(rows, column.centre_x, column.centre_y, column.power)


def below_diaphragm(gap: float) -> Shape:
    """The abdomen inside the chest wall, `gap` mm under the diaphragm; the right dome stands higher."""
    domes = (
        Dome(-2.0 - gap, -72.0, -8.0, 8.4, 10.2),
        Dome(-15.0 - gap, 74.0, -4.0, 8.6, 10.0),
        Dome(-16.0 - gap, 10.0, -30.0, 9.6, 9.4),
    )
    return Both((Either(domes), inset(CAVITY, gap)))


def wall_layers() -> list[Layer]:
    """Skin, fat and muscle, from the outside in."""
    return [
        Layer(Tissue.SKIN, SKIN),
        Layer(Tissue.FAT, inset(SKIN, 2.0)),
        Layer(Tissue.MUSCLE, MUSCLE),
        Layer(Tissue.FAT, inset(MUSCLE, 6.0)),  # the thin sheet of fat between two coats of muscle
        Layer(Tissue.MUSCLE, inset(MUSCLE, 7.3)),
    ]


def lung_layers() -> list[Layer]:
    """Both lungs filling the chest, and the fat of the mediastinum that parts them."""
    right = Ellipsoid((-62.0, 2.0, -10.0), (80.0, 98.0, 150.0), power=2.3)
    left = Ellipsoid((60.0, 4.0, -12.0), (82.0, 96.0, 147.0), power=2.3)
    return [
        Layer(Tissue.LUNG_RIGHT, Both((right, CAVITY, Half((1.0, 0.0, 0.0), 0.0)))),
        Layer(Tissue.LUNG_LEFT, Both((left, CAVITY, Half((-1.0, 0.0, 0.0), 0.0)))),
        Layer(Tissue.FAT, Ellipsoid((3.0, 8.0, 60.0), (24.0, 66.0, 125.0), power=2.5)),
        Layer(Tissue.FAT, Ellipsoid((2.0, -64.0, 50.0), (9.0, 34.0, 90.0))),
        Layer(Tissue.FAT, Ellipsoid((-12.0, 2.0, 78.0), (22.0, 26.0, 26.0))),  # bed of the lymph node
        Layer(Tissue.MUSCLE, Both((CAVITY, Half((0.0, 0.0, -1.0), -132.0))), over=(Tissue.FAT,)),
    ]


def diaphragm_layers() -> list[Layer]:
    """The thin muscle dome and the fat of the belly beneath it, in which the organs lie."""
    return [Layer(Tissue.MUSCLE, below_diaphragm(0.0)), Layer(Tissue.FAT, below_diaphragm(3.0))]
