"""A model that segments, read as a detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from tests.models.networks import card_for, write_model


def test_every_part_of_a_structure_is_a_candidate(tmp_path: Path, oblique_grid: Grid) -> None:
    values = np.zeros(oblique_grid.shape, np.int16)
    values[1:3, 1:4, 1:5] = 10  # what the model calls low: two pieces, the second nearer to its middle value
    values[3:5, 4:7, 7:11] = 11
    image = Image.from_array(values, oblique_grid, modality="CT", quantity="HU")
    folder = write_model(tmp_path / "m", card_for(3), (0.0, 11.0, 22.0), steep=0.05)
    found = hx.detect(image, model=folder)
    assert [f.kind for f in found] == ["low", "low"] and found.items[0].score > found.items[1].score
    mask = found.mask.array
    assert np.array_equal(mask == 1, values == 11) and np.array_equal(mask == 2, values == 10)
    for number, finding in enumerate(found, start=1):
        middle = oblique_grid.to_world(np.argwhere(mask == number).mean(axis=0))
        np.testing.assert_allclose(finding.center_lps_mm, middle, atol=1e-6)
        voxels = int((mask == number).sum())
        assert finding.volume_ml == pytest.approx(voxels * 3.0 * 0.7 * 0.5 / 1000)
        assert "box_fit" not in finding.measures
    only = hx.detect(image, model=folder, score=(found.items[0].score + found.items[1].score) / 2)
    assert len(only) == 1 and np.array_equal(only.mask.array > 0, values == 11)


def test_nothing_segmented_is_no_candidate(tmp_path: Path, oblique_grid: Grid) -> None:
    image = Image.from_array(np.zeros(oblique_grid.shape, np.int16), oblique_grid, modality="CT", quantity="HU")
    folder = write_model(tmp_path / "m", card_for(3), (0.0, 11.0, 22.0))
    found = hx.detect(image, model=folder)
    assert len(found) == 0 and "no candidate was found" in found.warnings
