"""What each scanner makes of the patient: numbers that a radiologist would expect."""

from __future__ import annotations

import numpy as np
import pytest

from hexscope.phantom import Scene
from hexscope.phantom.pet import HALF_LIFE_S, INJECTED_BQ, UPTAKE_S, WEIGHT_KG, becquerel_per_ml
from hexscope.phantom.scan import Volume
from hexscope.phantom.tissue import Tissue
from hexscope.phantom.xray import SPACING_MM, magnification, project


def _median(scene: Scene, scan: Volume, tissue: Tissue, pose: np.ndarray | None = None) -> float:
    part = scan.array[::2, ::3, ::3]  # enough for a median
    labels = scene.patient.label_on(scan.affine @ np.diag([2.0, 3.0, 3.0, 1.0]), part.shape, pose)
    return float(np.median(part[labels == tissue]))


@pytest.mark.parametrize(
    ("tissue", "low", "high"),
    [
        (Tissue.LIVER, 100, 115),
        (Tissue.LUNG_RIGHT, -880, -840),
        (Tissue.FAT, -115, -85),
        (Tissue.AIR, -1001, -990),
        (Tissue.BONE, 300, 700),
    ],
)
def test_ct_is_in_hounsfield_units(scene: Scene, tissue: Tissue, low: float, high: float) -> None:
    assert low <= _median(scene, scene.ct, tissue) <= high


def test_lungs_and_fat_weigh_as_they_should_in_mr(scene: Scene) -> None:
    def of(scan: Volume, tissue: Tissue) -> float:
        return _median(scene, scan, tissue, scene.mr_to_ct)

    assert of(scene.t1, Tissue.FAT) > of(scene.t1, Tissue.LIVER) > of(scene.t1, Tissue.LUNG_LEFT)
    assert of(scene.t2, Tissue.FLUID) > of(scene.t2, Tissue.SPLEEN) > of(scene.t2, Tissue.LIVER)


def test_large_lesions_shine_in_pet_and_the_tiny_one_does_not(scene: Scene) -> None:
    for lesion in scene.patient.lesions:
        index = np.linalg.solve(scene.pet.affine, [*lesion.centre_mm, 1.0])[:3]
        z, y, x = np.rint(index).astype(int)
        peak = scene.pet.array[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].max()
        assert (peak > 4.0) == lesion.detectable, lesion.name


def test_activity_is_suv_times_decayed_dose_over_weight() -> None:
    dose = INJECTED_BQ * 0.5 ** (UPTAKE_S / HALF_LIFE_S)
    assert float(becquerel_per_ml(np.float32(1.0))) == pytest.approx(dose / (WEIGHT_KG * 1000.0), rel=1e-6)


def test_xray_geometry() -> None:
    """A point nearer to the source is drawn further from the middle; left of the patient is right in the picture."""
    assert magnification(100.0) > magnification(-100.0) > 1.0
    row, column = project((102.4, 0.0, 13.5))
    assert row == pytest.approx(239.5)
    assert column == pytest.approx(319.5 + 100.0 * magnification(0.0) / SPACING_MM)


def test_xray_shows_bone_bright_and_lung_dark(scene: Scene) -> None:
    picture = scene.xray.array
    row, column = (round(value) for value in project((-70.0, 0.0, 20.0)))
    spine_row, spine_column = (round(value) for value in project((0.0, 45.0, 20.0)))
    lung = picture[row - 20 : row + 20, column - 20 : column + 20].mean()
    spine = picture[spine_row - 20 : spine_row + 20, spine_column - 10 : spine_column + 10].mean()
    assert spine > 2.0 * lung


def test_ultrasound_lesion_is_dark_and_speckle_is_coarse(scene: Scene) -> None:
    picture = scene.us.array.astype(float)
    y, x = (round(value) for value in scene.us.spots["liver_left"])
    inside = picture[y - 12 : y + 12, x - 12 : x + 12]
    ring = picture[y - 60 : y - 36, x - 12 : x + 12]
    assert inside.mean() < 0.75 * ring.mean()
    assert picture[:, :10].max() == 0.0
    (region,) = scene.us.facts["ultrasound_regions"]  # type: ignore[misc]
    assert region["PhysicalDeltaX"] * 10.0 == pytest.approx(scene.us.spacing_mm[1])


def test_slide_is_pink_tissue_on_white_glass(scene: Scene) -> None:
    slide = scene.slide
    small = slide.rgb[10::20, 10::20].astype(float)
    assert small[~slide.tissue].mean() > 235.0
    red, green, _ = small[slide.tissue].mean(axis=0)
    assert red > green + 20.0
    assert 0.2 < slide.area_mm2(slide.tumour) / slide.area_mm2(slide.tissue) < 0.6
