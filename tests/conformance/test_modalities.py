"""What every modality must keep. A new one is in ``ALL`` and passes this file unchanged."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.errors import QuantityError
from hexscope.modality import ALL, named, of_code, of_dicom
from hexscope.modality.base import Language, Modality


@pytest.fixture(params=ALL, ids=lambda m: m.code)
def modality(request: pytest.FixtureRequest) -> Modality:
    found: Modality = request.param
    return found


class ModalityTests:
    """The contract of `hexscope.modality.base.Modality`."""

    def test_is_found_by_its_names(self, modality: Modality) -> None:
        assert of_code(modality.code) is modality
        assert named(modality.code) is modality and named(modality.guide) is modality
        assert modality.dicom and all(of_dicom(value) is modality for value in modality.dicom)

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_has_a_guide(self, modality: Modality, language: Language) -> None:
        text = modality.guide_text(language)
        assert text.startswith("# ") and len(text) > 1000
        assert bool(re.search("[\u4e00-\u9fff]{4}", text)) == (language == "zh")
        assert "doi" in text.lower() or "DICOM" in text, "a guide cites its sources"

    def test_is_named_in_both_languages(self, modality: Modality) -> None:
        assert modality.name.isascii() and re.search("[\u4e00-\u9fff]", modality.name_zh)

    def test_windows_are_sane(self, modality: Modality) -> None:
        names = [window.name for window in modality.windows]
        assert len(set(names)) == len(names)
        for window in modality.windows:
            assert window.low < window.high and window.name_zh
            low, high = modality.plausible[modality.working or Quantity.ARBITRARY]
            assert low <= window.low and window.high <= high

    def test_plausible_ranges_hold_nothing(self, modality: Modality) -> None:
        for quantity, (low, high) in modality.plausible.items():
            assert low <= quantity.outside <= high

    def test_an_empty_header_promises_nothing(self, modality: Modality) -> None:
        stored = modality.stored({})
        assert isinstance(stored, Quantity) and not stored.is_absolute

    def test_unreadable_values_are_absent_values(self, modality: Modality) -> None:
        junk = dict.fromkeys(("RescaleSlope", "RescaleIntercept", "Units", "SUVType", "SamplesPerPixel"), "??")
        assert not modality.stored(junk).is_absolute

    def test_audit_reads_no_pixels_and_names_no_patient(self, modality: Modality, oblique_grid: Grid) -> None:
        class NoPixels:
            shape, dtype, levels = (5, 7, 11), np.dtype(np.int16), ((5, 7, 11),)

            def read(self, region: object = (), level: int = 0) -> None:
                raise AssertionError("the audit read pixels")

        facts = {"PatientName": "Doe^Jane", "PatientID": "4711"}
        for quantity in Quantity:
            image = Image(NoPixels(), oblique_grid, modality.code, quantity, facts=facts)  # type: ignore[arg-type]
            for fault in modality.audit(image):
                assert "Doe" not in fault.detail and "4711" not in fault.detail

    def test_converts_to_itself_and_refuses_the_impossible(self, modality: Modality, oblique_grid: Grid) -> None:
        array = np.arange(385, dtype=np.float32).reshape(5, 7, 11)
        for quantity in Quantity:
            image = Image.from_array(array, oblique_grid, modality=modality.code, quantity=quantity)
            same, _ = modality.convert(image, quantity)
            assert same is image
            with pytest.raises(QuantityError):
                modality.convert(image, Quantity.VELOCITY if quantity is Quantity.HU else Quantity.HU)


class TestAll(ModalityTests):
    pass


def test_codes_are_unique_and_six() -> None:
    assert len({m.code for m in ALL}) == len(ALL) == 6
    values = [value for m in ALL for value in m.dicom]
    assert len(set(values)) == len(values)


def test_import_is_light() -> None:
    code = "import sys, hexscope.modality; print([m for m in ('scipy', 'pydicom', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
