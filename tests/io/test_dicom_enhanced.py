"""Enhanced multi-frame objects: geometry, rescale and kind come from the functional groups of each frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from hexscope.core.image import Image
from tests.io.dicom_files import (
    COLUMN,
    ENHANCED_MR,
    NORMAL,
    ORIGIN,
    ROW,
    SPACING,
    STEP,
    dataset,
    item,
    only,
    pixel_tags,
    save,
    scan,
    stack,
)


def frame(height: float, **more: Any) -> Dataset:
    position = [float(v) for v in ORIGIN + NORMAL * height]
    group = item(PlanePositionSequence=Items([item(ImagePositionPatient=position)]))
    for keyword, value in more.items():
        setattr(group, keyword, Items([value]))
    group.add_new(0x20050010, "LO", "PRIVATE MAKER")
    group.add_new(0x2005100F, "SQ", Items([item(PatientComments="private")]))
    return group


def enhanced(path: Path, array: np.ndarray, groups: list[Dataset], **tags: Any) -> Path:
    cosines = [*ROW.tolist(), *COLUMN.tolist()]
    shared = item(
        PlaneOrientationSequence=Items([item(ImageOrientationPatient=cosines)]),
        PixelMeasuresSequence=Items([item(PixelSpacing=list(SPACING), SliceThickness=2.5)]),
    )
    ds = dataset(ENHANCED_MR, "MR")
    ds.DimensionIndexSequence = Items([item(DimensionIndexPointer=0x20051063, FunctionalGroupPointer=0x2005100F)])
    return save(
        ds,
        path,
        **pixel_tags(array),
        FrameOfReferenceUID="1.2.3.4.9",
        SharedFunctionalGroupsSequence=Items([shared]),
        PerFrameFunctionalGroupsSequence=Items(groups),
        **tags,
    )


def test_frames_are_ordered_by_place_and_rescaled_one_by_one(tmp_path: Path) -> None:
    array = stack()
    order = [3, 0, 4, 1, 2]
    groups = [
        frame(
            STEP * k,
            PixelValueTransformationSequence=item(RescaleSlope=k + 0.5, RescaleIntercept=k, RescaleType="US"),
        )
        for k in order
    ]
    enhanced(tmp_path / "a", array[order], groups)
    image = only(tmp_path).load()
    assert isinstance(image, Image) and image.faults == ()
    k = np.arange(5)[:, None, None]
    np.testing.assert_allclose(image.array, array * (0.5 + k) + k, rtol=1e-6)
    np.testing.assert_allclose(image.grid.to_world((4, 0, 0)), ORIGIN + NORMAL * 4 * STEP, atol=1e-9)
    assert image.grid.frame_of_reference == "1.2.3.4.9"
    assert image.facts["RescaleType"] == "US" and image.facts["frame_numbers"] == [2, 4, 5, 1, 3]


def test_magnitude_and_field_map_in_one_object_are_parted(tmp_path: Path) -> None:
    array = np.concatenate([stack(), stack() + 1000])
    kinds = ["M", "FIELD_MAP"]
    groups = [
        frame(STEP * k, MRImageFrameTypeSequence=item(FrameType=["ORIGINAL", "PRIMARY", "X", kind]))
        for kind in kinds
        for k in range(5)
    ]
    shuffled = np.random.default_rng(2).permutation(10)
    enhanced(tmp_path / "a", array[shuffled], [groups[i] for i in shuffled])
    found = {s.id: s for s in scan(tmp_path).series}
    assert sorted(found) == ["1.2.3.4.5:type=FIELD_MAP", "1.2.3.4.5:type=M"]
    for offset, name in ((0, "M"), (1000, "FIELD_MAP")):
        image = found[f"1.2.3.4.5:type={name}"].load()
        np.testing.assert_array_equal(image.array, stack() + offset)


def test_stacks_and_times(tmp_path: Path) -> None:
    array = np.concatenate([stack() + 100 * t for t in range(3)])
    groups = [
        frame(
            STEP * k,
            FrameContentSequence=item(TemporalPositionIndex=t + 1, StackID="1", InStackPositionNumber=k + 1),
        )
        for t in range(3)
        for k in range(5)
    ]
    enhanced(tmp_path / "a", array, groups)
    found = scan(tmp_path).series
    assert [s.id for s in found] == ["1.2.3.4.5"] and found[0].shape == (3, 5, 7, 11)
    image = found[0].load()
    np.testing.assert_array_equal(image.array, [stack() + 100 * t for t in range(3)])
    np.testing.assert_array_equal(image.crop((2, 0, 0), (4, 7, 11)).array, image.array[:, 2:4])
    assert image.facts["axis_t"] == "TemporalPositionIndex" and image.facts["axis_t_values"] == ["1", "2", "3"]


def test_parallel_stacks_of_one_object_are_parted(tmp_path: Path) -> None:
    """Two slabs of one orientation whose slices interleave would make one crooked volume."""
    array = np.concatenate([stack(), stack() + 1000])
    groups = [
        frame(STEP * k + 1.25 * s, FrameContentSequence=item(StackID=str(s + 1), InStackPositionNumber=k + 1))
        for s in range(2)
        for k in range(5)
    ]
    enhanced(tmp_path / "a", array, groups)
    found = scan(tmp_path).series
    assert [(s.id.removeprefix("1.2.3.4.5"), s.shape) for s in found] == [(f":plane={s}", (5, 7, 11)) for s in (1, 2)]
    for s, series in enumerate(found):
        np.testing.assert_array_equal(series.load().array, stack() + 1000 * s)
        np.testing.assert_allclose(series.grid.to_world((0, 0, 0)), ORIGIN + NORMAL * 1.25 * s, atol=1e-9)


def nuclear(path: Path, array: np.ndarray, kind: str, **tags: Any) -> Path:
    cosines = [*ROW.tolist(), *COLUMN.tolist()]
    detector = item(ImagePositionPatient=ORIGIN.tolist(), ImageOrientationPatient=cosines)
    words = {"ImageType": ["ORIGINAL", "PRIMARY", kind, "EMISSION"], "SpacingBetweenSlices": -STEP, **tags}
    ds = dataset("1.2.840.10008.5.1.4.1.1.20", "NM")
    ds.DetectorInformationSequence = Items([detector])
    return save(ds, path, **pixel_tags(array), PixelSpacing=list(SPACING), **words)


def test_reconstructed_nuclear_planes_lie_along_the_signed_spacing(tmp_path: Path) -> None:
    nuclear(tmp_path / "a", stack(), "RECON TOMO")
    image = only(tmp_path).load()
    np.testing.assert_array_equal(image.array, stack()[::-1])
    np.testing.assert_allclose(image.grid.to_world((4, 0, 0)), ORIGIN, atol=1e-9)


def test_gated_nuclear_planes_are_counted_by_slice_and_slot(tmp_path: Path) -> None:
    array = np.concatenate([stack() + 100 * t for t in range(6)])
    slices, slots, beats = np.tile(np.arange(1, 6), 6), np.tile(np.repeat([1, 2, 3], 5), 2), np.repeat([1, 2], 15)
    mixed = np.random.default_rng(5).permutation(30)
    numbers = {"SliceVector": slices, "TimeSlotVector": slots, "RRIntervalVector": beats}
    vectors = {keyword: vector[mixed].tolist() for keyword, vector in numbers.items()}
    nuclear(tmp_path / "a", array[mixed], "RECON GATED TOMO", **vectors)
    series = only(tmp_path)
    assert series.shape == (6, 5, 7, 11)
    np.testing.assert_array_equal(series.load().array, [stack()[::-1] + 100 * t for t in range(6)])


def test_projections_of_a_camera_are_no_slices(tmp_path: Path) -> None:
    nuclear(tmp_path / "a", stack(), "TOMO")
    series = only(tmp_path)
    assert series.axes == ("t", "y", "x") and series.grid.affine is None


def test_a_region_of_one_frame_is_read_alone(tmp_path: Path) -> None:
    enhanced(tmp_path / "a", stack(), [frame(STEP * k) for k in range(5)])
    image = only(tmp_path).load()
    np.testing.assert_array_equal(image.crop((3, 0, 0), (4, 7, 11)).array[0], stack()[3])
    assert image.grid.spacing_mm is not None and np.allclose(image.grid.spacing_mm, (STEP, *SPACING))


def test_fewer_groups_than_frames_leave_the_rest_without_a_place(tmp_path: Path) -> None:
    enhanced(tmp_path / "a", stack(), [frame(STEP * k) for k in range(3)])
    shapes = sorted(s.shape for s in scan(tmp_path).series)
    assert shapes == [(2, 7, 11), (3, 7, 11)]
