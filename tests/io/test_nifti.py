"""NIfTI: places as nibabel and SimpleITK see them, and every way in which a header can be wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.errors import FormatError, UsageError
from hexscope.io.nifti import NIFTI, save_nifti
from hexscope.io.reading import read
from hexscope.io.writing import save

SHAPE = (5, 7, 11)
VALUES = np.arange(385, dtype=np.int16).reshape(SHAPE) * 3 - 500


def _load(path: Path) -> Any:
    found = NIFTI.scan([path])
    assert len(found.series) == 1, found.others
    return found.series[0].load()


def _fault(path: Path) -> str:
    found = NIFTI.scan([path])
    assert not found.series
    return found.others[0].faults[0].code


def _codes(image: Image) -> list[str]:
    return [fault.code for fault in image.faults]


def _foreign(path: Path, **header: Any) -> Path:
    """A file as another program writes it; RAS affine with no symmetry."""
    affine = np.array([[0.5, 0.1, 0.2, -31.0], [-0.1, 0.7, 0.1, 17.0], [0.0, -0.2, 3.0, 102.0], [0, 0, 0, 1.0]])
    file = nibabel.Nifti1Image(VALUES.T, None)
    file.header["pixdim"][1:4] = [0.5, 0.7, 3.0]
    file.header.set_sform(affine, 1)
    file.header.set_qform(None, 0)
    file.header.set_xyzt_units(header.pop("units", "mm"))
    if "sform" in header:
        file.header.set_sform(header["sform"], header.pop("sform_code", 1 if header["sform"] is not None else 0))
        header.pop("sform")
    if "qform" in header:
        file.header.set_qform(header["qform"], 0 if header["qform"] is None else 1)
        header.pop("qform")
    for name, value in header.items():
        file.header[name] = value
    nibabel.save(file, path)
    return path


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_all_three_agree_where_voxels_lie(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    dice = np.random.default_rng(seed)
    shape = tuple(int(n) for n in dice.integers(2, 12, 3))
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(dice.normal(size=(3, 3)))[0] * dice.uniform(0.2, 6, 3)
    affine[:3, 3] = dice.uniform(-500, 500, 3)
    grid = Grid(shape, affine)
    path = tmp_path_factory.mktemp("nii") / "a.nii"
    save_nifti(Image.from_array(np.arange(np.prod(shape), dtype=np.int32).reshape(shape), grid), path)
    back, foreign, other = _load(path), nibabel.load(path), sitk.ReadImage(str(path))
    index = np.array([n - 1 for n in shape])
    there = grid.to_world(index)
    assert np.abs(back.grid.to_world(index) - there).max() < 1e-3
    assert np.abs((foreign.affine @ [*index[::-1], 1])[:3] * [-1, -1, 1] - there).max() < 1e-3
    assert np.abs(np.array(other.TransformIndexToPhysicalPoint(index[::-1].tolist())) - there).max() < 1e-3
    assert np.array_equal(sitk.GetArrayFromImage(other), back.array)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8"])
def test_numbers_stay_of_their_kind(dtype: str, oblique_grid: Grid, tmp_path: Path) -> None:
    array = (np.arange(385).reshape(SHAPE) % 120).astype(dtype)
    save_nifti(Image.from_array(array, oblique_grid), tmp_path / "a.nii.gz")
    back = _load(tmp_path / "a.nii.gz")
    assert back.array.dtype == np.dtype(dtype)
    assert np.array_equal(back.array, array)


def test_shapes_beside_volumes(oblique_grid: Grid, tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    cases = [
        Image.from_array(dice.random((3, *SHAPE)), oblique_grid, axes=("t", "z", "y", "x")),
        Image.from_array(dice.integers(0, 255, (7, 11, 3), dtype=np.uint8), quantity="RGB", axes=("y", "x", "c")),
        Image.from_array(dice.random((4, 7, 11), dtype=np.float32), axes=("t", "y", "x")),
        Image.from_array(VALUES[0], Grid((7, 11), oblique_grid.affine[:, 1:])),  # type: ignore[index]
    ]
    for image in cases:
        save_nifti(image, tmp_path / "a.nii")
        back = _load(tmp_path / "a.nii")
        assert back.axes == image.axes
        assert back.array.dtype == image.array.dtype
        assert np.array_equal(back.array, image.array)
        assert back.grid.same_as(image.grid)


def test_foreign_files_are_arbitrary_and_placed(tmp_path: Path) -> None:
    image = _load(_foreign(tmp_path / "a.nii"))
    assert (image.modality, image.quantity, image.faults) == ("OT", "arbitrary", ())
    assert np.allclose(image.grid.to_world([0, 0, 1]) - image.grid.to_world([0, 0, 0]), [-0.5, 0.1, 0.0], atol=1e-6)
    assert np.allclose(image.grid.to_world([0, 0, 0]), [31.0, -17.0, 102.0])


def test_sform_wins_and_says_so(tmp_path: Path) -> None:
    one, other = np.diag([0.5, 0.7, 3.0, 1.0]), np.diag([-0.5, 0.7, 3.0, 1.0])
    image = _load(_foreign(tmp_path / "a.nii", sform=one, qform=other))
    assert _codes(image) == ["geometry.differing_forms"]
    assert image.grid.affine[0, 2] == pytest.approx(-0.5)
    alone = _load(_foreign(tmp_path / "b.nii", sform=None, qform=other))
    assert alone.faults == ()
    assert alone.grid.affine[0, 2] == pytest.approx(0.5)


def test_forms_are_named_by_their_space(tmp_path: Path) -> None:
    one, other = np.diag([0.5, 0.7, 3.0, 1.0]), np.diag([-0.5, 0.7, 3.0, 1.0])
    image = _load(_foreign(tmp_path / "a.nii", sform=one, sform_code=4, qform=other))
    assert "sform (MNI 152) and qform (scanner) differ by up to 11.00 mm" in image.faults[0].detail
    assert image.facts["space"] == "MNI 152"


def test_a_broken_qform_does_not_spoil_a_sound_sform(tmp_path: Path) -> None:
    broken = {"quatern_b": 0.9, "quatern_c": 0.9, "quatern_d": 0.9, "qform_code": 1}
    image = _load(_foreign(tmp_path / "a.nii", **broken))
    assert _codes(image) == ["geometry.differing_forms"] and "no rotation" in image.faults[0].detail
    assert np.allclose(image.grid.to_world([0, 0, 0]), [31.0, -17.0, 102.0])
    assert _fault(_foreign(tmp_path / "b.nii", sform=None, **broken)) == "geometry.bad_affine"


@pytest.mark.parametrize("handed", [-1.0, 1.0])
def test_left_handed_quaternions(tmp_path: Path, handed: float) -> None:
    """qfac, pixdim[0], turns the third axis: ours lies where nibabel puts it."""
    path = _foreign(tmp_path / "a.nii", sform=None, qform=np.diag([0.5, 0.7, 3.0, 1.0]))
    turned = {"quatern_b": 0.2, "quatern_c": -0.3, "quatern_d": 0.4, "qoffset_x": -31.0, "qoffset_z": 102.0}
    path = _foreign(tmp_path / "a.nii", sform=None, qform_code=1, pixdim=[handed, 0.5, 0.7, 3.0, 0, 0, 0, 0], **turned)
    image, other = _load(path), nibabel.load(path)
    assert np.sign(np.linalg.det(other.affine[:3, :3])) == handed
    for index in ([0, 0, 0], [4, 6, 10], [3, 1, 2]):
        theirs = (other.affine @ [*index[::-1], 1])[:3] * [-1, -1, 1]
        assert np.allclose(image.grid.to_world(index), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("unit", "step_ms"), [("sec", 2500.0), ("msec", 2.5), ("usec", 0.0025), ("unknown", None), ("hz", None)]
)
def test_the_time_between_frames(tmp_path: Path, unit: str, step_ms: float | None) -> None:
    array = np.arange(3 * 385, dtype=np.int16).reshape(3, *SHAPE)
    file = nibabel.Nifti1Image(array.T, np.diag([0.5, 0.7, 3.0, 1.0]))
    file.header.set_xyzt_units("mm", unit)
    file.header["pixdim"][4] = 2.5
    nibabel.save(file, tmp_path / "a.nii")
    image = _load(tmp_path / "a.nii")
    assert image.axes == ("t", "z", "y", "x") and np.array_equal(image.array, array)
    assert image.facts["axis_t"] == unit and image.facts.get("frame_time_ms") == step_ms
    save_nifti(image, tmp_path / "b.nii")
    header = nibabel.load(tmp_path / "b.nii").header
    assert header.get_xyzt_units() == ("mm", "sec" if step_ms else "unknown")
    assert _load(tmp_path / "b.nii").facts.get("frame_time_ms") == pytest.approx(step_ms)


@pytest.mark.parametrize("times", [1, 2])
def test_a_fifth_axis_holds_channels(tmp_path: Path, times: int, oblique_grid: Grid) -> None:
    dice = np.random.default_rng(4)
    array = dice.random((4, times, *SHAPE), dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(array.T, np.diag([0.5, 0.7, 3.0, 1.0])), tmp_path / "a.nii.gz")
    image = _load(tmp_path / "a.nii.gz")
    assert image.axes == (("t",) if times > 1 else ()) + ("z", "y", "x", "c")
    expected = np.moveaxis(array, 0, -1)
    assert np.array_equal(image.array, expected if times > 1 else expected[0])
    save_nifti(image, tmp_path / "b.nii")
    back = _load(tmp_path / "b.nii")
    assert back.axes == image.axes and np.array_equal(back.array, image.array)
    assert np.array_equal(back.crop((1, 2, 3), (4, 6, 9)).array, image.array[..., 1:4, 2:6, 3:9, :])
    theirs = nibabel.load(tmp_path / "b.nii")
    assert theirs.header.get_intent()[0] == "vector" and np.array_equal(np.asarray(theirs.dataobj), array.T)


def test_six_axes_are_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 2, 4, 2, 2, 2), np.float32), np.eye(4)), tmp_path / "a.nii")
    assert "2 to 5 axes" in NIFTI.scan([tmp_path / "a.nii"]).others[0].faults[0].detail


def test_a_tilted_grid_is_kept_true(tmp_path: Path, oblique_grid: Grid) -> None:
    assert oblique_grid.affine is not None
    affine = oblique_grid.affine.copy()
    affine[:3, 0] += affine[:3, 1] * 1.7
    image = Image.from_array(VALUES, Grid(SHAPE, affine))
    for name in ("a.nii", "a.nii.gz", "a.nrrd", "a.mha"):
        save(image, tmp_path / name)
        back = read(tmp_path / name)
        assert back.grid.is_sheared and back.grid.same_as(image.grid)
        assert isinstance(back, Image) and np.array_equal(back.array, VALUES)
    header = nibabel.load(tmp_path / "a.nii").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)
    with pytest.raises(RuntimeError, match="orthonormal"):
        sitk.ReadImage(str(tmp_path / "a.nii"))
    theirs = sitk.ReadImage(str(tmp_path / "a.nrrd")).TransformIndexToPhysicalPoint((10, 6, 4))
    assert np.allclose(theirs, image.grid.to_world((4, 6, 10)), atol=1e-6)


def test_no_form_no_place(tmp_path: Path) -> None:
    image = _load(_foreign(tmp_path / "a.nii", sform=None, qform=None))
    assert image.grid.affine is None
    assert image.grid.spacing_mm == pytest.approx((3.0, 0.7, 0.5))
    assert _codes(image) == ["geometry.no_position"]


@pytest.mark.parametrize(("units", "factor"), [("micron", 1e-3), ("meter", 1e3), ("unknown", 1.0)])
def test_units(tmp_path: Path, units: str, factor: float) -> None:
    image = _load(_foreign(tmp_path / "a.nii", units=units, sform=np.diag([0.5, 0.7, 3.0, 1.0]), qform=None))
    assert image.grid.spacing_mm == pytest.approx((3.0 * factor, 0.7 * factor, 0.5 * factor))
    assert _codes(image) == (["geometry.unknown_units"] if units == "unknown" else [])


def test_scaling_and_nan(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(SHAPE[::-1])
    header.set_slope_inter(0.5, -7)
    header.set_sform(np.diag([0.5, 0.7, 3, 1]), 1)
    header.set_xyzt_units("mm")
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    (tmp_path / "a.nii").write_bytes(header.binaryblock + b"\0" * 4 + VALUES.tobytes())
    image = _load(tmp_path / "a.nii")
    assert image.array.dtype == np.float32
    assert np.array_equal(image.array, VALUES * 0.5 - 7)
    assert np.array_equal(image.crop((1, 2, 3), (2, 4, 9)).array, (VALUES * 0.5 - 7)[1:2, 2:4, 3:9])
    odd = VALUES.astype(np.float32)
    odd[1, 2, 3], odd[4, 0, 0] = np.nan, np.inf
    nibabel.save(nibabel.Nifti1Image(odd.T, np.diag([0.5, 0.7, 3, 1])), tmp_path / "b.nii.gz")
    image = _load(tmp_path / "b.nii.gz")
    assert "value.not_finite" in _codes(image)
    assert image.array[1, 2, 3] == image.array[4, 0, 0] == 0
    assert "2 voxels" in image.steps[0]


def test_overlapping_structures_and_names(oblique_grid: Grid, tmp_path: Path) -> None:
    dice = np.random.default_rng(2)
    parts = {"肝 liver": dice.random(SHAPE) > 0.4, "lesion": dice.random(SHAPE) > 0.6}
    save_nifti(Mask.from_parts(parts, oblique_grid, steps=("drawn",)), tmp_path / "m.nii.gz")
    series = NIFTI.scan([tmp_path / "m.nii.gz"]).series[0]
    back = series.load()
    assert series.kind == "mask"
    assert isinstance(back, Mask)
    assert back.steps == ("drawn",)
    assert all(np.array_equal(back.of(name), part) for name, part in parts.items())


def test_pairs_and_nameless_files(tmp_path: Path) -> None:
    pair = nibabel.Nifti1Pair(VALUES.T, np.diag([0.5, 0.7, 3, 1]))
    nibabel.save(pair, tmp_path / "a.img")
    files = [tmp_path / "a.hdr", tmp_path / "a.img"]
    assert all(NIFTI.sniff(f.read_bytes()[:4096], f) for f in files)
    found = NIFTI.scan(files)
    assert len(found.series) == 1
    assert found.series[0].files == tuple(map(str, files))
    assert np.array_equal(found.series[0].load().array, VALUES)  # type: ignore[union-attr]
    (tmp_path / "a.img").unlink()
    assert _fault(tmp_path / "a.hdr") == "file.truncated"


def test_claims_are_checked_before_memory_is_asked_for(tmp_path: Path) -> None:
    path = _foreign(tmp_path / "a.nii")
    data = bytearray(path.read_bytes())
    data[40:48] = np.array([3, 2048, 2048, 2048], np.int16).tobytes()
    path.write_bytes(data)
    assert _fault(path) == "file.truncated"
    with gzip.open(tmp_path / "b.nii.gz", "wb") as stream:
        stream.write(data)
    assert _fault(tmp_path / "b.nii.gz") == "file.truncated"


def test_zero_spacing_and_bad_forms(tmp_path: Path) -> None:
    path = _foreign(tmp_path / "a.nii", sform=None, qform=None, pixdim=[1, 0, 0.7, 3, 0, 0, 0, 0])
    assert _fault(path) == "geometry.zero_spacing"
    flat = np.diag([0.5, 0.0, 3.0, 1.0])
    assert _fault(_foreign(tmp_path / "b.nii", sform=flat, qform=None)) == "geometry.bad_affine"


def test_a_cut_zip_is_told_when_read(tmp_path: Path) -> None:
    path = _foreign(tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(FormatError, match=r"a\.nii\.gz ends before") as caught:
        _load(path)
    assert caught.value.code == "file.truncated"


def test_a_large_plain_file_opens_without_its_pixels(oblique_grid: Grid, tmp_path: Path) -> None:
    save_nifti(Image.from_array(np.zeros(SHAPE, np.int16), oblique_grid), tmp_path / "a.nii")
    with (tmp_path / "a.nii").open("r+b") as stream:
        header = bytearray(stream.read(352))
        header[40:48] = np.array([3, 2000, 2000, 1500], np.int16).tobytes()
        stream.seek(0)
        stream.write(header)
        stream.truncate(13_000_000_000)  # sparse: 12 GB that take no room
    image = _load(tmp_path / "a.nii")
    assert image.crop((700, 9, 3), (702, 12, 8)).array.shape == (2, 3, 5)


def test_bytes_repeat_and_nothing_is_left_half_written(oblique_ct: Image, tmp_path: Path) -> None:
    save_nifti(oblique_ct, tmp_path / "a.nii.gz")
    save_nifti(oblique_ct, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    with pytest.raises(UsageError, match=r"\.nii"):
        save_nifti(oblique_ct, tmp_path / "c.hdr")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nii.gz", "b.nii.gz"]


def test_a_broken_comment_is_a_fault(oblique_ct: Image, tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    save_nifti(oblique_ct, path)
    data = path.read_bytes()
    assert json.dumps("HU").encode() in data
    path.write_bytes(data.replace(b'"HU"', b'"UH"'))
    assert _fault(path) == "file.unreadable"


def test_real_files_agree_with_nibabel(shared_data: Path) -> None:
    for pattern in ("mr-multiple-sclerosis/**/FLAIR.nii.gz", "pet-ct-mr-sarcoma/**/PET_image.nii.gz"):
        path = next(iter(sorted(shared_data.glob(pattern))))
        image, other = _load(path), nibabel.load(path)
        assert np.array_equal(image.array, np.asarray(other.dataobj).T)
        assert np.allclose((other.affine @ [3, 2, 1, 1])[:3] * [-1, -1, 1], image.grid.to_world([1, 2, 3]), atol=1e-4)
