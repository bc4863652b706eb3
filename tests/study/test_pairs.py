"""A table of pairs: what it may hold, that one failure stops nothing, that what is done is kept."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import hexscope as hx
from hexscope.core.transform import Transform, rigid
from hexscope.errors import InputError, UsageError
from hexscope.study.pairs import read_pairs, register_pairs
from tests.conftest import OBLIQUE
from tests.register import scene

GRID = scene.grid((26, 32, 36), (4.0, 3.2, 3.1), OBLIQUE)
MOTION = rigid((5.0, -4.0, 3.0), (6.0, -5.0, 4.0), (0.0, 5.0, 95.0))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    hx.save(scene.seen(GRID), tmp_path / "a.nii.gz")
    hx.save(scene.seen(GRID, MOTION, scene.folded), tmp_path / "b.nii.gz")
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    text = (
        "pair,fixed,moving,kind\none,a.nii.gz,b.nii.gz,\nbad,a.nii.gz,broken.nii.gz,\nback,b.nii.gz,a.nii.gz,affine\n"
    )
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    return path


def test_one_failure_stops_nothing_and_what_is_done_is_kept(table: Path, tmp_path: Path) -> None:
    told: list[str] = []
    out = tmp_path / "out"
    rows = register_pairs(table, out, moved=tmp_path / "moved", tell=lambda text, **_: told.append(text))
    assert [row["case"] for row in rows] == ["one", "bad", "back"]
    assert "error" in rows[1] and "broken" in rows[1]["error"]["message"]
    assert rows[0]["kind"] == "rigid" and rows[2]["kind"] == "affine"
    assert rows[0]["direction"] == "fixed_to_moving" and rows[0]["certificate"]["verdict"]
    found = hx.read_transform(out / "one.tfm")
    assert scene.error_mm(found @ MOTION, Transform()) < 1.0
    assert np.allclose(found.inverse.matrix, rows[0]["matrix_lps"])
    assert (tmp_path / "moved" / "back.nii.gz").exists()
    assert json.loads((out / "results.json").read_text()) == rows
    with (out / "results.csv").open(newline="") as stream:
        flat = list(csv.DictReader(stream))
    assert [bool(row["error"]) for row in flat] == [False, True, False]

    before = (out / "one.tfm").stat().st_mtime_ns
    hx.save(scene.seen(GRID, MOTION), tmp_path / "broken.nii.gz")  # mended
    again = register_pairs(table, out, moved=tmp_path / "moved")
    assert again[0] == rows[0] and (out / "one.tfm").stat().st_mtime_ns == before
    assert "error" not in again[1] and again[1]["certificate"]["verdict"]


def test_what_is_done_counts_only_for_the_same_files_and_settings(table: Path, tmp_path: Path) -> None:
    table.write_text("case,fixed,moving\none,a.nii.gz,b.nii.gz\n")
    out = tmp_path / "out"
    first = register_pairs(table, out)[0]
    assert register_pairs(table, out, seed=5)[0]["matrix_lps"] != first["matrix_lps"]
    assert register_pairs(table, out, kind="similarity")[0]["kind"] == "similarity"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("case,fixed\none,a\n", "needs the columns fixed and moving"),
        ("case,fixed,moving\n", "no rows"),
        ("case,fixed,moving\nx,a,b\nx,a,c\n", "more than once"),
        ("case,fixed,moving\n../x,a,b\n", "name of a file"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        read_pairs(path)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_pairs(tmp_path / "none.csv")


def test_a_row_without_an_image_is_told(table: Path, tmp_path: Path) -> None:
    table.write_text("case,fixed,moving,moving_mask\none,a.nii.gz,,\ntwo,a.nii.gz,b.nii.gz,gone.nii.gz\n")
    rows = register_pairs(table, tmp_path / "out")
    assert "names no moving image" in rows[0]["error"]["message"]
    assert "gone.nii.gz does not exist" in rows[1]["error"]["message"]
