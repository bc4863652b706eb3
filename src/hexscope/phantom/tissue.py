"""The tissues of the digital patient: one small integer each, the value that a label array holds.

What a tissue looks like (HU, relaxation times, uptake, echo) stands with the scanner that sees it, not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Tissue(IntEnum):
    """What a point of the patient is made of, as uint8; lesions follow from `FIRST_LESION` on."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    LUNG_RIGHT = 4
    LUNG_LEFT = 5
    AIRWAY = 6
    LUNG_VESSEL = 7
    HEART_WALL = 8
    LEFT_VENTRICLE = 9
    HEART_BLOOD = 10
    AORTA = 11
    VESSEL = 12
    LIVER = 13
    LIVER_VESSEL = 14
    GALLBLADDER = 15
    SPLEEN = 16
    STOMACH_WALL = 17
    STOMACH_CONTENT = 18
    BOWEL_WALL = 19
    BOWEL_CONTENT = 20
    GAS = 21
    PANCREAS = 22
    KIDNEY_RIGHT = 23
    KIDNEY_LEFT = 24
    RENAL_PELVIS = 25
    BONE = 26
    MARROW = 27
    CARTILAGE = 28
    CORD = 29
    FLUID = 30
    OESOPHAGUS = 31


FIRST_LESION = 100
"""Label of the first lesion; lesion `i` has label `FIRST_LESION + i`."""

ORGANS: Mapping[str, tuple[Tissue, ...]] = {
    "lung_right": (Tissue.LUNG_RIGHT,),
    "lung_left": (Tissue.LUNG_LEFT,),
    "heart": (Tissue.HEART_WALL, Tissue.LEFT_VENTRICLE, Tissue.HEART_BLOOD),
    "aorta": (Tissue.AORTA,),
    "liver": (Tissue.LIVER, Tissue.LIVER_VESSEL),
    "gallbladder": (Tissue.GALLBLADDER,),
    "spleen": (Tissue.SPLEEN,),
    "stomach": (Tissue.STOMACH_WALL, Tissue.STOMACH_CONTENT),
    "pancreas": (Tissue.PANCREAS,),
    "kidney_right": (Tissue.KIDNEY_RIGHT,),
    "kidney_left": (Tissue.KIDNEY_LEFT,),
    "bone": (Tissue.BONE, Tissue.MARROW),
}
"""The organs whose volumes the truth file states, each with the tissues it is made of (without its lesions).
"""


def lookup(values: Mapping[Tissue, float]) -> NDArray[np.float32]:
    """A table of 256 values, indexed by label; tissues that `values` does not name are refused.

    Raises:
        ValueError: if a tissue is missing, so that a new tissue cannot be forgotten by a scanner.
    """
    missing = [tissue.name for tissue in Tissue if tissue not in values]
    if missing:
        raise ValueError(f"a value is wanted for each tissue; missing: {', '.join(missing)}")
    table = np.zeros(256, dtype=np.float32)
    for tissue, value in values.items():
        table[tissue] = value
    return table
