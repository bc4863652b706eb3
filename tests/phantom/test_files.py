"""The phantom on disk: read with Hexscope's own readers, it says what the truth file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hexscope.core.faults import FAULTS
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.errors import HexscopeError, UsageError
from hexscope.io.reading import inventory, open_series
from hexscope.io.series import Series
from hexscope.modality import of_code
from hexscope.phantom import PhantomFiles, Scene, write_phantom, writer
from hexscope.phantom.faults import PLANTS, chosen


@pytest.fixture(scope="module")
def found(phantom: PhantomFiles) -> dict[str, Series]:
    return {series.id: series for series in inventory(phantom.folder).series}


def _open(found: dict[str, Series], truth: dict[str, Any], role: str) -> tuple[Image, dict[str, Any]]:
    entry = next(s for s in truth["series"] if s["role"] == role)
    return open_series(found[entry["series"]]), entry


@pytest.mark.parametrize("role", ["ct", "t1", "t2", "pet", "xray", "us", "slide"])
def test_each_series_reads_as_the_truth_says(role: str, found: dict[str, Series], truth: dict[str, Any]) -> None:
    image, entry = _open(found, truth, role)
    assert list(image.shape) == entry["shape"]
    assert image.modality == entry["modality"]
    assert image.quantity == entry["quantity_stored"]
    assert image.grid.plane == entry["plane"]
    assert np.allclose(image.grid.require_spacing("a test"), entry["spacing_mm"], rtol=1e-4)
    assert sorted({fault.code for fault in image.faults}) == sorted(entry["faults"])
    if entry["affine_lps_mm"] is not None:
        assert np.allclose(image.grid.affine, entry["affine_lps_mm"], atol=1e-6)
        assert image.grid.frame_of_reference == entry["frame_of_reference"]


def test_values_survive(found: dict[str, Series], truth: dict[str, Any], scene: Scene) -> None:
    ct, _ = _open(found, truth, "ct")
    assert np.array_equal(ct.array, scene.ct.array)
    t2, _ = _open(found, truth, "t2")
    assert np.array_equal(t2.array, scene.t2.array)


def test_pet_gives_back_its_suv(found: dict[str, Series], truth: dict[str, Any], scene: Scene) -> None:
    """Through Bq/ml, one slope a slice, dose, decay and weight, and back."""
    pet, _ = _open(found, truth, "pet")
    modality = of_code("PT")
    assert modality is not None
    suv, ledger = modality.convert(pet, Quantity.SUVBW)
    assert np.abs(suv.array - scene.pet.array).max() < 1e-3
    assert {entry.name for entry in ledger} >= {"dose", "weight", "half-life"}


def test_motion_joins_the_frames(found: dict[str, Series], truth: dict[str, Any], scene: Scene) -> None:
    """A bright T2 lesion of the liver lies, moved as the truth says, where the CT has it."""
    t2, _ = _open(found, truth, "t2")
    lesion = next(entry for entry in truth["lesions"] if entry["name"] == "liver_right")
    back = np.array(truth["motions"][0]["matrix_lps_fixed_to_moving"])
    place = back[:3, :3] @ lesion["center_lps_mm"] + back[:3, 3]
    z, y, x = np.rint(t2.grid.to_index(place)).astype(int)
    inside = t2.array[z, y - 2 : y + 3, x - 2 : x + 3].mean()
    beside = t2.array[z, y - 2 : y + 3, x + 12 : x + 17].mean()
    assert inside > 1.5 * beside
    assert np.allclose(back @ np.array(truth["motions"][0]["matrix_lps"]), np.eye(4))


def test_every_planted_fault_is_found_and_none_invented(phantom: PhantomFiles, truth: dict[str, Any]) -> None:
    inventoried = inventory(phantom.folder)
    told: dict[str, set[str]] = {str(Path(o.where)): {f.code for f in o.faults} for o in inventoried.others}
    for series in inventoried.series:
        codes = {fault.code for fault in series.faults}
        if series.kind == "image":
            try:
                codes |= {fault.code for fault in open_series(series).faults}
            except HexscopeError as error:
                codes.add(str(error.code))
        told[series.id.removesuffix(":scout")] = codes
    wanted: dict[str, set[str]] = {entry["series"]: set(entry["faults"]) for entry in truth["series"]}
    for fault in truth["faults"]:
        places = [fault["series"]] if fault["series"] else [str(phantom.folder / p) for p in fault["paths"]]
        for place in places:
            wanted.setdefault(place, set()).add(fault["code"])
    assert told == wanted


def test_all_codes_are_in_the_table_and_planted(truth: dict[str, Any]) -> None:
    assert [fault["code"] for fault in truth["faults"]] == list(PLANTS)
    assert all(fault["verdict"] == FAULTS[fault["code"]].verdict for fault in truth["faults"])


def test_everything_says_that_it_is_synthetic(
    found: dict[str, Series], phantom: PhantomFiles, truth: dict[str, Any]
) -> None:
    assert truth["synthetic"] is True
    for entry in truth["series"]:
        facts = found[entry["series"]].facts
        if entry["role"] != "slide":
            assert "SYNTHETIC" in str(facts["StudyDescription"])
            assert str(facts["PatientName"]) == "Synthetic^Phantom"
    slide = next(path for path in phantom.files if path.suffix == ".tif")
    assert b"SYNTHETIC" in slide.read_bytes()[:20_000_000]


def test_the_same_seed_writes_the_same_bytes(
    phantom: PhantomFiles, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "make_scene", lambda seed: scene)
    again = write_phantom(tmp_path, seed=2)
    names = [path.relative_to(phantom.folder) for path in phantom.files]
    assert names == [path.relative_to(again.folder) for path in again.files]
    for one, other in zip(phantom.files, again.files, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    assert phantom.truth.read_text() == again.truth.read_text()


def test_faults_can_be_chosen() -> None:
    assert chosen("none") == ()
    assert chosen("all") == tuple(PLANTS)
    assert chosen(["file.junk", "file.truncated"]) == ("file.truncated", "file.junk")
    with pytest.raises(UsageError, match="known are all, none"):
        chosen("file.nonsense")


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "patient").mkdir()
    (tmp_path / "patient" / "dear.txt").write_text("mine")
    with pytest.raises(UsageError, match="no phantom"):
        write_phantom(tmp_path)
    assert (tmp_path / "patient" / "dear.txt").read_text() == "mine"
    (tmp_path / "truth.json").write_text(json.dumps({"synthetic": False}))
    with pytest.raises(UsageError):
        write_phantom(tmp_path)
