"""The spine's own promises on real files, one row each: what was asked, what came out, whether it holds.

    python benchmarks/acceptance.py [--data FOLDER]

FOLDER holds the sets pet-ct-mr-sarcoma, pet-headneck-dicom and path-slides, us-breast, xray-chest.
Rows whose set is absent are left out and said so. Registration has a benchmark of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from real_data import add_data

import hexscope as hx

Row = tuple[str, str, bool]


def sarcoma_study(data: Path) -> Iterator[Row]:
    """One real patient, as exported: three modalities and their contours."""
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        result = hx.study(data / "pet-ct-mr-sarcoma/dicom/STS_001", Path(name) / "report")
        seconds = time.perf_counter() - started
    kinds = sorted(c.row["modality"] for c in result.cases)
    yield "STS_001 sorted", ", ".join(kinds), kinds == ["CT", "MR", "PT"] + ["RTSTRUCT"] * 3
    pet = next(c for c in result.cases if c.row["modality"] == "PT")
    ledger = " ".join(f"{e['name']}={e['value']}" for e in pet.image.facts["ledger"])
    yield "STS_001 PET in SUVbw, ledger", ledger[:60], pet.image.quantity == "SUVbw" and "stored" in ledger
    drawn = next(c for c in result.cases if c.drawn_on == pet.id)
    inside = sum(_inside(f, drawn.mask) for f in pet.findings)
    yield "STS_001 candidates with centre in the tumour", f"{inside} of {len(pet.findings)}", inside > 0
    nifti = hx.read_mask(data / "pet-ct-mr-sarcoma/nifti/STS_001/PET_mask.nii.gz")
    expected = nifti.any.sum() * nifti.grid.voxel_volume_ml
    got = drawn.measures[0]["volume_ml"]
    yield "STS_001 RTSTRUCT against NIfTI, volume", f"{got:.2f} / {expected:.2f} ml", abs(got / expected - 1) < 0.02
    yield "STS_001 whole study", f"{seconds:.1f} s", seconds < 120


def _inside(finding: hx.Finding, mask: hx.Mask) -> bool:
    index = np.round(mask.grid.to_index(finding.center_lps_mm)).astype(int)
    within = np.all(index >= 0) and np.all(index < mask.grid.shape)
    return bool(within and mask.any[tuple(index)])


def headneck(data: Path) -> Iterator[Row]:
    """A whole-body PET and its SEG."""
    folder = data / "pet-headneck-dicom"
    pet = hx.quantify(hx.read(folder / "PET"), "SUVbw")
    top = float(pet.array.max())
    yield "head-neck SUVbw maximum (19.51)", f"{top:.3f}", abs(top - 19.51) <= 0.02
    body = hx.measure(hx.segment(pet, ["body"]), pet)[0]
    yield "head-neck body mean (near 1)", f"{body.mean:.2f}", 0.85 < body.mean < 1.15
    seg = hx.read_mask(folder / "SEG", on=pet)
    yield "head-neck SEG on the PET grid", f"{len(seg.labels)} segments", seg.grid.same_as(pet.grid)
    found = hx.detect(pet)
    for label in seg:
        part = seg.of(label.value)
        hit = any(part[found.mask.of(f.label)].any() for f in found)
        yield f"head-neck {label.name} among {len(found)} candidates", "found" if hit else "missed", hit


def slides(data: Path) -> Iterator[Row]:
    expected = {"small_HE.svs": (2967, 2220, 3), "small_dicom.dcm": (2638, 3236, 3)}
    for name, shape in expected.items():
        started = time.perf_counter()
        slide = hx.read(data / "path-slides" / name)
        opened = (time.perf_counter() - started) * 1000
        mpp = None if slide.grid.spacing is None else round(slide.grid.spacing[0] * 1000, 4)
        good = slide.shape == shape and (mpp == 0.499 if name.endswith("svs") else True)
        yield f"slide {name}", f"{slide.shape[:2]}, {mpp} um/px, opened in {opened:.0f} ms", good
        share = float(hx.segment(slide).any.mean())
        yield f"slide {name}, tissue", f"{share:.0%} of the slide", 0.05 < share < 0.95


def flat_sets(data: Path) -> Iterator[Row]:
    """Pictures without spacing convert, measure in pixels and refuse mm."""
    for folder in ("us-breast", "us-fetal-head", "xray-chest"):
        files = sorted((data / folder / "images").rglob("*.png"))[:200]
        with tempfile.TemporaryDirectory() as name:
            made = [hx.convert(f, Path(name) / f"{i}.nii.gz") for i, f in enumerate(files)]
        silent = sum(image.grid.spacing is None for image in made)
        yield f"{folder}: converted, spacing None", f"{silent} of {len(files)}", silent == len(files) > 0
        mask = hx.Mask.from_array((made[0].array > made[0].array.mean()).astype(np.uint8).squeeze(), made[0].grid)
        row = hx.measure(mask)[0]
        yield f"{folder}: measures px, not mm", f"{row.area_px} px, {row.diameter_mm} mm", row.diameter_mm is None


def speed() -> Iterator[Row]:
    def wall(code: list[str]) -> float:
        started = time.perf_counter()
        subprocess.run(code, check=True, capture_output=True)
        return time.perf_counter() - started

    bare = min(wall([sys.executable, "-c", "pass"]) for _ in range(3))
    ours = min(wall([sys.executable, "-c", "import hexscope"]) for _ in range(3)) - bare
    yield "import hexscope", f"{ours:.3f} s beyond python itself", ours < 0.2
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "x.nii.gz"
        affine = np.array([[0, 0, 0.5, 1], [0, 0.7, 0, 2], [3.0, 0, 0, 3], [0, 0, 0, 1]])
        hx.save(hx.Image.from_array(np.zeros((5, 7, 11), np.int16), hx.Grid((5, 7, 11), affine)), file)
        seconds = min(wall([sys.executable, "-m", "hexscope", "info", str(file)]) for _ in range(3))
    yield "hexscope info on one file", f"{seconds:.2f} s", seconds < 1.0


SETS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "pet-ct-mr-sarcoma": sarcoma_study,
    "pet-headneck-dicom": headneck,
    "path-slides": slides,
    "us-breast": flat_sets,
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(options)
    data = options.parse_args().data
    failed = 0
    for name, rows in SETS.items():
        if not (data / name).is_dir():
            print(f"left out: {name} is not under {data.name}")
            continue
        for what, found, holds in rows(data):
            failed += not holds
            print(f"{'ok  ' if holds else 'MISS'} {what:<48} {found}", flush=True)
    for what, found, holds in speed():
        failed += not holds
        print(f"{'ok  ' if holds else 'MISS'} {what:<48} {found}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
