"""The main job on the digital patient, and on folders that are hostile."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hexscope as hx
from hexscope.core.transform import rigid
from hexscope.study.demo import compare
from hexscope.study.roles import plan_study
from hexscope.study.workplace import Workplace


@pytest.fixture(scope="module")
def made(phantom_files: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("study") / "report"
    return hx.study(phantom_files.folder, out)


def test_everything_promised_holds(made: Any, phantom_truth: dict[str, Any], phantom_files: Any) -> None:
    """All planted faults found, none invented, registration under 3 mm, every lesion of the stated size found."""
    checks = compare(made, phantom_truth, phantom_files.folder)
    assert not [c.line() for c in checks if c.holds is False]
    assert sum(c.holds is True for c in checks) >= 15


def test_the_comparison_can_fail(made: Any, phantom_truth: dict[str, Any], phantom_files: Any) -> None:
    """A truth that the study does not meet is told as a miss: fault, motion and lesion each."""
    truth = json.loads(json.dumps(phantom_truth))
    truth["faults"].append({"code": "file.truncated", "series": None, "paths": ["nowhere"], "verdict": "refused"})
    truth["motions"][0]["matrix_lps"][0][3] += 10
    truth["lesions"][0]["center_lps_mm"][2] += 60
    missed = [c.what for c in compare(made, truth, phantom_files.folder) if c.holds is False]
    assert any("truncated" in m for m in missed) and any("registration" in m for m in missed)
    assert any(truth["lesions"][0]["name"] in m for m in missed)


def test_no_problem_was_swallowed(made: Any) -> None:
    """Nothing went wrong; the gate of a model of real chest films refuses the synthetic one, once, and names why."""
    told = [(c.name, problem) for c in made.cases for problem in c.problems]
    refused = [problem for name, problem in told if name == "Chest PA (SYNTHETIC)" and "far from" in problem]
    assert len(refused) == len(told) == 1
    assert refused[0].startswith("model xray-pneumonia: this input is far from")


def test_the_folder_is_complete(made: Any) -> None:
    folder = made.folder
    for name in ("report.html", "results.json"):
        assert (folder / name).stat().st_size > 1000
    assert list((folder / "transforms").glob("*.tfm")) and list((folder / "fused").glob("*.png"))
    assert len(list((folder / "fused").glob("*.dcm"))) == len(list((folder / "fused").glob("*.png")))
    assert list((folder / "sr").glob("*.dcm")) and list((folder / "masks").glob("*.dcm"))
    assert not list(folder.parent.glob("*.partial")) and not list(folder.glob(".*"))
    results = json.loads((folder / "results.json").read_text())
    assert {"series", "refused", "registrations", "findings", "report"} <= set(results)
    for series in results["series"]:
        for name in series["outputs"].values():
            assert (folder / name).exists()


def test_what_was_written_can_be_read_again(made: Any) -> None:
    for file in sorted((made.folder / "masks").iterdir()):
        assert hx.read_mask(file).labels
    for file in (made.folder / "transforms").glob("*.tfm"):
        assert hx.read_transform(file).certificate is not None


def test_the_page_stands_alone_and_speaks_two_languages(made: Any) -> None:
    page = made.report.read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert 'data-set="zh"' in page and "不是医疗器械" in page and "not a medical device" in page
    assert page.count("data:image/png;base64,") >= 10
    assert "PatientName" not in page and "PHANTOM^" not in page
    english, chinese = page.count('class="en"'), page.count('class="zh"')
    assert english == chinese > 50


def test_one_frame_is_checked_not_moved(made: Any) -> None:
    by_kind = {r.as_json(made.names)["moving"]: r for r in made.registrations}
    pet = next(r for name, r in by_kind.items() if "PET" in name)
    assert pet.same_frame and np.array_equal(pet.transform.matrix, np.eye(4))
    t2 = next(r for name, r in by_kind.items() if "T2" in name)
    t1 = next(r for name, r in by_kind.items() if "T1" in name)
    assert t2.via == t1.moving or t1.via == t2.moving, "two images of one frame move together"


def test_patients_are_never_mixed(oblique_ct: hx.Image) -> None:
    def of(patient: str) -> hx.Image:
        return hx.Image.from_array(
            oblique_ct.array, oblique_ct.grid, modality="CT", quantity="HU", facts={"PatientID": patient}
        )

    plan = plan_study({"a": of("one"), "b": of("two")})
    assert not plan.pairs and set(plan.references) == {"a", "b"}
    unnamed = plan_study({"a": of(""), "b": of("")})
    assert not unnamed.pairs and "one-patient" in unnamed.decisions[0].why
    assert len(plan_study({"a": of(""), "b": of("")}, one_patient=True).pairs) == 1


def test_resume_uses_what_is_finished(tmp_path: Path, oblique_ct: hx.Image) -> None:
    out = tmp_path / "report"
    turn = rigid((1, 2, 3), (4, 5, 6), (7, 8, 9))
    with pytest.raises(RuntimeError), Workplace(out, resume=False) as place:
        place.keep_transform("transforms/02-to-01.tfm", turn, "stamp")
        raise RuntimeError("the lights went out")
    assert not out.exists()
    with Workplace(out, resume=True) as place:
        kept = place.finished_transform("transforms/02-to-01.tfm", "stamp")
        assert kept is not None and np.allclose(kept.matrix, turn.matrix)
        assert place.finished_transform("transforms/02-to-01.tfm", "other files") is None
    assert out.is_dir()


def test_a_foreign_folder_is_not_overwritten(tmp_path: Path, phantom_study: Path) -> None:
    (tmp_path / "thesis.docx").write_text("three years of work")
    with pytest.raises(hx.UsageError, match="other files"):
        hx.study(phantom_study / "study" / "xray", tmp_path)
    assert (tmp_path / "thesis.docx").exists()


def test_hostile_folders(tmp_path: Path, phantom_study: Path) -> None:
    """Text, cut and claiming files beside one good image: each is told, the good one goes through."""
    folder = tmp_path / "in"
    folder.mkdir()
    good = sorted((phantom_study / "study" / "xray").iterdir())[0]
    shutil.copyfile(good, folder / "good")
    data = good.read_bytes()
    (folder / "cut").write_bytes(data[: len(data) // 3].replace(b"2.25.", b"2.26.", 1))
    (folder / "words").write_text("once upon a time")
    (folder / "empty").write_bytes(b"")
    (folder / "noise").write_bytes(np.random.default_rng(0).bytes(5000))
    header = bytearray(348)
    header[0:4] = (348).to_bytes(4, "little")
    header[40:56] = np.array([3, 2048, 2048, 2048, 1, 1, 1, 1], "<i2").tobytes()
    header[70:74] = np.array([16, 32], "<i2").tobytes()
    header[76:92] = np.array([1, 1, 1, 1], "<f4").tobytes()
    header[108:112] = np.array([352], "<f4").tobytes()
    header[344:348] = b"n+1\0"
    (folder / "claims.nii").write_bytes(bytes(header) + bytes(100))
    result = hx.study(folder, tmp_path / "out")
    verdicts = {Path(o.where).name: o.verdict for o in result.others}
    verdicts |= {Path(c.row["files"][0]).name: c.audited.verdict for c in result.cases}
    assert verdicts["good"] == "ok" and verdicts["words"] == "ignored" and verdicts["empty"] == "ignored"
    assert verdicts["cut"] == "refused" and verdicts["claims.nii"] == "refused" and verdicts["noise"] == "ignored"


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    result = hx.study(tmp_path / "in", tmp_path / "out")
    assert not result.cases and result.report.exists()


def test_silent_files_are_declared_by_pattern(tmp_path: Path, phantom_study: Path) -> None:
    """NIfTI files of another program: --as says what they are, --one-patient that they belong together."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, role in (("CT_image", "ct"), ("PET_image", "pet")):
        image = hx.read(phantom_study / "study" / role)
        image = hx.quantify(image, "SUVbw") if role == "pet" else image
        bare = hx.Image.from_array(image.array, hx.Grid(image.grid.shape, image.grid.affine))
        hx.save(bare, folder / f"{name}.nii.gz")
    mask = hx.segment(hx.read(phantom_study / "study" / "ct"), ["bone"])
    bare = hx.Image.from_array(mask.of("bone").astype(np.uint8), hx.Grid(mask.grid.shape, mask.grid.affine))
    hx.save(bare, folder / "CT_mask.nii.gz")
    kinds = {"CT_im*": "CT:HU", "PET_im*": "PT:SUVbw", "*mask*": "mask"}
    result = hx.study(folder, tmp_path / "out", kinds=kinds, one_patient=True)
    assert {c.name: c.row["modality"] for c in result.cases if c.image is not None} == {
        "CT_image.nii.gz": "CT",
        "PET_image.nii.gz": "PT",
    }
    assert len(result.registrations) == 1 and len(result.findings()) >= 5
    drawn = next(c for c in result.cases if c.mask is not None)
    assert drawn.drawn_on == "CT_image.nii.gz" and drawn.measures[0]["mean"] > 200


def test_a_real_patient(shared_data: Path, tmp_path: Path) -> None:
    """PET, CT and MR of one patient with contours, as exported."""
    result = hx.study(shared_data / "pet-ct-mr-sarcoma" / "dicom" / "STS_001", tmp_path / "out")
    kinds = sorted(str(c.row["modality"]) for c in result.cases)
    assert kinds == ["CT", "MR", "PT", "RTSTRUCT", "RTSTRUCT", "RTSTRUCT"]
    pet = next(c for c in result.cases if c.row["modality"] == "PT")
    assert pet.image is not None and pet.image.quantity == "SUVbw"
    assert any("0054,1001" in e["tag"] for e in pet.image.facts["ledger"]), "the ledger says that it is stored so"
    drawn = next(c for c in result.cases if c.drawn_on == pet.id)
    assert drawn.mask is not None and pet.findings is not None
    inside = [
        f
        for f in pet.findings
        if f.center_lps_mm is not None
        and drawn.mask.any[tuple(np.round(drawn.mask.grid.to_index(f.center_lps_mm)).astype(int))]
    ]
    assert inside
    truth = hx.read_mask(shared_data / "pet-ct-mr-sarcoma" / "nifti" / "STS_001" / "PET_mask.nii.gz")
    expected = float(truth.any.sum()) * (truth.grid.voxel_volume_ml or 0)
    assert drawn.measures[0]["volume_ml"] == pytest.approx(expected, rel=0.02)
