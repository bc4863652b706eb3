"""NRRD and MetaImage: SimpleITK's world is ours; what it would invent is not taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.errors import UsageError
from hexscope.io.itk import ITK, save_itk
from tests.conftest import OBLIQUE

VALUES = np.arange(385, dtype=np.int16).reshape(5, 7, 11)


def _load(path: Path) -> Any:
    found = ITK.scan([path])
    assert len(found.series) == 1, found.others
    return found.series[0].load()


def _foreign(path: Path) -> Path:
    image = sitk.GetImageFromArray(VALUES)
    image.SetSpacing((0.5, 0.7, 3.0))
    image.SetOrigin((-31.5, 17.25, 102.0))
    image.SetDirection(OBLIQUE.ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


def _edited(path: Path, edit: dict[bytes, bytes]) -> Path:
    data = path.read_bytes()
    for old, new in edit.items():
        assert old in data
        data = data.replace(old, new)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.mhd", "a.nhdr"])
def test_places_are_simpleitks(name: str, tmp_path: Path) -> None:
    path = _foreign(tmp_path / name)
    image, other = _load(path), sitk.ReadImage(str(path))
    for index in ([0, 0, 0], [4, 6, 10], [1, 5, 2]):
        assert np.allclose(image.grid.to_world(index), other.TransformIndexToPhysicalPoint(index[::-1]), atol=1e-9)
    assert np.array_equal(image.array, VALUES)
    assert (image.modality, image.quantity, image.faults) == ("OT", "arbitrary", ())


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_simpleitk_reads_ours(suffix: str, oblique_ct: Image, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    save_itk(oblique_ct, path)
    other = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(other), oblique_ct.array)
    assert np.allclose(other.TransformIndexToPhysicalPoint([3, 2, 1]), oblique_ct.grid.to_world([1, 2, 3]))


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_shapes_beside_volumes(suffix: str, oblique_grid: Grid, tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    assert oblique_grid.affine is not None
    sheared = oblique_grid.affine.copy()
    sheared[:3, 0] += sheared[:3, 1]
    cases = [
        Image.from_array(dice.random((3, 5, 7, 11)), oblique_grid, axes=("t", "z", "y", "x")),
        Image.from_array(dice.integers(0, 255, (7, 11, 3), dtype=np.uint8), quantity="RGB", axes=("y", "x", "c")),
        Image.from_array(dice.random((4, 7, 11), dtype=np.float32), axes=("t", "y", "x")),
        Image.from_array(VALUES[0], Grid((7, 11), oblique_grid.affine[:, 1:])),
        Image.from_array(VALUES, Grid((5, 7, 11), sheared)),
    ]
    for image in cases:
        save_itk(image, tmp_path / f"a{suffix}")
        back = _load(tmp_path / f"a{suffix}")
        assert back.axes == image.axes
        assert np.array_equal(back.array, image.array)
        assert back.grid.same_as(image.grid)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_many_long_names_survive(suffix: str, oblique_grid: Grid, tmp_path: Path) -> None:
    names = {n: f'structure number {n} 结构 \\ with a: long = "name" ' + "x" * 40 for n in range(1, 140)}
    mask = Mask.from_array(VALUES % 140, oblique_grid, names)
    save_itk(mask, tmp_path / f"a{suffix}")
    assert _load(tmp_path / f"a{suffix}").labels == mask.labels


def test_nrrd_without_a_patient_space_has_no_place(tmp_path: Path) -> None:
    header = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 11 7 5\nendian: little\nencoding: raw\n"
    (tmp_path / "bare.nrrd").write_bytes(header + b"\n" + VALUES.tobytes())
    image = _load(tmp_path / "bare.nrrd")
    assert image.grid.affine is None
    assert image.grid.spacing_mm is None
    assert {f.code for f in image.faults} == {"geometry.no_position", "geometry.no_spacing"}
    (tmp_path / "spaced.nrrd").write_bytes(header + b"spacings: 0.5 0.7 3\n\n" + VALUES.tobytes())
    spaced = _load(tmp_path / "spaced.nrrd")
    assert spaced.grid.spacing_mm == pytest.approx((3.0, 0.7, 0.5))
    assert [f.code for f in spaced.faults] == ["geometry.no_position"]


def test_ras_is_turned(tmp_path: Path) -> None:
    path = _foreign(tmp_path / "a.nrrd")
    before = _load(path).grid
    after = _load(_edited(path, {b"left-posterior-superior": b"right-anterior-superior"})).grid
    assert np.allclose(after.to_world([1, 2, 3]), before.to_world([1, 2, 3]) * [-1, -1, 1])


def test_metaimage_without_offset_has_no_place(tmp_path: Path) -> None:
    path = _edited(_foreign(tmp_path / "a.mha"), {b"Offset =": b"Comment ="})
    image = _load(path)
    assert image.grid.affine is None
    assert image.grid.spacing_mm == pytest.approx((3.0, 0.7, 0.5))
    assert [f.code for f in image.faults] == ["geometry.no_position"]


def test_units_other_than_mm_are_refused(tmp_path: Path) -> None:
    path = _edited(_foreign(tmp_path / "a.nrrd"), {b"space origin": b'space units: "um" "um" "um"\nspace origin'})
    assert ITK.scan([path]).others[0].faults[0].code == "geometry.bad_affine"


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_large_claims_and_missing_data(name: str, tmp_path: Path) -> None:
    claim = {b"11 7 5": b"2048 2048 2048"}
    path = _edited(_foreign(tmp_path / name), claim)
    assert ITK.scan([path]).others[0].faults[0].code == "file.truncated"
    pair = _foreign(tmp_path / "b.mhd")
    assert ITK.sniff(b"", tmp_path / "b.raw")
    assert len(ITK.scan([pair, tmp_path / "b.raw"]).series) == 1
    (tmp_path / "b.raw").unlink()
    assert ITK.scan([pair]).others[0].faults[0].code == "file.truncated"


def test_nan_is_mended_and_told(tmp_path: Path) -> None:
    array = VALUES.astype(np.float32)
    array[1, 2, 3] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "a.nrrd"))
    image = _load(tmp_path / "a.nrrd")
    assert image.array[1, 2, 3] == 0
    assert "value.not_finite" in [f.code for f in image.faults]


def test_other_suffixes_are_refused(oblique_ct: Image, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.mhd"):
        save_itk(oblique_ct, tmp_path / "a.mhd")
