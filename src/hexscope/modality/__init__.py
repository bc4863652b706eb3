"""The six modalities. A new one is one file and one line here."""

from __future__ import annotations

from hexscope.errors import UsageError
from hexscope.modality.base import Modality
from hexscope.modality.ct import CT
from hexscope.modality.mr import MR
from hexscope.modality.pathology import SM
from hexscope.modality.pet import PT
from hexscope.modality.us import US
from hexscope.modality.xray import XR

ALL: tuple[Modality, ...] = (MR, CT, XR, US, PT, SM)

_ALSO_CALLED = {"mri": MR, "x-ray": XR, "radiograph": XR, "ultrasound": US, "slide": SM}


def of_code(code: str) -> Modality | None:
    """The modality with Hexscope's own code ("CT", "XR" …), which is ``Image.modality``; None for "OT"."""
    return next((m for m in ALL if m.code == code), None)


def of_dicom(dicom_code: str) -> Modality | None:
    """The modality that a value of DICOM Modality (0008,0060) means; None for OT, SC and all others."""
    return next((m for m in ALL if dicom_code.strip().upper() in m.dicom), None)


def named(name: str) -> Modality:
    """The modality called ``name``: code, guide, DICOM value or an everyday word. UsageError lists them."""
    wanted = name.strip().lower()
    for modality in ALL:
        if wanted in (modality.code.lower(), modality.guide, *(d.lower() for d in modality.dicom)):
            return modality
    if wanted in _ALSO_CALLED:
        return _ALSO_CALLED[wanted]
    known = ", ".join(f"{m.guide} ({m.code})" for m in ALL)
    raise UsageError(f"unknown modality {name!r}; known are {known}")
