"""Spacing of single images: what a pixel measures on a detector, in an ultrasound region, in a lone slice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hexscope.core.faults import Fault
from hexscope.core.geometry import Grid
from hexscope.io.dicom_facts import dataset_facts
from hexscope.io.dicom_frames import Frame
from hexscope.io.dicom_geometry import grid_of, plane_of

#: Physical Units (0018,6024) of a region: 3 is cm; Region Data Type (0018,6014): 1 is tissue (PS3.3 C.8.5.5).
_CENTIMETRES = 3
_TISSUE = 1
_SAME_DELTA = 1e-3

Judged = tuple[Grid | None, tuple[Fault, ...], Mapping[str, Any]]


def _positive(frame: Frame, keyword: str) -> tuple[float, float] | None:
    pair = frame.numbers(keyword, 2)
    return (float(pair[0]), float(pair[1])) if pair is not None and np.all(pair > 0) else None


def _no_spacing(frame: Frame, why: str) -> Fault:
    return Fault("geometry.no_spacing", f"{frame.header.path.name}: {why}")


def _zero_spacing(frame: Frame) -> tuple[Fault, ...]:
    pair = frame.numbers("PixelSpacing", 2)
    if pair is None or np.all(pair > 0):
        return ()
    return (Fault("geometry.zero_spacing", f"{frame.header.path.name}: PixelSpacing is {pair.tolist()}"),)


def lone_slice(frame: Frame) -> Judged:
    """A single placed slice: one voxel thick where the header says how thick, else a plane in space."""
    plane, faults = plane_of([frame])
    if plane is None or frame.position is None:
        return None, faults, {}
    frame_uid = _frame_uid(frame)
    shape = frame.stored.shape[:2]
    thickness = next((t for k in ("SliceThickness", "SpacingBetweenSlices") if (t := frame.number(k)) and t > 0), None)
    if thickness is None:
        affine = np.vstack([np.column_stack([plane.columns_of_affine, frame.position]), [0.0, 0.0, 1.0]])
        return Grid(shape, affine, frame_of_reference=frame_uid), faults, {}
    return grid_of(frame.position, plane.normal * thickness, plane, (1, *shape), frame_uid), faults, {}


def _frame_uid(frame: Frame) -> str | None:
    return str(frame.get("FrameOfReferenceUID") or "") or None


def flat_image(frame: Frame, modality: str) -> Judged:
    """An image without a place in the patient."""
    if modality == "XR":
        return _detector(frame)
    if modality == "US":
        return _ultrasound(frame)
    spacing = _positive(frame, "PixelSpacing")
    shape = frame.stored.shape[:2]
    no_place = Fault("geometry.no_position", f"{frame.header.path.name}: no position or orientation in the header")
    if spacing is None:
        faults = _zero_spacing(frame) or (_no_spacing(frame, "no PixelSpacing"),)
        if faults[0].code == "geometry.zero_spacing":
            return None, faults, {}
        return Grid(shape, plane="unknown"), (*faults, no_place), {}
    return Grid(shape, None, spacing), (no_place,), {}


def _detector(frame: Frame) -> Judged:
    """PixelSpacing is in the patient only where the header says that it was calibrated (PS3.3 10.7.1.3)."""
    shape = frame.stored.shape[:2]
    zero = _zero_spacing(frame)
    if zero:
        return None, zero, {}
    pixel, imager = _positive(frame, "PixelSpacing"), _positive(frame, "ImagerPixelSpacing")
    kind = frame.get("PixelSpacingCalibrationType")
    differs = pixel is not None and imager is not None and not np.allclose(pixel, imager, rtol=1e-3)
    if pixel is not None and (kind is not None or differs):
        return Grid(shape, None, pixel), (), {}
    spacing = imager or pixel
    if spacing is None:
        return (
            Grid(shape, plane="unknown"),
            (_no_spacing(frame, "no PixelSpacing, no ImagerPixelSpacing"),),
            {},
        )
    source = "ImagerPixelSpacing" if imager else "PixelSpacing, without PixelSpacingCalibrationType"
    detail = f"{frame.header.path.name}: {source} is {spacing[0]:g} × {spacing[1]:g} mm"
    return Grid(shape, None, spacing, plane="detector"), (Fault("geometry.detector_plane", detail),), {}


def _ultrasound(frame: Frame) -> Judged:
    """mm from the calibrated tissue regions, PS3.3 C.8.5.5; None where there is none or two disagree."""
    shape = frame.stored.shape[:2]
    sequence = frame.get("SequenceOfUltrasoundRegions") or ()
    regions = [dataset_facts(item) for item in sequence]
    facts = {"ultrasound_regions": regions} if regions else {}
    deltas = [d for region in regions if (d := _tissue_mm(region)) is not None]
    if not deltas:
        told = (
            f"none of {len(regions)} ultrasound regions is 2-D tissue in cm" if regions else "no region is calibrated"
        )
        return Grid(shape, plane="unknown"), (_no_spacing(frame, told),), facts
    if not np.allclose(deltas, deltas[0], rtol=_SAME_DELTA):
        told = f"{len(deltas)} ultrasound regions have different scales: {sorted(set(deltas))} mm"
        return Grid(shape, plane="unknown"), (_no_spacing(frame, told),), facts
    return Grid(shape, None, deltas[0]), (), facts


def _tissue_mm(region: Mapping[str, Any]) -> tuple[float, float] | None:
    """mm a pixel along (y, x) of a 2-D tissue region in cm, else None."""
    units = region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")
    if region.get("RegionDataType") != _TISSUE or units != (_CENTIMETRES, _CENTIMETRES):
        return None
    x, y = region.get("PhysicalDeltaX"), region.get("PhysicalDeltaY")
    if not isinstance(x, float) or not isinstance(y, float) or x == 0 or y == 0:
        return None
    return (abs(y) * 10.0, abs(x) * 10.0)
