"""Slices become a volume: order, affine, tilt, gaps. Nothing is invented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hexscope.core.image import Image
from hexscope.errors import GeometryError
from hexscope.io.reading import read
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


#: Cosines of an axial slice as the table's frame sees it, for each way of lying: gravity points down the columns
#: where the patient lies on that side (PS3.3 C.7.3.1.1.2).
LYING = {
    "HFS": (1, 0, 0, 0, 1, 0),
    "HFP": (-1, 0, 0, 0, -1, 0),
    "HFDL": (0, -1, 0, 1, 0, 0),
    "HFDR": (0, 1, 0, -1, 0, 0),
    "FFS": (-1, 0, 0, 0, 1, 0),
    "FFP": (1, 0, 0, 0, -1, 0),
    "FFDL": (0, 1, 0, 1, 0, 0),
    "FFDR": (0, -1, 0, -1, 0, 0),
}


def patient(points: np.ndarray) -> np.ndarray:
    """A body whose number at a place in LPS mm is like at no other place nearby."""
    return np.round(points @ np.array([13.0, -29.0, 7.0])).astype(np.int16)


def lattice(origin: np.ndarray, steps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Points (*shape, 3) of a lattice; steps are rows (z, y, x)."""
    return origin + np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) @ steps


@pytest.mark.parametrize("lying", LYING)
@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.2, -0.13, 0.4)])
def test_however_the_patient_lies(tmp_path: Path, lying: str, turn: tuple[float, ...]) -> None:
    """Only position and cosines say where a voxel is; the way of lying is kept as a fact and changes nothing."""
    axes = np.array(LYING[lying], float).reshape(2, 3) @ _rotation(*turn).T
    normal = np.cross(axes[0], axes[1])
    steps = np.stack([normal * STEP, axes[1] * SPACING[0], axes[0] * SPACING[1]])
    body = patient(lattice(ORIGIN / 4, steps, (5, 7, 11)))
    for k in (3, 0, 4, 2, 1):
        cosines = [round(float(v), 9) for v in axes.ravel()]
        place = ORIGIN / 4 + normal * STEP * k
        ct_slice(tmp_path / f"{4 - k}", body[k], place, ImageOrientationPatient=cosines, PatientPosition=lying)
    image = load(only(tmp_path))
    assert image.faults == () and image.facts["PatientPosition"] == lying
    assert image.grid.affine is not None
    there = lattice(image.grid.to_world((0, 0, 0)), image.grid.affine[:3, :3].T, (5, 7, 11))
    assert np.abs(patient(there) - image.array.astype(int)).max() <= 1
    assert np.sign(image.grid.affine[2, 0]) == (1 if lying.startswith("HF") else -1)


@settings(max_examples=30, deadline=None)
@given(
    lying=st.sampled_from(sorted(LYING)),
    angles=st.tuples(*[st.floats(-0.6, 0.6)] * 3),
    spacing=st.tuples(st.floats(0.6, 6.0), st.floats(0.3, 2.0), st.floats(0.3, 2.0)),
    seed=st.integers(0, 999),
)
def test_sitk_agrees_for_every_way_of_lying(
    tmp_path_factory: pytest.TempPathFactory,
    lying: str,
    angles: tuple[float, ...],
    spacing: tuple[float, ...],
    seed: int,
) -> None:
    """Even steps without tilt, where SimpleITK's series reader is right: same centres, same values."""
    import SimpleITK as sitk

    folder = tmp_path_factory.mktemp("lying")
    dice = np.random.default_rng(seed)
    axes = np.array(LYING[lying], float).reshape(2, 3) @ _rotation(*angles).T
    array = dice.integers(-900, 900, (4, 3, 5)).astype(np.int16)
    start = dice.uniform(-400, 400, 3)
    for k in dice.permutation(4):
        ct_slice(
            folder / f"{dice.integers(1000)}{k}",
            array[k],
            np.round(start + np.cross(axes[0], axes[1]) * spacing[0] * k, 5),
            ImageOrientationPatient=[float(f"{v:.9f}") for v in axes.ravel()],
            PixelSpacing=[round(spacing[1], 6), round(spacing[2], 6)],
            PatientPosition=lying,
        )
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    theirs, ours = reader.Execute(), load(only(folder))
    assert theirs.GetSize() == ours.shape[::-1] and ours.faults == ()
    for z in range(4):
        there = theirs.TransformIndexToPhysicalPoint((4, 2, z))
        index = ours.grid.to_index(there)
        np.testing.assert_allclose(index, np.round(index), atol=1e-3)
        assert ours.array[tuple(np.round(index).astype(int))] == theirs[4, 2, z]


@pytest.mark.parametrize("slant", [0.8, -1.3])
def test_a_tilted_stack_is_straightened_on_request(tmp_path: Path, slant: float) -> None:
    tilted = np.stack([NORMAL * STEP + COLUMN * slant, COLUMN * SPACING[0], ROW * SPACING[1]])
    body = np.round(lattice(ORIGIN, tilted, (5, 7, 11)) @ [3.0, -5.0, 2.0]).astype(np.int16)
    for k in range(5):
        ct_slice(tmp_path / f"{(k * 3) % 5}", body[k], ORIGIN + tilted[0] * k)
    kept, image = read(tmp_path), read(tmp_path, even=True)
    assert isinstance(image, Image) and isinstance(kept, Image)
    assert [f.code for f in kept.faults] == ["geometry.gantry_tilt"] and kept.grid.is_sheared
    assert [f.code for f in image.faults] == ["geometry.evened"] and "straightened from (5, 7, 11)" in image.steps[0]
    assert not image.grid.is_sheared and image.grid.spacing_mm == pytest.approx((STEP, *SPACING))
    assert image.grid.affine is not None
    there = lattice(image.grid.to_world((0, 0, 0)), image.grid.affine[:3, :3].T, image.shape)
    inside = image.array > -999
    assert 0.9 * 385 * 0.7 < inside.sum() < inside.size and image.array[~inside].max() == -1000
    core = kept.grid.to_index(there)
    deep = np.all((core >= 0) & (core <= np.array(kept.shape) - 1), axis=-1)
    assert deep.sum() > 200
    np.testing.assert_allclose(image.array[deep], (there @ [3.0, -5.0, 2.0])[deep], atol=1.5)


def test_a_tilted_stack_with_a_gap_becomes_straight_and_even(tmp_path: Path) -> None:
    tilted = NORMAL * STEP + COLUMN * 0.8
    for k in (0, 1, 2, 4):
        ct_slice(tmp_path / f"{k}", np.full((7, 11), 100 * k, np.int16), ORIGIN + tilted * k)
    image = read(tmp_path, even=True)
    assert isinstance(image, Image) and not image.grid.is_sheared and image.shape[0] == 5
    assert [f.code for f in image.faults] == ["geometry.evened"] and len(image.steps) == 3
    np.testing.assert_allclose(image.array[3][image.array[3] > -1000], 300, atol=1)


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
    kept = np.array(series.facts["slice_positions_mm"])
    np.testing.assert_allclose(kept, [ORIGIN + NORMAL * h for h in heights], atol=1e-9)
    with pytest.raises(GeometryError) as error:
        series.load()
    assert error.value.code == "geometry.uneven_spacing"
    assert series.load_even is not None
    image = series.load_even()
    step = float(image.grid.spacing_mm[0])
    assert step == pytest.approx(1.1)
    expected = 100 * step * np.arange(image.shape[0])
    np.testing.assert_allclose(image.array[:, 3, 4], expected, atol=1)


def test_positions_that_the_header_rounded_are_even_and_told(tmp_path: Path) -> None:
    """Steps of 1.25 mm written with one decimal: 1.2, 1.3, 1.2 …"""
    level = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    for name, step, digits in (("told", 1.25, 1), ("uneven", 1.25, 4)):
        folder = tmp_path / name
        folder.mkdir()
        for k in range(9):
            height = round(-20.0 + step * k + (0.06 * (k % 2) if digits > 1 else 0), digits)
            ct_slice(folder / f"{k}", stack(9)[k], [-3.5, 4.0, height], ImageOrientationPatient=level)
    series = only(tmp_path / "told")
    assert codes(series) == ["geometry.rounded_positions"] and series.grid is not None
    np.testing.assert_allclose(series.grid.affine[:3, 0], [0, 0, 1.25], atol=1e-9)
    assert codes(only(tmp_path / "uneven")) == ["geometry.uneven_spacing"]
    (tmp_path / "told" / "4").unlink()
    series = only(tmp_path / "told")
    assert codes(series) == ["geometry.missing_slice"] and series.load_even is not None
    np.testing.assert_allclose(series.load_even().grid.affine[:3, 0], [0, 0, 1.25], atol=1e-9)


@pytest.mark.parametrize(("thickness", "room"), [(2.0, 1.0), (4.5, -1.5), (None, None)])
def test_overlap_and_gap_are_facts_not_faults(tmp_path: Path, thickness: float | None, room: float | None) -> None:
    write_stack(tmp_path, stack(), EVEN, SliceThickness=thickness)
    series = only(tmp_path)
    assert codes(series) == [] and series.facts.get("slice_gap_mm") == (None if room is None else pytest.approx(room))


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
