"""Frames in time, and the subtraction a header asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.tag import Tag

from hexscope.core.image import Image
from hexscope.errors import UsageError
from hexscope.io.reading import open_series
from hexscope.modality import xray
from tests.io.dicom_files import US, dataset, item, only, pixel_tags, save

XA = "1.2.840.10008.5.1.4.1.1.12.1"
FRAMES = (np.arange(5 * 7 * 11, dtype=np.uint16) * 13 % 4093 + 100).reshape(5, 7, 11)
POINT_TIME, POINT_VECTOR = Tag(0x0018, 0x1063), Tag(0x0018, 0x1065)


def cine(folder: Path, sop_class: str = US, modality: str = "US", **tags: Any) -> Image:
    save(dataset(sop_class, modality), folder / "a", **pixel_tags(FRAMES), **tags)
    image = open_series(only(folder))
    assert isinstance(image, Image)
    return image


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"FrameTime": 33.3}, {"frame_time_ms": 33.3, "frame_time_source": "FrameTime"}),
        ({"FrameTime": 33.3, "CineRate": 15}, {"frame_time_ms": 33.3, "frame_time_source": "FrameTime"}),
        (
            {"FrameTimeVector": [0, 40, 30, 50, 45], "CineRate": 15},
            {"frame_times_ms": [0.0, 40.0, 70.0, 120.0, 165.0], "frame_time_source": "FrameTimeVector"},
        ),
        (
            {"FrameTime": 33.3, "FrameTimeVector": [0, 40, 30, 50, 45], "FrameIncrementPointer": POINT_VECTOR},
            {"frame_times_ms": [0.0, 40.0, 70.0, 120.0, 165.0], "frame_time_source": "FrameTimeVector"},
        ),
        (
            {"FrameTime": 33.3, "FrameTimeVector": [0, 40, 30, 50, 45], "FrameIncrementPointer": POINT_TIME},
            {"frame_time_ms": 33.3, "frame_time_source": "FrameTime"},
        ),
        ({"CineRate": 25, "RecommendedDisplayFrameRate": 10}, {"frame_time_ms": 40.0, "frame_time_source": "CineRate"}),
        (
            {"RecommendedDisplayFrameRate": 10},
            {"frame_time_ms": 100.0, "frame_time_source": "RecommendedDisplayFrameRate"},
        ),
        ({"FrameTimeVector": [0, 40], "CineRate": 20}, {"frame_time_ms": 50.0, "frame_time_source": "CineRate"}),
        ({"FrameTime": 0}, {}),
        ({}, {}),
    ],
)
def test_time_base(tmp_path: Path, tags: dict[str, Any], told: dict[str, Any]) -> None:
    facts = cine(tmp_path, **tags).facts
    assert {k: v for k, v in facts.items() if k.startswith("frame_time")} == told


def mask(operation: str = "AVG_SUB", **tags: Any) -> list[Any]:
    return [item(MaskOperation=operation, **tags)]


def angiogram(folder: Path, masks: list[Any], **tags: Any) -> Image:
    return cine(folder, XA, "XA", MaskSubtractionSequence=masks, **tags)


def test_subtraction_is_told_and_not_applied(tmp_path: Path) -> None:
    image = angiogram(tmp_path, mask(MaskFrameNumbers=[1, 2], ApplicableFrameRange=[3, 5]))
    np.testing.assert_array_equal(image.array, FRAMES)
    assert image.facts["mask_subtraction"] == [
        {
            "operation": "AVG_SUB",
            "frames": [[3, 5]],
            "mask_frames": [1, 2],
            "averaging": 1,
            "shift": [],
            "tid_offset": 1,
        }
    ]
    (fault,) = [f for f in image.faults if f.code == "value.mask_subtraction"]
    assert "AVG_SUB of mask frames [1, 2]" in fault.detail


def test_the_mean_of_the_masks_is_subtracted(tmp_path: Path) -> None:
    image = xray.dsa(angiogram(tmp_path, mask(MaskFrameNumbers=[1, 2], ApplicableFrameRange=[3, 5])))
    np.testing.assert_allclose(image.array, FRAMES[2:] - FRAMES[:2].mean(axis=0), rtol=1e-6)
    assert image.facts["frame_numbers"] == [3, 4, 5] and "mask frames [1, 2]" in image.steps[-1]


def test_contrast_frames_are_averaged_as_asked(tmp_path: Path) -> None:
    image = xray.dsa(
        angiogram(tmp_path, mask(MaskFrameNumbers=2, ApplicableFrameRange=[3, 5], ContrastFrameAveraging=2))
    )
    means = [FRAMES[2:4].mean(axis=0), FRAMES[3:5].mean(axis=0), FRAMES[4]]
    np.testing.assert_allclose(image.array, np.stack(means) - FRAMES[1], rtol=1e-6)


def test_averaging_stays_inside_the_range(tmp_path: Path) -> None:
    masks = mask(MaskFrameNumbers=5, ApplicableFrameRange=[2, 3], ContrastFrameAveraging=3)
    image = xray.dsa(angiogram(tmp_path, masks))
    np.testing.assert_allclose(image.array, np.stack([FRAMES[1:3].mean(axis=0), FRAMES[2]]) - FRAMES[4], rtol=1e-6)


def test_without_a_range_all_but_the_masks_are_contrast(tmp_path: Path) -> None:
    image = xray.dsa(angiogram(tmp_path, mask(MaskFrameNumbers=3)))
    np.testing.assert_allclose(image.array, FRAMES[[0, 1, 3, 4]].astype(float) - FRAMES[2], rtol=1e-6)


def test_time_interval_differences(tmp_path: Path) -> None:
    image = xray.dsa(angiogram(tmp_path, mask("TID", TIDOffset=2)))
    np.testing.assert_allclose(image.array, FRAMES[2:].astype(float) - FRAMES[:3], rtol=1e-6)


def test_linear_intensities_are_subtracted_as_logarithms(tmp_path: Path) -> None:
    image = xray.dsa(angiogram(tmp_path, mask(MaskFrameNumbers=1), PixelIntensityRelationship="LIN"))
    np.testing.assert_allclose(image.array, np.log(FRAMES[1:] / FRAMES[0]), atol=1e-5)


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        (mask("REV_TID"), "REV_TID"),
        (mask(MaskFrameNumbers=1, MaskSubPixelShift=[0.5, -1.25]), "0028,6114"),
        (mask(MaskFrameNumbers=9), "of 5"),
        (mask(), "of 5"),
        (mask(MaskFrameNumbers=1, ApplicableFrameRange=[8, 9]), "no frame"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path: Path, masks: list[Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        xray.dsa(angiogram(tmp_path, masks))


def test_no_subtraction_was_asked_for(tmp_path: Path) -> None:
    image = cine(tmp_path, XA, "XA")
    with pytest.raises(UsageError, match="0 mask subtractions"):
        xray.dsa(image)
    with pytest.raises(UsageError, match="cine"):
        xray.dsa(image.frame(0))
