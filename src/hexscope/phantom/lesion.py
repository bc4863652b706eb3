"""The lesions: where, how large, how hot. They are not bent with the organs: their truth is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hexscope.phantom.shape import Ellipsoid, Layer, Vector, turned
from hexscope.phantom.tissue import FIRST_LESION

Kind = Literal["lung nodule", "liver lesion", "lymph node"]

STATED_SIZE_MM = 8.0
"""Lesions of this diameter or more are to be found in PET; smaller ones drown in its point spread."""


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        name: a short name, unique in the patient.
        kind: what it is; scanners look its contrast up by this.
        label: its value in a label array.
        centre_mm: LPS mm in the frame of the CT.
        diameter_mm: of the sphere of equal volume.
        radii_mm: half axes of the ellipsoid that it is.
        turn_degrees: how that ellipsoid is turned about x, y, z.
        suv: SUVbw of its substance, before any blur: the true maximum.
        seen_in: modalities in which it can be told from what is around it.
    """

    name: str
    kind: Kind
    label: int
    centre_mm: Vector
    diameter_mm: float
    radii_mm: Vector
    turn_degrees: Vector
    suv: float
    seen_in: tuple[str, ...]

    @property
    def detectable(self) -> bool:
        """Whether it has at least the stated size."""
        return self.diameter_mm >= STATED_SIZE_MM

    @property
    def layer(self) -> Layer:
        """The lesion as a shape to paint."""
        return Layer(self.label, Ellipsoid(self.centre_mm, self.radii_mm, turned(self.turn_degrees)))


# name, kind, centre (LPS mm), diameter (mm), SUVbw, seen in
_PLAN: tuple[tuple[str, Kind, Vector, float, float, tuple[str, ...]], ...] = (
    ("nodule_right_upper", "lung nodule", (-86.0, -14.0, 62.0), 16.0, 8.5, ("CT", "PT", "XR")),
    ("nodule_left_lower", "lung nodule", (92.0, 34.0, 22.0), 12.0, 7.5, ("CT", "PT", "XR")),
    ("liver_right", "liver lesion", (-98.0, 16.0, -66.0), 26.0, 9.0, ("CT", "PT", "MR")),
    ("liver_left", "liver lesion", (-2.0, -52.0, -52.0), 16.0, 8.0, ("CT", "PT", "MR", "US")),
    ("node_mediastinum", "lymph node", (-20.0, 7.0, 78.0), 15.0, 11.0, ("CT", "PT")),
    ("nodule_tiny", "lung nodule", (-64.0, 48.0, 74.0), 5.0, 2.5, ("CT",)),
)


def plan_lesions(rng: np.random.Generator) -> tuple[Lesion, ...]:
    """The lesions of one patient: the plan, each moved by up to 2.5 mm an axis and made slightly oblong."""
    lesions = []
    for number, (name, kind, centre, diameter, suv, seen_in) in enumerate(_PLAN):
        moved = np.asarray(centre) + rng.uniform(-2.5, 2.5, 3)
        stretch = rng.uniform(0.9, 1.1, 2)
        factors = np.array([stretch[0], stretch[1], 1.0 / (stretch[0] * stretch[1])])  # the volume stays
        radii = diameter / 2.0 * factors
        turn = rng.uniform(-40.0, 40.0, 3)
        lesions.append(
            Lesion(
                name=name,
                kind=kind,
                label=FIRST_LESION + number,
                centre_mm=_rounded(moved),
                diameter_mm=diameter,
                radii_mm=_rounded(radii),
                turn_degrees=_rounded(turn),
                suv=suv,
                seen_in=seen_in,
            )
        )
    return tuple(lesions)


def _rounded(values: np.ndarray) -> Vector:
    """Three numbers to a thousandth, so that the truth file can hold them exactly."""
    x, y, z = (round(float(value), 3) for value in values)
    return (x, y, z)
