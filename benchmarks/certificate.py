"""What the registration certificate says of right and of wrong registrations.

Run:  python benchmarks/certificate.py --data FOLDER           (FOLDER holds pet-ct-mr-sarcoma, mr-multiple-sclerosis)

Right: CT and MR, CT and PET of one sarcoma patient, and the MR contrasts of the sclerosis patient, moved by random
rigid motions (±10°, ±15 mm). Wrong: the MR of another patient laid on the CT's centre, and mirrored images. In place:
as the files are, and shifted by 6 mm (MR) or 15 mm (PET).

The limits in ``hexscope.trust.registration`` were set on the same patients, with other motions, other pairs of patients
and other axes of mirroring. These are therefore not numbers for unseen patients.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from real_data import add_data, require

import hexscope as hx
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.core.transform import Transform, rigid
from hexscope.register import check, register

PATIENTS = ("STS_002", "STS_003", "STS_008", "STS_012", "STS_015", "STS_018", "STS_024", "STS_019")
Tally = dict[str, Counter[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    data: Path = parser.parse_args().data
    require(data / "pet-ct-mr-sarcoma")
    tally: Tally = {}
    sarcoma(data / "pet-ct-mr-sarcoma" / "nifti", tally)
    sclerosis(data / "mr-multiple-sclerosis" / "raw" / "patient01", tally)
    print(f"\n{'':32}{'n':>4}{'accept':>8}{'review':>8}{'reject':>8}")
    for kind, counts in tally.items():
        verdicts = "".join(f"{counts[v]:8}" for v in ("accept", "review", "reject"))
        print(f"{kind:32}{counts.total():4}{verdicts}")


def sarcoma(folder: Path, tally: Tally) -> None:
    rng = np.random.default_rng(2026)
    ct = [read(folder / p / "CT_image.nii.gz", "CT", Quantity.HU) for p in PATIENTS]
    mr = [read(folder / p / "MR_T1_image.nii.gz", "MR", Quantity.ARBITRARY) for p in PATIENTS]
    pet = [read(folder / p / "PET_image.nii.gz", "PT", Quantity.SUVBW) for p in PATIENTS]
    for i, name in enumerate(PATIENTS):
        apart = " (STS_019)" if name == "STS_019" else ""
        note(tally, f"right: MR to CT{apart}", name, register(ct[i], moved(mr[i], motion(rng, mr[i]))))
        note(tally, f"right: CT to MR{apart}", name, register(mr[i], moved(ct[i], motion(rng, ct[i]))))
        note(tally, "right: PET to CT", name, register(ct[i], moved(pet[i], motion(rng, pet[i]))))
        other = mr[(i + 3) % len(PATIENTS)]
        onto = rigid((0, 0, 0), tuple(ct[i].grid.center_mm - other.grid.center_mm), (0, 0, 0))
        note(tally, "wrong: another patient's MR", name, register(ct[i], moved(other, onto)))
        note(tally, "wrong: mirrored MR", name, register(ct[i], mirrored(mr[i], axis=1)))
        note(tally, f"in place: MR on CT{apart}", name, check(ct[i], mr[i]))
        note(tally, "in place: PET on CT", name, check(ct[i], pet[i]))
        note(tally, "off by 6 mm: MR on CT", name, check(ct[i], moved(mr[i], shift(0, -6, 0))))
        note(tally, "off by 15 mm: PET on CT", name, check(ct[i], moved(pet[i], shift(0, -15, 0))))


def sclerosis(folder: Path, tally: Tally) -> None:
    rng = np.random.default_rng(2027)
    flair, t1, t2 = (read(folder / f"study1_{c}.nii.gz", "MR", Quantity.ARBITRARY) for c in ("FLAIR", "T1W", "T2W"))
    for name, fixed, moving in (("T1-FLAIR", flair, t1), ("T2-FLAIR", flair, t2), ("T2-T1", t1, t2)):
        note(tally, "right: brain", name, register(fixed, moved(moving, motion(rng, moving))))
        note(tally, "wrong: mirrored brain", name, register(fixed, mirrored(moving, axis=2)))
        note(tally, "in place: brain", name, check(fixed, moving))
        note(tally, "off by 6 mm: brain", name, check(fixed, moved(moving, shift(4, 0, 4.5))))


def read(path: Path, modality: str, quantity: Quantity) -> Image:
    return replace(hx.read(path), modality=modality, quantity=quantity)


def note(tally: Tally, kind: str, name: str, found: Transform) -> None:
    assert found.certificate is not None
    tally.setdefault(kind, Counter())[found.certificate.verdict] += 1
    print(f"{kind:32}{name:10}{found.certificate.verdict:8}{found.certificate.score:5.2f}  "
          + "; ".join(found.certificate.reasons), flush=True)  # fmt: skip


def motion(rng: np.random.Generator, image: Image) -> Transform:
    return rigid(tuple(rng.uniform(-10, 10, 3)), tuple(rng.uniform(-15, 15, 3)), tuple(image.grid.center_mm))


def shift(x: float, y: float, z: float) -> Transform:
    return rigid((0, 0, 0), (x, y, z), (0, 0, 0))


def moved(image: Image, by: Transform) -> Image:
    return replace(image, grid=replace(image.grid, affine=by.matrix @ image.grid.affine))


def mirrored(image: Image, axis: int) -> Image:
    return image.with_array(np.ascontiguousarray(np.flip(image.array, axis)), "mirrored")


if __name__ == "__main__":
    main()
