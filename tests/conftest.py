"""Fixtures for all tests: an image without symmetry, and the real data where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hexscope as hx
from hexscope.cli import main
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.phantom import PhantomFiles
from tests.tidy import tidy_phantom

#: Orthonormal, no axis along a world axis, no two angles alike.
OBLIQUE = np.linalg.qr(np.array([[0.9, 0.2, -0.3], [-0.1, 0.8, 0.4], [0.35, -0.5, 0.95]]))[0]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real, labelled data beside the checkout, or $HEXSCOPE_DATA; the test skips without it."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HEXSCOPE_DATA", default))
    if not folder.is_dir():
        pytest.skip("real data are not here: set HEXSCOPE_DATA to the folder of data sets")
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command with --json; gives (exit code, the one JSON value, None where there is none)."""

    def call(*arguments: object) -> tuple[int, Any]:
        code = main([*(str(a) for a in arguments), "--json"])
        return code, json.loads(capsys.readouterr().out or "null")

    return call


@pytest.fixture
def oblique_grid() -> Grid:
    """Shape (5, 7, 11), spacing (3.0, 0.7, 0.5) mm, oblique, origin off zero."""
    affine = np.eye(4)
    affine[:3, :3] = OBLIQUE * np.array([3.0, 0.7, 0.5])
    affine[:3, 3] = [-31.5, 17.25, 102.0]
    return Grid((5, 7, 11), affine, frame_of_reference="1.2.826.0.1.3680043.8.498.1")


@pytest.fixture
def oblique_ct(oblique_grid: Grid) -> Image:
    """A CT on the oblique grid; every voxel value is its own."""
    array = (np.arange(5 * 7 * 11, dtype=np.int16) * 3 - 500).reshape(5, 7, 11)
    return Image.from_array(array, oblique_grid, modality="CT", quantity="HU", name="oblique")


@pytest.fixture(scope="session")
def phantom_files(tmp_path_factory: pytest.TempPathFactory) -> PhantomFiles:
    """The digital patient (synthetic) with all its faults, written once for all tests."""
    return hx.phantom(tmp_path_factory.mktemp("phantom"), seed=0)


@pytest.fixture(scope="session")
def phantom_truth(phantom_files: PhantomFiles) -> dict[str, Any]:
    return dict(json.loads(phantom_files.truth.read_text()))


@pytest.fixture(scope="session")
def phantom_study(phantom_files: PhantomFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tidy folder: study/ct, study/pet, study/t1, ... hold one sound series of the digital patient each."""
    root = tmp_path_factory.mktemp("docs")
    tidy_phantom(phantom_files, root)
    return root
