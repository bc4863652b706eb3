"""Measures: against shapes whose size is known, on grids that are not cubes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.measure import PEAK_RADIUS_MM, circumference_mm, diameter_mm, measure
from hexscope.errors import GeometryError, QuantityError, UncalibratedError, UsageError
from tests.conftest import OBLIQUE


def oblique(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = OBLIQUE * np.array(spacing)
    affine[:3, 3] = [-31.5, 17.25, 102.0]
    return Grid(shape, affine)


def ball(grid: Grid, radius_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Voxels within ``radius_mm`` of a point that is no voxel centre, and that point."""
    index = np.stack(np.indices(grid.shape), axis=-1)
    middle = grid.to_world((np.array(grid.shape) - 1) / 2 + [0.3, -0.2, 0.1])
    return np.linalg.norm(grid.to_world(index) - middle, axis=-1) <= radius_mm, middle


def test_a_ball_has_the_volume_diameter_and_place_of_a_ball() -> None:
    grid = oblique((31, 57, 73), (1.5, 0.9, 0.7))
    part, middle = ball(grid, 18.0)
    found = measure(Mask.from_array(part * 4, grid, {4: "ball"}))[0]
    assert (found.value, found.name, found.area_px) == (4, "ball", int(part.sum()))
    assert found.volume_ml == pytest.approx(4 / 3 * np.pi * 18**3 / 1000, rel=0.01)
    assert found.feret_mm == pytest.approx(36.0, abs=1.5)  # up to the side of a voxel more
    assert found.diameter_mm == pytest.approx(36.0, abs=1.5)
    assert found.centroid_lps_mm == pytest.approx(middle, abs=0.1)
    assert found.mean is None and found.mtv_ml is None


def test_the_axial_diameter_leaves_out_the_slice_axis() -> None:
    """A rod along the patient is long in space and thin in every slice, however the array is turned."""
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0.5, 0], [0, 0, 0.7], [3.0, 0, 0]]  # z, x, y in array order
    grid = Grid((9, 7, 11), affine)
    part = np.zeros(grid.shape, bool)
    part[1:8, 2:6, 3] = True
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        found = measure(Mask.from_array(part.transpose(order), grid.permute(order)))[0]
        assert found.diameter_mm == pytest.approx(2.0, abs=0.2)
        assert found.feret_mm == pytest.approx(21.0, abs=0.2)


def test_planes_measure_in_pixels_and_refuse_mm_without_spacing() -> None:
    part = np.zeros((7, 11), np.uint8)
    part[2, 1:9] = 1
    mask = Mask.from_array(part, Grid((7, 11), plane="unknown"))
    found = measure(mask)[0]
    assert found.area_px == 8 and found.diameter_px == pytest.approx(8.0)
    assert found.area_mm2 is None and found.volume_ml is None and found.diameter_mm is None
    with pytest.raises(UncalibratedError, match="spacing_mm"):
        diameter_mm(mask, 1)
    known = Mask.from_array(part, Grid((7, 11), spacing_mm=(0.3, 0.25)))
    assert diameter_mm(known, 1) == pytest.approx(2.0) == measure(known)[0].diameter_mm
    assert measure(known)[0].area_mm2 == pytest.approx(8 * 0.075)


def test_values_by_hand(oblique_grid: Grid) -> None:
    labels = np.zeros(oblique_grid.shape, np.uint8)
    labels[1, 2, 3:6] = 2
    labels[3, 0, 0] = 5
    array = np.arange(labels.size, dtype=np.float64).reshape(labels.shape) ** 1.5
    image = Image.from_array(array, oblique_grid, modality="PT", quantity="SUVbw")
    two, five = measure(Mask.from_array(labels, oblique_grid), image)
    inside = array[1, 2, 3:6]
    assert (two.mean, two.max, two.min) == pytest.approx((inside.mean(), inside.max(), inside.min()))
    assert two.sd == pytest.approx(inside.std())
    volume = 3 * 3.0 * 0.7 * 0.5 / 1000
    assert two.mtv_ml == pytest.approx(volume) and two.tlg == pytest.approx(volume * inside.mean())
    assert five.mean == pytest.approx(array[3, 0, 0]) and five.diameter_mm is not None and five.diameter_mm > 0
    assert two.as_json()["mean"] == pytest.approx(inside.mean(), abs=1e-5)


def test_peak_is_the_mean_over_a_cubic_centimetre() -> None:
    """Against a plain sum over a fine lattice of points, on an oblique anisotropic grid."""
    grid = oblique((13, 21, 25), (3.0, 2.2, 1.7))
    rng = np.random.default_rng(3)
    array = rng.random(grid.shape) * 5
    labels = np.zeros(grid.shape, np.uint8)
    labels[6, 10, 12] = labels[1, 10, 12] = 1  # one sphere inside, one cut by the image's border
    image = Image.from_array(array, grid, modality="PT", quantity="SUVbw")
    found = measure(Mask.from_array(labels, grid), image)[0].suv_peak
    step = np.linspace(-1, 1, 61) * PEAK_RADIUS_MM
    points = np.stack(np.meshgrid(step, step, step, indexing="ij"), axis=-1).reshape(-1, 3)
    points = points[np.linalg.norm(points, axis=1) <= PEAK_RADIUS_MM]
    means = []
    for center in ([6, 10, 12], [1, 10, 12]):
        index = np.round(grid.to_index(grid.to_world(center) + points)).astype(int)
        inside = index[((index >= 0) & (index < grid.shape)).all(axis=1)]
        means.append(array[tuple(inside.T)].mean())
    assert found == pytest.approx(max(means), rel=0.01)
    assert 4 / 3 * np.pi * PEAK_RADIUS_MM**3 == pytest.approx(1000.0)


def test_peak_and_glycolysis_are_of_suv_only(oblique_ct: Image) -> None:
    mask = Mask.from_array(np.ones(oblique_ct.shape, np.uint8), oblique_ct.grid)
    found = measure(mask, oblique_ct)[0]
    assert found.mean == pytest.approx(float(oblique_ct.array.mean()))
    assert found.suv_peak is None and found.tlg is None and found.mtv_ml is None


def test_overlapping_layers_and_empty_labels(oblique_grid: Grid) -> None:
    whole = np.ones(oblique_grid.shape, bool)
    part = np.zeros(oblique_grid.shape, bool)
    part[2, 3] = True
    mask = Mask.from_parts({"whole": whole, "part": part, "none": ~whole}, oblique_grid)
    sizes = {m.name: m.area_px for m in measure(mask)}
    assert sizes == {"whole": 385, "part": 11, "none": 0}
    none = measure(mask)[2]
    assert none.volume_ml == 0.0 and none.diameter_mm is None and diameter_mm(mask, "none") == 0.0
    with pytest.raises(UsageError):
        diameter_mm(mask, "liver")


def test_mask_and_image_must_share_a_grid(oblique_ct: Image) -> None:
    mask = Mask.from_array(np.ones(oblique_ct.shape, np.uint8), oblique_ct.grid.flip(1))
    with pytest.raises(GeometryError, match="resample"):
        measure(mask, oblique_ct)
    colour = Image.from_array(np.zeros((7, 11, 3), np.uint8), axes=("y", "x", "c"), quantity="RGB")
    with pytest.raises(QuantityError, match="axes"):
        measure(Mask.from_array(np.ones((7, 11), np.uint8), colour.grid), colour)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), axis=st.integers(0, 2), order=st.permutations([0, 1, 2]))
def test_measures_do_not_depend_on_how_the_array_lies(seed: int, axis: int, order: list[int]) -> None:
    rng = np.random.default_rng(seed)
    grid = oblique((5, 7, 11), (3.0, 0.7, 0.5))
    labels = (rng.random(grid.shape) < 0.2).astype(np.uint8)
    labels[2, 3, 4] = 1
    array = rng.normal(size=grid.shape)
    here = measure(Mask.from_array(labels, grid), Image.from_array(array, grid, quantity="SUVbw"))[0]
    turned = grid.flip(axis).permute(order)
    there = measure(
        Mask.from_array(np.flip(labels, axis).transpose(order), turned),
        Image.from_array(np.flip(array, axis).transpose(order), turned, quantity="SUVbw"),
    )[0]
    for name in (
        "area_px",
        "volume_ml",
        "diameter_mm",
        "feret_mm",
        "mean",
        "sd",
        "suv_peak",
        "centroid_lps_mm",
    ):
        assert getattr(there, name) == pytest.approx(getattr(here, name), rel=1e-6), name


@pytest.mark.parametrize(("a_mm", "b_mm", "angle"), [(40.0, 30.0, 0.3), (25.0, 24.0, 1.0), (45.0, 15.0, 2.0)])
def test_circumference_of_an_ellipse(a_mm: float, b_mm: float, angle: float) -> None:
    from scipy.special import ellipe

    spacing = (0.7, 0.5)
    y, x = np.mgrid[:150, :220] * np.array(spacing)[:, None, None]
    u, v = (
        (x - 54.1) * np.cos(angle) + (y - 51.7) * np.sin(angle),
        (y - 51.7) * np.cos(angle) - (x - 54.1) * np.sin(angle),
    )
    inside = (u / a_mm) ** 2 + (v / b_mm) ** 2 <= 1
    mask = Mask.from_array(inside.astype(np.uint8), Grid((150, 220), spacing_mm=spacing), {1: "head"})
    true = 4 * a_mm * ellipe(1 - (b_mm / a_mm) ** 2)
    assert circumference_mm(mask, "head") == pytest.approx(true, rel=1e-3)
    (measured,) = measure(mask)
    assert measured.circumference_mm == pytest.approx(true, rel=1e-3)


def test_circumference_needs_a_plane_and_a_spacing(oblique_grid: Grid) -> None:
    part = np.zeros((7, 11), np.uint8)
    part[2:4, 3:8] = 1
    with pytest.raises(UncalibratedError):
        circumference_mm(Mask.from_array(part, Grid((7, 11), plane="unknown")), 1)
    with pytest.raises(GeometryError, match="slice"):
        circumference_mm(Mask.from_array(np.ones(oblique_grid.shape, np.uint8), oblique_grid), 1)
    assert circumference_mm(Mask.from_array(part * 0, Grid((7, 11), spacing_mm=(1, 2)), {1: "head"}), 1) == 0.0
