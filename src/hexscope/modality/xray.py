"""X-ray projections: radiography, mammography, fluoroscopy, angiography. No depth, no absolute unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.faults import Fault
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.errors import UncalibratedError, UsageError
from hexscope.modality.base import Facts, Modality, lacking
from hexscope.modality.facts import grey_or_colour, number, text

_SIDES = ("L", "R")
#: Mammograms are compared side by side: these must be known.
MAMMOGRAPHY_NEEDS = {"laterality": "(0020,0062)", "view": "(0054,0220)"}


def audit(image: Image) -> tuple[Fault, ...]:
    """Detector-plane lengths (DICOM PS3.3 10.7.1.3), polarity, purpose, side and subtraction, where the reader did
    not tell."""
    name, facts, faults = image.name or "this X-ray", image.facts, []
    if image.grid.plane == "detector" and image.grid.spacing_mm is not None:
        factor = number(facts, "EstimatedRadiographicMagnificationFactor") or number(facts, "magnification")
        known = f"the header estimates a magnification of {factor:g}" if factor else "no magnification is given"
        faults.append(Fault("geometry.detector_plane", f"{name}: of the magnification, {known}"))
    if text(facts, "PhotometricInterpretation").upper() == "MONOCHROME1":
        faults.append(Fault("value.inverted_polarity", f"{name}: Photometric Interpretation is MONOCHROME1"))
    if text(facts, "PresentationIntentType").upper() == "FOR PROCESSING":
        faults.append(Fault("value.for_processing", f"{name}: PresentationIntentType (0008,0068) is FOR PROCESSING"))
    if facts.get("mask_subtraction"):
        told = "; ".join(f"{m['operation']} of mask frames {m['mask_frames']}" for m in facts["mask_subtraction"])
        faults.append(Fault("value.mask_subtraction", f"{name}: MaskSubtractionSequence (0028,6100) asks for {told}"))
    faults += _side(name, facts)
    if text(facts, "Modality") == "MG":
        faults += lacking(image, MAMMOGRAPHY_NEEDS)
    told_before = {fault.code for fault in image.faults}
    return tuple(fault for fault in faults if fault.code not in told_before)


def _side(name: str, facts: Facts) -> tuple[Fault, ...]:
    """The image's own side against the series' one."""
    image, series = (text(facts, k).upper() for k in ("ImageLaterality", "Laterality"))
    if image in _SIDES and series in _SIDES and image != series:
        told = f"ImageLaterality (0020,0062) is {image}, Laterality (0020,0060) is {series}"
        return (Fault("value.conflicting_laterality", f"{name}: {told}"),)
    return ()


def in_patient(image: Image, magnification: float | None = None) -> Image:
    """The image with mm in the patient: the detector's divided by the magnification.

    ``magnification`` is the caller's, else the header's estimate (0018,1114), or source-to-detector over
    source-to-patient distance. It holds for one depth. Raises UncalibratedError where none is known or the spacing is
    not the detector's, UsageError for one below 1.
    """
    name = image.name or "this X-ray"
    factor = number(image.facts, "magnification") if magnification is None else magnification
    if image.grid.plane != "detector" or image.grid.spacing_mm is None or factor is None:
        raise UncalibratedError(
            f"{name} has no {'magnification; pass magnification=' if factor is None else 'detector spacing'} to bring "
            "its lengths into the patient"
        )
    if factor < 1.0:
        raise UsageError(f"a magnification is at least 1; got {factor:g}")
    spacing = tuple(s / factor for s in image.grid.spacing_mm)
    grid = Grid(image.grid.shape, None, spacing, plane="patient", frame_of_reference=image.grid.frame_of_reference)
    faults = tuple(f for f in image.faults if f.code != "geometry.detector_plane")
    source = "header" if magnification is None else "user"
    step = f"detector spacing divided by a magnification of {factor:g} ({source})"
    return replace(image, grid=grid, faults=faults, steps=(*image.steps, step))


def dsa(image: Image, item: int = 0) -> Image:
    """The subtraction that the header asks for: contrast frames minus mask, float32, the applicable frames only.

    DICOM PS3.3 C.7.6.10.1. AVG_SUB: the mean of the mask frames is taken from the mean of each contrast frame and its
    followers (Contrast Frame Averaging many). TID: the frame TID Offset earlier is taken from each. Where Pixel
    Intensity Relationship is LIN, logarithms are subtracted, as the law of attenuation asks.

    ``item`` counts ``facts["mask_subtraction"]`` from 0. Raises UsageError where the image is no grey cine, has no such
    item, or the item needs what is not done here: REV_TID, or a sub-pixel shift of the mask.
    """
    wanted = _item(image, item)
    frames = image.array.astype(np.float32)
    if text(image.facts, "PixelIntensityRelationship").upper() == "LIN":
        frames = np.log(np.maximum(frames, 1.0))
    applicable = _applicable(wanted, len(frames))
    if wanted["operation"] == "TID":
        offset = int(wanted["tid_offset"])
        applicable = [i for i in applicable if 0 <= i - offset < len(frames)]
        masks: Any = [frames[i - offset] for i in applicable]
        told = f"TID, offset {offset}"
    else:
        numbers = _inside(wanted["mask_frames"], len(frames), image)
        masks = [frames[numbers].mean(axis=0)] * len(applicable)
        told = f"AVG_SUB, mask frames {[n + 1 for n in numbers]}"
    if not applicable:
        raise UsageError(f"{image.name or 'this image'}: no frame is left that its mask subtraction applies to")
    count = int(wanted["averaging"])
    out = np.stack([_mean_from(frames, i, count, applicable[-1]) - m for i, m in zip(applicable, masks, strict=True)])
    facts = {**image.facts, "frame_numbers": [i + 1 for i in applicable]}
    step = f"mask subtraction: {told}, contrast frames {applicable[0] + 1} to {applicable[-1] + 1}"
    return replace(image.with_array(out, step, quantity=Quantity.ARBITRARY), facts=facts)


def _item(image: Image, item: int) -> Mapping[str, Any]:
    name, items = image.name or "this image", image.facts.get("mask_subtraction") or ()
    if image.axes != ("t", "y", "x"):
        raise UsageError(f"mask subtraction needs a grey cine (t, y, x); {name} has axes {image.axes}")
    if not 0 <= item < len(items):
        raise UsageError(f"{name} asks for {len(items)} mask subtractions (0028,6100); number {item} was asked")
    wanted: Mapping[str, Any] = items[item]
    if wanted["operation"] not in ("AVG_SUB", "TID"):
        raise UsageError(f"{name} asks for {wanted['operation'] or 'no'} mask operation; AVG_SUB and TID are done here")
    if any(wanted["shift"]):
        raise UsageError(
            f"{name} asks for the mask shifted by {wanted['shift']} pixels (0028,6114); that is not done here"
        )
    return wanted


def _applicable(wanted: Mapping[str, Any], count: int) -> list[int]:
    """Frames from 0 that the item holds for; without a range, all but its mask frames."""
    if wanted["frames"]:
        return sorted({i for low, high in wanted["frames"] for i in range(int(low) - 1, int(high)) if 0 <= i < count})
    return [i for i in range(count) if i + 1 not in wanted["mask_frames"]]


def _inside(numbers: list[int], count: int, image: Image) -> list[int]:
    found = [int(n) - 1 for n in numbers]
    if not found or any(not 0 <= n < count for n in found):
        raise UsageError(f"{image.name or 'this image'} names mask frames {numbers} of {count}")
    return found


def _mean_from(frames: NDArray[np.float32], first: int, count: int, last: int) -> NDArray[np.float32]:
    """Mean of ``count`` frames from ``first`` on; fewer where the range ends."""
    return np.asarray(frames[first : min(first + max(count, 1), last + 1)].mean(axis=0))


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
