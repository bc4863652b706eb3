"""Transforms on disk: SimpleITK makes the same picture of them as we do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.resample import resample
from hexscope.core.transform import Certificate, Transform, rigid
from hexscope.errors import FormatError, UsageError
from hexscope.io.itk import save_itk
from hexscope.io.transforms import read_transform, save_transform
from tests.conftest import OBLIQUE

MOTION = rigid((10, -7, 4), (3, -2, 5), (-20, 25, 110))


def _grid(shape: tuple[int, ...], spacing: list[float], origin: list[float], axes: np.ndarray) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = origin
    return Grid(shape, affine)


@pytest.mark.parametrize("name", ["t.tfm", "t.h5"])
def test_simpleitk_resamples_to_the_same_picture(name: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(4).normal(size=(15, 31, 27))
    around = _grid((15, 31, 27), [2.0, 0.6, 0.8], [-30.0, 20.0, 100.0], OBLIQUE.T)
    fixed = _grid((20, 31, 23), [1.0, 0.55, 0.5], [-31.5, 17.25, 102.0], OBLIQUE)
    moving = Image.from_array(ndimage.gaussian_filter(noise, 1).astype(np.float32), around)
    motion = rigid((10, -7, 4), (1.0, -2.0, 1.5), fixed.center_mm) @ Transform(
        np.block([[np.eye(3), (fixed.center_mm - around.center_mm)[:, None]], [np.zeros((1, 3)), 1.0]])
    )
    save_transform(motion, tmp_path / name)
    save_itk(moving, tmp_path / "moving.mha")
    save_itk(Image.from_array(np.zeros(fixed.shape, np.uint8), fixed), tmp_path / "fixed.mha")
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(
            sitk.ReadImage(str(tmp_path / "moving.mha")),
            sitk.ReadImage(str(tmp_path / "fixed.mha")),
            sitk.ReadTransform(str(tmp_path / name)),
            sitk.sitkLinear,
            0.0,
        )
    )
    ours = resample(moving, to=fixed, through=motion).array
    inside = ndimage.binary_erosion(theirs != 0, iterations=2)
    assert inside.mean() > 0.2
    assert np.abs(ours - theirs)[inside].max() < 1e-4
    wrong = resample(moving, to=fixed, through=motion.inverse).array
    assert np.abs(wrong - theirs)[inside].max() > 0.05


def test_everything_is_kept(tmp_path: Path) -> None:
    certificate = Certificate("review", 0.5, ("overlap is small", "重叠小"), (("overlap", 0.25),))
    whole = Transform(MOTION.matrix, "rigid", "1.2.3", "1.2.4", certificate, ("registered",))
    save_transform(whole, tmp_path / "t.tfm")
    back = read_transform(tmp_path / "t.tfm")
    assert np.allclose(back.matrix, whole.matrix, atol=1e-12)
    assert (back.kind, back.fixed_frame, back.moving_frame) == ("rigid", "1.2.3", "1.2.4")
    assert back.certificate == certificate
    assert back.steps == ("registered",)


@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
@pytest.mark.parametrize(
    ("theirs", "kind"),
    [
        (sitk.Euler3DTransform((1, 2, 3), 0.1, 0.2, 0.3, (4, 5, 6)), "rigid"),
        (sitk.VersorRigid3DTransform((0, 0.6, 0.8), 0.2, (1, 2, 3), (3, 4, 5)), "rigid"),
        (sitk.Similarity3DTransform(1.2, (0, 0.6, 0.8), 0.2, (1, 2, 3), (3, 4, 5)), "affine"),
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
            "affine",
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


def test_refusals(tmp_path: Path) -> None:
    field = sitk.DisplacementFieldTransform(sitk.Image([5, 6, 7], sitk.sitkVectorFloat64, 3))
    sitk.WriteTransform(field, str(tmp_path / "field.h5"))
    with pytest.raises(UsageError, match="linear"):
        read_transform(tmp_path / "field.h5")
    (tmp_path / "text.tfm").write_text("hello")
    with pytest.raises(FormatError, match=r"text\.tfm"):
        read_transform(tmp_path / "text.tfm")
    with pytest.raises(UsageError, match="no file"):
        read_transform(tmp_path / "absent.tfm")
    with pytest.raises(UsageError, match=r"\.tfm"):
        save_transform(MOTION, tmp_path / "t.mat")
    save_transform(MOTION, tmp_path / "t.tfm")
    text = (tmp_path / "t.tfm").read_text().replace("# hexscope {", "# hexscope {{")
    (tmp_path / "t.tfm").write_text(text)
    with pytest.raises(FormatError, match="line"):
        read_transform(tmp_path / "t.tfm")
