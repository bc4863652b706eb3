"""CT, X-ray and pathology: what their headers mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.errors import UsageError
from hexscope.modality import CT, PT, SM, US, XR, named, of_code, of_dicom

RESCALE = {"RescaleSlope": 1.0, "RescaleIntercept": -1024.0}


@pytest.mark.parametrize(
    ("facts", "quantity"),
    [
        (RESCALE, Quantity.HU),
        ({**RESCALE, "RescaleType": "HU"}, Quantity.HU),
        ({**RESCALE, "RescaleType": "US"}, Quantity.HU),
        ({**RESCALE, "RescaleType": "US", "ImageType": ["DERIVED", "PRIMARY", "CBF"]}, Quantity.ARBITRARY),
        ({**RESCALE, "RescaleType": "HU_MOD"}, Quantity.ARBITRARY),
        ({**RESCALE, "RescaleType": "ED"}, Quantity.ARBITRARY),
        ({**RESCALE, "RescaleType": "mGy"}, Quantity.ARBITRARY),
        ({"ModalityLUTType": "HU"}, Quantity.HU),
        ({"ModalityLUTType": "OD"}, Quantity.ARBITRARY),
        ({**RESCALE, "RescaleType": "Z_EFF"}, Quantity.ARBITRARY),
        ({**RESCALE, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Quantity.ARBITRARY),
        ({"RescaleSlope": 1.0}, Quantity.ARBITRARY),
        ({}, Quantity.ARBITRARY),
    ],
)
def test_ct_is_hu_only_where_the_header_rescales_to_it(
    oblique_ct: Image, facts: dict[str, Any], quantity: Quantity
) -> None:
    assert CT.stored(facts) is quantity
    codes = [fault.code for fault in CT.audit(replace(oblique_ct, facts=facts, quantity=quantity))]
    expected = "value.assumed_hu" if facts.get("RescaleType") == "US" else None
    expected = expected if quantity is Quantity.HU else "value.unknown_rescale"
    assert codes == ([] if expected is None else [expected])


def test_xray_tells_of_the_detector_plane_and_of_polarity_once() -> None:
    grid = Grid((7, 11), spacing_mm=(0.15, 0.2), plane="detector")
    facts = {"PhotometricInterpretation": "MONOCHROME1", "EstimatedRadiographicMagnificationFactor": 1.1}
    image = Image.from_array(np.zeros((7, 11), np.uint16), grid, modality="XR", facts=facts)
    faults = XR.audit(image)
    assert [fault.code for fault in faults] == ["geometry.detector_plane", "value.inverted_polarity"]
    assert "1.1" in faults[0].detail
    assert XR.audit(image.with_fault(*faults)) == ()
    assert XR.audit(Image.from_array(np.zeros((7, 11), np.uint16), modality="XR")) == ()


def test_optical_density_of_known_transmissions() -> None:
    array = np.full((5, 7, 3), 255, np.uint8)
    array[1, 2] = (127, 63, 0)
    slide = Image.from_array(array, modality="SM", quantity=Quantity.RGB, axes=("y", "x", "c"))
    density, ledger = SM.convert(slide, Quantity.OPTICAL_DENSITY)
    assert density.quantity is Quantity.OPTICAL_DENSITY
    np.testing.assert_allclose(density.array[1, 2], np.log10([2.0, 4.0, 256.0]), rtol=1e-6)
    assert density.array[0, 0].tolist() == [0.0, 0.0, 0.0]
    assert density.axes == slide.axes and ledger[0].value == 255.0


@pytest.mark.parametrize(
    ("facts", "quantity"),
    [
        ({"PhotometricInterpretation": "RGB"}, Quantity.RGB),
        ({"PhotometricInterpretation": "YBR_FULL_422"}, Quantity.RGB),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, Quantity.RGB),
        ({"SamplesPerPixel": 3}, Quantity.RGB),
        ({"PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": 1}, Quantity.ARBITRARY),
        ({}, Quantity.ARBITRARY),
    ],
)
def test_colour_is_told_from_grey(facts: dict[str, Any], quantity: Quantity) -> None:
    assert US.stored(facts) is quantity


def test_names() -> None:
    assert named("PET") is PT and named("pt") is PT and named(" xray ") is XR and named("x-ray") is XR
    assert named("Ultrasound") is US and named("slide") is SM and named("mri").code == "MR" and named("dx") is XR
    with pytest.raises(UsageError, match="pathology"):
        named("thermography")
    assert of_dicom("MG") is XR and of_dicom("PT") is PT and of_dicom("IVUS") is US
    assert of_dicom("OT") is None and of_dicom("SC") is None and of_code("OT") is None and of_code("CT") is CT
