"""The truth file: what the phantom holds, so that what was found can be held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hexscope.phantom.desk import SYNTHETIC, Written
from hexscope.phantom.faults import Planted
from hexscope.phantom.lesion import STATED_SIZE_MM, Lesion
from hexscope.phantom.scan import ScanGrid
from hexscope.phantom.scene import Scene
from hexscope.phantom.tissue import ORGANS

_STEP_MM = 3.0
_SURVEY = ScanGrid((116, 80, 116), (_STEP_MM, _STEP_MM, _STEP_MM), (3.0, 4.0, -30.0), np.eye(3))
"""Where organs are counted: 348 x 240 x 348 mm, more than the CT sees of z."""

_QUANTITY = {
    "ct": "HU",
    "t1": "arbitrary",
    "t2": "arbitrary",
    "pet": "SUVbw",
    "xray": "arbitrary",
    "us": "arbitrary",
    "slide": "RGB",
}
_ROLE = {
    "ct": "reference",
    "pet": "shares the reference's frame",
    "t1": "moving",
    "t2": "moving",
    "xray": "alone",
    "us": "alone",
    "slide": "alone",
}


def describe(scene: Scene, series: Mapping[str, Written], planted: Sequence[Planted], root: Path) -> dict[str, object]:
    """All that is true of the phantom, as one JSON object; file names are relative to `root`."""
    return {
        "synthetic": True,
        "note": SYNTHETIC,
        "seed": scene.seed,
        "world": "LPS mm; affine_lps_mm maps array index (z, y, x, 1); spacing and shape are in array order",
        "series": [_series(written, planted, root) for written in series.values()],
        "motions": [_motion(scene, series)],
        "organs_ml": organ_volumes(scene),
        "lesions": [_lesion(lesion, scene) for lesion in scene.patient.lesions],
        "detectable_from_mm": STATED_SIZE_MM,
        "slide": {
            "tissue_mm2": round(scene.slide.area_mm2(scene.slide.tissue), 3),
            "tumour_mm2": round(scene.slide.area_mm2(scene.slide.tumour), 3),
            "glands": {"benign": scene.slide.glands[0], "malignant": scene.slide.glands[1]},
            "microns_per_pixel": scene.slide.microns_per_pixel,
        },
        "faults": [_fault(fault, root) for fault in planted],
    }


def organ_volumes(scene: Scene) -> dict[str, float]:
    """ml of each organ within the torso, without its lesions, counted on a lattice of 3 mm."""
    labels = scene.patient.label_on(_SURVEY.affine, _SURVEY.shape)
    counts = np.bincount(labels.ravel(), minlength=256)
    voxel_ml = _STEP_MM**3 / 1000.0
    return {
        name: round(float(sum(counts[tissue] for tissue in tissues)) * voxel_ml, 1) for name, tissues in ORGANS.items()
    }


def _series(written: Written, planted: Sequence[Planted], root: Path) -> dict[str, object]:
    """What info and audit ought to say of a series; only a fault planted in it changes its verdict."""
    grid = written.image.grid
    codes = [fault.code for fault in planted if fault.series == written.uid]
    repaired = any(fault.series == written.uid and fault.verdict == "repaired" for fault in planted)
    if written.role == "xray":
        codes.append("geometry.detector_plane")
    return {
        "role": written.role,
        "use": _ROLE[written.role],
        "series": written.uid,
        "modality": written.image.modality,
        "quantity_stored": written.image.quantity.value,
        "quantity": _QUANTITY[written.role],
        "description": written.description,
        "shape": list(written.image.shape),
        "spacing_mm": None if grid.spacing_mm is None else list(grid.spacing_mm),
        "plane": grid.plane,
        "affine_lps_mm": None if grid.affine_lps_mm is None else grid.affine_lps_mm.tolist(),
        "frame_of_reference": grid.frame_of_reference,
        "files": [str(path.relative_to(root)) for path in written.files],
        "verdict": "repaired" if repaired else "ok",
        "faults": codes,
    }


def _motion(scene: Scene, series: Mapping[str, Written]) -> dict[str, object]:
    """The movement between CT and MR, in the direction of `Transform.points` of register(ct, mr)."""
    return {
        "direction": "moving (MR) LPS mm to fixed (CT) LPS mm, as register(fixed=ct, moving=t1).points goes",
        "moving": [series["t1"].uid, series["t2"].uid],
        "fixed": [series["ct"].uid, series["pet"].uid],
        "moving_frame": series["t1"].image.grid.frame_of_reference,
        "fixed_frame": series["ct"].image.grid.frame_of_reference,
        "matrix_lps": scene.mr_to_ct.tolist(),
        "matrix_lps_fixed_to_moving": np.linalg.inv(scene.mr_to_ct).tolist(),
    }


def _lesion(lesion: Lesion, scene: Scene) -> dict[str, object]:
    """Place, size and heat of a lesion; and where pictures without a place in the patient show it."""
    return {
        "name": lesion.name,
        "kind": lesion.kind,
        "center_lps_mm": list(lesion.centre_mm),
        "frame": "ct",
        "diameter_mm": lesion.diameter_mm,
        "volume_ml": round(float(np.pi / 6.0 * lesion.diameter_mm**3 / 1000.0), 4),
        "suv_true": lesion.suv,
        "suv_max_in_pet": round(_largest_suv(lesion, scene), 3),
        "seen_in": list(lesion.seen_in),
        "detectable": lesion.detectable,
        "center_px": {
            name: [round(value, 1) for value in plane.spots[lesion.name]]
            for name, plane in (("xray", scene.xray), ("us", scene.us))
            if lesion.name in plane.spots
        },
    }


def _largest_suv(lesion: Lesion, scene: Scene) -> float:
    """The largest SUVbw of the rendered PET in and one voxel around the lesion: blur and noise included."""
    affine = scene.pet.affine
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    index = np.linalg.solve(affine, np.array([*lesion.centre_mm, 1.0]))[:3]
    reach = lesion.diameter_mm / 2.0 / steps + 1.0
    low = np.maximum(np.floor(index - reach).astype(int), 0)
    high = np.ceil(index + reach).astype(int) + 1
    return float(scene.pet.array[low[0] : high[0], low[1] : high[1], low[2] : high[2]].max())


def _fault(fault: Planted, root: Path) -> dict[str, object]:
    return {
        "code": fault.code,
        "verdict": fault.verdict,
        "series": fault.series,
        "paths": [str(path.relative_to(root)) for path in fault.paths],
        "note": fault.note,
    }
