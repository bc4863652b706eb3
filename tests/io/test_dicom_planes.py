"""What a pixel measures in single images: the detector, an ultrasound region, or nothing that is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.sequence import Sequence as Items

from hexscope.errors import UncalibratedError, UsageError
from hexscope.io.dicom import DICOM
from hexscope.io.reading import open_series
from hexscope.io.series import Series
from hexscope.modality import us, xray
from tests.io.dicom_files import CR, SC, US, codes, dataset, item, only, pixel_tags, save, scan

ARRAY = np.arange(77, dtype=np.uint8).reshape(7, 11)


def still(folder: Path, sop_class: str, modality: str, **tags: Any) -> Series:
    save(dataset(sop_class, modality), folder / "a", **pixel_tags(ARRAY), **tags)
    return only(folder)


@pytest.mark.parametrize(
    ("tags", "spacing", "plane", "code"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.15]}, (0.2, 0.15), "detector", ["geometry.detector_plane"]),
        ({"PixelSpacing": [0.2, 0.15]}, (0.2, 0.15), "detector", ["geometry.detector_plane"]),
        (
            {"PixelSpacing": [0.2, 0.15], "ImagerPixelSpacing": [0.2, 0.15]},
            (0.2, 0.15),
            "detector",
            ["geometry.detector_plane"],
        ),
        ({"PixelSpacing": [0.18, 0.13], "ImagerPixelSpacing": [0.2, 0.15]}, (0.18, 0.13), "patient", []),
        (
            {"PixelSpacing": [0.18, 0.13], "PixelSpacingCalibrationType": "FIDUCIAL"},
            (0.18, 0.13),
            "patient",
            [],
        ),
        ({}, None, "unknown", ["geometry.no_spacing"]),
    ],
)
def test_xray_spacing_is_that_of_the_detector_unless_calibrated(
    tmp_path: Path, tags: dict[str, Any], spacing: tuple[float, ...] | None, plane: str, code: list[str]
) -> None:
    series = still(tmp_path, CR, "CR", **tags)
    assert series.grid is not None and (series.grid.spacing_mm, series.grid.plane) == (spacing, plane)
    assert codes(series) == code


def test_zero_spacing_is_refused(tmp_path: Path) -> None:
    series = still(tmp_path, CR, "CR", PixelSpacing=[0, 0.1])
    assert codes(series) == ["geometry.zero_spacing"] and series.verdict == "refused" and series.grid is None


def region(delta_x: float, delta_y: float, units: int = 3, kind: int = 1) -> Any:
    return item(
        RegionSpatialFormat=1,
        RegionDataType=kind,
        RegionFlags=0,
        RegionLocationMinX0=0,
        RegionLocationMinY0=0,
        RegionLocationMaxX1=10,
        RegionLocationMaxY1=6,
        PhysicalUnitsXDirection=units,
        PhysicalUnitsYDirection=units,
        PhysicalDeltaX=delta_x,
        PhysicalDeltaY=delta_y,
    )


@pytest.mark.parametrize(
    ("regions", "spacing"),
    [
        ([region(0.03, 0.05)], (0.5, 0.3)),
        ([region(0.03, 0.05), region(0.01, 1.0, units=4, kind=3)], (0.5, 0.3)),
        ([region(0.03, 0.05), region(0.02, 0.02)], None),
        ([region(0.03, 0.05, units=4)], None),
        ([], None),
    ],
)
def test_ultrasound_millimetres_come_from_tissue_regions_in_cm(
    tmp_path: Path, regions: list[Any], spacing: tuple[float, ...] | None
) -> None:
    series = still(tmp_path, US, "US", SequenceOfUltrasoundRegions=Items(regions), PixelSpacing=[9.0, 9.0])
    assert series.grid is not None
    if spacing is None:
        assert series.grid.spacing_mm is None and codes(series) == ["geometry.no_spacing"]
        with pytest.raises(UncalibratedError):
            series.grid.require_spacing("a length")
    else:
        assert series.grid.spacing_mm == pytest.approx(spacing) and series.grid.plane == "patient"
        assert not codes(series)
    assert len(series.facts.get("ultrasound_regions", ())) == len(regions)


def test_secondary_capture_has_no_millimetres_of_the_patient(tmp_path: Path) -> None:
    series = still(tmp_path, SC, "OT", NominalScannedPixelSpacing=[0.1, 0.1])
    assert series.modality == "OT" and series.grid is not None and series.grid.spacing_mm is None
    assert codes(series) == ["geometry.no_spacing", "geometry.no_position"]


def test_views_of_one_series_stay_images_of_their_own(tmp_path: Path) -> None:
    for number in (1, 2):
        ds = dataset(CR, "CR")
        save(ds, tmp_path / str(number), **pixel_tags(ARRAY + number), InstanceNumber=number)
    found = {s.id: s for s in scan(tmp_path).series}
    assert sorted(found) == ["1.2.3.4.5:image=1", "1.2.3.4.5:image=2"]
    np.testing.assert_array_equal(found["1.2.3.4.5:image=2"].load().array, ARRAY + 2)


# ---- several ultrasound regions in one frame --------------------------------------------------------------

#: Rows 0-3 a 2-D picture with flow, rows 4-6 a Doppler spectrum: time along x, velocity along y, upward.
TWO_D = {
    "RegionSpatialFormat": 1, "RegionDataType": 2, "RegionFlags": 0,
    "RegionLocationMinX0": 1, "RegionLocationMinY0": 0, "RegionLocationMaxX1": 9, "RegionLocationMaxY1": 3,
    "PhysicalUnitsXDirection": 3, "PhysicalUnitsYDirection": 3, "PhysicalDeltaX": 0.03, "PhysicalDeltaY": 0.05,
}  # fmt: skip
SPECTRUM = {
    "RegionSpatialFormat": 3, "RegionDataType": 3, "RegionFlags": 4,
    "RegionLocationMinX0": 2, "RegionLocationMinY0": 4, "RegionLocationMaxX1": 10, "RegionLocationMaxY1": 6,
    "PhysicalUnitsXDirection": 4, "PhysicalUnitsYDirection": 7, "PhysicalDeltaX": 0.005, "PhysicalDeltaY": -1.5,
    "ReferencePixelX0": 0, "ReferencePixelY0": 2, "ReferencePixelPhysicalValueX": 0.25,
    "ReferencePixelPhysicalValueY": -3.0,
}  # fmt: skip
M_MODE = {
    **TWO_D, "RegionSpatialFormat": 2, "RegionDataType": 1, "RegionLocationMinY0": 4, "RegionLocationMaxY1": 6,
    "PhysicalUnitsXDirection": 4, "PhysicalDeltaX": 0.01,
}  # fmt: skip


def scan_of(folder: Path, *regions: dict[str, Any], array: np.ndarray = ARRAY) -> Series:
    tags = {**pixel_tags(array), "SequenceOfUltrasoundRegions": Items([item(**r) for r in regions])}
    save(dataset(US, "US"), folder / "a", **tags)
    return only(folder)


def test_every_region_is_told_with_kind_units_and_deltas(tmp_path: Path) -> None:
    series = scan_of(tmp_path, TWO_D, SPECTRUM, M_MODE)
    assert series.facts["regions"] == [
        {
            "kind": "2-D", "data": "colour flow", "box_px": [0, 1, 4, 10], "units": ["cm", "cm"], "delta": [0.05, 0.03],
            "spacing_mm": [0.5, pytest.approx(0.3)],
        },
        {
            "kind": "spectrum", "data": "pulsed Doppler", "box_px": [4, 2, 7, 11], "units": ["cm/s", "s"],
            "delta": [-1.5, 0.005], "spacing_mm": None,
        },
        {
            "kind": "M-mode", "data": "tissue", "box_px": [4, 1, 7, 10], "units": ["cm", "s"], "delta": [0.05, 0.01],
            "spacing_mm": None,
        },
    ]  # fmt: skip
    assert series.grid is not None and series.grid.spacing_mm == pytest.approx((0.5, 0.3))
    assert series.facts["spacing_holds_in"] == [[0, 1, 4, 10]]


def test_a_spectrum_alone_has_no_millimetres_and_says_what_it_is(tmp_path: Path) -> None:
    series = scan_of(tmp_path, SPECTRUM)
    assert series.grid is not None and series.grid.spacing_mm is None
    assert "spectrum pulsed Doppler" in series.faults[0].detail


def test_velocity_and_time_under_a_pixel(tmp_path: Path) -> None:
    """By hand: the reference is pixel (4 + 2, 2 + 0), −3 cm/s at 0.25 s; (4, 5) lies two rows up, three columns on."""
    picture, spectrum, _ = us.regions(scan_of(tmp_path, TWO_D, SPECTRUM, M_MODE).facts)
    assert spectrum.value(4, 5) == pytest.approx((-3.0 + 2 * 1.5, 0.25 + 3 * 0.005))
    assert picture.value(3, 2) == pytest.approx((3 * 0.05, 1 * 0.03))
    with pytest.raises(UsageError, match="outside the region"):
        spectrum.value(3, 5)


def test_a_region_is_cut_out_with_its_own_spacing(tmp_path: Path) -> None:
    other = {**TWO_D, "RegionLocationMinY0": 4, "RegionLocationMaxY1": 6, "PhysicalDeltaX": 0.07}
    image = scan_of(tmp_path, TWO_D, other, SPECTRUM).load()
    assert image.grid.spacing_mm is None
    second = us.region_image(image, 1)  # type: ignore[arg-type]
    np.testing.assert_array_equal(second.array, ARRAY[4:7, 1:10])
    assert second.grid.spacing_mm == pytest.approx((0.5, 0.7)) and second.grid.plane == "patient"
    spectrum = us.region_image(image, 2)  # type: ignore[arg-type]
    assert spectrum.grid.spacing_mm is None and spectrum.facts["region"]["units"] == ["cm/s", "s"]
    with pytest.raises(UsageError, match="3 ultrasound regions"):
        us.region_image(image, 3)  # type: ignore[arg-type]


def test_colour_is_told_from_grey_inside_the_flow_region(tmp_path: Path) -> None:
    colour = np.repeat(ARRAY[..., None], 3, axis=-1)
    colour[1, 3] = (200, 20, 10)  # flow
    colour[2, 4] = (80, 90, 100)  # JPEG's noise on grey
    colour[5, 5] = (0, 0, 255)  # a bar outside the region
    image = scan_of(tmp_path, TWO_D, SPECTRUM, array=colour).load()
    flow = us.coloured(image)  # type: ignore[arg-type]
    assert flow.shape == (7, 11) and np.argwhere(flow).tolist() == [[1, 3]]
    (tmp_path / "b").mkdir()
    tissue = scan_of(tmp_path / "b", {**TWO_D, "RegionDataType": 1}, array=colour).load()
    assert np.argwhere(us.coloured(tissue)).tolist() == [[1, 3], [5, 5]]  # type: ignore[arg-type]
    (tmp_path / "c").mkdir()
    assert not us.coloured(scan_of(tmp_path / "c", TWO_D).load()).any()  # type: ignore[arg-type]


def test_the_regions_of_a_real_triplex_screen() -> None:
    """From the test files that pydicom ships: a 2-D picture and an ECG strip below it."""
    path = get_testdata_file("examples_palette.dcm", download=False)
    if not path:
        pytest.skip("pydicom's example files are not here")
    (series,) = DICOM.scan([Path(path)]).series
    picture, strip = us.regions(series.facts)
    assert (picture.kind, picture.data, strip.kind, strip.data, strip.units) == (
        "2-D",
        "tissue",
        "waveform",
        "ECG",
        ("", "s"),
    )
    assert series.grid is not None and series.grid.spacing_mm == pytest.approx((0.26228788, 0.26228788))


# ---- projections ------------------------------------------------------------------------------------------


def projection(folder: Path, modality: str = "MG", **tags: Any) -> Any:
    save(dataset(CR, modality), folder / "a", **pixel_tags(ARRAY), **tags)
    return open_series(only(folder))


IMAGER = {"ImagerPixelSpacing": [0.2, 0.15]}


@pytest.mark.parametrize(
    ("tags", "plane", "spacing", "patient"),
    [
        ({**IMAGER, "EstimatedRadiographicMagnificationFactor": 1.25}, "detector", (0.2, 0.15), (0.16, 0.12)),
        (
            {**IMAGER, "DistanceSourceToDetector": 660, "DistanceSourceToPatient": 600},
            "detector", (0.2, 0.15), (0.2 / 1.1, 0.15 / 1.1),
        ),
        ({**IMAGER, "EstimatedRadiographicMagnificationFactor": 0.8}, "detector", (0.2, 0.15), None),
        (IMAGER, "detector", (0.2, 0.15), None),
        (
            {**IMAGER, "PixelSpacing": [0.18, 0.13], "PixelSpacingCalibrationType": "GEOMETRY"},
            "patient", (0.18, 0.13), (0.18, 0.13),
        ),
        (
            {**IMAGER, "PixelSpacing": [0.18, 0.13], "EstimatedRadiographicMagnificationFactor": 1.25},
            "patient", (0.18, 0.13), (0.18, 0.13),
        ),
        ({"NominalScannedPixelSpacing": [0.1, 0.05]}, "detector", (0.1, 0.05), None),
    ],
)  # fmt: skip
def test_detector_and_patient_plane(
    tmp_path: Path, tags: dict[str, Any], plane: str, spacing: tuple[float, ...], patient: tuple[float, ...] | None
) -> None:
    image = projection(tmp_path, **tags)
    assert (image.grid.plane, image.grid.spacing_mm) == (plane, pytest.approx(spacing))
    assert image.facts.get("spacing_patient_mm") == (None if patient is None else pytest.approx(patient))
    if plane == "patient":
        with pytest.raises(UncalibratedError):
            xray.in_patient(image)
        return
    if patient is None:
        with pytest.raises(UncalibratedError, match="magnification="):
            xray.in_patient(image)
        patient = tuple(s / 1.6 for s in spacing)
        moved = xray.in_patient(image, 1.6)
    else:
        moved = xray.in_patient(image)
    assert moved.grid.plane == "patient" and moved.grid.spacing_mm == pytest.approx(patient)
    assert "geometry.detector_plane" not in [f.code for f in moved.faults]
    with pytest.raises(UsageError, match="at least 1"):
        xray.in_patient(image, 0.9)


def test_the_detectors_fault_names_the_patients_millimetres(tmp_path: Path) -> None:
    image = projection(tmp_path, **IMAGER, EstimatedRadiographicMagnificationFactor=1.25)
    (fault,) = [f for f in image.faults if f.code == "geometry.detector_plane"]
    assert "1.25 makes it 0.16 × 0.12 mm in the patient" in fault.detail


def test_a_zero_imager_spacing_is_refused(tmp_path: Path) -> None:
    assert codes(still(tmp_path, CR, "DX", ImagerPixelSpacing=[0, 0.1])) == ["geometry.zero_spacing"]


def test_side_and_view_of_a_mammogram(tmp_path: Path) -> None:
    modifier = item(CodeValue="R-102D6", CodingSchemeDesignator="SRT", CodeMeaning="Magnification")
    view = item(
        CodeValue="R-10226", CodingSchemeDesignator="SRT", CodeMeaning="medio-lateral oblique",
        ViewModifierCodeSequence=Items([modifier]),
    )  # fmt: skip
    image = projection(tmp_path, **IMAGER, ImageLaterality="L", ViewPosition="MLO", ViewCodeSequence=Items([view]))
    assert image.facts["laterality"] == "L"
    assert image.facts["view"] == {"meaning": "medio-lateral oblique", "code": "R-10226", "scheme": "SRT"}
    assert [m["meaning"] for m in image.facts["view_modifiers"]] == ["Magnification"]
    assert [f.code for f in image.faults] == ["geometry.detector_plane"]


def test_a_mammogram_without_side_and_view_says_so(tmp_path: Path) -> None:
    image = projection(tmp_path, **IMAGER)
    (fault,) = [f for f in image.faults if f.code == "value.bare_header"]
    assert "laterality (0020,0062), view (0054,0220)" in fault.detail


def test_both_sides_at_once_is_a_fault(tmp_path: Path) -> None:
    image = projection(tmp_path, **IMAGER, ImageLaterality="L", Laterality="R", ViewPosition="CC")
    (fault,) = [f for f in image.faults if f.code == "value.conflicting_laterality"]
    assert "(0020,0062) is L" in fault.detail and "(0020,0060) is R" in fault.detail


@pytest.mark.parametrize(("intent", "told"), [("FOR PROCESSING", True), ("FOR PRESENTATION", False)])
def test_presentation_intent(tmp_path: Path, intent: str, told: bool) -> None:
    image = projection(tmp_path, "DX", **IMAGER, PresentationIntentType=intent)
    assert image.facts["PresentationIntentType"] == intent
    assert ("value.for_processing" in [f.code for f in image.faults]) is told
