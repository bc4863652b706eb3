"""Before training: what is refused, what is told, and that one bad case stops nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.errors import InputError, RefusedError, UsageError
from hexscope.io.cases import read_cases
from hexscope.train.checks import Checked, check

SHAPE = (5, 7, 11)


class Folder:
    """Writes cases and their table."""

    def __init__(self, path: Path, grid: Grid) -> None:
        self.path, self.grid = path, grid
        self.rows: list[str] = []

    def add(
        self,
        case: str,
        *,
        group: str = "",
        seed: int | None = None,
        value: int = 1,
        mask_grid: Grid | None = None,
        label: str = "",
        voxels: int = 4,
        tail: str = "",
    ) -> None:
        rng = np.random.default_rng(len(self.rows) if seed is None else seed)
        hx.save(Image.from_array(rng.normal(size=SHAPE).astype(np.float32), self.grid), self.path / f"{case}.nii.gz")
        grid = mask_grid or self.grid
        mask = np.zeros(grid.shape, np.uint8)
        mask.ravel()[3 : 3 + voxels] = value
        hx.save(Image.from_array(mask, grid), self.path / f"m_{case}.nii.gz")
        self.rows.append(f"{case},{group or case},{case}.nii.gz,m_{case}.nii.gz,{label}{tail}")

    def checked(self, task: str = "segment", header: str = "", **more: object) -> Checked:
        lines = [f"case,group,image,mask,label{header}", *self.rows]
        (self.path / "cases.csv").write_text("\n".join(lines) + "\n")
        return check(read_cases(self.path, **more), task, kinds={"image": "MR"})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path, oblique_grid: Grid) -> Folder:
    made = Folder(tmp_path, oblique_grid)
    made.add("sound")
    made.add("other", value=2, voxels=6)
    return made


def test_sound_cases_pass_with_their_facts(folder: Folder) -> None:
    seen = folder.checked()
    assert not seen.refused and not seen.told
    assert seen.table.classes == {1: "label 1", 2: "label 2"} and seen.sizes == {"sound": 4.0, "other": 6.0}
    facts = seen.facts["sound"]
    assert facts.shape == SHAPE and facts.kinds == {"image": ("MR", "arbitrary")} and facts.voxels == {"label 1": 4}
    assert seen.as_json() == {"usable": 2, "refused": [], "told": []}


def refusal(seen: Checked, case: str) -> str:
    assert case not in seen.facts and case not in {c.case for c in seen.table.cases}
    return {r.case: r.reason for r in seen.refused}[case]


def test_grids_that_differ_are_refused(folder: Folder, oblique_grid: Grid) -> None:
    folder.add("flipped", mask_grid=oblique_grid.flip(2))
    folder.add("coarse", mask_grid=oblique_grid.with_shape((5, 7, 6)))
    seen = folder.checked()
    assert "mm off the image image, of the same shape" in refusal(seen, "flipped")
    assert "shape (5, 7, 6)" in refusal(seen, "coarse") and "hexscope resample" in refusal(seen, "coarse")
    assert set(seen.facts) == {"sound", "other"}


def test_grids_that_differ_by_rounding_are_told(folder: Folder, oblique_grid: Grid) -> None:
    affine = np.array(oblique_grid.affine)
    affine[0, 3] += 0.01
    folder.add("rounded", mask_grid=Grid(SHAPE, affine))
    seen = folder.checked()
    assert "rounded" in seen.facts and any("image's grid was taken" in t and "rounded" in t for t in seen.told)


def test_values_that_the_table_does_not_name_are_refused(folder: Folder) -> None:
    seen = folder.checked(classes={1: "lesion"})
    assert "values 2" in refusal(seen, "other") and seen.table.classes == {1: "lesion"}


def test_a_mask_that_is_none_is_refused(folder: Folder) -> None:
    folder.add("broken")
    (folder.path / "m_broken.nii.gz").write_bytes(b"\x1f\x8b not gzip")
    assert refusal(folder.checked(), "broken")


def test_empty_masks_are_told_unless_normal(folder: Folder) -> None:
    folder.add("normal", voxels=0, label="normal")
    folder.add("ill", voxels=0, label="malignant")
    told = [t for t in folder.checked().told if "empty" in t]
    assert told == ["its mask is empty: ill (1)"]


def test_a_constant_image_is_told(folder: Folder, oblique_grid: Grid) -> None:
    folder.add("flat")
    hx.save(Image.from_array(np.full(SHAPE, 3, np.float32), oblique_grid), folder.path / "flat.nii.gz")
    assert "image holds one value only: flat (1)" in folder.checked().told


def test_rare_values_are_told(folder: Folder) -> None:
    folder.rows.clear()
    for number in range(60):
        folder.add(f"c{number:02}", value=255 if number == 7 else 1)
    told = folder.checked().told
    assert told == ("only 1 of 60 cases hold label 255: c07",)


def test_equal_images_join_their_patients(folder: Folder) -> None:
    for case, seed in (("p", 90), ("q", 90), ("r", 91), ("s", 91)):
        folder.add(case, group={"r": "q"}.get(case, case), seed=seed)
    seen = folder.checked()
    assert {c.case: c.group for c in seen.table.cases if c.case in "pqrs"} == dict.fromkeys("pqrs", "p")
    assert "p, q hold equal pixels" in seen.told and any("2 patients were joined" in t for t in seen.told)


@pytest.mark.parametrize(("column", "values"), [("split", ("train", "val")), ("fold", ("0", "1"))])
def test_a_patient_on_both_sides_stops_everything(folder: Folder, column: str, values: tuple[str, str]) -> None:
    folder.rows.clear()
    folder.add("one", group="ann", tail=f",{values[0]}")
    folder.add("two", group="ann", tail=f",{values[1]}")
    with pytest.raises(RefusedError, match=f"both sides of column {column}: ann"):
        folder.checked(header=f",{column}")


def test_equal_images_on_both_sides_stop_everything(folder: Folder) -> None:
    folder.rows.clear()
    folder.add("one", seed=5, tail=",train")
    folder.add("two", seed=5, tail=",val")
    with pytest.raises(RefusedError, match="both sides of column split"):
        folder.checked(header=",split")


def test_another_kind_of_image_is_refused(folder: Folder) -> None:
    grey = np.arange(35, dtype=np.uint8).reshape(5, 7)
    for name, array in (("i.png", grey), ("m.png", (grey > 20).astype(np.uint8))):
        hx.save(Image.from_array(array, Grid((5, 7), plane="unknown")), folder.path / name)
    folder.rows.append("flatland,f,i.png,m.png,")
    assert "2 axes and most cases 3" in refusal(folder.checked(), "flatland")


def test_another_quantity_is_refused(folder: Folder, oblique_grid: Grid) -> None:
    folder.add("hu")
    array = np.zeros(SHAPE, np.int16)
    array[0] = 5
    hx.save(Image.from_array(array, oblique_grid, modality="CT", quantity="HU"), folder.path / "hu.nii.gz")
    folder.add("more")
    assert "CT in HU and that of most cases MR in arbitrary" in refusal(folder.checked(), "hu")


def test_labels_alone_need_no_mask(folder: Folder) -> None:
    folder.rows.clear()
    for case, label in (("a", "ill"), ("b", "well"), ("c", "")):
        folder.add(case, label=label)
    seen = folder.checked("classify")
    assert seen.table.classes == {1: "ill", 2: "well"} and "no label" in refusal(seen, "c")


def test_nothing_usable_is_said_with_reasons(folder: Folder) -> None:
    for path in folder.path.glob("m_*"):
        path.write_bytes(b"junk")
    with pytest.raises(InputError, match="2 refused"):
        folder.checked()
    with pytest.raises(UsageError, match="unknown task"):
        folder.checked("guess")


def test_real_tables_are_sound(shared_data: Path) -> None:
    seen = check(read_cases(shared_data / "path-nuclei"), "segment")
    assert len(seen.table.cases) == 78 and not seen.refused and seen.target == "instances"
