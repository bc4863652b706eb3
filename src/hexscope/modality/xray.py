"""X-ray projections: radiography, mammography, fluoroscopy, angiography. No depth, no absolute unit."""

from __future__ import annotations

from hexscope.core.faults import Fault
from hexscope.core.image import Image
from hexscope.modality.base import Modality
from hexscope.modality.facts import grey_or_colour, number, text


def audit(image: Image) -> tuple[Fault, ...]:
    """Detector-plane lengths (DICOM PS3.3 10.7.1.3) and inverted polarity, where the reader did not tell."""
    name, faults = image.name or "this X-ray", []
    if image.grid.plane == "detector" and image.grid.spacing_mm is not None:
        factor = number(image.facts, "EstimatedRadiographicMagnificationFactor")
        known = f"the header estimates a magnification of {factor:g}" if factor else "no magnification is given"
        faults.append(Fault("geometry.detector_plane", f"{name}: of the magnification, {known}"))
    if text(image.facts, "PhotometricInterpretation").upper() == "MONOCHROME1":
        faults.append(Fault("value.inverted_polarity", f"{name}: Photometric Interpretation is MONOCHROME1"))
    told = {fault.code for fault in image.faults}
    return tuple(fault for fault in faults if fault.code not in told)


XR = Modality(
    code="XR",
    name="X-ray",
    name_zh="X 线摄影",
    dicom=("CR", "DX", "MG", "XA", "RF", "PX", "IO"),
    guide="xray",
    stored=grey_or_colour,
    needs=("PhotometricInterpretation",),
    audit=audit,
)
