"""What a pixel measures in single images: the detector, an ultrasound region, or nothing that is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.sequence import Sequence as Items

from hexscope.errors import UncalibratedError
from hexscope.io.series import Series
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
