"""register and certify on the command line: what they print, write and refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hexscope as hx
from hexscope.cli import main
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.transform import rigid
from tests.conftest import OBLIQUE
from tests.register import scene

GRID = scene.grid((26, 32, 36), (4.0, 3.2, 3.1), OBLIQUE)
MOTION = rigid((5.0, -4.0, 3.0), (6.0, -5.0, 4.0), (0.0, 5.0, 95.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pairs")
    hx.save(scene.seen(GRID), out / "a.nii.gz")
    hx.save(scene.seen(GRID, MOTION), out / "b.nii.gz")
    hx.save(MOTION.inverse, out / "back.tfm")
    (out / "pairs.csv").write_text("case,fixed,moving\none,a.nii.gz,b.nii.gz\nlost,a.nii.gz,gone.nii.gz\n")
    return out


def test_a_table(run: Any, folder: Path, tmp_path: Path) -> None:
    code, rows = run("register", "--table", folder / "pairs.csv", "-o", tmp_path / "out")
    assert code == 3
    asked = {"case", "out", "kind", "matrix_lps", "direction", "certificate", "cpu_s"}
    assert asked <= set(rows[0]) and "gone.nii.gz" in rows[1]["error"]["message"]
    assert (tmp_path / "out" / "one.tfm").exists() and (tmp_path / "out" / "results.csv").exists()


def test_what_does_not_go_together(run: Any, folder: Path, tmp_path: Path) -> None:
    table, a = folder / "pairs.csv", folder / "a.nii.gz"
    wrong = [(), (a,), (a, a, "--table", table), ("--table", table, "--fixed-mask", a)]
    wrong += [("--group", a, a, "--table", table), ("--group", a, a, "--fixed-mask", a), ("--group", a)]
    for arguments in wrong:
        code, value = run("register", *arguments, "-o", tmp_path / "x.tfm")
        assert code == 2 and value["error"]["kind"] == "UsageError"


def test_certify_judges_the_headers_and_a_given_transform(run: Any, folder: Path, tmp_path: Path) -> None:
    a, b = folder / "a.nii.gz", folder / "b.nii.gz"
    code, there = run("certify", a, b)
    assert code == 0 and there["out"] is None and there["kind"] == "identity"
    assert (
        there["certificate"]["verdict"] != "accept" and "from where the headers" in there["certificate"]["reasons"][0]
    )
    out = tmp_path / "judged.tfm"
    code, given = run("certify", a, b, "--through", folder / "back.tfm", "-o", out)
    assert code == 0 and given["certificate"]["verdict"] != "reject"
    assert given["certificate"]["score"] > 0.5
    kept = hx.read_transform(out).certificate
    assert kept is not None and kept.verdict == given["certificate"]["verdict"]
    assert np.allclose(given["matrix_lps"], MOTION.matrix, atol=1e-6)


def test_reasons_in_chinese(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certify", str(folder / "a.nii.gz"), str(folder / "b.nii.gz"), "--lang", "zh"]) == 0
    assert "最佳拟合" in capsys.readouterr().out


def test_spacing_for_pictures_that_do_not_say(run: Any, tmp_path: Path) -> None:
    plane = scene.seen(scene.grid((38, 110, 128), (3.0, 1.0, 0.9), OBLIQUE)).array[18]
    picture = np.clip(plane / 5, 0, 255).astype(np.uint8)
    for name, array in (("p.png", picture[4:, 6:]), ("q.png", picture[:-4, :-6])):
        hx.save(Image.from_array(np.ascontiguousarray(array), Grid(array.shape)), tmp_path / name)
    pair = tmp_path / "p.png", tmp_path / "q.png"
    code, value = run("register", *pair, "-o", tmp_path / "t.tfm")
    assert code == 3 and "--spacing-mm" in value["error"]["message"]
    code, value = run("register", *pair, "-o", tmp_path / "t.tfm", "--spacing-mm", "0.5,0.5")
    assert code == 0 and value["kind"] == "rigid"
    assert np.allclose(np.array(value["matrix_lps"])[:3, 3], [3.0, 2.0, 0.0], atol=0.3)


def test_a_name_that_cannot_be_written_is_told_before_the_work(
    run: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("registered although nothing can be written")

    monkeypatch.setattr(hx, "register", never)
    pair = folder / "a.nii.gz", folder / "b.nii.gz"
    wrong = [("x.mat",), ("x.nii.gz",), ("x.dcm",), ("x.mat", "--kind", "deformable"), ("x.tfm", "--moved", "y.foo")]
    for out, *more in wrong:
        code, value = run("register", *pair, "-o", tmp_path / out, *more)
        assert code == 2 and value["error"]["kind"] == "UsageError", out
    with pytest.raises(AssertionError, match="nothing can be written"):
        run("register", *pair, "-o", tmp_path / "x.nii.gz", "--kind", "deformable", "--moved", tmp_path / "m.nii.gz")
    assert not list(tmp_path.iterdir())


def test_a_group_onto_its_mean_and_onto_one(run: Any, folder: Path, tmp_path: Path) -> None:
    pair = folder / "a.nii.gz", folder / "b.nii.gz"
    out, moved = tmp_path / "group", tmp_path / "moved"
    code, value = run("register", "--group", *pair, folder / "gone.nii.gz", "-o", out, "--moved", moved)
    assert code == 3 and [row["case"] for row in value["images"]] == ["1-a", "2-b", "3-gone"]
    assert "gone.nii.gz" in value["images"][2]["error"]["message"] and value["cpu_s"] >= 0
    mean = hx.read(value["mean"])
    assert isinstance(mean, Image) and hx.read(moved / "2-b.nii.gz").grid.same_as(mean.grid)
    first, second = (hx.read_transform(row["out"]) for row in value["images"][:2])
    assert scene.error_mm(first.inverse @ second @ MOTION, hx.Transform()) < 1.0
    code, value = run("register", pair[0], "--group", *pair, "-o", out)
    assert code == 0 and hx.read(value["mean"]).grid.same_as(GRID)
    assert scene.error_mm(hx.read_transform(value["images"][1]["out"]) @ MOTION, hx.Transform()) < 0.8
