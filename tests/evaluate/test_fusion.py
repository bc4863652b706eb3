"""Scoring a way to fuse: the copies stand beside it, one bad pair stops nothing, lesions and values are told."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import hexscope as hx
from hexscope.core.transform import rigid
from hexscope.errors import UsageError
from hexscope.evaluate.fusion import burden, evaluate_fusion
from tests.conftest import OBLIQUE


def _write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, sorted({k for row in rows for k in row}))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pairs of 8-bit pictures of two patients, the second source in colour."""
    rng = np.random.default_rng(1)
    rows = []
    for k in range(3):
        a = (np.kron(rng.random((12, 15)), np.ones((8, 9))) * 255).astype(np.uint8)
        b = (np.kron(rng.random((12, 15, 3)), np.ones((8, 9, 1))) * 255).astype(np.uint8)
        hx.save(hx.Image.from_array(a), tmp_path / f"a{k}.png")
        hx.save(hx.Image.from_array(b, quantity="RGB", axes=("y", "x", "c")), tmp_path / f"b{k}.png")
        rows.append({"case": f"c{k}", "group": f"p{k // 2}", "a": f"a{k}.png", "b": f"b{k}.png"})
    return _write(tmp_path / "pairs.csv", rows)


def test_metrics_and_copies(pictures: Path) -> None:
    value = hx.evaluate_fusion(pictures, how="max")
    assert set(value["copies"]) == {"copy of A", "copy of B"} and value["failed"] == {}
    for row in (value, *value["copies"].values()):
        for metric in ("EN", "SD", "SF", "MI", "SCD", "VIF", "Qabf", "SSIM", "SSIM 255", "edges A", "told B"):
            score = row[metric]
            assert score["n"] == 3 and score["low"] <= score["mean"] <= score["high"]
    assert value["copies"]["copy of A"]["edges A"]["mean"] == pytest.approx(1.0)
    assert value["copies"]["copy of B"]["told B"]["mean"] > 0.99
    assert value["copies"]["copy of A"]["VIF"]["mean"] > 1 > value["copies"]["copy of A"]["edges B"]["mean"]


def test_one_bad_pair_is_told_and_the_others_finish(pictures: Path) -> None:
    with pictures.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows.append({"case": "bad", "group": "p9", "a": "a0.png", "b": "absent.png"})
    _write(pictures, rows)
    found = evaluate_fusion(pictures, how="energy")
    assert list(found.failed) == ["bad"] and len(found.cases) == 3
    assert found.as_json()["EN"]["n"] == 3


def test_tables_that_cannot_be_used(tmp_path: Path, pictures: Path) -> None:
    with pytest.raises(UsageError, match="columns a and b"):
        evaluate_fusion(_write(tmp_path / "x.csv", [{"fixed": "1", "moving": "2"}]))
    with pytest.raises(UsageError, match="no pair"):
        evaluate_fusion(_write(tmp_path / "y.csv", [{"a": "no.png", "b": "no.png"}]))
    with pytest.raises(UsageError, match="twice"):
        evaluate_fusion(_write(tmp_path / "z.csv", [{"case": "1", "a": "a0.png", "b": "b0.png"}] * 2))


def test_volumes_with_a_lesion_through_a_transform(tmp_path: Path) -> None:
    """The PET lies rotated in a file of its own: brought back, its values differ little and its burden is told."""
    affine = np.eye(4)
    affine[:3, :3] = OBLIQUE * (2.5, 1.6, 1.5)
    affine[:3, 3] = (-31.5, 17.25, 102.0)
    grid = hx.Grid((13, 90, 95), affine)
    motion = rigid((3, -5, 8), (6, -4, 5), tuple(grid.center_mm))
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    apart = np.linalg.norm(grid.to_world(index) - grid.center_mm, axis=-1)
    pet_grid = hx.Grid(grid.shape, motion.matrix @ affine)
    ct = np.where(apart < 60, 40 + 30 * np.sin(apart), -1000).astype(np.float32)
    uptake = (8 * np.exp(-((apart / 11) ** 2)) + 0.5).astype(np.float32)
    hx.save(hx.Image.from_array(ct, grid, modality="CT", quantity="HU"), tmp_path / "ct.nii.gz")
    hx.save(hx.Image.from_array(uptake, pet_grid, modality="PT", quantity="SUVbw"), tmp_path / "pet.nii.gz")
    hx.save(hx.Mask.from_array(apart < 14, pet_grid), tmp_path / "lesion.nii.gz")
    hx.save(motion.inverse, tmp_path / "t.tfm")
    row = {"a": "ct.nii.gz", "b": "pet.nii.gz", "mask_b": "lesion.nii.gz", "through": "t.tfm"}
    found = evaluate_fusion(_write(tmp_path / "p.csv", [row]), how="overlay").as_json()
    assert found["failed"] == {}
    assert found["values A"]["mean"] == 0 and 0 <= found["values B"]["mean"] < 3
    assert abs(found["MTV change %"]["mean"]) < 3 and abs(found["TLG change %"]["mean"]) < 3
    assert found["copies"]["copy of B"]["lesion B"]["mean"] == pytest.approx(1.0)
    assert 0.2 < found["lesion B"]["mean"] < 0.8
    assert "values A" not in found["copies"]["copy of A"]
    assert found["EN"]["n"] == 1


def test_burden_by_hand() -> None:
    values = np.zeros((5, 7, 11), np.float32)
    values[2, 3, 4:8] = (10.0, 5.0, 4.2, 4.0)
    image = hx.Image.from_array(values, hx.Grid(values.shape, spacing_mm=(3.0, 0.7, 0.5)), quantity="SUVbw")
    lesion = hx.Mask.from_array(values > 0, image.grid)
    ml = 3 * 0.7 * 0.5 / 1000
    assert burden(image, lesion) == pytest.approx((3 * ml, 19.2 * ml))
    assert burden(image, hx.Mask.from_array(values > 99, image.grid)) == (0.0, 0.0)
