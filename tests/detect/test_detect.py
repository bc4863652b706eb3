"""Hot-lesion candidates: found, parted, outlined and measured as the truth says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.results import Finding
from hexscope.detect import Sphere, detect
from hexscope.detect.basins import basins
from hexscope.detect.score import hits
from hexscope.errors import GeometryError, InputError, NoModelError, QuantityError, UsageError
from hexscope.segment.score import dice
from tests.detect.hotspots import LESIONS, hotspots


def nearest(findings: tuple[Finding, ...], point: np.ndarray) -> Finding:
    return min(findings, key=lambda f: float(np.linalg.norm(np.array(f.center_lps_mm) - point)))


@pytest.mark.parametrize("threshold", ["fixed", "41%", "background"])
def test_each_lesion_is_one_candidate_in_its_place(threshold: str) -> None:
    image, truth = hotspots()
    found = detect(image, threshold=threshold)
    assert len(found) == len(truth)
    for (offset, _, height), part in zip(LESIONS, truth, strict=True):
        center = image.grid.center_mm + offset
        finding = nearest(found.items, center)
        assert finding.center_lps_mm == pytest.approx(center, abs=3.5)
        assert finding.label is not None
        outline = found.mask.of(finding.label)
        assert dice(outline, part) > 0.75
        assert finding.measures["suv_max"] == pytest.approx(height, rel=0.1)
        assert finding.measures["surroundings_suv"] == pytest.approx(1.0, abs=0.3)
        volume_ml = outline.sum() * 4.0 * 3.6 * 3.3 / 1000
        assert finding.volume_ml == pytest.approx(volume_ml)
        low, high = np.array(finding.box_lps_mm[:3]), np.array(finding.box_lps_mm[3:])
        voxels = image.grid.to_world(np.argwhere(outline))
        assert (voxels - low).min() > 0 and (voxels < high).all()
        assert (voxels.min(axis=0) - low < 8).all() and (high - voxels.max(axis=0) < 8).all()
    scores = [f.score for f in found]
    assert scores == sorted(scores, reverse=True) and min(scores) >= 0 and max(scores) <= 1
    assert "doi" in found.method and found.promise is None
    assert json.loads(json.dumps(found.as_json()))["findings"][0]["label"] == 1


def test_background_outline_is_half_way() -> None:
    image, _ = hotspots()
    found = detect(image, threshold="background")
    top = found.items[0]
    inside = image.array[found.mask.of(1)]
    hot = inside[inside >= 0.7 * top.measures["suv_max"]].mean()
    assert inside.min() == pytest.approx(0.5 * hot + 0.5 * 1.0, rel=0.15)


def test_liver_threshold_by_sphere_and_by_mask() -> None:
    image, _ = hotspots()
    x, y, z = image.grid.center_mm
    center = (x - 10, y - 30, z + 25)
    sphere = Sphere(center, 15.0)
    region = sphere.on(image.grid)
    liver = image.array[region].astype(float)
    assert region.sum() * 4.0 * 3.6 * 3.3 == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.05)
    by_sphere = detect(image, threshold="liver", liver=sphere)
    by_mask = detect(image, threshold="liver", liver=Mask.from_array(region * 3, image.grid, {3: "liver"}))
    assert f"{1.5 * liver.mean() + 2 * liver.std():.2f}" in by_sphere.method
    assert [f.volume_ml for f in by_sphere] == [f.volume_ml for f in by_mask]
    assert min(image.array[by_sphere.mask.any]) >= 1.5 * liver.mean() + 2 * liver.std() - 1e-5
    with pytest.raises(UsageError, match="liver="):
        detect(image, threshold="liver")
    with pytest.raises(InputError, match="voxels"):
        detect(image, threshold="liver", liver=Sphere((9999.0, 0.0, 0.0), 15.0))
    with pytest.raises(GeometryError, match="resample"):
        detect(image, threshold="liver", liver=Mask.from_array(region[::-1] * 1, image.grid.flip(0)))


def test_small_and_cool_ones_are_left_out() -> None:
    image, _ = hotspots()
    assert len(detect(image, suv=8.0)) == 2
    assert len(detect(image, minimum_ml=3.0)) == 2
    nothing = detect(image, suv=50.0)
    assert len(nothing) == 0 and nothing.warnings == ("no candidate was found",)
    assert nothing.mask.grid is image.grid and not nothing.mask.any.any()


def test_at_the_border_of_the_image() -> None:
    image, _ = hotspots()
    cut = image.crop((0, 0, 0), (18, 34, 41))  # through the first lesion
    flags = [f.measures["touches_border"] for f in detect(cut)]
    assert sorted(flags) == [0.0, 0.0, 1.0]


def test_the_whole_image_hot() -> None:
    image, _ = hotspots()
    found = detect(image, suv=0.1)
    assert len(found) >= 1 and found.items[0].measures["touches_border"] is not None


def test_a_ring_has_its_centre_in_itself() -> None:
    image, _ = hotspots()
    points = image.grid.to_world(np.stack(np.indices(image.shape), axis=-1)) - image.grid.center_mm
    distance = np.linalg.norm(points, axis=-1)
    ring = np.where((distance > 20) & (distance < 32), 9.0, 1.0)
    ring *= 1 + 0.01 * points[..., 0] / 32
    found = detect(image.with_array(ring.astype(np.float32), "ring"))
    for finding in found:
        index = np.round(image.grid.to_index(finding.center_lps_mm)).astype(int)
        assert found.mask.array[tuple(index)] == finding.label


def test_refusals(oblique_ct: Image) -> None:
    with pytest.raises(NoModelError, match="PET") as caught:
        detect(oblique_ct)
    assert caught.value.exit_code == 4
    image, _ = hotspots()
    raw = Image.from_array(image.array, image.grid, modality="PT", quantity="Bq/ml")
    with pytest.raises(QuantityError, match='quantify\\(image, "SUVbw"\\)'):
        detect(raw)
    with pytest.raises(UsageError, match="41%"):
        detect(image, threshold="Otsu")
    with pytest.raises(UsageError, match="above 0"):
        detect(image, suv=0.0)
    with pytest.raises(GeometryError):
        detect(Image.from_array(image.array[3], modality="PT", quantity="SUVbw"))


def test_hills_are_parted_at_deep_passes_only() -> None:
    line = np.array([1, 5, 9, 6, 2, 4, 8, 7, 7.5, 3, 0.5])
    values = np.tile(line, (3, 3, 1)) * np.array([0.9, 1, 0.9])[:, None, None] * np.array([0.9, 1, 0.9])[:, None]
    hills = basins(values, values >= 0.8, merge=0.7)
    middle = hills[1, 1]
    assert len(np.unique(middle[:10])) == 2
    assert len(set(middle[:4])) == 1 and len(set(middle[5:10])) == 1  # 7.5 joins 8 over a pass of 7
    assert middle[10] == 0
    assert not basins(values, values > 99, merge=0.7).any()


def test_hills_cover_the_part_and_hold_together() -> None:
    rng = np.random.default_rng(11)
    values = ndimage.gaussian_filter(rng.normal(size=(9, 13, 17)), 1.5)
    part = values > np.median(values)
    hills = basins(values, part, merge=0.9)
    assert ((hills > 0) == part).all()
    for number in range(1, hills.max() + 1):
        assert ndimage.label(hills == number, structure=np.ones((3, 3, 3)))[1] == 1


def test_hits_counts_lesions_and_false_alarms(oblique_grid: Grid) -> None:
    image, truth = hotspots()
    found = detect(image)
    two = Mask.from_parts({"a": truth[0], "b": truth[1]}, image.grid)
    result = hits(found, two)
    assert result.found == {"a": True, "b": True} and result.false_positives == 1
    empty = hits(detect(image, suv=50.0), two)
    assert empty.found == {"a": False, "b": False} and empty.false_positives == 0
    assert result.sensitivity == 1.0 and empty.sensitivity == 0.0
