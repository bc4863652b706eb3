"""Files are whole or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.errors import InputError, UsageError
from hexscope.io.files import atomic_write, suffix_of
from hexscope.io.masks import mask_from_image
from hexscope.io.reading import inventory


def test_a_failing_writer_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("before")

    def fail(beside: Path) -> None:
        beside.write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        atomic_write(tmp_path / "a.txt", fail)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "before"


def test_a_good_writer_replaces(tmp_path: Path) -> None:
    atomic_write(tmp_path / "new" / "a.nii.gz", lambda beside: beside.write_text(beside.name[-7:]))
    assert (tmp_path / "new" / "a.nii.gz").read_text() == ".nii.gz"


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder"):
        atomic_write(tmp_path, lambda beside: beside.touch())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        atomic_write(tmp_path / "file" / "a.txt", lambda beside: beside.touch())


def test_suffixes() -> None:
    assert [suffix_of(Path(n)) for n in ("a.NII.GZ", "b.tar.gz", "c", "d.Dcm")] == [".nii.gz", ".gz", "", ".dcm"]


def test_label_maps_of_others_become_masks(oblique_grid: Grid) -> None:
    array = np.arange(385.0).reshape(5, 7, 11) % 3
    mask = mask_from_image(Image.from_array(array, oblique_grid))
    assert [(e.value, e.name) for e in mask] == [(1, "label 1"), (2, "label 2")]
    assert np.array_equal(mask.array, array)
    with pytest.raises(InputError, match="fractions"):
        mask_from_image(Image.from_array(array / 2, oblique_grid, name="x.nii"))
    with pytest.raises(InputError, match="-1"):
        mask_from_image(Image.from_array(array.astype(int) - 1, oblique_grid))
    with pytest.raises(InputError, match="axes"):
        mask_from_image(Image.from_array(np.zeros((2, 7, 11), int), axes=("t", "y", "x")))


@pytest.mark.parametrize("name", ["brain.mgz", "anat+orig.HEAD", "scan.PAR", "old.mnc"])
def test_images_of_other_formats_are_named(tmp_path: Path, name: str) -> None:
    """An image that we cannot read is no junk: it is refused, with the way out."""
    heads = {"brain.mgz": b"\x1f\x8b\x08", "scan.PAR": b"# === DATA", "old.mnc": b"CDF\x01", "anat+orig.HEAD": b"type"}
    (tmp_path / name).write_bytes(heads[name] + bytes(500))
    (item,) = inventory(tmp_path).others
    assert item.verdict == "refused" and item.faults[0].code == "file.foreign"
