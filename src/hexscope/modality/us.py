"""Ultrasound: echoes, compressed for the eye. Millimetres only inside regions that the header calibrates."""

from __future__ import annotations

from hexscope.modality.base import Modality
from hexscope.modality.facts import grey_or_colour

US = Modality(
    code="US",
    name="Ultrasound",
    name_zh="超声",
    dicom=("US", "IVUS"),
    guide="us",
    stored=grey_or_colour,
    needs=("SequenceOfUltrasoundRegions",),
)
