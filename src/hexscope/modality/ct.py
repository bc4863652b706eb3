"""CT: attenuation of X-rays in Hounsfield units, water 0 and air −1000."""

from __future__ import annotations

from hexscope.core.faults import Fault
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.modality.base import Facts, Modality, Window
from hexscope.modality.facts import number, text, words

#: Rescale Type (0028,1054) that stands for HU. It must be given where it is not HU, so absent means HU
#: (DICOM PS3.3 C.8.2.1); US is "unspecified", which older scanners write on plain HU images.
_HU_TYPES = ("", "HU", "US")


def stored(facts: Facts) -> Quantity:
    """HU where the header rescales to it; arbitrary for other maps (HU_MOD, Z_EFF …) and scouts."""
    rescaled = number(facts, "RescaleSlope") is not None and number(facts, "RescaleIntercept") is not None
    is_hu = text(facts, "RescaleType").upper() in _HU_TYPES
    is_scout = "LOCALIZER" in words(facts, "ImageType")
    return Quantity.HU if rescaled and is_hu and not is_scout else Quantity.ARBITRARY


def audit(image: Image) -> tuple[Fault, ...]:
    """Says so where a CT does not hold HU."""
    if image.quantity is Quantity.HU:
        return ()
    kind = text(image.facts, "RescaleType")
    slope = image.facts.get("RescaleSlope")
    got = f"Rescale Type is {kind}" if kind else f"Rescale Slope (0028,1053) is {slope or 'absent'}"
    return (Fault("value.unknown_rescale", f"{image.name or 'this CT'}: {got}; the numbers are not HU"),)


CT = Modality(
    code="CT",
    name="Computed tomography",
    name_zh="计算机断层成像",
    dicom=("CT",),
    guide="ct",
    stored=stored,
    windows=(
        Window("soft tissue", "软组织", -160.0, 240.0),
        Window("lung", "肺", -1350.0, 150.0),
        Window("bone", "骨", -500.0, 1500.0),
        Window("brain", "脑", 0.0, 80.0),
        Window("liver", "肝", -15.0, 135.0),
        Window("mediastinum", "纵隔", -125.0, 225.0),
        Window("angiography", "血管造影", 0.0, 600.0),
    ),
    # The low end holds the padding that scanners write outside the field of view (−1024, −2000, −2048,
    # −3024); the high end is metal on an extended scale (16 bits × slope 1 reach 32,767 − 1,024).
    plausible={Quantity.HU: (-3100.0, 31743.0)},
    needs=("RescaleSlope", "RescaleIntercept", "KVP"),
    working=Quantity.HU,
    audit=audit,
)
