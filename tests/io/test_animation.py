"""Moving pictures: every frame, its time, and what they are made of can be read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageSequence
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.errors import UsageError
from hexscope.io.writing import save


@pytest.fixture
def moving() -> Image:
    """Five frames, each of two flat colours, so that a palette of 256 can hold them."""
    array = np.zeros((5, 31, 43, 3), np.uint8)
    for k in range(5):
        array[k, 3 * k : 3 * k + 7, 5:20] = (40 * k + 50, 255 - 30 * k, 90)
    return Image.from_array(
        array,
        Grid((31, 43), plane="unknown"),
        modality="PT",
        quantity="RGB",
        axes=("t", "y", "x", "c"),
        facts={"FrameTime": 120.0},
        steps=("made for a test",),
    )


@pytest.mark.parametrize("name", ["m.gif", "m.apng", "m.webp"])
def test_every_frame_comes_back(moving: Image, tmp_path: Path, name: str) -> None:
    save(moving, tmp_path / name)
    with PIL.Image.open(tmp_path / name) as file:
        assert file.n_frames == 5 and file.info["loop"] == 0
        frames = np.stack([np.asarray(f.convert("RGB")) for f in PIL.ImageSequence.Iterator(file)])
        assert file.info["duration"] == 120
    assert np.array_equal(frames, moving.array)
    assert not list(tmp_path.glob("*.part*")) and len(list(tmp_path.iterdir())) == 1


def test_what_is_not_a_moving_picture_is_refused(moving: Image, tmp_path: Path) -> None:
    still = Image.from_array(moving.array[0].copy(), quantity="RGB", axes=("y", "x", "c"))
    with pytest.raises(UsageError, match="still"):
        save(still, tmp_path / "s.gif")
    with pytest.raises(UsageError, match="8-bit"):
        save(moving.with_array(moving.array.astype(np.float32), "float"), tmp_path / "f.webp")
    assert not list(tmp_path.iterdir())
