"""The verb: what it prepares, tells, leaves out and refuses; and its command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import hexscope as hx
from hexscope.cli import main
from hexscope.core.geometry import Grid
from hexscope.radiomics import of_array


@pytest.fixture
def grid() -> Grid:
    """Oblique, stretched, off the origin."""
    turn = np.linalg.qr(np.array([[0.9, 0.2, -0.3], [-0.1, 0.8, 0.4], [0.35, -0.5, 0.95]]))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array([3.0, 0.7, 0.5])
    affine[:3, 3] = [-31.5, 17.25, 102.0]
    return Grid((9, 31, 43), affine)


@pytest.fixture
def ct(grid: Grid) -> hx.Image:
    rng = np.random.default_rng(7)
    values = np.round(ndimage.gaussian_filter(rng.normal(size=grid.shape), 1.0) * 200).astype(np.int16)
    return hx.Image.from_array(values, grid, modality="CT", quantity="HU", name="ct")


@pytest.fixture
def tumour(grid: Grid) -> hx.Mask:
    z, y, x = np.indices(grid.shape)
    part = ((z - 4) / 2.6) ** 2 + ((y - 14) / 9) ** 2 + ((x - 21) / 13) ** 2 < 1
    labels = part.astype(np.uint8) * 3
    labels[0, 0, :4] = 5
    return hx.Mask.from_array(labels, grid, {3: "tumour", 5: "clip"})


def test_features_of_a_label(ct: hx.Image, tumour: hx.Mask) -> None:
    found = hx.features(ct, tumour, label="tumour", families=["stat", "morph", "loc", "cm"])
    part = tumour.of(3)
    direct = of_array(ct.array, part, ct.grid.spacing_mm, ["stat", "morph", "loc", "cm"])
    assert dict(found) == pytest.approx(direct) and found["stat_mean"] == pytest.approx(ct.array[part].mean())
    assert found.steps[0] == f"label tumour: {part.sum()} voxels" and "32 grey levels" in found.steps[1]
    (measured,) = (m for m in hx.measure(tumour) if m.value == 3)
    assert found["morph_vol_approx"] / 1000 == pytest.approx(measured.volume_ml)


def test_all_families_that_fit(ct: hx.Image, tumour: hx.Mask) -> None:
    found = hx.features(ct, tumour, label=3)
    assert len(found) == 482 and not found.left_out
    assert found["ivh_i10"] == round(found["ivh_i10"])  # Hounsfield units are counted one by one
    assert all(value is None or np.isfinite(value) for value in found.as_json().values())


def test_resampled_as_the_settings_say(ct: hx.Image, tumour: hx.Mask) -> None:
    """Volume stays, values are whole HU, and a grid without a place gives the same."""
    chosen = hx.FeatureSettings(resample_mm=(1.0, 1.0, 1.0), range=(-500.0, 400.0), bin_width=25.0)
    found = hx.features(ct, tumour, label=3, settings=chosen)
    plain = hx.features(ct, tumour, label=3, families=["morph"])
    assert found["morph_volume"] == pytest.approx(plain["morph_volume"], rel=0.03)
    assert found["stat_max"] == round(found["stat_max"])
    told = " · ".join(found.steps)
    assert "resampled to 1 × 1 × 1 mm" in told and "re-segmented to -500 … 400 HU" in told
    assert "grey levels of 25 HU from -500" in told
    bare = Grid(ct.grid.shape, spacing_mm=ct.grid.spacing_mm)
    image = hx.Image.from_array(ct.array, bare, modality="CT", quantity="HU")
    mask = hx.Mask.from_array(tumour.of(3), bare)
    again = hx.features(image, mask, settings=chosen)
    assert dict(again) == pytest.approx(dict(found), rel=1e-6, nan_ok=True)


def test_resampling_onto_the_same_spacing_moves_nothing(ct: hx.Image, tumour: hx.Mask) -> None:
    same = hx.FeatureSettings(resample_mm=ct.grid.spacing_mm)
    families = ["morph", "stat", "cm"]
    assert dict(hx.features(ct, tumour, label=3, families=families, settings=same)) == pytest.approx(
        dict(hx.features(ct, tumour, label=3, families=families)), rel=1e-6
    )


def test_a_plane(ct: hx.Image, tumour: hx.Mask) -> None:
    flat = Grid((31, 43), plane="unknown")
    image = hx.Image.from_array(ct.array[4], flat)
    mask = hx.Mask.from_array(tumour.of(3)[4], flat)
    found = hx.features(image, mask)
    assert set(found.left_out) == {"morph", "loc"} and "plane_circularity" in found
    assert not any(name.endswith(("_3D", "_2_5D", "_3D_avg", "_2_5D_comb")) for name in found)
    with pytest.raises(hx.GeometryError, match="morph is of volumes"):
        hx.features(image, mask, families=["morph"])
    shared = hx.features(image.calibrated((0.7, 0.5)), mask.calibrated((0.7, 0.5)))
    assert shared["plane_area"] == pytest.approx(found["plane_area"] * 0.35)
    half = hx.FeatureSettings(resample_mm=(0.35, 0.25))
    fine = hx.features(image.calibrated((0.7, 0.5)), mask.calibrated((0.7, 0.5)), settings=half)
    assert fine["plane_area"] == pytest.approx(shared["plane_area"], rel=0.02)


def test_without_a_spacing_form_is_left_out_by_name(ct: hx.Image, tumour: hx.Mask) -> None:
    bare = Grid(ct.grid.shape, plane="unknown")
    image, mask = hx.Image.from_array(ct.array, bare), hx.Mask.from_array(tumour.of(3), bare)
    found = hx.features(image, mask)
    assert set(found.left_out) == {"morph", "loc"} and "spacing" in found.left_out["morph"]
    assert "stat_mean" in found and "cm_contrast_3D_avg" in found
    for family in ("morph", "loc"):
        with pytest.raises(hx.UncalibratedError, match=f"family {family} needs a spacing"):
            hx.features(image, mask, families=["stat", family])
    with pytest.raises(hx.UncalibratedError, match="resampling"):
        hx.features(image, mask, settings=hx.FeatureSettings(resample_mm=(1.0, 1.0, 1.0)))


def test_a_sheared_grid_has_no_form(ct: hx.Image, tumour: hx.Mask) -> None:
    assert ct.grid.affine is not None
    tilted = np.array(ct.grid.affine)
    tilted[:3, 0] += 0.4 * tilted[:3, 1]
    grid = Grid(ct.grid.shape, tilted)
    image, mask = hx.Image.from_array(ct.array, grid), hx.Mask.from_array(tumour.of(3), grid)
    assert "sheared" in hx.features(image, mask).left_out["morph"]
    with pytest.raises(hx.GeometryError, match="sheared"):
        hx.features(image, mask, families=["morph"])
    with pytest.raises(hx.GeometryError, match="sheared"):
        hx.features(image, mask, settings=hx.FeatureSettings(resample_mm=(1.0, 1.0, 1.0)))


def _other_grid(ct: hx.Image, tumour: hx.Mask) -> None:
    moved = np.array(ct.grid.affine)
    moved[0, 3] += 5
    hx.features(ct, hx.Mask.from_array(tumour.of(3), Grid(ct.grid.shape, moved)))


def _empty(ct: hx.Image, tumour: hx.Mask) -> None:
    hx.features(ct, hx.Mask.from_array(np.zeros(ct.grid.shape, np.uint8), ct.grid, {1: "nothing"}))


def _no_label(ct: hx.Image, tumour: hx.Mask) -> None:
    hx.features(ct, hx.Mask.from_array(np.zeros(ct.grid.shape, np.uint8), ct.grid))


def _several_labels(ct: hx.Image, tumour: hx.Mask) -> None:
    hx.features(ct, tumour)


def _colour(ct: hx.Image, tumour: hx.Mask) -> None:
    image = hx.Image.from_array(np.zeros((5, 7, 3), np.uint8), quantity="RGB", axes=("y", "x", "c"))
    hx.features(image, hx.Mask.from_array(np.ones((5, 7)), image.grid))


def _vanished(ct: hx.Image, tumour: hx.Mask) -> None:
    hx.features(ct, tumour, label="clip", settings=hx.FeatureSettings(resample_mm=(12.0, 12.0, 12.0)))


@pytest.mark.parametrize(
    ("case", "error", "word"),
    [
        (_other_grid, hx.GeometryError, "resample"),
        (_empty, hx.InputError, "no voxel of label 1"),
        (_no_label, hx.InputError, "no label"),
        (_several_labels, hx.UsageError, "3 tumour, 5 clip"),
        (_colour, hx.QuantityError, "one channel"),
        (_vanished, hx.InputError, "smaller than half a voxel"),
    ],
)
def test_refusals(
    case: Callable[[hx.Image, hx.Mask], None], error: type[Exception], word: str, ct: hx.Image, tumour: hx.Mask
) -> None:
    with pytest.raises(error, match=word):
        case(ct, tumour)


# ---- the command --------------------------------------------------------------------------------------------


def test_command(ct: hx.Image, tumour: hx.Mask, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hx.save(ct, tmp_path / "ct.nii.gz")
    hx.save(tumour, tmp_path / "tumour.nii.gz")
    files = [str(tmp_path / "ct.nii.gz"), str(tmp_path / "tumour.nii.gz")]

    def run(*more: str) -> tuple[int, Any, str]:
        code = main(["features", *files, "--as", "CT:HU", "--json", *more])
        said = capsys.readouterr()
        return code, json.loads(said.out), said.err

    chosen = ("--bin-width", "25", "--range=-500,400", "--family", "stat,cm", "--by", "3D", "--label", "tumour")
    code, value, told = run(*chosen)
    assert code == 0 and set(value) >= {"stat_mean", "cm_joint_entr_3D_avg"} and "cm_energy_2D_avg" not in value
    settings = hx.FeatureSettings(bin_width=25, range=(-500, 400), aggregations=("3D",))
    direct = hx.features(ct, tumour, label=3, families=["stat", "cm"], settings=settings)
    assert value == pytest.approx(direct.as_json(), rel=1e-5)
    assert "25 HU from -500" in told
    assert run("--label", "tumour", "--family", "plane")[0] == 3
    assert run()[0] == 2 and run("--label", "9")[0] == 2
    assert main(["features", *files, "--label", "3", "--family", "stat"]) == 0
    assert "stat_mean" in capsys.readouterr().out
