"""The command-line contract: what each command prints as JSON, what it writes, how it exits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import hexscope as hx
from hexscope.cli import main


def test_info(run: Any, phantom_study: Path) -> None:
    code, rows = run("info", phantom_study / "study" / "ct")
    assert code == 0 and len(rows) == 1
    row = rows[0]
    asked = {
        "series", "modality", "quantity", "shape", "spacing_mm", "affine_lps_mm", "frame_of_reference", "description",
        "files", "faults",
    }  # fmt: skip
    assert asked <= set(row)
    assert row["modality"] == "CT" and row["quantity"] == "HU"
    affine = np.array(row["affine_lps_mm"])
    assert np.allclose(np.linalg.norm(affine[:3, :3], axis=0), row["spacing_mm"])
    image = hx.read(phantom_study / "study" / "ct")
    assert tuple(row["shape"]) == image.shape


def test_several_series_need_a_name(run: Any, phantom_study: Path) -> None:
    folder = phantom_study / "study"
    code, value = run("convert", folder, "-o", phantom_study / "x.nii.gz")
    assert code == 3 and "#1" in value["error"]["message"]
    assert not (phantom_study / "x.nii.gz").exists()
    _, rows = run("info", folder)
    number = next(r["number"] for r in rows if r["modality"] == "PT")
    uid = rows[number - 1]["series"]
    for selector in (number, uid):
        code, value = run("convert", f"{folder}#{selector}", "-o", phantom_study / "pet.nii.gz")
        assert code == 0 and value["out"].endswith("pet.nii.gz") and value["steps"]


def test_audit_tells_verdicts(run: Any, phantom_files: Any) -> None:
    code, value = run("audit", phantom_files.folder)
    assert code == 0 and set(value) == {"items", "summary"}
    assert set(value["summary"]) == {"ok", "repaired", "refused", "ignored"}
    for item in value["items"]:
        assert item["verdict"] in value["summary"] and ("path" in item or "series" in item)
        assert all({"code", "detail", "remedy"} == set(f) for f in item["faults"])


def test_quantify_writes_and_keeps_a_ledger(run: Any, phantom_study: Path) -> None:
    out = phantom_study / "suv.nii.gz"
    code, value = run("quantify", phantom_study / "study" / "pet", "SUVbw", "-o", out)
    assert code == 0 and value["quantity"] == "SUVbw" and value["max"] > 3
    assert any("(0010,1030)" in entry["tag"] for entry in value["ledger"])
    again = hx.read(out)
    assert again.quantity == "SUVbw" and again.modality == "PT"
    assert float(again.array.max()) == pytest.approx(value["max"], rel=1e-5)


def test_what_cannot_be_quantified_is_refused(run: Any, phantom_study: Path) -> None:
    code, value = run("quantify", phantom_study / "study" / "ct", "SUVbw", "-o", phantom_study / "no.nii.gz")
    assert code == 3 and value["error"]["kind"] == "QuantityError"
    assert not (phantom_study / "no.nii.gz").exists()
    assert run("quantify", phantom_study / "study" / "ct", "nonsense", "-o", "x.nii.gz")[0] == 2


def test_segment_measure_resample_compose_through_files(run: Any, phantom_study: Path) -> None:
    ct, mask = phantom_study / "study" / "ct", phantom_study / "mask.nii.gz"
    code, made = run("segment", ct, "--what", "lung,bone", "-o", mask)
    assert code == 0 and made["model"] is None
    assert [label["name"] for label in made["labels"]] == ["lung left", "lung right", "bone"]
    code, rows = run("measure", mask, "--on", ct)
    assert code == 0 and rows[0]["volume_ml"] == pytest.approx(made["labels"][0]["volume_ml"])
    assert {"name", "volume_ml", "area_px", "mean", "max", "suv_peak", "diameter_mm"} <= set(rows[0])
    assert -900 < rows[0]["mean"] < -600
    code, _ = run("resample", mask, "--to", phantom_study / "study" / "pet", "-o", phantom_study / "onpet.nii.gz")
    assert code == 0
    moved = hx.read_mask(phantom_study / "onpet.nii.gz")
    assert {label.name for label in moved} == {"lung left", "lung right", "bone"}


def test_segment_writes_dicom_seg(run: Any, phantom_study: Path) -> None:
    out = phantom_study / "seg.dcm"
    code, made = run("segment", phantom_study / "study" / "ct", "--what", "bone", "-o", out)
    assert code == 0
    _, rows = run("measure", out)
    assert rows[0]["volume_ml"] == pytest.approx(made["labels"][0]["volume_ml"], rel=1e-6)


def test_register_writes_itk_direction(run: Any, phantom_study: Path, phantom_truth: dict[str, Any]) -> None:
    ct, t1, out = phantom_study / "study" / "ct", phantom_study / "study" / "t1", phantom_study / "t.tfm"
    code, value = run("register", ct, t1, "-o", out, "--moved", phantom_study / "moved.nii.gz")
    assert code == 0 and value["kind"] == "rigid" and value["direction"] == "fixed_to_moving"
    assert value["certificate"]["verdict"] in ("accept", "review", "reject") and value["certificate"]["reasons"]
    point = (10.0, -20.0, 30.0)
    matrix = np.array(value["matrix_lps"])
    read = sitk.ReadTransform(str(out))
    assert np.allclose(read.TransformPoint(point), matrix[:3, :3] @ point + matrix[:3, 3], atol=1e-6)
    truth = np.array(phantom_truth["motions"][0]["matrix_lps_fixed_to_moving"])
    assert np.linalg.norm(matrix[:3, :3] @ point + matrix[:3, 3] - (truth[:3, :3] @ point + truth[:3, 3])) < 3
    code, fused = run("fuse", ct, t1, "--through", out, "-o", phantom_study / "fused.png")
    assert code == 0 and {"out", "how", "certificate"} <= set(fused)
    assert (phantom_study / "fused.png").stat().st_size > 1000


def test_detect(run: Any, phantom_study: Path, phantom_truth: dict[str, Any]) -> None:
    code, value = run("detect", phantom_study / "study" / "pet", "-o", phantom_study / "findings.json")
    assert code == 0 and value["promise"] is None
    assert json.loads((phantom_study / "findings.json").read_text())["findings"] == value["findings"]
    finding = value["findings"][0]
    assert {"center_lps_mm", "box_lps_mm", "score", "class", "volume_ml", "measures", "series"} <= set(finding)
    low, high = np.array(finding["box_lps_mm"])
    assert np.all(low < finding["center_lps_mm"]) and np.all(finding["center_lps_mm"] < high)


def test_several_images_one_fails_the_others_finish(run: Any, phantom_study: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"not a picture")
    out = tmp_path / "masks"
    code, rows = run("segment", bad, phantom_study / "study" / "ct", "--what", "bone", "-o", out)
    assert code == 3
    assert "error" in rows[0] and rows[1]["labels"][0]["volume_ml"] > 100
    assert [p.name for p in out.iterdir()] == ["ct.nii.gz"]


def test_no_fitting_model_exits_4(run: Any, phantom_study: Path) -> None:
    code, value = run("detect", phantom_study / "study" / "ct", "-o", phantom_study / "none.json")
    assert code == 4 and value["error"]["kind"] == "NoModelError"


def test_one_time_point(run: Any, tmp_path: Path) -> None:
    affine = np.array([[0, 0, 0.5, -10], [0, 0.7, 0, 20], [3.0, 0, 0, 30], [0, 0, 0, 1.0]])
    array = np.arange(4 * 5 * 7 * 11, dtype=np.int16).reshape(4, 5, 7, 11)
    image = hx.Image.from_array(array, hx.Grid((5, 7, 11), affine), axes=("t", "z", "y", "x"))
    hx.save(image, tmp_path / "cine.nii.gz")
    code, _ = run("convert", f"{tmp_path}/cine.nii.gz#1@t=2", "-o", tmp_path / "one.nii.gz")
    assert code == 0 and np.array_equal(hx.read(tmp_path / "one.nii.gz").array, array[2])
    assert run("convert", f"{tmp_path}/cine.nii.gz#1@t=4", "-o", tmp_path / "no.nii.gz")[0] == 2


def test_a_silent_file_is_declared_not_guessed(run: Any, phantom_study: Path, tmp_path: Path) -> None:
    """A NIfTI of another program names no modality: refused with the way to say it, then taken at the user's word."""
    ct = hx.read(phantom_study / "study" / "ct")
    foreign = sitk.GetImageFromArray(ct.array)
    foreign.SetSpacing((1.5, 1.5, 3.0))
    sitk.WriteImage(foreign, str(tmp_path / "ct.nii.gz"))
    code, value = run("segment", tmp_path / "ct.nii.gz", "--what", "bone", "-o", tmp_path / "m.nii.gz")
    assert code == 4 and "--as CT:HU" in value["error"]["message"]
    code, value = run("segment", tmp_path / "ct.nii.gz", "--as", "CT:HU", "--what", "bone", "-o", tmp_path / "m.nii.gz")
    assert code == 0 and value["labels"][0]["volume_ml"] > 100
    code, value = run("convert", phantom_study / "study" / "ct", "--as", "MR", "-o", tmp_path / "n.nii.gz")
    assert code == 2 and "says that it is CT" in value["error"]["message"]


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda image: image.SetSpacing((1.0, 1.0, 1.0)), None),
        (lambda image: image.__setitem__((1, 2, 3), float("nan")), "value.not_finite"),
    ],
    ids=["sound", "nan"],
)
def test_bad_values_are_told(run: Any, tmp_path: Path, break_it: Any, code: str | None) -> None:
    image = sitk.Image([11, 7, 5], sitk.sitkFloat32)
    break_it(image)
    sitk.WriteImage(image, str(tmp_path / "x.nii"))
    _, value = run("audit", tmp_path / "x.nii")
    codes = [f["code"] for f in value["items"][0]["faults"]]
    assert (code in codes) if code else not codes or codes == ["geometry.no_position"]


def test_zero_spacing_and_claimed_size_are_refused(run: Any, tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Image([11, 7, 5], sitk.sitkInt16), str(tmp_path / "x.nii"))
    sound = (tmp_path / "x.nii").read_bytes()
    zero = bytearray(sound)
    zero[80:84] = np.float32(0).tobytes()  # pixdim[1]
    zero[252:256] = np.array([0, 0], "<i2").tobytes()  # no qform, no sform: the spacing is all there is
    (tmp_path / "zero.nii").write_bytes(bytes(zero))
    huge = bytearray(sound)
    huge[42:48] = np.array([2000, 2000, 2000], "<i2").tobytes()
    (tmp_path / "huge.nii").write_bytes(bytes(huge))
    for name, code in (("zero.nii", "geometry.zero_spacing"), ("huge.nii", "file.truncated")):
        status, value = run("convert", tmp_path / name, "-o", tmp_path / "out.nrrd")
        assert status == 3 and value["error"]["code"] == code, value
        assert not (tmp_path / "out.nrrd").exists()


def test_uncalibrated_images_measure_in_pixels(run: Any, tmp_path: Path) -> None:
    mask = np.zeros((70, 110), np.uint8)
    mask[10:31, 20:60] = 1
    hx.save(hx.Mask.from_array(mask, hx.Grid((70, 110), plane="unknown")), tmp_path / "m.png")
    _, rows = run("measure", tmp_path / "m.png")
    assert rows[0]["area_px"] == 21 * 40 and rows[0]["diameter_mm"] is None and rows[0]["volume_ml"] is None
    _, rows = run("measure", tmp_path / "m.png", "--spacing-mm", "0.5,0.25")
    assert rows[0]["diameter_mm"] == pytest.approx(np.hypot(20 * 0.5, 39 * 0.25), rel=0.08)


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["convert", "x"], ["info"], ["convert", "x", "-o", "y", "--spacing-mm", "0,1"]]
)
def test_usage_errors_exit_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_a_missing_path_exits_3(run: Any, tmp_path: Path) -> None:
    code, value = run("info", tmp_path / "nowhere")
    assert code == 3 and "does not exist" in value["error"]["message"]


def test_guides_in_both_languages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "pet"]) == 0
    assert "SUV" in capsys.readouterr().out
    assert main(["guide", "pet", "--lang", "zh"]) == 0
    assert "单位" in capsys.readouterr().out


def test_help_is_translated_and_says_what_it_is_not() -> None:
    def page(*language: str) -> str:
        command = [sys.executable, "-m", "hexscope", "study", *language, "--help"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "不是医疗器械" in page("--lang", "zh")
    assert "not a medical device" in page()


def test_every_message_has_chinese() -> None:
    """Each string that goes through tr() (help, progress, table heads) is in the dictionary."""
    import re

    import hexscope.cli as room
    from hexscope.cli.words import ZH

    text = "".join(p.read_text() for p in Path(room.__file__).parent.glob("*.py"))
    text += (Path(room.__file__).parents[1] / "study" / "run.py").read_text()
    text += (Path(room.__file__).parents[1] / "study" / "join.py").read_text()
    text += "".join(p.read_text() for p in (Path(room.__file__).parents[1] / "register").glob("*.py"))
    said = re.findall(r'(?:\bt|say|tell|counter|tr|progress)\(\s*"([^"]+)"', text)
    said += re.findall(r'command\(\s*"\w+", [\w.]+, "([^"]+)"', text)
    missing = sorted({s for s in said if s not in ZH})
    assert not missing
