"""Registration of real patients after known motions: how well each motion is undone, and at what cost.

Run:  python benchmarks/registration.py [--data FOLDER]        (FOLDER holds pet-ct-mr-sarcoma, mr-multiple-sclerosis)

Sarcoma: the MR of eight patients is moved by known rigid motions (±15° about each axis, ±20 mm, about the tumour) and
registered to the CT. Two distances over the tumour's voxels are printed, both in mm:

    undone  to where the same registration puts the MR that was not moved. This is what the motion costs.
    file    to where the files put the MR. That is no certain truth: how far the registration lies from it without any
            motion stands in the row "not moved", and pictures of the pair show which of the two fits better.

Multiple sclerosis: T1 and T2 are moved likewise about the head's centre and registered to FLAIR. The distance is over
the head's voxels, to the best rigid fit to the reference transform of the set. The set does not say in which direction
that transform goes: the distance of either reading to the registration is printed, and ITK's usual one is taken (from
points of the fixed image to points of the moving).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from real_data import add_data, require

import hexscope as hx
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.core.transform import Transform, rigid
from hexscope.register import register

PATIENTS = ("STS_002", "STS_003", "STS_008", "STS_012", "STS_015", "STS_018", "STS_024")
APART = "STS_019"
Points = NDArray[np.float64]
Register = Callable[[Image, Image], Transform]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--motions", type=int, default=5, help="a patient (sarcoma); 4 x that a contrast (sclerosis)")
    options = parser.parse_args()
    require(options.data / "pet-ct-mr-sarcoma")
    sarcoma(options.data / "pet-ct-mr-sarcoma" / "nifti", options.motions)
    sclerosis(options.data / "mr-multiple-sclerosis" / "raw" / "patient01", 4 * options.motions)


def sarcoma(folder: Path, motions: int) -> None:
    print(f"{'MR to CT':24}{'before':>8}{'undone':>8}{'file':>8}  {'verdict':8}{'CPU-s':>6}")
    within, total, near_file = 0, 0, 0
    for patient in (*PATIENTS, APART):
        undone, file = sarcoma_patient(folder / patient, motions)
        if patient == APART:
            print(f"{APART} apart: undone to within 2 mm {sum(u < 2 for u in undone)}/{len(undone)}")
        else:
            within, total = within + sum(u < 2 for u in undone), total + len(undone)
            near_file += sum(f < 2 for f in file)
    print(f"seven patients: undone to within 2 mm {within}/{total}; within 2 mm of the files' {near_file}/{total}\n")


def sarcoma_patient(folder: Path, motions: int) -> tuple[list[float], list[float]]:
    """Distances of every motion: to the registration without motion, and to the files' frame."""
    ct = replace(hx.read(folder / "CT_image.nii.gz"), modality="CT", quantity=Quantity.HU)
    mr = replace(hx.read(folder / "MR_T1_image.nii.gz"), modality="MR")
    mask = hx.read_mask(folder / "MR_T1_mask.nii.gz")
    tumour = mask.grid.to_world(np.argwhere(mask.any))
    still, seconds = timed(register, ct, mr)
    row(f"{folder.name} not moved", 0.0, 0.0, mean_gap(still, Transform(), tumour), still, seconds)
    rng = np.random.default_rng(int(folder.name[-3:]))
    undone, file = [], []
    for number in range(motions):
        motion = random_motion(rng, tumour.mean(axis=0))
        found, seconds = timed(register, ct, moved(mr, motion))
        whole = found @ motion
        undone.append(mean_gap(whole, still, tumour))
        file.append(mean_gap(whole, Transform(), tumour))
        before = mean_gap(motion, Transform(), tumour)
        row(f"{folder.name} motion {number + 1}", before, undone[-1], file[-1], found, seconds)
    return undone, file


def sclerosis(folder: Path, motions: int) -> None:
    flair = hx.read(folder / "study1_FLAIR.nii.gz")
    for contrast in ("T1W", "T2W"):
        moving = hx.read(folder / f"study1_{contrast}.nii.gz")
        given = itk_matrix(folder / f"study1_{contrast}_intrastudy_to_FLAIR.txt")
        head = moving.grid.to_world(np.argwhere(moving.array > 0)[::50])
        still, seconds = timed(register, flair, moving)
        fits = {"moving to fixed": rigid_fit(given, head), "fixed to moving": rigid_fit(np.linalg.inv(given), head)}
        print(
            f"{contrast} to FLAIR: reference read as "
            + ", as ".join(
                f"{name}: {mean_gap(still, fit, head):.2f} mm from the registration" for name, fit in fits.items()
            )
        )
        reference = fits["fixed to moving"]
        print(f"{contrast + ' to FLAIR':24}{'before':>8}{'error':>8}  {'verdict':8}{'CPU-s':>6}")
        short(f"{contrast} identity", mean_gap(Transform(), reference, head), mean_gap(Transform(), reference, head))
        short(f"{contrast} not moved", 0.0, mean_gap(still, reference, head), still, seconds)
        rng = np.random.default_rng(len(contrast) + motions)
        errors = []
        for number in range(motions):
            motion = random_motion(rng, head.mean(axis=0))
            found, seconds = timed(register, flair, moved(moving, motion))
            errors.append(mean_gap(found @ motion, reference, head))
            before = mean_gap(motion, Transform(), head)
            short(f"{contrast} motion {number + 1}", before, errors[-1], found, seconds)
        within = sum(e < 1 for e in errors)
        print(f"{contrast}: within 1 mm {within}/{len(errors)}, mean {np.mean(errors):.2f}, worst {max(errors):.2f}\n")


def timed(run: Register, fixed: Image, moving: Image) -> tuple[Transform, float]:
    start = time.process_time()
    found = run(fixed, moving)
    return found, time.process_time() - start


def random_motion(rng: np.random.Generator, center: Points) -> Transform:
    """±15° about each axis, ±20 mm along each."""
    return rigid(tuple(rng.uniform(-15, 15, 3)), tuple(rng.uniform(-20, 20, 3)), tuple(center))


def moved(image: Image, motion: Transform) -> Image:
    """The same pixels at another place: only the affine changes."""
    return replace(image, grid=replace(image.grid, affine=motion.matrix @ image.grid.affine))


def mean_gap(a: Transform, b: Transform, points: Points) -> float:
    return float(np.linalg.norm(a.points(points) - b.points(points), axis=1).mean())


def rigid_fit(matrix: NDArray[np.float64], points: Points) -> Transform:
    """The rigid transform nearest to an affine one over the points (Kabsch 1976, doi:10.1107/S0567739476001873)."""
    target = Transform(matrix).points(points)
    a, b = points.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((target - b).T @ (points - a))
    out = np.eye(4)
    out[:3, :3] = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    out[:3, 3] = b - out[:3, :3] @ a
    return Transform(out, "rigid")


def itk_matrix(path: Path) -> NDArray[np.float64]:
    """The 4 x 4 matrix of an ITK text transform (MatrixOffsetTransformBase), LPS mm."""
    fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    values = np.array(fields["Parameters"].split(), dtype=np.float64)
    center = np.array(fields["FixedParameters"].split(), dtype=np.float64)
    matrix = np.eye(4)
    matrix[:3, :3] = values[:9].reshape(3, 3)
    matrix[:3, 3] = center + values[9:] - matrix[:3, :3] @ center
    return matrix


def row(name: str, before: float, undone: float, file: float, found: Transform, seconds: float) -> None:
    verdict = found.certificate.verdict if found.certificate else "-"
    print(f"{name:24}{before:8.2f}{undone:8.2f}{file:8.2f}  {verdict:8}{seconds:6.1f}", flush=True)


def short(name: str, before: float, error: float, found: Transform | None = None, seconds: float = 0.0) -> None:
    verdict = found.certificate.verdict if found and found.certificate else "-"
    print(f"{name:24}{before:8.2f}{error:8.2f}  {verdict:8}{seconds:6.1f}", flush=True)


if __name__ == "__main__":
    main()
