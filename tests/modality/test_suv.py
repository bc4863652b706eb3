"""SUV: against numbers worked out by hand, and against what must not be guessed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.errors import MissingFact, QuantityError
from hexscope.modality import PT
from hexscope.modality.body import body_size
from hexscope.modality.clock import Moment, date_time, injection, mean_rate_seconds, moment, scan_start

FACTS: dict[str, Any] = {
    "Units": "BQML",
    "DecayCorrection": "START",
    "CorrectedImage": ["ATTN", "SCAT", "DECY"],
    "PatientWeight": 70.0,
    "PatientSize": 1.75,
    "PatientSex": "F",
    "RadionuclideTotalDose": 350e6,
    "RadionuclideHalfLife": 6586.2,
    "RadiopharmaceuticalStartTime": "090000",
    "SeriesDate": "20240305",
    "SeriesTime": "100000.50",
    "AcquisitionDate": "20240305",
    "AcquisitionTime": "100001",
}


def pet(grid: Grid, quantity: Quantity = Quantity.BQML, **facts: Any) -> Image:
    """A PET whose facts are FACTS with changes; None takes a fact away."""
    merged = {k: v for k, v in {**FACTS, **facts}.items() if v is not None}
    array = (np.arange(5 * 7 * 11, dtype=np.float32) * 10).reshape(grid.shape)
    files = tuple(f"{i}.dcm" for i in range(5))
    return Image.from_array(array, grid, modality="PT", quantity=quantity, facts=merged, files=files, name="pet/")


def factor(image: Image, wanted: Quantity = Quantity.SUVBW) -> float:
    converted, ledger = PT.convert(image, wanted)
    assert converted.quantity is wanted
    assert converted.steps[-1].startswith(wanted.value)
    told = next(entry.value for entry in ledger if entry.name == "factor")
    assert isinstance(told, float)
    np.testing.assert_allclose(converted.array, image.array * told, rtol=1e-5)
    return told


def test_start_decays_the_dose_to_the_series(oblique_grid: Grid) -> None:
    left = 350e6 * 2 ** (-3600.5 / 6586.2)
    assert factor(pet(oblique_grid)) == pytest.approx(70e3 / left, rel=1e-9)


def test_admin_takes_the_dose_as_injected(oblique_grid: Grid) -> None:
    image = pet(oblique_grid, DecayCorrection="ADMIN", SeriesTime=None, RadionuclideHalfLife=None)
    assert factor(image) == pytest.approx(70e3 / 350e6, rel=1e-9)


def test_none_decays_the_dose_through_a_static_frame(oblique_grid: Grid) -> None:
    image = pet(
        oblique_grid,
        DecayCorrection="NONE",
        CorrectedImage=["ATTN"],
        SeriesType=["STATIC", "IMAGE"],
        ActualFrameDuration=600000,
        AcquisitionTime="100000",
    )
    times = np.linspace(3600.0, 4200.0, 100001)
    left = 350e6 * np.mean(2 ** (-times / 6586.2))
    assert factor(image) == pytest.approx(70e3 / left, rel=1e-6)


def test_none_over_several_beds_is_refused(oblique_grid: Grid) -> None:
    image = pet(oblique_grid, DecayCorrection="NONE", SeriesType=["WHOLE BODY", "IMAGE"], ActualFrameDuration=1e5)
    with pytest.raises(QuantityError, match="STATIC") as caught:
        PT.convert(image, Quantity.SUVBW)
    assert caught.value.code == "value.no_correction"


def test_a_series_time_rewritten_later_gives_way_to_the_first_acquisition() -> None:
    facts = {**FACTS, "SeriesTime": "180000"}
    assert scan_start(facts) == Moment(datetime(2024, 3, 5, 10, 0, 1), "(0008,0032)")
    assert scan_start(FACTS) == Moment(datetime(2024, 3, 5, 10, 0, 0, 500000), "(0008,0031)")


def test_midnight_between_injection_and_scan() -> None:
    facts = {**FACTS, "RadiopharmaceuticalStartTime": "233000"}
    given = injection(facts, Moment(datetime(2024, 3, 5, 0, 40), "x"), 6586.2)
    assert given == Moment(datetime(2024, 3, 4, 23, 30), "(0018,1072)")


def test_the_full_injection_time_is_preferred() -> None:
    facts = {**FACTS, "RadiopharmaceuticalStartDateTime": "20240305084500.25"}
    given = injection(facts, Moment(datetime(2024, 3, 5, 10), "x"), 6586.2)
    assert given == Moment(datetime(2024, 3, 5, 8, 45, 0, 250000), "(0018,1078)")


@pytest.mark.parametrize(
    ("facts", "half_life"),
    [
        ({"RadiopharmaceuticalStartDateTime": "20190101084500"}, 6586.2),  # dates shifted apart
        ({"RadiopharmaceuticalStartDateTime": "20240305110000"}, 6586.2),  # after the scan
        ({"RadiopharmaceuticalStartTime": "090000"}, 282000.0),  # zirconium: which day?
        ({"RadiopharmaceuticalStartTime": "100100"}, 6586.2),  # nearly a day, 13 half-lives
        ({}, 6586.2),
    ],
)
def test_an_injection_time_that_cannot_be_is_a_sentence(facts: dict[str, Any], half_life: float) -> None:
    assert isinstance(injection(facts, Moment(datetime(2024, 3, 5, 10), "x"), half_life), str)


def test_zones_of_date_times() -> None:
    assert date_time("20240305080000+0100", "+0300") == datetime(2024, 3, 5, 10)
    assert date_time("20240305080000-0530", "+0000") == datetime(2024, 3, 5, 13, 30)
    assert date_time("20240305080000+0100", "") == datetime(2024, 3, 5, 8)
    assert moment("20240305", "0830") == datetime(2024, 3, 5, 8, 30)
    assert moment("2024", "08") is None
    assert moment("20241399", "083000") is None


@pytest.mark.parametrize(
    ("facts", "code", "field"),
    [
        ({"PatientWeight": None}, "value.missing_weight", "PatientWeight (0010,1030)"),
        ({"PatientWeight": 0.0}, "value.missing_weight", "PatientWeight (0010,1030)"),
        ({"PatientWeight": 70000.0}, "value.missing_weight", "70000 kg"),
        ({"RadionuclideTotalDose": None}, "value.missing_dose", "RadionuclideTotalDose (0018,1074)"),
        ({"RadionuclideTotalDose": 350.0}, "value.missing_dose", "MBq"),
        ({"RadionuclideHalfLife": None}, "value.missing_fact", "RadionuclideHalfLife (0018,1075)"),
        ({"DecayCorrection": None}, "value.missing_fact", "DecayCorrection (0054,1102)"),
        ({"RadiopharmaceuticalStartTime": None}, "value.missing_time", "(0018,1078)"),
        ({"SeriesTime": None, "AcquisitionTime": None}, "value.missing_time", "(0008,0031)"),
        ({"CorrectedImage": ["DECY"]}, "value.no_correction", "lacks ATTN"),
        ({"CorrectedImage": "ATTN\\SCAT"}, "value.no_correction", "lacks DECY"),
        ({"CorrectedImage": None}, "value.no_correction", "absent"),
    ],
)
def test_nothing_is_assumed(oblique_grid: Grid, facts: dict[str, Any], code: str, field: str) -> None:
    image = pet(oblique_grid, **facts)
    with pytest.raises(QuantityError) as caught:
        PT.convert(image, Quantity.SUVBW)
    assert caught.value.code == code
    assert field in str(caught.value)
    assert code in [fault.code for fault in PT.audit(image)]


def test_the_message_counts_the_slices(oblique_grid: Grid) -> None:
    with pytest.raises(MissingFact) as caught:
        PT.convert(pet(oblique_grid, PatientWeight=None), Quantity.SUVBW)
    assert str(caught.value) == (
        "SUVbw needs PatientWeight (0010,1030); it is absent in 5 of 5 slices of pet/. No default is assumed."
    )
    some = pet(oblique_grid, missing_in={"PatientWeight": 2})
    with pytest.raises(MissingFact, match="absent in 2 of 5 slices"):
        PT.convert(some, Quantity.SUVBW)


def test_a_sound_header_has_no_fault_and_several_faults_are_all_told(oblique_grid: Grid) -> None:
    assert PT.audit(pet(oblique_grid)) == ()
    bare = pet(oblique_grid, PatientWeight=None, RadionuclideTotalDose=None, CorrectedImage=None)
    codes = [fault.code for fault in PT.audit(bare)]
    assert codes == ["value.no_correction", "value.missing_weight", "value.missing_dose"]


def test_stored_as_suv_says_so(oblique_grid: Grid) -> None:
    image = pet(oblique_grid, Quantity.SUVBW, Units="GML", PatientWeight=None)
    same, ledger = PT.convert(image, Quantity.SUVBW)
    assert same is image
    assert [entry.name for entry in ledger] == ["stored as SUVbw"]
    assert ledger[0].value == 1.0
    assert "(0054,1001)" in ledger[0].tag and "(0054,1006)" in ledger[0].tag


@pytest.mark.parametrize(
    ("units", "kind", "quantity"),
    [
        ("BQML", None, Quantity.BQML),
        ("GML", None, Quantity.SUVBW),
        ("GML", "BW", Quantity.SUVBW),
        ("GML", "LBMJANMA", Quantity.SUVLBM),
        ("GML", "LBMJAMES128", Quantity.SUVLBM_JAMES),
        ("GML", "IBW", Quantity.SUVIBW),
        ("GML", "LBM", Quantity.ARBITRARY),
        ("GML", "BSA", Quantity.ARBITRARY),
        ("CM2ML", "BSA", Quantity.SUVBSA),
        ("CNTS", None, Quantity.COUNTS),
        ("MLMINML", None, Quantity.ARBITRARY),
        (None, None, Quantity.ARBITRARY),
    ],
)
def test_stored_quantity(units: str | None, kind: str | None, quantity: Quantity) -> None:
    assert PT.stored({"Units": units, "SUVType": kind}) is quantity


def test_philips_counts(oblique_grid: Grid) -> None:
    image = pet(oblique_grid, Quantity.COUNTS, PhilipsSUVScaleFactor=0.000551)
    assert factor(image) == pytest.approx(0.000551)
    assert PT.audit(image) == ()
    bare = pet(oblique_grid, Quantity.COUNTS)
    with pytest.raises(MissingFact, match=r"\(7053,1000\)"):
        PT.convert(bare, Quantity.SUVBW)
    assert [fault.code for fault in PT.audit(bare)] == ["value.missing_fact"]


#: By hand for 70 kg, 1.75 m: BMI 22.857.
SIZES = {
    (Quantity.SUVLBM, "M"): 9270 * 70 / (6680 + 216 * 22.857143) * 1e3,
    (Quantity.SUVLBM, "F"): 9270 * 70 / (8780 + 244 * 22.857143) * 1e3,
    (Quantity.SUVLBM_JAMES, "M"): 56.52e3,
    (Quantity.SUVLBM_JAMES, "F"): 51.22e3,
    (Quantity.SUVIBW, "M"): 72.38e3,
    (Quantity.SUVIBW, "F"): 66.43e3,
    (Quantity.SUVBSA, "F"): 18481.0,
}


@pytest.mark.parametrize(("kind", "sex"), SIZES)
def test_body_sizes(kind: Quantity, sex: str) -> None:
    assert body_size(kind, 70.0, 1.75, sex)[0] == pytest.approx(SIZES[kind, sex], rel=1e-4)


@pytest.mark.parametrize("kind", [q for q in Quantity if q.is_suv and q is not Quantity.SUVBW])
def test_suvs_of_one_scan_differ_by_their_sizes(oblique_grid: Grid, kind: Quantity) -> None:
    image = pet(oblique_grid)
    body_weight = PT.convert(image, Quantity.SUVBW)[0]
    direct = PT.convert(image, kind)[0]
    through = PT.convert(body_weight, kind)[0]
    np.testing.assert_allclose(through.array, direct.array, rtol=1e-5)
    size = body_size(kind, 70.0, 1.75, "F")[0]
    np.testing.assert_allclose(direct.array, body_weight.array * size / 70e3, rtol=1e-5)


@pytest.mark.parametrize("missing", ["PatientSize", "PatientSex"])
def test_lean_mass_needs_height_and_sex(oblique_grid: Grid, missing: str) -> None:
    with pytest.raises(MissingFact, match=missing):
        PT.convert(pet(oblique_grid, **{missing: None}), Quantity.SUVLBM)


def test_no_way_to_hounsfield(oblique_grid: Grid) -> None:
    with pytest.raises(QuantityError):
        PT.convert(pet(oblique_grid), Quantity.HU)


# ---- clocks ------------------------------------------------------------------------------------------------

REWRITTEN = {**FACTS, "SeriesTime": "180000"}


def test_ge_tells_the_scan_start_where_series_time_was_rewritten() -> None:
    facts = {
        **REWRITTEN,
        "GEScanDateTime": "20240305095959.50",
        "FrameReferenceTime": 60000,
        "ActualFrameDuration": 1e5,
    }
    assert scan_start(facts) == Moment(datetime(2024, 3, 5, 9, 59, 59, 500000), "(0009,100D)")
    sound = {**FACTS, "GEScanDateTime": "20240305095959.50"}
    assert scan_start(sound) == Moment(datetime(2024, 3, 5, 10, 0, 0, 500000), "(0008,0031)")


@pytest.mark.parametrize(
    ("reference", "duration", "seconds_before"),
    [
        (60000.0, 120000, 0.0626),  # the mean rate of a 2 min frame of F-18 falls 59.9374 s into it
        (300000.0, 120000, 240.0626),  # a later bed
        (0, 120000, 0.0),
        (300000.0, 0, 0.0),
        (None, 120000, 0.0),
    ],
)
def test_a_frame_implies_the_scan_start(reference: float | None, duration: float, seconds_before: float) -> None:
    facts = {**REWRITTEN, "FrameReferenceTime": reference, "ActualFrameDuration": duration}
    assert scan_start({**facts, "Manufacturer": "Philips"}) == Moment(datetime(2024, 3, 5, 10, 0, 1), "(0008,0032)")
    found = scan_start({**facts, "Manufacturer": "SIEMENS"})
    assert found is not None
    assert (datetime(2024, 3, 5, 10, 0, 1) - found.when).total_seconds() == pytest.approx(seconds_before, abs=2e-3)


def test_the_mean_rate_of_a_frame() -> None:
    """Against the integral itself, over a frame of two half-lives."""
    times = np.linspace(0.0, 200.0, 200001)
    mean = np.trapezoid(2 ** (-times / 100.0), times) / 200.0
    assert 2 ** (-mean_rate_seconds(200.0, 100.0) / 100.0) == pytest.approx(mean, rel=1e-8)


# ---- enhanced PET and odd units -----------------------------------------------------------------------------

ENHANCED = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.130",
    "Units": None,
    "DecayCorrection": None,
    "CorrectedImage": None,
    "DecayCorrected": "YES",
    "AttenuationCorrected": "YES",
    "DecayCorrectionDateTime": "20240305103000",
    "RadionuclideTotalDose": 350.0,
}


def test_enhanced_pet_doses_in_megabecquerel_and_names_its_reference(oblique_grid: Grid) -> None:
    image = pet(oblique_grid, **ENHANCED)
    left = 350e6 * 2 ** (-5400 / 6586.2)
    assert factor(image) == pytest.approx(70e3 / left, rel=1e-9)
    assert PT.audit(image) == ()
    tags = {entry.name: entry.tag for entry in PT.convert(image, Quantity.SUVBW)[1]}
    assert tags["decay corrected to"] == "(0018,9701)"


@pytest.mark.parametrize(("lost", "told"), [("AttenuationCorrected", "ATTN"), ("DecayCorrected", "DECY")])
def test_enhanced_pet_without_a_correction_is_refused(oblique_grid: Grid, lost: str, told: str) -> None:
    with pytest.raises(QuantityError, match=told):
        PT.convert(pet(oblique_grid, **{**ENHANCED, lost: "NO"}), Quantity.SUVBW)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"Units": "GML", "SUVType": "LBM"}, "LBM names no formula"),
        ({"Units": "GML", "SUVType": "BSA"}, "SUVType (0054,1006) is BSA"),
        ({"Units": "MLMINML", "SUVType": None}, "Units (0054,1001) are MLMINML"),
    ],
)
def test_units_that_name_no_quantity_are_told(oblique_grid: Grid, facts: dict[str, Any], told: str) -> None:
    image = pet(oblique_grid, PT.stored(facts), **facts)
    (fault,) = PT.audit(image)
    assert fault.code == "value.unknown_units" and told in fault.detail
    with pytest.raises(QuantityError):
        PT.convert(image, Quantity.SUVBW)


def test_counts_without_corrections_are_refused(oblique_grid: Grid) -> None:
    image = pet(oblique_grid, Quantity.COUNTS, PhilipsSUVScaleFactor=0.0005, CorrectedImage=["DECY"])
    with pytest.raises(QuantityError, match="lacks ATTN"):
        PT.convert(image, Quantity.SUVBW)


def test_a_stored_suv_needs_no_dose_to_become_another(oblique_grid: Grid) -> None:
    image = pet(oblique_grid, Quantity.SUVBW, Units="GML", RadionuclideTotalDose=None, SeriesTime=None)
    lean = PT.convert(image, Quantity.SUVLBM)[0]
    size = body_size(Quantity.SUVLBM, 70.0, 1.75, "F")[0]
    np.testing.assert_allclose(lean.array, image.array * size / 70e3, rtol=1e-6)
