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
from hexscope.io.dicom_projection import detector_grid, positive_pair, zero_spacing
from hexscope.modality.us import regions

_SAME_DELTA = 1e-3

Judged = tuple[Grid | None, tuple[Fault, ...], Mapping[str, Any]]


def _no_spacing(frame: Frame, why: str) -> Fault:
    return Fault("geometry.no_spacing", f"{frame.header.path.name}: {why}")


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
        return detector_grid(frame)
    if modality == "US":
        return _ultrasound(frame)
    spacing = positive_pair(frame, "PixelSpacing")
    shape = frame.stored.shape[:2]
    no_place = Fault("geometry.no_position", f"{frame.header.path.name}: no position or orientation in the header")
    if spacing is None:
        faults = zero_spacing(frame) or (_no_spacing(frame, "no PixelSpacing"),)
        if faults[0].code == "geometry.zero_spacing":
            return None, faults, {}
        return Grid(shape, plane="unknown"), (*faults, no_place), {}
    return Grid(shape, None, spacing), (no_place,), {}


def _ultrasound(frame: Frame) -> Judged:
    """mm from the calibrated 2-D regions, PS3.3 C.8.5.5; None where there is none or two disagree.

    ``regions`` in the facts tells every region with its kind, units and deltas. The grid's spacing holds only inside
    the boxes of ``spacing_holds_in``: around them lie text, rulers and other axes.
    """
    shape = frame.stored.shape[:2]
    words = [dataset_facts(item) for item in frame.get("SequenceOfUltrasoundRegions") or ()]
    if not words:
        absent = "no region is calibrated: SequenceOfUltrasoundRegions (0018,6011) is absent"
        return Grid(shape, plane="unknown"), (_no_spacing(frame, absent),), {}
    found = regions({"ultrasound_regions": words})
    facts: dict[str, Any] = {"ultrasound_regions": words, "regions": [r.as_json() for r in found]}
    scaled = [(r, spacing) for r in found if (spacing := r.spacing_mm) is not None]
    deltas = [spacing for _, spacing in scaled]
    if not deltas:
        kinds = ", ".join(f"{r.kind} {r.data}" for r in found)
        told = f"none of {len(found)} ultrasound regions is a 2-D picture in cm: {kinds}"
        return Grid(shape, plane="unknown"), (_no_spacing(frame, told),), facts
    if not np.allclose(deltas, deltas[0], rtol=_SAME_DELTA):
        told = f"{len(deltas)} ultrasound regions have different scales, {sorted(set(deltas))} mm; cut one out"
        return Grid(shape, plane="unknown"), (_no_spacing(frame, told),), facts
    return Grid(shape, None, deltas[0]), (), {**facts, "spacing_holds_in": [list(r.box) for r, _ in scaled]}
