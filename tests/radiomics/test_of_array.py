"""The array core: against sums done the long way, and by what must not change a feature."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hexscope.core.geometry import Grid
from hexscope.core.image import Mask
from hexscope.core.measure import measure
from hexscope.errors import GeometryError, InputError, UncalibratedError, UsageError
from hexscope.radiomics import FAMILIES, TEXTURE, FeatureSettings, neighbours, of_array, shape, table

SPACING = (3.0, 0.7, 0.5)
VOLUME = [family for family in FAMILIES if family != "plane"]
DEEP = FeatureSettings(bins=7, aggregations=("3D",))


def blob(seed: int, shape: tuple[int, int, int] = (5, 7, 11), fill: float = 0.6) -> tuple[Any, Any]:
    """Smooth values and a ragged region, no axis like another."""
    rng = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(rng.normal(size=shape), 0.7) * 100
    return values, rng.random(shape) < fill


def same(a: dict[str, float], b: dict[str, float], tolerance: float = 1e-9) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name] == pytest.approx(b[name], rel=tolerance, abs=tolerance, nan_ok=True), name


# ---- what must not matter -----------------------------------------------------------------------------------


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.permutations([0, 1, 2]), st.sets(st.integers(0, 2)))
def test_turning_the_box_changes_nothing_in_space(seed: int, order: list[int], flipped: set[int]) -> None:
    """Marching cubes joins no corners across, whichever way the box lies, so the form is the same too."""
    values, mask = blob(seed)
    straight = of_array(values, mask, SPACING, VOLUME, DEEP)
    values, mask = (np.flip(np.transpose(a, order), tuple(flipped)) for a in (values, mask))
    same(of_array(values, mask, [SPACING[i] for i in order], VOLUME, DEEP), straight, 1e-6)


def test_what_lies_around_matters_to_local_peaks_only() -> None:
    values, mask = blob(3)
    families = [family for family in VOLUME if family != "loc"]
    wide = np.pad(values, 4, constant_values=9e5)
    same(of_array(wide, np.pad(mask, 4), SPACING, families), of_array(values, mask, SPACING, families))


@given(st.floats(0.01, 100), st.floats(-500, 500))
@settings(max_examples=3, deadline=None)
def test_texture_of_fixed_bins_knows_no_unit(factor: float, offset: float) -> None:
    values = np.round(blob(5)[0])
    mask = blob(5)[1]
    same(of_array(values * factor, mask, SPACING, TEXTURE, DEEP), of_array(values, mask, SPACING, TEXTURE, DEEP))
    moved = of_array(values + np.round(offset), mask, SPACING, TEXTURE, DEEP)
    same(moved, of_array(values, mask, SPACING, TEXTURE, DEEP))


def test_one_slice_is_alike_in_all_aggregations() -> None:
    values, mask = blob(8, (1, 9, 13))
    out = of_array(values, mask, None, ["szm", "dzm", "ngt", "ngl", "rlm", "cm"], FeatureSettings(bins=5))
    for name in [n for n in out if n.endswith("_3D")]:
        assert out[name] == pytest.approx(out[name[:-2] + "2D"]) == pytest.approx(out[name[:-2] + "2_5D"])
    for name in [n for n in out if n.endswith("_2D_comb")]:
        assert out[name] == pytest.approx(out[name.replace("_2D_", "_2_5D_")])


# ---- against the long way -----------------------------------------------------------------------------------


def test_runs_zones_and_dependences_by_hand() -> None:
    """Run lengths along x, zones and neighbours of a small plane counted voxel by voxel."""
    values, mask = blob(11, (3, 6, 8))
    chosen = FeatureSettings(bins=3, aggregations=("3D",))
    out = of_array(values, mask, SPACING, ["szm", "ngl", "rlm", "cm"], chosen)
    low, high = values[mask].min(), values[mask].max()
    levels = np.where(mask, np.minimum((3 * (values - low) / (high - low)).astype(int) + 1, 3), 0)
    zones = sum(ndimage.label(levels == g, np.ones((3, 3, 3)))[1] for g in (1, 2, 3))
    assert out["szm_z_perc_3D"] == pytest.approx(zones / mask.sum())
    steps = [d for d in product((-1, 0, 1), repeat=3) if d > (0, 0, 0)]
    runs, alike, contrast = [], np.zeros(mask.sum()), []
    for step in steps:
        count, pairs = 0, []
        for at in np.argwhere(mask):
            before, after = tuple(at - step), tuple(at + step)
            inside = [all(0 <= i < n for i, n in zip(p, mask.shape, strict=True)) for p in (before, after)]
            count += not (inside[0] and levels[before] == levels[tuple(at)])
            if inside[1] and mask[after]:
                pairs.append(levels[after] - levels[tuple(at)])
        runs.append(count)
        contrast.append(np.mean(np.square(pairs)))
    for number, at in enumerate(np.argwhere(mask)):
        near = [tuple(at + s * np.array(d)) for d in steps for s in (-1, 1)]
        alike[number] = 1 + sum(
            all(0 <= i < n for i, n in zip(p, mask.shape, strict=True)) and levels[p] == levels[tuple(at)] for p in near
        )
    assert out["rlm_r_perc_3D_avg"] == pytest.approx(np.mean(runs) / mask.sum())
    assert out["cm_contrast_3D_avg"] == pytest.approx(np.mean(contrast))
    assert out["ngl_hde_3D"] == pytest.approx(np.mean(alike**2))


def test_zone_distances_are_steps_to_the_edge() -> None:
    """A thick box of one value: its only zone touches the edge; a core of its own lies four steps deep."""
    values, mask = np.ones((9, 11, 13)), np.pad(np.ones((7, 9, 11), bool), 1)
    assert of_array(values, mask, SPACING, ["dzm"], DEEP)["dzm_lde_3D"] == 1.0
    values[4, 5, 6] = 2.0
    assert of_array(values, mask, SPACING, ["dzm"], DEEP)["dzm_lde_3D"] == pytest.approx((1 + 16) / 2)


def test_neighbourly_sums_over_all_pairs() -> None:
    values, mask = blob(21)
    out = of_array(values, mask, SPACING, ["morph"])
    x, places = values[mask], np.argwhere(mask) * np.array(SPACING)
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    weight = np.where(apart > 0, 1 / np.where(apart > 0, apart, 1), 0)
    off, n = x - x.mean(), len(x)
    assert out["morph_moran_i"] == pytest.approx(n / weight.sum() * (off @ weight @ off) / (off @ off))
    between = (weight * (x[:, None] - x) ** 2).sum()
    assert out["morph_geary_c"] == pytest.approx((n - 1) / (2 * weight.sum()) * between / (off @ off))


def test_local_peaks_voxel_by_voxel() -> None:
    values, _ = blob(31, (9, 17, 23))
    mask = np.zeros(values.shape, bool)
    mask[3:6, 5:9, 8:15] = True
    out = of_array(values, mask, SPACING, ["loc"])
    grid = np.stack(np.meshgrid(*map(np.arange, values.shape), indexing="ij"), axis=-1) * np.array(SPACING)
    radius = (3000 / (4 * np.pi)) ** (1 / 3)
    means = [values[np.linalg.norm(grid - grid[tuple(at)], axis=3) <= radius].mean() for at in np.argwhere(mask)]
    assert out["loc_peak_glob"] == pytest.approx(max(means))
    assert out["loc_peak_loc"] == pytest.approx(means[int(values[mask].argmax())])


def test_the_mesh_is_that_of_marching_cubes() -> None:
    """Volume and area of an ellipsoid are those that another's marching cubes finds."""
    theirs = pytest.importorskip("skimage.measure")
    z, y, x = np.indices((9, 31, 43))
    mask = ((z - 4.2) / 3.1) ** 2 + ((y - 14) / 12.3) ** 2 + ((x - 21) / 18.2) ** 2 < 1
    out = of_array(mask.astype(float) + z, mask, SPACING, ["morph"])
    vertices, faces, _, _ = theirs.marching_cubes(np.pad(mask, 1).astype(float), 0.5, spacing=SPACING)
    corners = vertices[faces]
    volume = abs(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))) / 6
    assert out["morph_volume"] == pytest.approx(volume, rel=1e-5)
    assert out["morph_area_mesh"] == pytest.approx(theirs.mesh_surface_area(vertices, faces), rel=1e-5)
    true_volume = 4 / 3 * np.pi * 3.1 * 12.3 * 18.2 * np.prod(SPACING)
    assert out["morph_volume"] == pytest.approx(true_volume, rel=0.02)
    (measured,) = measure(Mask.from_array(mask, Grid(mask.shape, spacing_mm=SPACING)))
    assert out["morph_diam"] == pytest.approx(measured.feret_mm)
    assert out["morph_vol_approx"] / 1000 == pytest.approx(measured.volume_ml)


def test_counted_in_parts_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large regions are counted a direction at a time, and sorted where a dense table would be too wide."""
    values, mask = blob(61)
    whole = of_array(values, mask, SPACING, TEXTURE)
    monkeypatch.setattr(neighbours, "_AT_ONCE", 2)
    same(of_array(values, mask, SPACING, TEXTURE), whole)
    monkeypatch.setattr(table, "_DENSE", 0)
    same(of_array(values, mask, SPACING, TEXTURE), whole)
    monkeypatch.setattr(shape, "_MOST_FOR_PAIRS", 100)
    assert np.isnan(of_array(values, mask, SPACING, ["morph"])["morph_moran_i"])


# ---- edges and refusals -------------------------------------------------------------------------------------


def test_one_voxel_and_one_value_raise_nothing() -> None:
    """Warnings are errors here: nothing divides by zero."""
    values, mask = np.full((5, 7, 11), 3.5), np.zeros((5, 7, 11), bool)
    mask[2, 3, 5] = True
    one = of_array(values, mask, SPACING, VOLUME)
    assert one["stat_var"] == 0 and one["stat_skew"] == 0 and one["ih_entropy"] == 0
    assert one["morph_vol_approx"] == pytest.approx(1.05) and 0 < one["morph_volume"] < 1.05
    assert np.isnan(one["morph_moran_i"]) and np.isnan(one["cm_contrast_3D_avg"])
    mask[1:4, 2:6, 3:9] = True
    flat = of_array(values, mask, SPACING, VOLUME)
    assert flat["cm_corr_3D_avg"] == 1.0 and flat["cm_info_corr1_3D_comb"] == 0.0
    assert flat["ngt_coarseness_3D"] == 1e6 and flat["ngt_busyness_2D"] == 0.0
    assert flat["szm_lze_3D"] == float(mask.sum()) ** 2


def test_grey_levels_of_a_width_count_from_the_range() -> None:
    values, mask = blob(41)
    values = np.round(values)
    chosen = FeatureSettings(bin_width=25.0, range=(-100.0, 40.0))
    out = of_array(values, mask, SPACING, ["ih", "stat", "morph"], chosen)
    kept = values[mask & (values >= -100) & (values <= 40)]
    levels = np.floor((kept + 100) / 25) + 1
    assert out["ih_mean"] == pytest.approx(levels.mean()) and out["ih_max"] == levels.max() <= 6
    assert out["stat_max"] == kept.max()
    assert out["morph_vol_approx"] == pytest.approx(mask.sum() * np.prod(SPACING))
    far = of_array(values, mask, SPACING, ["stat"], FeatureSettings(outlier_sd=1.0))
    assert far["stat_range"] < np.ptp(values[mask])


def test_volume_histogram_in_units() -> None:
    """HU one by one, a wide bin by its middle, arbitrary values by their level of 1000."""
    values, mask = np.arange(5 * 7 * 11, dtype=float).reshape(5, 7, 11), np.ones((5, 7, 11), bool)
    whole = of_array(values, mask, None, ["ivh"], FeatureSettings(ivh_bin_width=1.0))
    assert whole["ivh_i90"] == 39 and whole["ivh_v10"] == pytest.approx(346 / 385)
    wide = of_array(values, mask, None, ["ivh"], FeatureSettings(ivh_bin_width=10.0))
    assert wide["ivh_i90"] == 45
    plain = of_array(values, mask, None, ["ivh"])
    assert 100 <= plain["ivh_i90"] <= 103 and plain["ivh_v10"] == pytest.approx(0.9, abs=0.01)


def test_a_plane_has_a_shape_of_its_own() -> None:
    y, x = np.indices((37, 51))
    disc = ((y - 17) * 0.7) ** 2 + ((x - 25) * 0.5) ** 2 < 9.5**2
    out = of_array(disc[None] * 1.0 + x, disc[None], (1.0, 0.7, 0.5), ["plane"])
    assert out["plane_area"] == pytest.approx(np.pi * 9.5**2, rel=0.01)
    assert out["plane_perimeter"] == pytest.approx(2 * np.pi * 9.5, rel=0.06)
    assert out["plane_diam"] == pytest.approx(19, rel=0.04) and out["plane_pca_maj_axis"] == pytest.approx(19, rel=0.02)
    assert out["plane_pca_elongation"] > 0.98 and out["plane_area_dens_conv_hull"] > 0.97
    with pytest.raises(GeometryError, match="morph"):
        of_array(np.ones((2, 3, 5)), np.ones((2, 3, 5), bool), SPACING, ["plane"])


def test_refusals() -> None:
    values, mask = blob(51)
    with pytest.raises(InputError, match="empty"):
        of_array(values, np.zeros_like(mask), SPACING)
    with pytest.raises(UncalibratedError, match="spacing"):
        of_array(values, mask, None, ["morph"])
    with pytest.raises(UncalibratedError, match="spacing"):
        of_array(values, mask, None, ["loc"])
    with pytest.raises(UsageError, match="nonsense"):
        of_array(values, mask, SPACING, ["nonsense"])
    with pytest.raises(InputError, match="range"):
        of_array(values, mask, SPACING, settings=FeatureSettings(range=(1e6, None)))
    with pytest.raises(InputError, match="NaN"):
        of_array(np.where(mask, np.nan, values), mask, SPACING)
    of_array(np.where(mask, values, np.nan), mask, SPACING, VOLUME)  # outside the region it may be
    with pytest.raises(UsageError, match="wider"):
        of_array(values, mask, SPACING, ["ih"], FeatureSettings(bin_width=1e-4))
    with pytest.raises(UsageError, match="alike"):
        of_array(values, mask[:, :, 1:], SPACING)
    same(of_array(values, mask.astype(np.uint8), SPACING), of_array(values, mask, SPACING))
    for wrong in ({"bins": 1}, {"bin_width": 0.0}, {"range": (2.0, 1.0)}, {"aggregations": ("4D",)}):
        with pytest.raises(UsageError):
            FeatureSettings(**wrong)
