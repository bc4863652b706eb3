"""The FDG PET of the digital patient, in SUVbw, in the frame of the CT; and the activity it stands for.

A lesion is blurred by the scanner: at 5.8 mm full width at half maximum a sphere of 8 mm keeps about half its
contrast, one of 5 mm a fifth. That is why lesions under `lesion.STATED_SIZE_MM` need not be found.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hexscope.phantom.anatomy import Patient
from hexscope.phantom.scan import ScanGrid, Volume, merge, sample
from hexscope.phantom.tissue import Tissue, lookup

# SUVbw an hour after injection, rounded within the ranges of Wang et al. 2007
# (doi:10.1007/s11307-006-0067-8).
UPTAKE = lookup(
    {
        Tissue.AIR: 0.0,
        Tissue.SKIN: 0.5,
        Tissue.FAT: 0.35,
        Tissue.MUSCLE: 0.75,
        Tissue.LUNG_RIGHT: 0.48,
        Tissue.LUNG_LEFT: 0.46,
        Tissue.AIRWAY: 0.1,
        Tissue.LUNG_VESSEL: 1.3,
        Tissue.HEART_WALL: 1.7,
        Tissue.LEFT_VENTRICLE: 3.3,
        Tissue.HEART_BLOOD: 1.6,
        Tissue.AORTA: 1.6,
        Tissue.VESSEL: 1.5,
        Tissue.LIVER: 2.2,
        Tissue.LIVER_VESSEL: 1.9,
        Tissue.GALLBLADDER: 0.5,
        Tissue.SPLEEN: 1.9,
        Tissue.STOMACH_WALL: 1.9,
        Tissue.STOMACH_CONTENT: 0.7,
        Tissue.BOWEL_WALL: 1.6,
        Tissue.BOWEL_CONTENT: 1.0,
        Tissue.GAS: 0.1,
        Tissue.PANCREAS: 1.5,
        Tissue.KIDNEY_RIGHT: 2.9,
        Tissue.KIDNEY_LEFT: 2.9,
        Tissue.RENAL_PELVIS: 9.0,
        Tissue.BONE: 0.7,
        Tissue.MARROW: 1.4,
        Tissue.CARTILAGE: 0.5,
        Tissue.CORD: 1.2,
        Tissue.FLUID: 0.4,
        Tissue.OESOPHAGUS: 1.4,
    }
)

GRID = ScanGrid((92, 72, 100), (3.5, 4.0, 4.0), (2.6, 10.2, -30.2), np.eye(3))
POINT_SPREAD_MM = 5.8
"""Full width at half maximum of the whole chain: 4.9 mm before the noise, 3.1 mm after it (a filter)."""
_BEFORE_MM, _AFTER_MM = 4.9, 3.1
_FINE = (2, 2, 2)
_COUNTS_PER_SUV = 55.0
"""Counts in a voxel of SUV 1: sets the noise."""

WEIGHT_KG = 71.5
HALF_LIFE_S = 6586.2
"""Of fluorine-18; 1.8295 h, Decay Data Evaluation Project."""
INJECTED_BQ = 262.0e6
UPTAKE_S = 3725.0
"""From injection to the start of the scan."""


def render_pet(patient: Patient, rng: np.random.Generator) -> Volume:
    """Scan the patient: uptake, half the point spread, counts with Poisson noise, the other half.

    Returns:
        (92, 72, 100) float32 SUVbw, never below 0.
    """
    first = _blurred(patient)
    counts = rng.poisson(np.maximum(first, 0.0) * _COUNTS_PER_SUV)
    noisy = (counts / _COUNTS_PER_SUV).astype(np.float32)
    suv = gaussian_filter(noisy, _sigma(_AFTER_MM, GRID.spacing_mm))
    facts = {
        "CorrectedImage": ["DECY", "ATTN", "SCAT", "DTIM", "RAN", "NORM"],
        "SliceThickness": GRID.spacing_mm[0],
        "PatientPosition": "HFS",
    }
    return Volume(np.maximum(suv, 0.0), GRID.affine, "SUVbw", facts)


def _blurred(patient: Patient) -> NDArray[np.float32]:
    """The uptake behind the first part of the point spread, without noise: (92, 72, 100) SUVbw."""
    table = UPTAKE.copy()
    for lesion in patient.lesions:
        table[lesion.label] = lesion.suv
    fine_mm = tuple(spacing / factor for spacing, factor in zip(GRID.spacing_mm, _FINE, strict=True))
    return merge(gaussian_filter(sample(patient, GRID, table, _FINE), _sigma(_BEFORE_MM, fine_mm)), _FINE)


def becquerel_per_ml(suv: NDArray[np.float32]) -> NDArray[np.float32]:
    """Activity in Bq/ml at the start of the scan (DecayCorrection START) that gives this SUVbw; any shape.

    SUVbw = activity (Bq/ml) * weight (g) / dose (Bq), the dose decayed to the start of the scan; tissue
    counts as 1 g/ml (QIBA FDG-PET/CT profile; DICOM PS3.3 C.8.9.1.1.3).
    """
    dose = INJECTED_BQ * 2.0 ** (-UPTAKE_S / HALF_LIFE_S)
    return np.asarray(suv * np.float32(dose / (WEIGHT_KG * 1000.0)), dtype=np.float32)


def _sigma(full_width_mm: float, spacing_mm: tuple[float, ...]) -> tuple[float, ...]:
    """Standard deviations in voxels of a Gaussian given by its full width at half maximum in mm."""
    return tuple(full_width_mm / (2.0 * np.sqrt(2.0 * np.log(2.0))) / spacing for spacing in spacing_mm)
