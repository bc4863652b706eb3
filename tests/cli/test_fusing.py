"""hexscope fuse and evaluate fuse: what they write, refuse and print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import SimpleITK as sitk

import hexscope as hx
from hexscope.cli import main


@pytest.fixture(scope="module")
def ct(phantom_study: Path) -> Path:
    return phantom_study / "study" / "ct"


@pytest.fixture(scope="module")
def pet(phantom_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("suv") / "suv.nii.gz"
    hx.save(hx.quantify(hx.read(phantom_study / "study" / "pet"), "SUVbw"), out)
    return out


@pytest.fixture(scope="module")
def still(ct: Path, pet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The transform of a pair that lies as it should, with its certificate."""
    out = tmp_path_factory.mktemp("still") / "t.tfm"
    fused = hx.fuse(hx.read(ct), hx.read(pet), view=hx.View("axial"))
    hx.save(hx.Transform(kind="identity", certificate=fused.certificate), out)
    return out


def test_a_plane_as_secondary_capture_keeps_its_place(
    run: Any, ct: Path, pet: Path, still: Path, tmp_path: Path
) -> None:
    code, value = run(
        "fuse", ct, pet, "--through", still, "--plane", "coronal", "--at", "10", "--slab-mm", 9, "--project", "max",
        "--window-a", "bone", "--window-b", "0,10", "--threshold", 2, "--palette", "pet", "-o", tmp_path / "c.dcm",
    )  # fmt: skip
    assert code == 0 and value["how"] == "overlay" and value["certificate"]["verdict"] == "accept"
    assert "base -500 to 1500; over 0 to 10, pet; from 2 on; coronal, max of 9 mm; alignment: accept" in value["made"]
    picture, volume = hx.read(tmp_path / "c.dcm"), hx.read(ct)
    assert picture.quantity == "RGB" and picture.grid.frame_of_reference == volume.grid.frame_of_reference
    assert picture.grid.center_mm[1] == pytest.approx(10.0)
    assert picture.facts["StudyInstanceUID"] == volume.facts["StudyInstanceUID"]
    assert "not for diagnosis" in picture.facts["ImageComments"]


def test_a_volume_as_series(run: Any, ct: Path, pet: Path, still: Path, tmp_path: Path) -> None:
    code, _ = run("fuse", ct, pet, "--through", still, "--how", "modulated", "-o", tmp_path / "series")
    again, volume = hx.read(tmp_path / "series"), hx.read(ct)
    assert code == 0 and again.grid.same_as(volume.grid) and again.axes == ("z", "y", "x", "c")


def test_a_turning_projection(run: Any, ct: Path, pet: Path, still: Path, tmp_path: Path) -> None:
    code, value = run("fuse", ct, pet, "--through", still, "--frames", 6, "-o", tmp_path / "turn.gif")
    assert code == 0 and value["out"].endswith("turn.gif")
    with PIL.Image.open(tmp_path / "turn.gif") as file:
        assert file.n_frames == 6 and min(file.size) > 200
    code, _ = run("fuse", ct, pet, "--through", still, "--mip", "--plane", "sagittal", "-o", tmp_path / "mip.png")
    assert code == 0 and hx.read(tmp_path / "mip.png").axes == ("y", "x", "c")


def test_a_mask_on_an_image(run: Any, ct: Path, tmp_path: Path) -> None:
    image = hx.read(ct)
    hx.save(hx.Mask.from_array(image.array > 300, image.grid), tmp_path / "m.nii.gz")
    code, _ = run("fuse", ct, tmp_path / "m.nii.gz", "--how", "contour", "-o", tmp_path / "x.png")
    picture = hx.read(tmp_path / "x.png").array.astype(int)
    assert code == 0 and (np.ptp(picture, axis=-1) > 40).sum() > 100
    foreign = sitk.GetImageFromArray((image.array > 300).astype(np.uint8))
    foreign.CopyInformation(sitk.ReadImage(str(tmp_path / "m.nii.gz")))
    sitk.WriteImage(foreign, str(tmp_path / "foreign.nii.gz"))
    code, _ = run(
        "fuse", ct, tmp_path / "foreign.nii.gz", "--as-b", "mask", "--how", "contour", "-o", tmp_path / "z.png"
    )
    assert code == 0 and np.array_equal(hx.read(tmp_path / "z.png").array, picture)
    code, value = run("fuse", tmp_path / "m.nii.gz", ct, "-o", tmp_path / "y.png")
    assert code == 2 and "mask second" in value["error"]["message"]


def test_words_that_contradict_or_are_not_known(run: Any, ct: Path, pet: Path, still: Path, tmp_path: Path) -> None:
    out = tmp_path / "no.png"
    for more, word in (
        (["--at", "10"], "--plane"),
        (["--how", "average"], "pyramid"),
        (["--palette", "jet"], "hot metal blue"),
        (["--plane", "oblique"], "sagittal"),
    ):
        code, value = run("fuse", ct, pet, "--through", still, *more, "-o", out)
        assert code == 2 and word in value["error"]["message"] and not out.exists()


def test_a_transform_without_certificate_between_frames_is_refused(
    run: Any, ct: Path, phantom_study: Path, tmp_path: Path
) -> None:
    t1, bare, out = phantom_study / "study" / "t1", tmp_path / "bare.tfm", tmp_path / "f.png"
    hx.save(hx.Transform(kind="identity"), bare)
    code, value = run("fuse", ct, t1, "--through", bare, "-o", out)
    assert code == 3 and value["error"]["code"] == "registration.rejected" and not out.exists()
    code, value = run("fuse", ct, t1, "--through", bare, "--force", "-o", out)
    assert code == 0 and value["certificate"] is None and out.exists()


def test_evaluate_fuse(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(3)
    for name in "ab":
        hx.save(
            hx.Image.from_array(np.kron(rng.integers(0, 256, (9, 11)), np.ones((10, 9))).astype(np.uint8)),
            tmp_path / f"{name}.png",
        )
    (tmp_path / "pairs.csv").write_text("case,a,b\none,a.png,b.png\n")
    code, value = run("evaluate", "fuse", tmp_path / "pairs.csv", "--how", "detail")
    assert (
        code == 0
        and {"mean", "low", "high", "n"} == set(value["SSIM"])
        and set(value["copies"]) == {"copy of A", "copy of B"}
    )
    assert main(["evaluate", "fuse", str(tmp_path / "pairs.csv"), "--how", "max"]) == 0
    printed = capsys.readouterr().out
    assert "copy of A" in printed and "invented" in printed
