"""The eight metrics against independent implementations, and on pictures whose scores are known."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from scipy.signal import convolve2d
from skimage.measure import shannon_entropy
from skimage.metrics import structural_similarity

from hexscope.errors import UsageError
from hexscope.fuse import FIELD, field_scores
from hexscope.fuse.score import edges_kept, mutual_information, visual_fidelity

Plane = np.ndarray


@pytest.fixture(scope="module")
def trio() -> tuple[Plane, Plane, Plane]:
    """Two smooth random pictures and their pixel maximum, 8-bit numbers in float."""
    rng = np.random.default_rng(4)
    kernel = np.ones((5, 5)) / 25
    a, b = (np.clip(np.round(900 * (convolve2d(rng.random((96, 115)), kernel, "same") - 0.4)), 0, 255) for _ in "ab")
    a[:20], b[:, 80:] = 0, 0
    return np.maximum(a, b), a, b


def test_against_scikit_image(trio: tuple[Plane, Plane, Plane]) -> None:
    f, a, b = trio
    scores = field_scores(f, a, b)
    assert scores["EN"] == pytest.approx(shannon_entropy(f.astype(np.uint8)))
    for name, data_range in (("SSIM", 2), ("SSIM 255", 255)):
        other = sum(structural_similarity(f, s, data_range=data_range) for s in (a, b))
        assert scores[name] == pytest.approx(other, abs=1e-9)


def test_by_the_book(trio: tuple[Plane, Plane, Plane]) -> None:
    f, a, b = trio
    scores = field_scores(f, a, b)
    assert scores["SD"] == pytest.approx(f.std())
    assert scores["SF"] == pytest.approx(np.sqrt((np.diff(f, axis=0) ** 2).mean() + (np.diff(f, axis=1) ** 2).mean()))
    corr = np.corrcoef((f - b).ravel(), a.ravel())[0, 1] + np.corrcoef((f - a).ravel(), b.ravel())[0, 1]
    assert scores["SCD"] == pytest.approx(corr)
    joint, _, _ = np.histogram2d(f.ravel(), a.ravel(), bins=256, range=((-0.5, 255.5), (-0.5, 255.5)))
    p = joint / joint.sum()
    entropies = [-np.sum(q[q > 0] * np.log(q[q > 0])) for q in (p.sum(0), p.sum(1), p)]
    assert mutual_information(f, a) == pytest.approx(entropies[0] + entropies[1] - entropies[2])


def test_qabf_by_its_formula(trio: tuple[Plane, Plane, Plane]) -> None:
    """Xydeas and Petrovic with plain convolutions; where both edges are equal the tables take the strength itself."""
    f, a, b = trio
    across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])

    def edge(p: Plane) -> tuple[Plane, Plane]:
        x, y = convolve2d(p, across, "same"), convolve2d(p, across.T[::-1], "same")
        with np.errstate(divide="ignore", invalid="ignore"):
            angle = np.where(x == 0, np.pi / 2, np.arctan(y / x))
        return np.hypot(x, y), angle

    (gf, af), kept, total = edge(f), 0.0, 0.0
    for source in (a, b):
        g, angle = edge(source)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(g == gf, gf, np.minimum(g, gf) / np.maximum(g, gf))
        strength = 0.9994 / (1 + np.exp(np.clip(-15 * (ratio - 0.5), -700, 700)))
        direction = 0.9879 / (1 + np.exp(-22 * (1 - np.abs(angle - af) / (np.pi / 2) - 0.8)))
        kept, total = kept + (strength * direction * g).sum(), total + g.sum()
    assert edges_kept(f, a, b) == pytest.approx(kept / total, abs=2e-3)


def test_fidelity_of_a_copy_is_one_and_falls_with_blur_and_noise(trio: tuple[Plane, Plane, Plane]) -> None:
    _, a, _ = trio
    assert visual_fidelity(a, a) == pytest.approx(1.0, abs=1e-6)
    blurred = convolve2d(a, np.ones((3, 3)) / 9, "same")
    noisy = a + np.random.default_rng(0).normal(0, 20, a.shape)
    assert 0.2 < visual_fidelity(blurred, a) < 0.9 and 0.2 < visual_fidelity(noisy, a) < 0.9
    assert visual_fidelity(1.3 * a, a) > 1.0


def test_a_sum_has_the_highest_scd_and_a_flat_picture_none(trio: tuple[Plane, Plane, Plane]) -> None:
    _, a, b = trio
    assert field_scores((a + b) / 2, a / 2, b / 2)["SCD"] == pytest.approx(2.0, abs=0.01)
    flat = field_scores(np.full_like(a, 7.0), a, b)
    assert [flat[m] for m in ("EN", "SD", "SF", "MI")] == pytest.approx([0, 0, 0, 0], abs=1e-12)
    assert np.isfinite(list(flat.values())).all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="84 pixels"):
        field_scores(np.zeros((64, 90)), np.zeros((64, 90)), np.zeros((64, 90)))
    with pytest.raises(UsageError, match="one shape"):
        field_scores(np.zeros((90, 95)), np.zeros((90, 95)), np.zeros((90, 96)))


def test_on_the_literatures_lists(shared_data: Path) -> None:
    """Known from elsewhere: against CDDFuse* the pixel maximum is ahead on 5 of 8 (CT), a copy of the MRI on 3."""
    folder = shared_data / "fusion-pairs"
    star = dict(zip(FIELD, (4.88, 79.17, 38.14, 2.61, 1.41, 0.61, 0.68, 1.34), strict=False))
    scores: dict[str, list[dict[str, float]]] = {"max": [], "copy": []}
    with (folder / "cases.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["case"].startswith("CT")]
    for row in rows[::2]:
        a, b = (np.asarray(PIL.Image.open(folder / row[k]).convert("L"), dtype=np.float64) for k in ("a", "b"))
        scores["max"].append(field_scores(np.maximum(a, b), a, b))
        scores["copy"].append(field_scores(a, a, b))
    ahead = {name: sum(np.mean([s[m] for s in found]) > star[m] for m in star) for name, found in scores.items()}
    assert ahead == {"max": 5, "copy": 3}
