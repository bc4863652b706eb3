"""The CT of the digital patient, in Hounsfield units, after contrast medium in the portal phase."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hexscope.phantom.anatomy import Patient, positions, with_lesions
from hexscope.phantom.lesion import Kind
from hexscope.phantom.scan import ScanGrid, Volume, merge, sample
from hexscope.phantom.tissue import Tissue, lookup

# Typical HU of soft parts, bone and air: Hounsfield scale as in DICOM PS3.3 C.11.1.1.2 (water 0, air -1000);
# contrast-filled blood and organs as seen about 70 s after injection.
HOUNSFIELD = lookup(
    {
        Tissue.AIR: -1000.0,
        Tissue.SKIN: 30.0,
        Tissue.FAT: -102.0,
        Tissue.MUSCLE: 58.0,
        Tissue.LUNG_RIGHT: -862.0,
        Tissue.LUNG_LEFT: -856.0,
        Tissue.AIRWAY: -985.0,
        Tissue.LUNG_VESSEL: 60.0,
        Tissue.HEART_WALL: 92.0,
        Tissue.LEFT_VENTRICLE: 104.0,
        Tissue.HEART_BLOOD: 152.0,
        Tissue.AORTA: 158.0,
        Tissue.VESSEL: 146.0,
        Tissue.LIVER: 108.0,
        Tissue.LIVER_VESSEL: 158.0,
        Tissue.GALLBLADDER: 8.0,
        Tissue.SPLEEN: 122.0,
        Tissue.STOMACH_WALL: 70.0,
        Tissue.STOMACH_CONTENT: 14.0,
        Tissue.BOWEL_WALL: 78.0,
        Tissue.BOWEL_CONTENT: 26.0,
        Tissue.GAS: -970.0,
        Tissue.PANCREAS: 88.0,
        Tissue.KIDNEY_RIGHT: 186.0,
        Tissue.KIDNEY_LEFT: 184.0,
        Tissue.RENAL_PELVIS: 60.0,
        Tissue.BONE: 640.0,
        Tissue.MARROW: 195.0,
        Tissue.CARTILAGE: 98.0,
        Tissue.CORD: 36.0,
        Tissue.FLUID: 12.0,
        Tissue.OESOPHAGUS: 40.0,
    }
)
LESION_HOUNSFIELD: dict[Kind, float] = {"lung nodule": 42.0, "liver lesion": 58.0, "lymph node": 66.0}

GRID = ScanGrid((104, 188, 252), (3.0, 1.5, 1.5), (4.2, 12.6, -31.5), np.eye(3))
"""Upright to the table, its origin off zero; about 312 x 282 x 378 mm."""

FACTS = {
    "KVP": 120.0,
    "Exposure": 110,
    "ConvolutionKernel": "STANDARD",
    "SliceThickness": 3.0,
    "GantryDetectorTilt": 0.0,
    "ContrastBolusAgent": "SIMULATED",
    "PatientPosition": "HFS",
}
_FINE = (2, 1, 1)
_BLUR = (0.3, 0.55, 0.55)
_NOISE_HU = 11.0


def render_ct(patient: Patient, rng: np.random.Generator) -> Volume:
    """Scan the patient: partial volume across the slice, in-plane blur, the couch, correlated noise.

    Returns:
        (104, 188, 252) float32 HU, cut to -1024 ... 3071 as scanners do.
    """
    table = with_lesions(HOUNSFIELD, patient, LESION_HOUNSFIELD)
    hu = merge(sample(patient, GRID, table, _FINE), _FINE)
    _add_table(hu)
    hu = gaussian_filter(hu, _BLUR)
    hu += _grain(hu.shape, rng) * _NOISE_HU
    return Volume(np.clip(np.rint(hu), -1024.0, 3071.0).astype(np.float32), GRID.affine, "HU", FACTS)


def _add_table(hu: NDArray[np.float32]) -> None:
    """Draw the couch beneath the patient, in place: a carbon shell (-250 HU) filled with foam (-930 HU)."""
    points = positions(GRID.affine, (slice(0, 1), slice(0, hu.shape[1]), slice(0, hu.shape[2])))
    x, y = points[0, :, :, 0], points[0, :, :, 1]
    top = 114.5 - (x / 62.0) ** 2 * 2.2
    bottom = 137.5 - (x / 62.0) ** 2 * 7.0
    within = (y >= top) & (y <= bottom)
    foam = (y >= top + 2.2) & (y <= bottom - 2.2)
    air = hu < -950.0
    hu[air & within] = -250.0
    hu[air & foam] = -930.0


def _grain(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise of standard deviation 1, alike among neighbours in a slice: white noise through a band."""
    white = rng.standard_normal(shape, dtype=np.float32)
    soft = gaussian_filter(white, (0.0, 0.8, 0.8))
    soft -= gaussian_filter(soft, (0.0, 2.5, 2.5))
    return np.asarray(soft / soft.std(dtype=np.float64), dtype=np.float32)
