"""MRI: a signal whose number has no absolute unit and differs between scanners, sequences and coils."""

from __future__ import annotations

from hexscope.modality.base import Modality
from hexscope.modality.facts import grey_or_colour

MR = Modality(
    code="MR",
    name="Magnetic resonance imaging",
    name_zh="磁共振成像",
    dicom=("MR",),
    guide="mr",
    stored=grey_or_colour,
    needs=("EchoTime", "RepetitionTime", "MagneticFieldStrength"),
)
