"""Slices become a volume: order, affine, tilt, gaps. Nothing is invented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hexscope.core.image import Image
from hexscope.errors import GeometryError
from hexscope.io.series import Series
from tests.io.dicom_files import (
    COLUMN,
    NORMAL,
    ORIGIN,
    ROW,
    SPACING,
    STEP,
    codes,
    ct_slice,
    only,
    scan,
    stack,
    write_stack,
)

EVEN = [STEP * k for k in range(5)]


def load(series: Series) -> Image:
    image = series.load()
    assert isinstance(image, Image)
    return image


def test_order_is_by_position_and_values_land_where_they_lie(tmp_path: Path) -> None:
    array = stack()
    write_stack(tmp_path, array, EVEN)
    image = load(only(tmp_path))
    assert image.faults == () and image.axes == ("z", "y", "x")
    np.testing.assert_array_equal(image.array, array)
    expected = ORIGIN + 2 * STEP * NORMAL + 3 * SPACING[0] * COLUMN + 4 * SPACING[1] * ROW
    np.testing.assert_allclose(image.grid.to_world((2, 3, 4)), expected, atol=1e-9)
    assert np.linalg.det(image.grid.affine[:3, [2, 1, 0]]) > 0
    assert image.grid.frame_of_reference == "1.2.3.4.9"
    uids = image.facts["SOPInstanceUIDs"]
    assert len(set(uids)) == 5 and image.facts["InstanceNumber"] == 5


def test_slices_against_the_normal_are_turned_not_mirrored(tmp_path: Path) -> None:
    array = stack()
    write_stack(tmp_path, array, [-h for h in EVEN])
    image = load(only(tmp_path))
    np.testing.assert_array_equal(image.array, array[::-1])
    np.testing.assert_allclose(image.grid.to_world((4, 0, 0)), ORIGIN, atol=1e-9)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 6.0)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    seed=st.integers(0, 999),
)
def test_any_oblique_stack_keeps_every_centre(
    tmp_path_factory: pytest.TempPathFactory,
    angles: tuple[float, ...],
    spacing: tuple[float, ...],
    origin: tuple[float, ...],
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("oblique")
    turn = _rotation(*angles)
    row, column, normal = turn[:, 0], turn[:, 1], turn[:, 2]
    array = np.random.default_rng(seed).integers(-900, 900, (3, 4, 5)).astype(np.int16)
    for k in np.random.default_rng(seed).permutation(3):
        place = np.round(np.array(origin) + normal * spacing[0] * k, 6)
        cosines = [float(f"{v:.10f}") for v in (*row, *column)]
        ct_slice(
            folder / f"{seed}{k}",
            array[k],
            place,
            ImageOrientationPatient=cosines,
            PixelSpacing=[round(spacing[1], 8), round(spacing[2], 8)],
        )
    image = load(only(folder))
    np.testing.assert_array_equal(image.array, array)
    corner = np.array(origin) + normal * 2 * spacing[0] + column * 3 * spacing[1] + row * 4 * spacing[2]
    np.testing.assert_allclose(image.grid.to_world((2, 3, 4)), corner, atol=1e-3)


def _rotation(a: float, b: float, c: float) -> np.ndarray:
    ca, sa, cb, sb, cc, sc = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(c), np.sin(c)
    rx = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    ry = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    rz = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return rz @ ry @ rx


def test_sitk_agrees_on_where_voxels_lie(tmp_path: Path) -> None:
    import SimpleITK as sitk

    paths = write_stack(tmp_path, stack(), EVEN)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(p) for p in paths])
    theirs = reader.Execute()
    ours = load(only(tmp_path))
    for z, y, x in [(0, 0, 0), (4, 6, 10), (2, 5, 1)]:
        np.testing.assert_allclose(
            ours.grid.to_world((z, y, x)), theirs.TransformIndexToPhysicalPoint((x, y, z)), atol=1e-3
        )
        assert ours.array[z, y, x] == theirs[x, y, z]


def test_gantry_tilt_stays_in_the_affine(tmp_path: Path) -> None:
    array = stack()
    tilted = NORMAL * STEP + COLUMN * 0.8
    for k in range(5):
        ct_slice(tmp_path / f"{(k * 3) % 5}", array[k], ORIGIN + tilted * k, GantryDetectorTilt=-14.9)
    series = only(tmp_path)
    assert codes(series) == ["geometry.gantry_tilt"] and "14.93°" in series.faults[0].detail
    image = load(series)
    np.testing.assert_allclose(image.grid.affine[:3, 0], tilted, atol=1e-9)
    np.testing.assert_array_equal(image.array, array)


def test_a_missing_slice_is_refused_and_evened_only_when_asked(tmp_path: Path) -> None:
    heights = [0.0, STEP, 2 * STEP, 4 * STEP, 5 * STEP]
    ramp = np.stack([np.full((7, 11), round(100 * h), np.int16) for h in heights])
    ramp[:, 2, 3] += 7
    write_stack(tmp_path, ramp, heights)
    series = only(tmp_path)
    assert codes(series) == ["geometry.missing_slice"] and series.grid is None and series.shape == (5, 7, 11)
    assert series.faults[0].detail.startswith("1 of 6 slices are missing: 1 after ")
    with pytest.raises(GeometryError, match="missing") as error:
        series.load()
    assert error.value.code == "geometry.missing_slice"
    assert series.load_even is not None
    image = series.load_even()
    assert image.shape == (6, 7, 11) and [f.code for f in image.faults] == ["geometry.evened"]
    assert image.steps and "6 even steps of 3 mm" in image.steps[0]
    np.testing.assert_allclose(image.array[:, 0, 0], [300 * k for k in range(6)], atol=1)
    np.testing.assert_allclose(image.grid.to_world((5, 0, 0)), ORIGIN + NORMAL * 5 * STEP, atol=1e-9)


def test_uneven_slices_are_refused_and_resampled_by_place(tmp_path: Path) -> None:
    heights = [0.0, 1.1, 4.0, 9.0, 11.3]
    ramp = np.stack([np.full((7, 11), round(100 * h), np.int16) for h in heights])
    write_stack(tmp_path, ramp, heights)
    series = only(tmp_path)
    assert codes(series) == ["geometry.uneven_spacing"]
    with pytest.raises(GeometryError) as error:
        series.load()
    assert error.value.code == "geometry.uneven_spacing"
    assert series.load_even is not None
    image = series.load_even()
    step = float(image.grid.spacing_mm[0])
    assert step == pytest.approx(1.1)
    expected = 100 * step * np.arange(image.shape[0])
    np.testing.assert_allclose(image.array[:, 3, 4], expected, atol=1)


@pytest.mark.parametrize(("jitter", "even"), [(0.008, True), (0.02, True), (0.1, False)])
def test_jitter_below_one_percent_counts_as_even(tmp_path: Path, jitter: float, even: bool) -> None:
    heights = [h + jitter * (-1) ** k for k, h in enumerate(EVEN)]
    write_stack(tmp_path, stack(), heights)
    assert (only(tmp_path).grid is not None) is even


def test_rounded_cosines_are_mended_and_told(tmp_path: Path) -> None:
    turned = _rotation(0.31, -0.7, 1.1)
    cosines = np.round(np.concatenate([turned[:, 0], turned[:, 1]]), 3).tolist()
    for k in range(5):
        ct_slice(tmp_path / f"{k}", stack()[k], turned[:, 2] * STEP * k, ImageOrientationPatient=cosines)
    series = only(tmp_path)
    assert "geometry.rounded_cosines" in codes(series)
    assert series.grid is not None
    row, column = series.grid.affine[:3, 2] / SPACING[1], series.grid.affine[:3, 1] / SPACING[0]
    assert abs(row @ column) < 1e-12 and np.linalg.norm(row) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"PixelSpacing": [0.0, 0.5]}, "geometry.zero_spacing"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.3, 0.8, 0]}, "geometry.bad_affine"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "geometry.bad_affine"),
    ],
)
def test_what_cannot_be_mended_is_refused(tmp_path: Path, tags: dict[str, list[float]], code: str) -> None:
    write_stack(tmp_path, stack(), EVEN, **tags)
    series = only(tmp_path)
    assert code in codes(series) and series.grid is None
    with pytest.raises(GeometryError):
        series.load()


def test_a_lone_slice_is_a_volume_where_its_thickness_is_known(tmp_path: Path) -> None:
    thick, thin = tmp_path / "thick", tmp_path / "thin"
    thick.mkdir(), thin.mkdir()
    ct_slice(thick / "a", stack()[0], ORIGIN)
    ct_slice(thin / "a", stack()[0], ORIGIN, SliceThickness=None)
    volume, plane = load(only(thick)), load(only(thin))
    assert volume.shape == (1, 7, 11) and volume.grid.spacing_mm == pytest.approx((3.0, 0.7, 0.5))
    assert plane.shape == (7, 11) and plane.grid.affine.shape == (4, 3)
    np.testing.assert_allclose(plane.grid.to_world((6, 10)), volume.grid.to_world((0, 6, 10)))


def test_no_position_leaves_a_flat_image(tmp_path: Path) -> None:
    ct_slice(tmp_path / "a", stack()[0], ORIGIN, ImagePositionPatient=None)
    image = load(only(tmp_path))
    assert image.grid.affine is None and image.grid.spacing_mm == SPACING
    assert [f.code for f in image.faults] == ["geometry.no_position"]


def test_a_region_reads_only_its_files(tmp_path: Path) -> None:
    array = stack()
    paths = write_stack(tmp_path, array, EVEN)
    image = load(only(tmp_path))
    for k in (0, 1, 3, 4):
        paths[k].unlink()
    np.testing.assert_array_equal(image.crop((2, 1, 2), (3, 5, 9)).array, array[2:3, 1:5, 2:9])


def test_duplicates_are_left_out(tmp_path: Path) -> None:
    paths = write_stack(tmp_path, stack(), EVEN)
    (tmp_path / "copy").write_bytes(paths[1].read_bytes())
    ct_slice(tmp_path / "other", stack()[3], ORIGIN + NORMAL * EVEN[3])
    found = scan(tmp_path)
    assert [f.code for o in found.others for f in o.faults] == ["file.duplicate"]
    (series,) = found.series
    assert codes(series) == ["geometry.duplicate_slice"]
    np.testing.assert_array_equal(load(series).array, stack())


def test_differing_slices_at_one_place_are_refused(tmp_path: Path) -> None:
    write_stack(tmp_path, stack(), EVEN)
    ct_slice(tmp_path / "zz", stack()[3] + 1, ORIGIN + NORMAL * EVEN[3])
    series = only(tmp_path)
    assert codes(series) == ["geometry.conflicting_slice"]
    with pytest.raises(GeometryError):
        series.load()
    assert series.load_even is None
