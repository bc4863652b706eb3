"""MRI: a signal whose number has no absolute unit and differs between scanners, sequences and coils."""

from __future__ import annotations

from hexscope.core.faults import Fault
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.modality.base import Modality, lacking
from hexscope.modality.facts import grey_or_colour

#: What tells one contrast from another; a header without them cannot say what its brightness means.
NEEDS = {"EchoTime": "(0018,0081)", "RepetitionTime": "(0018,0080)", "MagneticFieldStrength": "(0018,0087)"}


def audit(image: Image) -> tuple[Fault, ...]:
    """A signal without the settings it was made with. A map in a unit of its own (ADC) needs none of them."""
    return lacking(image, NEEDS) if image.quantity is Quantity.ARBITRARY else ()


MR = Modality(
    code="MR",
    name="Magnetic resonance imaging",
    name_zh="磁共振成像",
    dicom=("MR",),
    guide="mr",
    stored=grey_or_colour,
    needs=tuple(NEEDS),
    # Free water at body temperature diffuses at 3e-3; noise in a fit scatters around 0.
    plausible={Quantity.DIFFUSION: (-0.01, 0.05)},
    audit=audit,
)
