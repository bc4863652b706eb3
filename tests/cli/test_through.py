"""``resample --through``: every transform format, read from disk, brings the same picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hexscope as hx
from hexscope.cli import main
from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.transform import Transform, rigid
from tests.core.strategies import smooth_warp


@pytest.fixture
def pair(oblique_grid: Grid, tmp_path: Path) -> tuple[Image, Image]:
    """Two MR series in frames of their own, as DICOM folders ``fixed`` and ``moving``."""
    values = np.random.default_rng(5).integers(0, 500, oblique_grid.shape).astype(np.int16)
    made = []
    for name, frame in (("fixed", "1.2.3"), ("moving", "1.2.4")):
        grid = Grid(oblique_grid.shape, oblique_grid.affine, frame_of_reference=frame)
        hx.save(Image.from_array(values, grid, modality="MR"), tmp_path / name)
        made.append(hx.read(tmp_path / name))
    return made[0], made[1]


@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".nii.gz", ".dcm"])
def test_every_format_brings_the_same_picture(suffix: str, pair: tuple[Image, Image], tmp_path: Path) -> None:
    fixed, moving = pair
    turn = rigid((4, -3, 5), (0.4, -0.3, 0.6), fixed.grid.center_mm)
    through = Transform.deformable(turn.matrix, smooth_warp(fixed.grid, 1))
    hx.save(through, tmp_path / f"t{suffix}", source=pair)
    out = tmp_path / "moved.nii.gz"
    asked = ["resample", tmp_path / "moving", "--to", tmp_path / "fixed", "--through", tmp_path / f"t{suffix}"]
    assert main([*map(str, asked), "-o", str(out)]) == 0
    expected = hx.resample(moving, fixed.grid, through=through).array
    assert np.abs(hx.read(out).array - expected).max() < 0.01


def test_labels_vote(pair: tuple[Image, Image], tmp_path: Path, capsys: Any) -> None:
    fixed, moving = pair
    mask = Mask.from_array((moving.array > 250).astype(np.uint16), moving.grid, {1: "bright"})
    hx.save(mask, tmp_path / "mask.nii.gz")
    through = rigid((4, -3, 5), (0.4, -0.3, 0.6), fixed.grid.center_mm)
    hx.save(through, tmp_path / "t.tfm")
    out = tmp_path / "moved.nii.gz"
    asked = ["resample", tmp_path / "mask.nii.gz", "--to", tmp_path / "fixed", "--through", tmp_path / "t.tfm"]
    assert main([*map(str, asked), "--how", "vote", "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["out"] == str(out)
    expected = hx.resample(mask, fixed.grid, through=through, how="vote").array
    found = hx.read_mask(out).array
    assert np.array_equal(found, expected)
    assert not np.array_equal(found, hx.resample(mask, fixed.grid, through=through).array)
    asked[1] = tmp_path / "moving"
    assert main([*map(str, asked), "--how", "vote", "-o", str(out)]) == 2
