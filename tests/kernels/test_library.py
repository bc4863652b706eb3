"""Compiled kernels: built of the sources as they stand, found without numba, the same numbers as numba gives."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from hexscope.kernels import library, sampling
from hexscope.kernels.build import sources, unpacking

needs_library = pytest.mark.skipif(library.level() is None, reason="no library is built for this kind of machine")
LEVELS = list(library.LEVELS)

#: Every kernel of sampling.py at work, and what came of it.
WORK = """
import sys
import numpy as np
from scipy import ndimage
from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.resample import resample
from hexscope.core.transform import Transform, rigid
from hexscope.core.warp import Warp
dice = np.random.default_rng(3)
affine = np.array([[0.1, 0, 0.5, -31], [0.2, 0.7, 0, 17], [3.0, -0.1, 0.05, 102], [0, 0, 0, 1]])
grid = Grid((5, 17, 21), affine)
field = ndimage.gaussian_filter(dice.normal(size=(5, 17, 21, 3)), (1, 2, 2, 0)) * 2
through = Transform.deformable(rigid((3, 4, 5), (1, 2, 0), grid.center_mm).matrix, Warp(grid, field))
array = ndimage.gaussian_filter(dice.normal(size=grid.shape), 1).astype(np.float32)
image, mask = Image.from_array(array, grid), Mask.from_array((array * 9).clip(0).astype(np.uint16), grid)
answers = {
    "linear": resample(image, grid, through=through).array,
    "undone": resample(image, grid, through=through.inverse).array,
    "nearest": resample(mask, grid, through=through).array,
    "vote": resample(mask, grid, through=through, how="vote").array,
    "points": through.points(grid.to_world(dice.uniform(1, 4, (99, 3)))),
    "jacobian": through.jacobian(),
    "folds": np.array(through.folds()),
}
print("numba" in sys.modules or "llvmlite" in sys.modules)
np.savez(sys.argv[1], **answers)
"""


def work(kernels: str, out: Path, code: str = WORK) -> tuple[bool, dict[str, np.ndarray]]:
    """Was numba imported, and the answers."""
    env = {**os.environ, "HEXSCOPE_KERNELS": kernels}
    command = [sys.executable, "-c", code, str(out)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    with np.load(out) as found:
        return done.stdout.strip() == "True", dict(found)


def close(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> bool:
    return ours.keys() == theirs.keys() and all(np.allclose(ours[k], theirs[k], rtol=1e-5, atol=1e-5) for k in ours)


def test_libraries_are_built_of_the_sources_as_they_stand() -> None:
    wanted = {source.stem: library.stamp(source) for source in sources()}
    assert "sampling" in wanted
    for level in LEVELS:
        assert library.library_path(level).exists(), "run: make kernels"
        if library.level() is not None:
            found = library.stamps_of(ctypes.CDLL(str(library.library_path(level))))
            assert found == wanted, f"{level}: kernels were edited since; run: make kernels"


@needs_library
def test_every_level_gives_the_same_numbers_without_numba(tmp_path: Path) -> None:
    runs = LEVELS[LEVELS.index(str(library.level())) :]
    answers = []
    for level in runs:
        imported, found = work(level, tmp_path / f"{level}.npz")
        assert not imported
        answers.append(found)
    assert all(close(answers[0], other) for other in answers[1:])
    assert np.isfinite(answers[0]["points"]).all() and answers[0]["folds"] == 0


@needs_library
@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
def test_numba_gives_the_same_numbers(tmp_path: Path) -> None:
    imported, theirs = work("jit", tmp_path / "jit.npz")
    assert imported
    assert close(work("", tmp_path / "library.npz")[1], theirs)


@needs_library
def test_calls_cost_little_and_wrong_arguments_are_refused() -> None:
    points, matrix = np.zeros((1, 3)), np.eye(4)
    began = process_time()
    for _ in range(2000):
        sampling.affine(points, matrix, 0, 1)
    assert (process_time() - began) / 2000 < 3e-5  # it is 4 µs on a Xeon of 2023
    for wrong in (points.astype(np.float32), np.zeros((3, 3)).T[:1], np.zeros(3), np.zeros((2, 6))[:, ::2]):
        with pytest.raises(TypeError, match="affine"):
            sampling.affine(wrong, matrix, 0, 1)
    with pytest.raises(ValueError, match="argument"):
        sampling.affine(points, matrix, 0)


def test_signatures_are_read() -> None:
    assert library.arguments("void(f4[:,:,::1], u2[::1], f8, i8)") == [("f4", 3), ("u2", 1), ("f8", 0), ("i8", 0)]
    for wrong in ("void(f4[:,:])", "void(c8[:,::1], i8)", "void(f4[::1,:], i8)"):
        with pytest.raises(TypeError, match="contiguous"):
            library.arguments(wrong)
    code = unpacking("hx_a", "void(f4[:,::1], f4, i8)")
    assert "*(const double *) (w + 3)" in code and "*(const long long *) (w + 4)" in code


def test_an_edited_file_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library never stands in for code that it was not built of."""
    copy = tmp_path / "sampling.py"
    copy.write_text(Path(str(sampling.__file__)).read_text() + "# edited\n")
    monkeypatch.setattr(sampling, "__file__", str(copy))
    assert not library.serves.__wrapped__("hexscope.kernels.sampling")


#: A pair registered, linear and then as far as this version goes; where the corners of the fixed image come from.
REGISTRATION = """
import sys
import numpy as np
from scipy import ndimage
import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.transform import rigid
from hexscope.register import KINDS, register
dice = np.random.default_rng(3)
affine = np.array([[0.1, 0, 1.0, -31], [0.2, 1.1, 0, 17], [1.6, -0.1, 0.05, 102], [0, 0, 0, 1]])
grid = Grid((24, 36, 40), affine)
ramp = np.hypot(*np.meshgrid(np.linspace(-1, 1, 36), np.linspace(-1, 1, 40), indexing="ij")) < 0.8
array = 100 * ramp * (1 + ndimage.gaussian_filter(dice.normal(size=grid.shape), 2) * 4)
fixed = Image.from_array(array.astype(np.float32), grid, modality="MR")
moving = hx.resample(fixed, grid, through=rigid((3, 4, -5), (2, 1, 3), grid.center_mm))
kinds = ("rigid", KINDS[-1])
answers = {kind: register(fixed, moving, kind=kind).inverse.points(grid.corners_mm() * 0.5 + grid.center_mm * 0.5)
           for kind in kinds}
print("numba" in sys.modules)
np.savez(sys.argv[1], **answers)
"""


@pytest.mark.slow
@needs_library
@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
def test_a_registration_is_the_same_from_the_library_and_from_numba(tmp_path: Path) -> None:
    imported, ours = work("", tmp_path / "library.npz", REGISTRATION)
    assert not imported
    _, theirs = work("jit", tmp_path / "jit.npz", REGISTRATION)
    gaps = [np.linalg.norm(ours[kind] - theirs[kind], axis=-1).max() for kind in ours]
    assert len(gaps) == 2 and max(gaps) < 0.05
