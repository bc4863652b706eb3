"""X-ray projections: which plane a millimetre lies in, which side was taken, in which view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hexscope.core.faults import Fault
from hexscope.core.geometry import Grid
from hexscope.io.dicom_frames import Frame
from hexscope.io.dicom_header import value_of

Pair = tuple[float, float]


def positive_pair(frame: Frame, keyword: str) -> Pair | None:
    """Two numbers above 0, or None."""
    pair = frame.numbers(keyword, 2)
    return (float(pair[0]), float(pair[1])) if pair is not None and np.all(pair > 0) else None


def zero_spacing(frame: Frame, *keywords: str) -> tuple[Fault, ...]:
    """The fault of a spacing that is given and not above 0."""
    for keyword in keywords or ("PixelSpacing",):
        pair = frame.numbers(keyword, 2)
        if pair is not None and not np.all(pair > 0):
            return (Fault("geometry.zero_spacing", f"{frame.header.path.name}: {keyword} is {pair.tolist()}"),)
    return ()


def detector_grid(frame: Frame) -> tuple[Grid | None, tuple[Fault, ...], Mapping[str, Any]]:
    """The grid of a projection, its faults, and what the header says of spacing, side, view and purpose.

    DICOM PS3.3 10.7.1.3: Pixel Spacing lies in the patient where Pixel Spacing Calibration Type says how it was
    corrected (GEOMETRY, FIDUCIAL), or where it differs from Imager Pixel Spacing; equal to it, or without either,
    it is the detector's. Enhanced XA gives the spacing in the beam's centre outright (0018,9404).
    """
    facts = {**_spacings(frame), **_view(frame)}
    shape = frame.stored.shape[:2]
    zero = zero_spacing(frame, "PixelSpacing", "ImagerPixelSpacing")
    if zero:
        return None, zero, facts
    corrected = facts.get("calibration")
    if corrected:
        return Grid(shape, None, facts["spacing_patient_mm"]), (), facts
    spacing = facts.get("spacing_detector_mm")
    name = frame.header.path.name
    if spacing is None:
        absent = "no PixelSpacing (0028,0030), no ImagerPixelSpacing (0018,1164)"
        return Grid(shape, plane="unknown"), (Fault("geometry.no_spacing", f"{name}: {absent}"),), facts
    detail = f"{name}: {facts['spacing_source']} is {spacing[0]:g} × {spacing[1]:g} mm{_estimated(facts)}"
    return Grid(shape, None, spacing, plane="detector"), (Fault("geometry.detector_plane", detail),), facts


def _estimated(facts: Mapping[str, Any]) -> str:
    patient = facts.get("spacing_patient_mm")
    if patient is None:
        return ""
    return f"; a magnification of {facts['magnification']:g} makes it {patient[0]:g} × {patient[1]:g} mm in the patient"


def _spacings(frame: Frame) -> dict[str, Any]:
    """``spacing_detector_mm``, ``magnification``, and ``spacing_patient_mm``: calibrated (``calibration`` says how)
    or only estimated from the magnification."""
    pixel, imager = positive_pair(frame, "PixelSpacing"), positive_pair(frame, "ImagerPixelSpacing")
    nominal, centre = positive_pair(frame, "NominalScannedPixelSpacing"), _beam_centre(frame)
    facts: dict[str, Any] = {}
    told = str(frame.get("PixelSpacingCalibrationType") or "").strip().upper()
    differs = pixel is not None and imager is not None and not np.allclose(pixel, imager, rtol=1e-3)
    if centre is not None:
        facts.update(spacing_patient_mm=centre, calibration="centre of the beam (0018,9404)")
    elif pixel is not None and (told or differs):
        facts.update(spacing_patient_mm=pixel, calibration=told or "PixelSpacing differs from ImagerPixelSpacing")
    sources = {
        "ImagerPixelSpacing": imager,
        "PixelSpacing, without PixelSpacingCalibrationType,": None if "calibration" in facts else pixel,
        "NominalScannedPixelSpacing (of the film)": nominal,
    }
    for source, spacing in sources.items():
        if spacing is not None:
            facts.update(spacing_detector_mm=spacing, spacing_source=source)
            break
    factor = _magnification(frame)
    if factor is not None:
        facts["magnification"] = factor
        if "calibration" not in facts and "spacing_detector_mm" in facts:
            y, x = facts["spacing_detector_mm"]
            facts["spacing_patient_mm"] = (y / factor, x / factor)
    return facts


def _beam_centre(frame: Frame) -> Pair | None:
    return positive_pair(frame, "ObjectPixelSpacingInCenterOfBeam")


def _magnification(frame: Frame) -> float | None:
    """Estimated Radiographic Magnification Factor (0018,1114), or what it is defined as: distance from the source to
    the detector (0018,1110) over that to the patient (0018,1111)."""
    factor = frame.number("EstimatedRadiographicMagnificationFactor")
    if factor is not None and factor >= 1.0:
        return factor
    far, near = frame.number("DistanceSourceToDetector"), frame.number("DistanceSourceToPatient")
    return far / near if far and near and far >= near > 0 else None


def _view(frame: Frame) -> dict[str, Any]:
    """``laterality`` (L, R or B), ``view`` and ``view_modifiers`` (PS3.3 C.8.11.2, C.8.11.7)."""
    facts: dict[str, Any] = {}
    for keyword in ("ImageLaterality", "FrameLaterality", "Laterality"):
        side = str(frame.get(keyword) or "").strip().upper()
        if side:
            facts.setdefault("laterality", side)
    codes = frame.get("ViewCodeSequence")
    if codes:
        facts["view"] = _code(codes[0])
        modifiers = value_of(codes[0], "ViewModifierCodeSequence") or ()
        if modifiers:
            facts["view_modifiers"] = [_code(item) for item in modifiers]
    elif frame.get("ViewPosition"):
        facts["view"] = {"meaning": str(frame.get("ViewPosition")).strip()}
    return facts


def _code(item: Any) -> dict[str, str]:
    words = {"meaning": "CodeMeaning", "code": "CodeValue", "scheme": "CodingSchemeDesignator"}
    return {word: str(value_of(item, keyword) or "").strip() for word, keyword in words.items()}
