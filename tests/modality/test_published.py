"""SUV against header and factor pairs that others published, and against the sizes' own published formulas.

Source: cornerstonejs/calculate-suv (MIT), ``test/calculateSUV_SampleData.test.ts`` at commit 12e4a62 with the headers
of ``test/metadata``, and ``test/calculateSUVScalingFactors.test.ts`` at 310cfac. Its authors compared the factors of
these scans with Fiji and with a vendor's workstation (OHIF/Viewers issue 3439, comment of 2023-07-10).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.modality import PT
from hexscope.modality.body import body_size

CORRECTED = {"CorrectedImage": ["ATTN", "SCAT", "DECY"], "DecayCorrection": "START", "Units": "BQML"}
DAY = {"SeriesDate": "20201217", "AcquisitionDate": "20201217"}

PUBLISHED: dict[str, tuple[dict[str, Any], float]] = {
    "SIEMENS": (
        {
            "SeriesTime": "104829.000000", "AcquisitionTime": "104830.351370", "PatientWeight": 67.0,
            "RadionuclideTotalDose": 374e6, "RadionuclideHalfLife": 6586.2,
            "RadiopharmaceuticalStartDateTime": "20201217083045.000000", "FrameReferenceTime": 38513.36,
            "ActualFrameDuration": 74324,
        },
        0.00042748316187197236,
    ),
    "GE_MEDICAL_AND_BQML": (
        {
            "SeriesTime": "095621", "AcquisitionTime": "095621", "PatientWeight": 52.0,
            "RadionuclideTotalDose": 152022720.0, "RadionuclideHalfLife": 6586.2001953125,
            "RadiopharmaceuticalStartDateTime": "20201217084500.00", "FrameReferenceTime": 0,
            "ActualFrameDuration": 120000,
        },
        0.0005367387681819742,
    ),
    "PHILIPS_BQML": (
        {
            "SeriesTime": "110155", "AcquisitionTime": "110156", "PatientWeight": 64.0,
            "RadionuclideTotalDose": 126e6, "RadionuclideHalfLife": 6586.199707,
            "RadiopharmaceuticalStartDateTime": "20201217100058", "FrameReferenceTime": 1328700,
            "ActualFrameDuration": 120700, "PhilipsSUVScaleFactor": 0.003515736, "PhilipsActivityScaleFactor": 4.709921,
        },
        0.0007463747013889488,
    ),
    # SeriesTime lies 5 µs after AcquisitionTime, so the start is worked back from the frame; no injection date.
    "BQML_AC_DT_BEFORE_S_DT_SIEMENS": (
        {
            "Manufacturer": "SIEMENS", "SeriesTime": "123515.000000", "AcquisitionTime": "123514.999995",
            "PatientWeight": 65.0, "RadionuclideTotalDose": 225e6, "RadionuclideHalfLife": 6586.2,
            "RadiopharmaceuticalStartTime": "114100.000000", "FrameReferenceTime": 59936.854672596,
            "ActualFrameDuration": 120000,
        },
        0.0004069156854009332,
    ),
}  # fmt: skip


def pet(grid: Grid, facts: dict[str, Any], quantity: Quantity = Quantity.BQML) -> Image:
    array = np.arange(5 * 7 * 11, dtype=np.float32).reshape(grid.shape)
    return Image.from_array(array, grid, modality="PT", quantity=quantity, facts=facts, files=("a",), name="pet/")


def factor(image: Image, wanted: Quantity) -> float:
    return float(next(e.value for e in PT.convert(image, wanted)[1] if e.name == "factor"))


@pytest.mark.parametrize("scan", PUBLISHED)
def test_real_scanners(oblique_grid: Grid, scan: str) -> None:
    header, published = PUBLISHED[scan]
    image = pet(oblique_grid, {**CORRECTED, **DAY, **header})
    assert factor(image, Quantity.SUVBW) == pytest.approx(published, rel=1e-6)


def test_philips_counts(oblique_grid: Grid) -> None:
    facts = {**CORRECTED, "Units": "CNTS", "PhilipsSUVScaleFactor": 0.000551, "PhilipsActivityScaleFactor": 1.602563}
    assert factor(pet(oblique_grid, facts, Quantity.COUNTS), Quantity.SUVBW) == 0.000551


def test_philips_activity_where_the_suv_factor_is_0(oblique_grid: Grid) -> None:
    """Published for a dose of 100 Bq, 1602.563; here 100 MBq, as a smaller dose is refused."""
    facts = {
        **CORRECTED, "Units": "CNTS", "DecayCorrection": "ADMIN", "PatientWeight": 100.0,
        "RadionuclideTotalDose": 100e6, "PhilipsSUVScaleFactor": 0.0, "PhilipsActivityScaleFactor": 1.602563,
    }  # fmt: skip
    got = factor(pet(oblique_grid, facts, Quantity.COUNTS), Quantity.SUVBW)
    assert got * 1e6 == pytest.approx(1602.5629999999999, rel=1e-12)


#: 75 kg, 1.85 m, male, published for a dose of 100 Bq: here 100 MBq.
SIZED = {
    Quantity.SUVBW: 750.0,
    Quantity.SUVBSA: 198.13758427117767,
    Quantity.SUVLBM: 609.1533588651974,  # Janmahasatian
    # Published 627.776 is James with 120 for men; DICOM's LBMJAMES128 by hand: 1.10·75 − 128·(75/185)² = 61.46275 kg
    Quantity.SUVLBM_JAMES: 614.6274652,
    # By hand: 48 + 1.06·(185 − 152) = 82.98 kg
    Quantity.SUVIBW: 829.8,
}


@pytest.mark.parametrize("kind", SIZED)
def test_all_sizes(oblique_grid: Grid, kind: Quantity) -> None:
    facts = {
        **CORRECTED, "DecayCorrection": "ADMIN", "PatientWeight": 75.0, "PatientSize": 1.85, "PatientSex": "M",
        "RadionuclideTotalDose": 100e6,
    }  # fmt: skip
    assert factor(pet(oblique_grid, facts), kind) * 1e6 == pytest.approx(SIZED[kind], rel=1e-7)


def test_the_guides_example(oblique_grid: Grid) -> None:
    """PET guide: 370 MBq of F-18, 60 min, 70 kg, 18,100 Bq/ml: 253 MBq are left, SUV 5.0."""
    facts = {
        **CORRECTED, **DAY, "SeriesTime": "110000", "AcquisitionTime": "110000", "PatientWeight": 70.0,
        "RadionuclideTotalDose": 370e6, "RadionuclideHalfLife": 6586.2, "RadiopharmaceuticalStartTime": "100000",
    }  # fmt: skip
    assert 18100 * factor(pet(oblique_grid, facts), Quantity.SUVBW) == pytest.approx(5.0, abs=0.02)


def test_body_surface_by_hand() -> None:
    """Du Bois' formula, 71.84·W^0.425·H^0.725 cm² with kg and cm, worked out by hand for 62.3 kg and 171.8 cm:
    62.3^0.425 = 5.78972, 171.8^0.725 = 41.72456; 71.84 · 5.78972 · 41.72456 = 17354.6 cm²."""
    assert body_size(Quantity.SUVBSA, 62.3, 1.718, "F")[0] == pytest.approx(17354.6, rel=1e-5)
