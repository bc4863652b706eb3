"""Transforms on disk: SimpleITK makes the same picture of them as we do; what was written is read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.resample import resample, straight
from hexscope.core.transform import Certificate, Transform, rigid
from hexscope.errors import FormatError, UsageError
from hexscope.io.hdf5 import lookup3
from hexscope.io.itk import save_itk
from hexscope.io.transforms import read_transform, save_transform
from tests.conftest import OBLIQUE
from tests.core.strategies import smooth_warp

MOTION = rigid((10, -7, 4), (3, -2, 5), (-20, 25, 110))
CERTIFICATE = Certificate("review", 0.5, ("overlap is small", "重叠小"), (("overlap", 0.25),))


def _grid(shape: tuple[int, ...], spacing: list[float], origin: list[float], axes: np.ndarray) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = origin
    return Grid(shape, affine)


FIXED = _grid((20, 31, 23), [1.0, 0.55, 0.5], [-31.5, 17.25, 102.0], OBLIQUE)
AROUND = _grid((15, 31, 27), [2.0, 0.6, 0.8], [-30.0, 20.0, 100.0], OBLIQUE.T)
#: Brings the middle of AROUND to the middle of FIXED, turned.
LINEAR = rigid((10, -7, 4), (1.0, -2.0, 1.5), FIXED.center_mm) @ Transform(
    np.block([[np.eye(3), (FIXED.center_mm - AROUND.center_mm)[:, None]], [np.zeros((1, 3)), 1.0]])
)
WARPED = Transform.deformable(LINEAR.matrix, smooth_warp(FIXED, 5, 1.0))


def inside(grid: Grid, count: int = 200) -> np.ndarray:
    share = np.random.default_rng(7).uniform(0, 1, (count, grid.ndim))
    return grid.to_world(share * (np.array(grid.shape) - 1))


def as_itk_reads(path: Path) -> sitk.Transform:
    if path.name.endswith(".nii.gz"):
        return sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    return sitk.ReadTransform(str(path))


@pytest.mark.parametrize(
    ("motion", "name"),
    [(LINEAR, "t.tfm"), (LINEAR, "t.h5"), (WARPED, "t.tfm"), (WARPED, "t.h5"), (WARPED, "t.nii.gz")],
)
def test_simpleitk_resamples_to_the_same_picture(motion: Transform, name: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(4).normal(size=AROUND.shape)
    moving = Image.from_array(ndimage.gaussian_filter(noise, 1).astype(np.float32), AROUND)
    save_transform(motion, tmp_path / name)
    save_itk(moving, tmp_path / "moving.mha")
    save_itk(Image.from_array(np.zeros(FIXED.shape, np.uint8), FIXED), tmp_path / "fixed.mha")
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(
            sitk.ReadImage(str(tmp_path / "moving.mha")),
            sitk.ReadImage(str(tmp_path / "fixed.mha")),
            as_itk_reads(tmp_path / name),
            sitk.sitkLinear,
            0.0,
        )
    )
    ours = resample(moving, to=FIXED, through=motion).array
    inner = ndimage.binary_erosion(theirs != 0, iterations=2)
    assert inner.mean() > 0.2
    assert np.abs(ours - theirs)[inner].max() < 1e-4
    assert np.abs(resample(moving, to=FIXED, through=read_transform(tmp_path / name)).array - ours).max() < 1e-4
    wrong = resample(moving, to=FIXED, through=motion.inverse).array
    assert np.abs(wrong - theirs)[inner].max() > 0.05


# ---- what every format must do ------------------------------------------------------------------------------


@pytest.fixture
def dicom_pair(oblique_grid: Grid, tmp_path: Path) -> tuple[Image, Image]:
    """Two MR series of one patient in different studies and frames, read back from DICOM."""
    made = []
    for name, frame in (("fixed", "1.2.3"), ("moving", "1.2.4")):
        grid = Grid(oblique_grid.shape, oblique_grid.affine, frame_of_reference=frame)
        image = Image.from_array(np.arange(385, dtype=np.int16).reshape(5, 7, 11), grid, modality="MR", name=name)
        hx.save(image, tmp_path / name)
        made.append(hx.read(tmp_path / name))
    return made[0], made[1]


Write = Callable[[Transform, str], Path]


@pytest.fixture
def write(dicom_pair: tuple[Image, Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    return lambda transform, name: hx.save(transform, tmp_path / name, source=dicom_pair)


ALL = (".tfm", ".h5", ".nii.gz", ".dcm")
SAYING = (".tfm", ".nii.gz", ".dcm")  # formats that keep what stands beside the numbers


def deformable(grid: Grid) -> Transform:
    return Transform.deformable(MOTION.matrix, smooth_warp(grid, 3))


@pytest.mark.parametrize("suffix", ALL)
def test_a_field_comes_back(suffix: str, oblique_grid: Grid, write: Write) -> None:
    whole = deformable(oblique_grid)
    back = read_transform(write(whole, f"t{suffix}"))
    p = inside(oblique_grid)
    assert back.kind == "deformable"
    assert np.allclose(back.inverse.points(p), whole.inverse.points(p), atol=2e-5)
    q = whole.inverse.points(p)
    assert np.allclose(back.points(q), p, atol=3e-4)


@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".dcm"])
@pytest.mark.parametrize("kind", ["identity", "rigid", "similarity", "affine"])
def test_a_matrix_comes_back(suffix: str, kind: str, write: Write) -> None:
    stretch = {"similarity": np.diag([1.1, 1.1, 1.1, 1]), "affine": np.diag([1.1, 0.9, 1.2, 1])}.get(kind, np.eye(4))
    matrix = np.eye(4) if kind == "identity" else MOTION.matrix @ stretch
    back = read_transform(write(Transform(matrix, kind), f"t{suffix}"))
    assert np.allclose(back.matrix, matrix, atol=1e-9)
    assert back.kind == kind


@pytest.mark.parametrize(("suffix", "is_linear"), [*((s, False) for s in SAYING), (".tfm", True), (".dcm", True)])
def test_certificate_and_steps_come_back(suffix: str, is_linear: bool, oblique_grid: Grid, write: Write) -> None:
    more = {"fixed_frame": "1.2.3", "moving_frame": "1.2.4", "certificate": CERTIFICATE, "steps": ("registered",)}
    whole = Transform(MOTION.matrix, "rigid", **more) if is_linear else Transform.deformable(  # type: ignore[arg-type]
        MOTION.matrix, smooth_warp(oblique_grid, 1), **more
    )  # fmt: skip
    back = read_transform(write(whole, f"t{suffix}"))
    assert (back.kind, back.fixed_frame, back.moving_frame) == (whole.kind, "1.2.3", "1.2.4")
    assert back.certificate == CERTIFICATE
    assert back.steps == ("registered",)


@pytest.mark.parametrize("suffix", ALL)
def test_the_same_transform_gives_the_same_bytes(suffix: str, oblique_grid: Grid, write: Write) -> None:
    first = write(deformable(oblique_grid), f"a{suffix}").read_bytes()
    assert write(deformable(oblique_grid), f"a{suffix}").read_bytes() == first


def test_hdf5_files_keep_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SimpleITK's own file holds times; ours holds the same numbers, none of the times, and checksums that hold."""
    whole = deformable(FIXED)
    save_transform(whole, tmp_path / "ours.h5")
    sitk.WriteTransform(sitk.ReadTransform(str(tmp_path / "ours.h5")), str(tmp_path / "theirs.h5"))
    ours, theirs = (tmp_path / "ours.h5").read_bytes(), (tmp_path / "theirs.h5").read_bytes()
    assert len(ours) == len(theirs) and ours != theirs
    assert lookup3(b"Four score and seven years ago") == 0x17770551 and lookup3(b"") == 0xDEADBEEF


@pytest.mark.parametrize("suffix", ALL)
def test_an_undone_field_is_sampled_and_said_so(suffix: str, write: Write, tmp_path: Path) -> None:
    whole = Transform.deformable(np.eye(4), smooth_warp(FIXED, 5, 1.0)).inverse
    back = read_transform(write(whole, f"t{suffix}"))
    p = FIXED.to_world(np.stack(np.meshgrid(*map(np.arange, FIXED.shape), indexing="ij"), axis=-1).reshape(-1, 3))
    assert np.allclose(back.inverse.points(p), whole.inverse.points(p), atol=1e-4)
    assert suffix == ".h5" or "sampled" in back.steps[-1]


@pytest.mark.parametrize("suffix", ALL)
def test_left_handed_sheared_and_flat_grids(suffix: str, oblique_grid: Grid, write: Write) -> None:
    assert oblique_grid.affine is not None
    sheared = oblique_grid.affine.copy()
    sheared[:3, 0] += 0.6 * sheared[:3, 1]
    for grid in (oblique_grid.flip(1), Grid(oblique_grid.shape, sheared), Grid((7, 11), oblique_grid.affine[:, 1:])):
        whole = Transform.deformable(MOTION.matrix, smooth_warp(grid, 8))
        back = read_transform(write(whole, f"t{suffix}"))
        nodes = straight(grid)
        p = nodes.to_world(np.stack(np.meshgrid(*map(np.arange, nodes.shape), indexing="ij"), axis=-1))
        assert np.allclose(back.inverse.points(p), whole.inverse.points(p), atol=1e-4)


# ---- others' files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
@pytest.mark.parametrize(
    ("theirs", "kind"),
    [
        (sitk.Euler3DTransform((1, 2, 3), 0.1, 0.2, 0.3, (4, 5, 6)), "rigid"),
        (sitk.VersorRigid3DTransform((0, 0.6, 0.8), 0.2, (1, 2, 3), (3, 4, 5)), "rigid"),
        (sitk.Similarity3DTransform(1.2, (0, 0.6, 0.8), 0.2, (1, 2, 3), (3, 4, 5)), "similarity"),
        (sitk.ScaleTransform(3, (1, 2, 3)), "affine"),
        (sitk.TranslationTransform(3, (1, 2, 3)), "rigid"),
        (sitk.Transform(3, sitk.sitkIdentity), "identity"),
        (
            sitk.CompositeTransform(
                [
                    sitk.Euler3DTransform((1, 2, 3), 0.1, 0.2, 0.3, (4, 5, 6)),
                    sitk.Similarity3DTransform(1.2, (0, 0.6, 0.8), 0.2, (1, 2, 3), (3, 4, 5)),
                ]
            ),
            "similarity",
        ),
    ],
)
def test_linear_transforms_of_itk(theirs: sitk.Transform, kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"t{suffix}"
    sitk.WriteTransform(theirs, str(path))
    back = read_transform(path)
    point = (3.0, -7.0, 11.0)
    assert np.allclose(back.inverse.points(point), theirs.TransformPoint(point), atol=1e-9)
    assert back.kind == kind


def itk_field(seed: int) -> sitk.Image:
    values = smooth_warp(FIXED, seed, 1.0).displacement_mm.astype(np.float64)
    field = sitk.GetImageFromArray(values, isVector=True)
    assert FIXED.affine is not None
    axes = FIXED.affine[:3, 2::-1]
    field.SetOrigin(FIXED.affine[:3, 3])
    field.SetSpacing(np.linalg.norm(axes, axis=0))
    field.SetDirection((axes / np.linalg.norm(axes, axis=0)).ravel())
    return field


@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
def test_composites_of_itk_with_two_fields(suffix: str, tmp_path: Path) -> None:
    turn = sitk.Euler3DTransform(FIXED.center_mm.tolist(), 0.01, 0.02, 0.03, (0.4, -0.3, 0.2))
    fields = [sitk.DisplacementFieldTransform(itk_field(seed)) for seed in (1, 2)]
    theirs = sitk.CompositeTransform([fields[0], turn, fields[1]])
    sitk.WriteTransform(theirs, str(tmp_path / f"t{suffix}"))
    back = read_transform(tmp_path / f"t{suffix}")
    inner = FIXED.center_mm + (inside(FIXED) - FIXED.center_mm) * 0.6
    expected = [theirs.TransformPoint(p) for p in inner.tolist()]
    assert np.allclose(back.inverse.points(inner), expected, atol=1e-5)


@pytest.mark.parametrize("intent", [1006, 1007])
def test_fields_in_nifti_are_read_as_itk_reads_them(intent: int, tmp_path: Path) -> None:
    import nibabel

    path = tmp_path / "field.nii.gz"
    save_transform(deformable(FIXED), path)
    file = nibabel.load(path)
    file.header.set_intent(intent)
    nibabel.save(file, path)
    theirs, p = as_itk_reads(path), inside(FIXED)
    expected = np.array([theirs.TransformPoint(v) for v in p.tolist()])
    assert np.allclose(read_transform(path).inverse.points(p), expected, atol=1e-5)


def test_refusals(tmp_path: Path) -> None:
    splines = sitk.BSplineTransform(3, 3)
    sitk.WriteTransform(splines, str(tmp_path / "field.h5"))
    with pytest.raises(UsageError, match="BSpline"):
        read_transform(tmp_path / "field.h5")
    (tmp_path / "text.tfm").write_text("hello")
    for name in ("text.tfm", "text.nii.gz", "text.dcm"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(FormatError, match=name):
            read_transform(tmp_path / name)
    with pytest.raises(UsageError, match="no file"):
        read_transform(tmp_path / "absent.tfm")
    with pytest.raises(UsageError, match=r"\.tfm"):
        save_transform(MOTION, tmp_path / "t.mat")
    with pytest.raises(UsageError, match="no grid"):
        save_transform(MOTION, tmp_path / "t.nii.gz")
    with pytest.raises(UsageError, match="source"):
        save_transform(MOTION, tmp_path / "t.dcm")
    save_transform(MOTION, tmp_path / "t.tfm")
    text = (tmp_path / "t.tfm").read_text().replace("# hexscope {", "# hexscope {{")
    (tmp_path / "t.tfm").write_text(text)
    with pytest.raises(FormatError, match="line"):
        read_transform(tmp_path / "t.tfm")
    save_itk(Image.from_array(np.zeros(FIXED.shape, np.uint8), FIXED), tmp_path / "i.mha")
    hx.save(Image.from_array(np.zeros(FIXED.shape, np.uint8), FIXED), tmp_path / "image.nii.gz")
    with pytest.raises(FormatError, match="no displacement field"):
        read_transform(tmp_path / "image.nii.gz")


def test_a_broken_remark_is_told(tmp_path: Path) -> None:
    save_transform(Transform(MOTION.matrix, "rigid", certificate=CERTIFICATE), tmp_path / "t.tfm")
    text = (tmp_path / "t.tfm").read_text().replace('"score"', '"points"')
    (tmp_path / "t.tfm").write_text(text)
    with pytest.raises(FormatError, match=r"t\.tfm"):
        read_transform(tmp_path / "t.tfm")
