"""The digital patient as files: a messy folder of DICOM and TIFF, with the truth beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hexscope.errors import UsageError
from hexscope.io.slide import save_pyramid
from hexscope.phantom.desk import (
    SYNTHETIC,
    Desk,
    Written,
    pet_facts,
    plane_image,
    slide_image,
    volume_image,
)
from hexscope.phantom.faults import PLANTS, chosen
from hexscope.phantom.scene import Scene, make_scene
from hexscope.phantom.truth import describe

FOLDER = "patient"
TRUTH = "truth.json"


@dataclass(frozen=True)
class PhantomFiles:
    """What was written.

    Attributes:
        folder: the messy folder; give it to `study`.
        files: every file in it.
        truth: the JSON file beside it.
    """

    folder: Path
    files: tuple[Path, ...]
    truth: Path


def write_phantom(out: Path, *, seed: int = 0, faults: str | Sequence[str] = "all") -> PhantomFiles:
    """Render the digital patient of this seed and write it to `out`/patient, with `out`/truth.json.

    Args:
        out: a folder; made where it is missing. A phantom that lies there already is replaced, anything else
            is not.
        seed: the same seed gives the same patient, byte for byte.
        faults: "all", "none", or codes out of `faults.PLANTS`.

    Raises:
        UsageError: for an unknown fault code, or where `out`/patient exists and is no phantom.
    """
    codes = chosen(faults)
    folder, truth_file, part = out / FOLDER, out / TRUTH, out / f".{FOLDER}.part"
    _refuse_foreign(folder, truth_file)
    scene = make_scene(seed)
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        desk = Desk(part, seed, np.random.default_rng([seed, 1]))
        series = write_series(scene, desk)
        planted = [PLANTS[code](desk, series) for code in codes]
        truth = describe(scene, series, planted, part)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    truth_file.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    files = tuple(sorted(path for path in folder.rglob("*") if path.is_file()))
    return PhantomFiles(folder, files, truth_file)


def write_series(scene: Scene, desk: Desk) -> dict[str, Written]:
    """Write every scan of the scene as it should be; role -> what was written."""
    ct_frame, mr_frame = desk.uid("frame", "ct"), desk.uid("frame", "mr")
    bed = {"PatientPosition": "HFS"}
    plan = (
        ("ct", volume_image(scene.ct, "CT", ct_frame), "CT chest abdomen, portal phase", {**scene.ct.facts}),
        ("t1", volume_image(scene.t1, "MR", mr_frame), "MR T1 SE", {**scene.t1.facts}),
        ("t2", volume_image(scene.t2, "MR", mr_frame), "MR T2 TSE", {**scene.t2.facts}),
        ("pet", volume_image(scene.pet, "PT", ct_frame), "PET FDG", {**scene.pet.facts, **pet_facts()}),
        (
            "xray",
            plane_image(scene.xray, "XR"),
            "Chest PA",
            {**scene.xray.facts},
        ),
        ("us", plane_image(scene.us, "US"), "Ultrasound of the liver", {**scene.us.facts}),
    )
    written = {}
    for role, image, description, facts in plan:
        extra = bed if image.is_volume else {}
        written[role] = desk.series(role, image, description, {**extra, **facts})
    written["slide"] = _write_slide(scene, desk)
    return written


def _write_slide(scene: Scene, desk: Desk) -> Written:
    """The H&E slide as a pyramidal TIFF."""
    path = desk.folder / "disc 2" / "slide_0001.tif"
    image = slide_image(scene.slide)
    description = f"H&E, liver lesion. {SYNTHETIC}"
    save_pyramid(scene.slide.rgb, path, spacing_mm=image.grid.spacing_mm, description=description)
    return Written("slide", path.name, image, description, (path,), {})


def _refuse_foreign(folder: Path, truth_file: Path) -> None:
    """Raise UsageError where something other than a phantom would be overwritten."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        ours = json.loads(truth_file.read_text(encoding="utf-8")).get("synthetic") is True
    except (OSError, ValueError, AttributeError):
        ours = False
    if not ours:
        raise UsageError(f"{folder} exists and is no phantom; name another folder or remove it")
