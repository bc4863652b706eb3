"""The MR of the digital patient: T1- and T2-weighted spin echo, uneven coils, Rician noise.

The scanner has its own frame of reference: the patient got up, lay down again, and lies a little turned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hexscope.phantom.anatomy import Affine, Patient, with_lesions
from hexscope.phantom.lesion import Kind
from hexscope.phantom.scan import ScanGrid, Volume, merge, sample
from hexscope.phantom.shape import turned
from hexscope.phantom.tissue import Tissue, lookup

# T1 ms, T2 ms and proton density (water 1) at 1.5 T, rounded from Stanisz et al. 2005 (doi:10.1002/mrm.20605)
# and de Bazelaire et al. 2004 (doi:10.1148/radiol.2303021331). Flowing blood gives almost no spin echo: its
# density is set low on purpose.
_RELAXATION: dict[Tissue, tuple[float, float, float]] = {
    Tissue.AIR: (1000.0, 50.0, 0.0),
    Tissue.SKIN: (600.0, 35.0, 0.60),
    Tissue.FAT: (290.0, 68.0, 0.92),
    Tissue.MUSCLE: (980.0, 42.0, 0.80),
    Tissue.LUNG_RIGHT: (1200.0, 40.0, 0.09),
    Tissue.LUNG_LEFT: (1200.0, 40.0, 0.09),
    Tissue.AIRWAY: (1000.0, 50.0, 0.0),
    Tissue.LUNG_VESSEL: (1400.0, 120.0, 0.22),
    Tissue.HEART_WALL: (1030.0, 44.0, 0.80),
    Tissue.LEFT_VENTRICLE: (1030.0, 44.0, 0.82),
    Tissue.HEART_BLOOD: (1440.0, 160.0, 0.20),
    Tissue.AORTA: (1440.0, 160.0, 0.10),
    Tissue.VESSEL: (1440.0, 160.0, 0.16),
    Tissue.LIVER: (586.0, 46.0, 0.80),
    Tissue.LIVER_VESSEL: (1440.0, 160.0, 0.22),
    Tissue.GALLBLADDER: (2600.0, 420.0, 1.0),
    Tissue.SPLEEN: (1060.0, 79.0, 0.84),
    Tissue.STOMACH_WALL: (900.0, 60.0, 0.80),
    Tissue.STOMACH_CONTENT: (2300.0, 240.0, 0.95),
    Tissue.BOWEL_WALL: (900.0, 58.0, 0.80),
    Tissue.BOWEL_CONTENT: (1500.0, 110.0, 0.75),
    Tissue.GAS: (1000.0, 50.0, 0.0),
    Tissue.PANCREAS: (584.0, 46.0, 0.83),
    Tissue.KIDNEY_RIGHT: (980.0, 88.0, 0.85),
    Tissue.KIDNEY_LEFT: (980.0, 88.0, 0.85),
    Tissue.RENAL_PELVIS: (2500.0, 300.0, 0.98),
    Tissue.BONE: (600.0, 8.0, 0.12),
    Tissue.MARROW: (540.0, 50.0, 0.62),
    Tissue.CARTILAGE: (1020.0, 36.0, 0.65),
    Tissue.CORD: (750.0, 75.0, 0.80),
    Tissue.FLUID: (3600.0, 700.0, 1.0),
    Tissue.OESOPHAGUS: (900.0, 52.0, 0.78),
}
_LESION_RELAXATION: dict[Kind, tuple[float, float, float]] = {
    "lung nodule": (1000.0, 68.0, 0.78),
    "liver lesion": (1000.0, 92.0, 0.86),
    "lymph node": (960.0, 76.0, 0.80),
}


@dataclass(frozen=True)
class Sequence:
    """A spin-echo sequence: name, repetition and echo time in ms, the grid it is measured on."""

    name: str
    repetition_ms: float
    echo_ms: float
    grid: ScanGrid


_OBLIQUE = turned((-5.0, 3.0, 6.0))
T1 = Sequence("T1 SE", 520.0, 11.0, ScanGrid((74, 168, 240), (4.0, 1.6, 1.6), (6.3, -4.1, -27.0), _OBLIQUE))
T2 = Sequence("T2 TSE", 4200.0, 92.0, ScanGrid((58, 172, 236), (5.0, 1.6, 1.6), (4.7, -2.6, -30.5), _OBLIQUE))

_FINE = (2, 1, 1)
_BLUR = (0.25, 0.5, 0.5)
_FULL = 900.0
_NOISE = 11.0


def spin_echo(relaxation: tuple[float, float, float], repetition_ms: float, echo_ms: float) -> float:
    """Signal of a spin echo, PD (1 - exp(-TR / T1)) exp(-TE / T2) (Haacke et al., 1999, chapter 8)."""
    t1, t2, density = relaxation
    return float(density * (1.0 - np.exp(-repetition_ms / t1)) * np.exp(-echo_ms / t2))


def render_mr(patient: Patient, rng: np.random.Generator, sequence: Sequence, pose: Affine) -> Volume:
    """Scan the patient with one sequence.

    Args:
        pose: 4x4, LPS mm of the MR scanner to LPS mm of the CT: where the patient's points were when the CT
            was taken.

    Returns:
        (z, y, x) float32 without unit, whole numbers from 0 to a few thousand.
    """
    times = (sequence.repetition_ms, sequence.echo_ms)
    table = lookup({tissue: spin_echo(values, *times) for tissue, values in _RELAXATION.items()})
    table = with_lesions(
        table, patient, {kind: spin_echo(values, *times) for kind, values in _LESION_RELAXATION.items()}
    )
    clean = gaussian_filter(merge(sample(patient, sequence.grid, table, _FINE, pose), _FINE), _BLUR)
    clean *= _FULL / np.float32(np.percentile(clean, 99.0))
    clean *= _coil_field(clean.shape, rng)
    noisy = np.hypot(
        clean + _NOISE * rng.standard_normal(clean.shape, dtype=np.float32),
        _NOISE * rng.standard_normal(clean.shape, dtype=np.float32),
    )
    facts = {
        "RepetitionTime": sequence.repetition_ms,
        "EchoTime": sequence.echo_ms,
        "MagneticFieldStrength": 1.5,
        "ScanningSequence": "SE",
        "SequenceVariant": "NONE",
        "MRAcquisitionType": "2D",
        "SliceThickness": sequence.grid.spacing_mm[0],
        "PatientPosition": "HFS",
    }
    return Volume(np.rint(noisy).astype(np.float32), sequence.grid.affine, "", facts)


def _coil_field(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """The factor by which the coils brighten or darken each place: exp of a quadratic, about 0.7 to 1.4."""
    axes = [np.linspace(-1.0, 1.0, size, dtype=np.float32) for size in shape]
    z, y, x = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    a, b, c, d, e, f = rng.uniform(-0.22, 0.22, 6)
    field = a * z + b * y + c * x + d * x * y + e * y * z + f * x * z + 0.18 * (x * x + y * y - 0.6)
    return np.asarray(np.exp(field), dtype=np.float32)
