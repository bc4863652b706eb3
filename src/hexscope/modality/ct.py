"""CT: attenuation of X-rays in Hounsfield units, water 0 and air −1000."""

from __future__ import annotations

from hexscope.core.faults import Fault
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.modality.base import Facts, Modality, Window
from hexscope.modality.facts import number, text, words

RESCALE = {"RescaleSlope": "(0028,1053)", "RescaleIntercept": "(0028,1052)"}
#: Rescale Type (0028,1054) and Modality LUT Type (0028,3004) other than HU, DICOM PS3.3 C.11.1.1.2.
_OTHER_TYPES = {
    "US": "unspecified",
    "OD": "thousandths of optical density",
    "HU_MOD": "modified Hounsfield units",
    "MGML": "mg/ml",
    "Z_EFF": "effective atomic number",
    "ED": "electron density in 10^23/ml",
    "EDW": "electron density relative to water",
    "PCT": "percent",
}


def stored(facts: Facts) -> Quantity:
    """HU where the header rescales to it; arbitrary for other maps (HU_MOD, Z_EFF …) and scouts.

    Rescale Type must be given where it is not HU, so absent means HU (DICOM PS3.3 C.8.2.1). US is "unspecified",
    which older scanners write on plain HU images: it counts as HU unless the image is derived, and is told.
    """
    kind = _type(facts)
    image_type = words(facts, "ImageType")
    if "LOCALIZER" in image_type or not _is_rescaled(facts):
        return Quantity.ARBITRARY
    is_hu = kind in ("", "HU") or (kind == "US" and "DERIVED" not in image_type)
    return Quantity.HU if is_hu else Quantity.ARBITRARY


def _type(facts: Facts) -> str:
    return (text(facts, "ModalityLUTType") or text(facts, "RescaleType")).upper()


def _is_rescaled(facts: Facts) -> bool:
    """By slope and intercept, or by a Modality LUT, which must name its unit."""
    if text(facts, "ModalityLUTType"):
        return True
    return number(facts, "RescaleSlope") is not None and number(facts, "RescaleIntercept") is not None


def audit(image: Image) -> tuple[Fault, ...]:
    """Says so where a CT does not hold HU, or where that had to be taken on trust."""
    name, facts = image.name or "this CT", image.facts
    kind = _type(facts)
    if image.quantity is Quantity.HU:
        told = Fault("value.assumed_hu", f"{name}: Rescale Type (0028,1054) is US")
        return (told,) if kind == "US" else ()
    if image.quantity is not Quantity.ARBITRARY:
        return ()
    absent = [f"{k} {tag}" for k, tag in RESCALE.items() if number(facts, k) is None]
    if absent and not kind:
        why = f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} absent or no number"
    elif kind in ("", "HU"):
        why = "a localizer"
    else:
        why = f"Rescale Type is {kind}" + (f" ({_OTHER_TYPES[kind]})" if kind in _OTHER_TYPES else "")
    return (Fault("value.unknown_rescale", f"{name}: {why}; the numbers are not HU"),)


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
