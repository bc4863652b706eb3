"""MRI: a signal whose number has no absolute unit and differs between scanners, sequences and coils."""

from __future__ import annotations

from hexscope.core.faults import Fault
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.modality.base import Modality, lacking
from hexscope.modality.facts import grey_or_colour

#: What tells one contrast from another; a header without them cannot say what its brightness means. Enhanced objects
#: name the echo time otherwise.
NEEDS = {"EchoTime": "(0018,0081)", "RepetitionTime": "(0018,0080)", "MagneticFieldStrength": "(0018,0087)"}


def audit(image: Image) -> tuple[Fault, ...]:
    """A signal without the settings it was made with. A map in a unit of its own (ADC) needs none of them."""
    if image.quantity is not Quantity.ARBITRARY:
        return ()
    told_otherwise = ("EchoTime",) if "EffectiveEchoTime" in image.facts else ()
    return lacking(image, {keyword: tag for keyword, tag in NEEDS.items() if keyword not in told_otherwise})


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
