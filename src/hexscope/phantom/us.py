"""The liver ultrasound of the digital patient: a curved probe, a fan, speckle, shadow behind gas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from hexscope.phantom.anatomy import Patient, with_lesions
from hexscope.phantom.lesion import Kind
from hexscope.phantom.scan import Plane
from hexscope.phantom.tissue import Tissue, lookup

# Echo amplitude of speckle relative to liver, in dB.
_ECHO_DB: dict[Tissue, float] = {tissue: -3.0 for tissue in Tissue} | {
    Tissue.AIR: -60.0,
    Tissue.SKIN: 6.0,
    Tissue.FAT: -4.0,
    Tissue.MUSCLE: -7.0,
    Tissue.LUNG_RIGHT: 4.0,
    Tissue.LUNG_LEFT: 4.0,
    Tissue.HEART_BLOOD: -28.0,
    Tissue.AORTA: -28.0,
    Tissue.VESSEL: -28.0,
    Tissue.LIVER: 0.0,
    Tissue.LIVER_VESSEL: -24.0,
    Tissue.GALLBLADDER: -42.0,
    Tissue.STOMACH_CONTENT: -14.0,
    Tissue.KIDNEY_RIGHT: -5.0,
    Tissue.KIDNEY_LEFT: -5.0,
    Tissue.PANCREAS: 2.5,
    Tissue.GAS: 8.0,
    Tissue.BONE: 6.0,
}
_LESION_DB: dict[Kind, float] = {"lung nodule": -8.0, "liver lesion": -11.0, "lymph node": -8.0}

# Attenuation in dB per cm, there and back at 3.5 MHz; soft tissue about 0.5 dB/cm/MHz one way (Szabo,
# Diagnostic Ultrasound Imaging, 2nd ed. 2014, appendix B). The time-gain curve of the device makes up for
# soft tissue.
_SOFT_DB_CM = 3.5
_LOSS_DB_CM: dict[Tissue, float] = {tissue: _SOFT_DB_CM for tissue in Tissue} | {
    Tissue.MUSCLE: 4.2,
    Tissue.GALLBLADDER: 0.4,
    Tissue.HEART_BLOOD: 1.3,
    Tissue.AORTA: 1.3,
    Tissue.VESSEL: 1.3,
    Tissue.STOMACH_CONTENT: 0.8,
    Tissue.FLUID: 0.3,
    Tissue.LUNG_RIGHT: 38.0,
    Tissue.LUNG_LEFT: 38.0,
    Tissue.GAS: 55.0,
    Tissue.BONE: 60.0,
    Tissue.MARROW: 40.0,
}

# Acoustic impedance in MRayl: its steps reflect.
_IMPEDANCE: dict[Tissue, float] = {tissue: 1.64 for tissue in Tissue} | {
    Tissue.AIR: 0.3,
    Tissue.FAT: 1.40,
    Tissue.MUSCLE: 1.70,
    Tissue.LUNG_RIGHT: 0.5,
    Tissue.LUNG_LEFT: 0.5,
    Tissue.GAS: 0.3,
    Tissue.BONE: 5.0,
    Tissue.MARROW: 3.0,
    Tissue.LIVER_VESSEL: 1.61,
    Tissue.VESSEL: 1.61,
    Tissue.AORTA: 1.61,
    Tissue.GALLBLADDER: 1.54,
    Tissue.LIVER: 1.65,
}


@dataclass(frozen=True, eq=False)
class Fan:
    """The plane that a curved probe sees.

    Attributes:
        contact: LPS mm where the middle of the probe touches the skin.
        down: unit vector into the body; `across`: unit vector to the right of the picture.
        radius_mm: of the probe's curve; half_angle in radians; depth_mm from the skin.
    """

    contact: NDArray[np.float64]
    down: NDArray[np.float64]
    across: NDArray[np.float64]
    radius_mm: float = 58.0
    half_angle: float = 0.53
    depth_mm: float = 152.0

    def points(self, depths: NDArray[np.float64], angles: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) mm below the skin and (m,) radians -> (n, m, 3) LPS mm."""
        reach = (self.radius_mm + depths)[:, None, None]
        ways = np.cos(angles)[:, None] * self.down + np.sin(angles)[:, None] * self.across
        return np.asarray(self.contact - self.radius_mm * self.down + reach * ways)


SHAPE = (560, 760)
MM_PER_PIXEL = 0.3
_TOP_ROW, _MIDDLE_COLUMN = 34.0, 372.0
"""Pixel where the middle of the probe's face is drawn."""
_STEP_MM = 0.25
_BEAMS = 288
_RANGE_DB = (-36.0, 14.0)


def aim(patient: Patient) -> Fan:
    """Set the probe on the skin below the ribs, pointing at the lesion in the left lobe of the liver."""
    target = np.array(next(lesion.centre_mm for lesion in patient.lesions if lesion.name == "liver_left"))
    down = np.array([0.10, 0.80, 0.59])
    down /= np.linalg.norm(down)
    way = target - np.linspace(40.0, 180.0, 561)[:, None] * down
    outside = np.flatnonzero(patient.label_at(way) == Tissue.AIR)
    across = np.array([1.0, 0.25, 0.0]) - (np.array([1.0, 0.25, 0.0]) @ down) * down
    return Fan(way[outside[0]], down, across / np.linalg.norm(across))


def render_us(patient: Patient, rng: np.random.Generator) -> Plane:
    """Scan the liver.

    Returns:
        (560, 760) uint8: the fan on black, a grey wedge and depth ticks beside it, as devices draw them; 0.3
        mm a pixel.
    """
    fan = aim(patient)
    depths = np.arange(0.0, fan.depth_mm, _STEP_MM)
    angles = np.linspace(-fan.half_angle, fan.half_angle, _BEAMS)
    labels = patient.label_at(fan.points(depths, angles))
    decibels = _echoes(labels, patient, rng)
    grey = np.clip((decibels - _RANGE_DB[0]) / (_RANGE_DB[1] - _RANGE_DB[0]), 0.0, 1.0) * 255.0
    picture = _scan_convert(grey, fan)
    _draw_margin(picture, fan)
    spots = {}
    for lesion in patient.lesions:
        if lesion.name == "liver_left":
            spots[lesion.name] = _pixel(fan, np.asarray(lesion.centre_mm))
    return Plane(np.rint(picture).astype(np.uint8), (MM_PER_PIXEL, MM_PER_PIXEL), _facts(fan), spots)


def _echoes(labels: NDArray[np.uint8], patient: Patient, rng: np.random.Generator) -> NDArray[np.float64]:
    """Echo strength in dB on the (depth, beam) grid: speckle and borders, less what attenuation takes.

    Speckle is the length of a complex Gaussian field blurred by the pulse: Rayleigh distributed (Burckhardt
        1978, doi:10.1109/T-SU.1978.30978).
    """
    strength = 10.0 ** (with_lesions(lookup(_ECHO_DB), patient, _LESION_DB) / 20.0)
    normal: dict[Kind, float] = {kind: 1.64 for kind in _LESION_DB}
    impedance = with_lesions(lookup(_IMPEDANCE), patient, normal)[labels]
    soft: dict[Kind, float] = {kind: _SOFT_DB_CM for kind in _LESION_DB}
    loss = with_lesions(lookup(_LOSS_DB_CM), patient, soft)[labels] - _SOFT_DB_CM
    scatter = strength[labels] * (1.0 + 0.22 * gaussian_filter(rng.normal(size=labels.shape), (9.0, 5.0)) * 20.0)
    step = np.abs(np.diff(impedance, axis=0, prepend=impedance[:1])) / (2.0 * impedance)
    mirror = 26.0 * gaussian_filter1d(step, 1.2, axis=0) * np.exp(rng.normal(0.0, 0.3, labels.shape))
    field = scatter * (rng.normal(size=labels.shape) + 1j * rng.normal(size=labels.shape)) + mirror
    pulse = np.stack([gaussian_filter(part, (1.6, 1.1)) for part in (field.real, field.imag)])
    envelope = np.hypot(pulse[0], pulse[1]) * 3.0
    left = np.clip(np.cumsum(loss, axis=0) * _STEP_MM / 10.0, -14.0, 80.0)
    left = gaussian_filter1d(left, 1.5, axis=1)
    depth_fade = np.linspace(1.0, -6.0, labels.shape[0])[:, None]
    floor = 10.0 ** (-46.0 / 20.0) * (1.0 + np.abs(rng.normal(size=labels.shape)))
    return np.asarray(20.0 * np.log10(envelope * 10.0 ** ((depth_fade - left) / 20.0) + floor))


def _scan_convert(grey: NDArray[np.float64], fan: Fan) -> NDArray[np.float64]:
    """From (depth, beam) to the picture: (560, 760), black outside the fan."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    down = (rows - _TOP_ROW) * MM_PER_PIXEL + fan.radius_mm
    across = (columns - _MIDDLE_COLUMN) * MM_PER_PIXEL
    depth = np.hypot(down, across) - fan.radius_mm
    beam = (np.arctan2(across, down) / fan.half_angle + 1.0) * (_BEAMS - 1) / 2.0
    return np.asarray(map_coordinates(grey, [depth / _STEP_MM, beam], order=1, cval=0.0))


def _draw_margin(picture: NDArray[np.float64], fan: Fan) -> None:
    """A wedge of greys and a tick each 10 mm of depth, in place, outside the fan."""
    picture[40:168, 22:32] = np.linspace(255.0, 0.0, 128)[:, None]
    for tick in range(int(fan.depth_mm // 10) + 1):
        row = round(_TOP_ROW + tick * 10.0 / MM_PER_PIXEL)
        picture[row : row + 2, 738 : 748 + 6 * (tick % 5 == 0)] = 190.0


def _pixel(fan: Fan, point: NDArray[np.float64]) -> tuple[float, float]:
    """LPS mm -> (y, x) pixel, for a point in the plane of the fan."""
    off = point - fan.contact
    return (
        _TOP_ROW + float(off @ fan.down) / MM_PER_PIXEL,
        _MIDDLE_COLUMN + float(off @ fan.across) / MM_PER_PIXEL,
    )


def _facts(fan: Fan) -> dict[str, object]:
    """Header facts: one calibrated 2-D region about the fan, in cm per pixel (DICOM PS3.3 C.8.5.5)."""
    half_width = np.sin(fan.half_angle) * (fan.radius_mm + fan.depth_mm) / MM_PER_PIXEL
    side_drop = (1.0 - np.cos(fan.half_angle)) * fan.radius_mm / MM_PER_PIXEL
    region = {
        "RegionSpatialFormat": 1,
        "RegionDataType": 1,
        "RegionFlags": 2,
        "RegionLocationMinX0": int(_MIDDLE_COLUMN - half_width),
        "RegionLocationMinY0": int(_TOP_ROW - side_drop) if side_drop < _TOP_ROW else 0,
        "RegionLocationMaxX1": int(_MIDDLE_COLUMN + half_width) + 1,
        "RegionLocationMaxY1": int(_TOP_ROW + fan.depth_mm / MM_PER_PIXEL) + 1,
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": MM_PER_PIXEL / 10.0,
        "PhysicalDeltaY": MM_PER_PIXEL / 10.0,
    }
    return {"ultrasound_regions": [region], "TransducerType": "CURVED LINEAR"}
