"""The chest X-ray of the digital patient: ray sums of attenuation from a point source.

The patient stands with the chest to the detector (PA). What lies further from the detector is drawn larger,
so the pixel spacing is true in the detector plane only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

from hexscope.phantom.anatomy import Patient, with_lesions
from hexscope.phantom.ct import HOUNSFIELD, LESION_HOUNSFIELD
from hexscope.phantom.scan import Plane, ScanGrid, sample

SOURCE_TO_DETECTOR_MM = 1800.0
DETECTOR_Y = -165.0
"""LPS y of the detector, in front of the chest."""
SPACING_MM = 0.6
SHAPE = (480, 640)
_CENTRE_XZ = (2.4, 13.5)
"""LPS x and z in mm where the central ray meets the detector, at the middle of the picture."""

_BODY = ScanGrid((168, 106, 226), (1.6, 2.4, 1.6), (2.0, 0.0, 14.0), np.eye(3))
_WATER_PER_MM = 0.0195
"""Linear attenuation of water near 65 keV (NIST XCOM); that of a voxel is this times (1 + HU / 1000)."""
_PHOTONS = 30000.0
_SCATTER = 0.2
_DETAIL = 1.1
_BONE_EXTRA = 1.5
"""Bone weakens the softer part of the beam more than its HU tell: this share is added to what exceeds 150 HU.
"""
_WHITE = 16383


def render_xray(patient: Patient, rng: np.random.Generator) -> Plane:
    """Expose: Beer-Lambert along each ray, scatter, photon noise, then the logarithm, bone bright.

    Returns:
        (480, 640) uint16 of 14 bits: rows downwards, columns towards the patient's left; spacing in the
        detector plane.
    """
    path = _ray_sums(patient)
    light = np.exp(-path)
    light += _SCATTER * gaussian_filter(light, 60.0)
    counts = rng.poisson(light * _PHOTONS) + 1.0
    seen = -np.log(gaussian_filter(counts / (_PHOTONS * (1.0 + _SCATTER)), 0.5))
    seen += _DETAIL * (seen - gaussian_filter(seen, 30.0))  # as devices do, so that ribs show over lung and heart alike
    dark, bright = np.percentile(seen, (4.0, 99.6))
    grey = np.clip((seen - dark) / (bright - dark), 0.0, 1.0) * _WHITE
    chest_to_source = SOURCE_TO_DETECTOR_MM + DETECTOR_Y
    facts = {
        "KVP": 120.0,
        "ViewPosition": "PA",
        "DistanceSourceToDetector": SOURCE_TO_DETECTOR_MM,
        "DistanceSourceToPatient": chest_to_source,
        "EstimatedRadiographicMagnificationFactor": round(SOURCE_TO_DETECTOR_MM / chest_to_source, 4),
        "PatientOrientation": ["L", "F"],
        "PositionerType": "NONE",
        "AnatomicRegionSequence": [{"CodeValue": "51185008", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Thorax"}],
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1,
    }
    spots = {lesion.name: project(lesion.centre_mm) for lesion in patient.lesions if "XR" in lesion.seen_in}
    return Plane(np.rint(grey).astype(np.uint16), (SPACING_MM, SPACING_MM), facts, spots)


def magnification(y_mm: float) -> float:
    """How much larger than life a thing at LPS y (mm) is drawn on the detector."""
    return SOURCE_TO_DETECTOR_MM / (SOURCE_TO_DETECTOR_MM + DETECTOR_Y - y_mm)


def project(point_mm: tuple[float, float, float]) -> tuple[float, float]:
    """LPS mm -> (y, x) pixel of the picture."""
    scale = magnification(point_mm[1]) / SPACING_MM
    row = (SHAPE[0] - 1) / 2.0 - (point_mm[2] - _CENTRE_XZ[1]) * scale
    return (row, (SHAPE[1] - 1) / 2.0 + (point_mm[0] - _CENTRE_XZ[0]) * scale)


def _ray_sums(patient: Patient) -> NDArray[np.float64]:
    """Attenuation integrated along each ray, (480, 640): coronal planes, enlarged by depth, added up."""
    hu = sample(patient, _BODY, with_lesions(HOUNSFIELD, patient, LESION_HOUNSFIELD), (1, 1, 1))
    per_mm = np.maximum(_WATER_PER_MM * (1.0 + (hu + _BONE_EXTRA * np.maximum(hu - 150.0, 0.0)) / 1000.0), 0.0)
    affine = _BODY.affine
    total = np.zeros(SHAPE)
    for depth in range(_BODY.shape[1]):
        y = affine[1, 3] + depth * _BODY.spacing_mm[1]
        step = SPACING_MM / magnification(y) / _BODY.spacing_mm[0]
        top = (_CENTRE_XZ[1] - affine[2, 3]) / _BODY.spacing_mm[0] + step * (SHAPE[0] - 1) / 2.0
        left = (_CENTRE_XZ[0] - affine[0, 3]) / _BODY.spacing_mm[2] - step * (SHAPE[1] - 1) / 2.0
        total += affine_transform(per_mm[:, depth], [-step, step], offset=[top, left], output_shape=SHAPE, order=1)
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    off = np.hypot(rows - (SHAPE[0] - 1) / 2.0, columns - (SHAPE[1] - 1) / 2.0) * SPACING_MM
    slant = np.hypot(1.0, off / SOURCE_TO_DETECTOR_MM)  # an oblique ray crosses each plane on a longer way
    return np.asarray(gaussian_filter(total * slant * _BODY.spacing_mm[1], 0.7))
