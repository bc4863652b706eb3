"""SEG and RTSTRUCT become masks on true grids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.sequence import Sequence as Items

from hexscope.core.geometry import Grid
from hexscope.core.image import Mask
from hexscope.errors import GeometryError
from hexscope.io.dicom_rtstruct import inside
from hexscope.io.series import Series
from tests.io.dicom_files import (
    COLUMN,
    NORMAL,
    ORIGIN,
    ROW,
    SPACING,
    STEP,
    dataset,
    item,
    pixel_tags,
    save,
    scan,
    stack,
    write_stack,
)

SEG = "1.2.840.10008.5.1.4.1.1.66.4"
LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
SHAPE = (5, 7, 11)


@pytest.fixture
def ct_grid(tmp_path: Path) -> Grid:
    write_stack(tmp_path / "ct", stack(), [STEP * k for k in range(5)])
    (series,) = scan(tmp_path / "ct").series
    assert series.grid is not None
    return series.grid


def truth() -> dict[int, np.ndarray]:
    """Two structures that overlap, off the middle, with an empty slice between."""
    one, two = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    one[1, 2:5, 3:9] = one[3, 1:4, 2:6] = True
    two[3, 3:6, 4:10] = two[4, 0, 10] = True
    return {1: one, 4: two}


def seg(
    path: Path,
    parts: dict[int, np.ndarray],
    kind: str = "BINARY",
    corner: tuple[int, int] = (0, 0),
    **tags: Any,
) -> Path:
    """Frames in odd order; empty ones are left out, and the picture may be cut to begin at ``corner``."""
    frames, groups = [], []
    for number, part in reversed(parts.items()):
        for z in reversed(range(SHAPE[0])):
            if not part[z].any():
                continue
            y, x = corner
            place = ORIGIN + NORMAL * STEP * z + COLUMN * SPACING[0] * y + ROW * SPACING[1] * x
            frames.append(part[z, y:, x:])
            group = item(PlanePositionSequence=Items([item(ImagePositionPatient=place.tolist())]))
            if kind != "LABELMAP":
                group.SegmentIdentificationSequence = Items([item(ReferencedSegmentNumber=number)])
            groups.append(group)
    array = np.stack(frames)
    ds = dataset(LABELMAP if kind == "LABELMAP" else SEG, "SEG")
    image = pixel_tags(array.astype(np.uint8))
    if kind == "BINARY":
        packed = np.packbits(array.ravel(), bitorder="little").tobytes()
        image |= {
            "BitsAllocated": 1,
            "BitsStored": 1,
            "HighBit": 0,
            "PixelData": packed + b"\0" * (len(packed) % 2),
        }
    measures = item(PixelSpacing=list(SPACING), SliceThickness=1.0, SpacingBetweenSlices=STEP)
    cosines = [*ROW.tolist(), *COLUMN.tolist()]
    shared = item(
        PlaneOrientationSequence=Items([item(ImageOrientationPatient=cosines)]),
        PixelMeasuresSequence=Items([measures]),
    )
    segments = [item(SegmentNumber=n, SegmentLabel=f"structure {n}") for n in parts if kind != "LABELMAP"]
    if kind == "LABELMAP":
        segments = [item(SegmentNumber=n, SegmentLabel=f"structure {n}") for n in (1, 4)]
    return save(
        ds,
        path,
        SeriesInstanceUID="1.2.3.4.6",
        **image,
        SegmentationType=kind,
        FrameOfReferenceUID="1.2.3.4.9",
        SegmentSequence=Items(segments),
        SharedFunctionalGroupsSequence=Items([shared]),
        PerFrameFunctionalGroupsSequence=Items(groups),
        ReferencedSeriesSequence=Items([item(SeriesInstanceUID="1.2.3.4.5")]),
        **tags,
    )


def mask_series(path: Path) -> Series:
    (series,) = scan(path.parent).series
    assert series.kind == "mask" and series.references == ("1.2.3.4.5",)
    return series


def on(series: Series, grid: Grid) -> Mask:
    assert series.load_on is not None
    return series.load_on(grid)


@pytest.mark.parametrize("corner", [(0, 0), (0, 2)])
def test_binary_seg_lies_on_its_own_and_on_the_image_grid(
    tmp_path: Path, ct_grid: Grid, corner: tuple[int, int]
) -> None:
    (tmp_path / "seg").mkdir()
    series = mask_series(seg(tmp_path / "seg" / "a", truth(), corner=corner))
    own, full = series.load(), on(series, ct_grid)
    assert isinstance(own, Mask) and series.grid is not None
    assert own.grid.shape == (4, 7 - corner[0], 11 - corner[1]) == series.shape
    assert full.grid is ct_grid and [(e.value, e.name) for e in full] == [
        (1, "structure 1"),
        (4, "structure 4"),
    ]
    for number, part in truth().items():
        np.testing.assert_array_equal(full.of(number), part)
        np.testing.assert_array_equal(own.of(number), part[1:, corner[0] :, corner[1] :])
    np.testing.assert_allclose(own.grid.spacing_mm, (STEP, *SPACING), atol=1e-9)
    where = np.argwhere(own.of(4))[0]
    np.testing.assert_allclose(own.grid.to_world(where), ct_grid.to_world(np.argwhere(truth()[4])[0]), atol=1e-6)


def test_fractions_of_half_and_more_are_inside(tmp_path: Path, ct_grid: Grid) -> None:
    (tmp_path / "seg").mkdir()
    fractions = np.zeros(SHAPE, np.uint8)
    fractions[2, 3, 4:7] = [99, 100, 200]
    path = seg(tmp_path / "seg" / "a", {1: fractions}, "FRACTIONAL", MaximumFractionalValue=200)
    full = on(mask_series(path), ct_grid)
    np.testing.assert_array_equal(np.argwhere(full.of(1)), [[2, 3, 5], [2, 3, 6]])
    assert any("0.5" in step for step in full.steps)


def test_label_maps(tmp_path: Path, ct_grid: Grid) -> None:
    (tmp_path / "seg").mkdir()
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 2:4, 3:5], labels[3, 5, 6:9] = 1, 4
    full = on(mask_series(seg(tmp_path / "seg" / "a", {0: labels}, "LABELMAP")), ct_grid)
    np.testing.assert_array_equal(full.array, labels)


def test_a_seg_on_another_grid_is_resampled_by_nearest(tmp_path: Path, ct_grid: Grid) -> None:
    (tmp_path / "seg").mkdir()
    series = mask_series(seg(tmp_path / "seg" / "a", truth()))
    finer = ct_grid.with_spacing((1.5, 0.35, 0.25))
    full = on(series, finer)
    assert full.of(1).sum() == 8 * truth()[1].sum()


# ---- contours -----------------------------------------------------------------------------------------


def rtstruct(path: Path, rois: dict[str, list[np.ndarray]], kind: str = "CLOSED_PLANAR") -> Path:
    ds = dataset(RTSTRUCT, "RTSTRUCT")
    series = item(SeriesInstanceUID="1.2.3.4.5")
    study = item(RTReferencedSeriesSequence=Items([series]))
    frame = item(FrameOfReferenceUID="1.2.3.4.9", RTReferencedStudySequence=Items([study]))
    structures, contours = [], []
    for number, (name, polygons) in enumerate(rois.items(), start=1):
        structures.append(item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID="1.2.3.4.9"))
        lines = [
            item(ContourGeometricType=kind, ContourData=[float(f"{v:.6f}") for v in points.ravel()])
            for points in polygons
        ]
        contours.append(item(ReferencedROINumber=number, ContourSequence=Items(lines)))
    return save(
        ds,
        path,
        SeriesInstanceUID="1.2.3.4.7",
        ReferencedFrameOfReferenceSequence=Items([frame]),
        StructureSetROISequence=Items(structures),
        ROIContourSequence=Items(contours),
    )


def box(grid: Grid, z: float, y: tuple[float, float], x: tuple[float, float]) -> np.ndarray:
    """Corners of a rectangle in index coordinates, as LPS points."""
    corners = [(z, y[0], x[0]), (z, y[0], x[1]), (z, y[1], x[1]), (z, y[1], x[0])]
    return grid.to_world(np.array(corners))


def test_contours_need_an_image_and_land_on_it(tmp_path: Path, ct_grid: Grid) -> None:
    (tmp_path / "rs").mkdir()
    outer = [box(ct_grid, z, (0.5, 5.5), (1.5, 9.5)) for z in (1, 2)]
    hole = box(ct_grid, 2, (1.5, 3.5), (4.5, 6.5))
    other = box(ct_grid, 4, (-3.0, 2.5), (7.5, 30.0))
    series = mask_series(rtstruct(tmp_path / "rs" / "a", {"tumour": [*outer, hole], "node": [other]}))
    with pytest.raises(GeometryError, match="pass the image"):
        series.load()
    mask = on(series, ct_grid)
    tumour, node = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    tumour[1:3, 1:6, 2:10] = True
    tumour[2, 2:4, 5:7] = False
    node[4, :3, 8:] = True
    np.testing.assert_array_equal(mask.of("tumour"), tumour)
    np.testing.assert_array_equal(mask.of("node"), node)


def test_finer_slices_take_the_nearest_contour(tmp_path: Path, ct_grid: Grid) -> None:
    (tmp_path / "rs").mkdir()
    planes = [box(ct_grid, z, (0.5, 5.5), (1.5, 4.5 + z)) for z in (1, 2, 3)]
    series = mask_series(rtstruct(tmp_path / "rs" / "a", {"tumour": planes}))
    fine = ct_grid.with_spacing((1.0, *SPACING))
    mask = on(series, fine).of("tumour")
    assert mask.any(axis=(1, 2)).tolist() == [False] * 3 + [True] * 9 + [False] * 3
    volume = on(series, ct_grid).of("tumour").sum() * (ct_grid.voxel_volume_ml or 0)
    assert mask.sum() * (fine.voxel_volume_ml or 0) == pytest.approx(volume)


def test_contours_across_the_slices_or_of_another_frame_are_refused(tmp_path: Path, ct_grid: Grid) -> None:
    (tmp_path / "rs").mkdir()
    series = mask_series(rtstruct(tmp_path / "rs" / "a", {"tumour": [box(ct_grid, 2, (1, 4), (2, 6))]}))
    with pytest.raises(GeometryError, match="run across"):
        on(series, ct_grid.permute((2, 1, 0)))
    elsewhere = Grid(ct_grid.shape, ct_grid.affine, frame_of_reference="9.9")
    with pytest.raises(GeometryError, match="frame of reference"):
        on(series, elsewhere)


def test_open_lines_are_no_mask(tmp_path: Path, ct_grid: Grid) -> None:
    (tmp_path / "rs").mkdir()
    rois = {"line": [box(ct_grid, 2, (1, 4), (2, 6))]}
    series = mask_series(rtstruct(tmp_path / "rs" / "a", rois, "OPEN_PLANAR"))
    with pytest.raises(GeometryError, match="no closed contour"):
        on(series, ct_grid)


def test_pixels_inside_a_polygon_are_those_of_an_independent_test() -> None:
    from skimage.draw import polygon2mask

    rng = np.random.default_rng(5)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 23))
    radius = rng.uniform(6, 17, 23)
    points = np.stack([20.3 + radius * np.sin(angles), 26.7 + radius * np.cos(angles)], axis=1)
    np.testing.assert_array_equal(inside([points], (41, 57)), polygon2mask((41, 57), points))
    area = 0.5 * abs(np.dot(points[:, 0], np.roll(points[:, 1], 1)) - np.dot(points[:, 1], np.roll(points[:, 0], 1)))
    assert inside([points], (41, 57)).sum() == pytest.approx(area, rel=0.05)
