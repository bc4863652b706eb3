"""Deformable registration of real images: accuracy at its roughness, cost, and what must hold of every answer.

Run:  python benchmarks/deformable.py [TASK ...] [--data FOLDER] [--peers PYTHON]

Tasks: hippocampus, brain, across, large, cores, inverse, burden (all, where none is named).

Dice is the mean over the labels that both have, by nearest neighbour and by vote (the label with most of the trilinear
weights). SDlogJ is the standard deviation of log J inside the fixed labels; "all" is over the whole grid, which
background flatters. CPU seconds on one core (HEXSCOPE_THREADS=1 is set here), the affine part included, without the
certificate, which `register` adds. PYTHON is one that has picsl_greedy and SimpleITK; its answers are scored by the
same code as ours. All rows are kept in benchmarks/results/deformable.jsonl, the peer's with its commands, ours with a
stamp of our code, and are not measured again.

brain: constants were chosen on 1000 and 1001 (1000 fixed, mostly) alone; the other pairs are printed apart.
across: synthetic warps (Gaussian fields, sigma 12 mm, 4 mm RMS) of real T2 and FLAIR, registered to T1 at 2 mm. The
error is the root mean square over the brain of where the found map and the known one lead, in mm. Constants were chosen
on seeds 0 and 1. large: the same of a brain shifted as well. burden: CT and PET of seven sarcoma patients warped alike
(sigma 20 mm, 5 mm RMS), undone by registering the warped CT (or PET) to the one that was not; MTV is the volume above
41 % of the maximum in the tumour mask grown by 10 mm, TLG that times its mean SUV.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
from greedy_peer import AFFINE, NCC, NMI, NMI_SMOOTH, Greedy
from kept_rows import KeptRows, Row, ourselves
from numpy.typing import NDArray
from real_data import add_data, require
from scipy import ndimage

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.pixels import ArrayPixels
from hexscope.core.transform import Transform
from hexscope.core.warp import Unwarp, Warp
from hexscope.register.deform import deform
from hexscope.register.field import ready
from hexscope.register.search import find, ladder

Floats = NDArray[np.float64]
Score = Callable[[Transform, float], Row]


def main() -> None:
    tasks = {f.__name__: f for f in (hippocampus, brain, across, large, cores, inverse, burden)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="*", help=", ".join(tasks))
    parser.add_argument("--peers", help="a Python that has picsl_greedy and SimpleITK")
    parser.add_argument("--repeats", type=int, default=3, help="of the task cores")
    parser.add_argument("--cases", type=int, default=30, help="pairs of hippocampus, at most")
    add_data(parser)
    options = parser.parse_args()
    os.environ["HEXSCOPE_THREADS"] = "1"
    require(options.data)
    options.rows = KeptRows("deformable")
    options.greedy = Greedy(options.peers, options.rows)
    for name in options.task or tasks:
        tasks[name](options)
        print(flush=True)


# ---- one registration, by us and by the peer ---------------------------------------------------------


def ours(fixed: Image, moving: Image, kind: str = "affine", speed: str = "fast") -> tuple[Transform, Transform, float]:
    """The linear transform, the deformable one after it, and CPU seconds of both."""
    start = time.process_time()
    rungs = ladder(*ready(fixed, moving), 0)
    linear = Transform(rungs.moving_to_fixed(find(rungs, kind=kind)[0].matrix), kind)
    found = deform(fixed, moving, linear, speed=speed)
    return linear, found, time.process_time() - start


def overlap(found: Transform, fixed: Mask, moving: Mask, seconds: float) -> list[float]:
    """Dice by nearest neighbour and by vote, SDlogJ inside and all over, folds, CPU seconds."""
    labels = fixed.layers[0]
    nearest, vote = (hx.resample(moving, fixed.grid, through=found, how=how).layers[0] for how in ("nearest", "vote"))
    rough = [found.sd_log_jacobian(fixed.grid, inside=where) for where in (labels > 0, None)]
    return [dice(labels, nearest), dice(labels, vote), *rough, float(found.folds(fixed.grid)), seconds]


def dice(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    """Mean over the labels that both have."""
    count = int(max(a.max(), b.max())) + 1
    sizes = [np.bincount(v.ravel(), minlength=count)[1:] for v in (a, b, a[a == b])]
    both = (sizes[0] > 0) & (sizes[1] > 0)
    return float((2 * sizes[2][both] / (sizes[0] + sizes[1])[both]).mean())


def print_overlap(name: str, rows: list[Row | None]) -> None:
    some = [row for row in rows if row is not None]
    if not some:
        print(f"{name:34} not installed, and no row kept")
        return
    m, worst = np.mean(some, axis=0), min(r[0] for r in some)
    folds = f"{sum(r[4] > 0 for r in some)}/{len(some)}"
    print(
        f"{name:34}{len(some):4}{m[0]:9.4f}{m[1]:8.4f}{worst:8.3f}{m[2]:8.3f}{m[3]:7.3f}{folds:>8}{m[5]:8.2f}",
        flush=True,
    )


def print_head(task: str) -> None:
    print(f"{task:34}{'n':>4}{'nearest':>9}{'vote':>8}{'worst':>8}{'SDlogJ':>8}{'all':>7}{'folding':>8}{'CPU-s':>8}")


# ---- tasks -------------------------------------------------------------------------------------------


def hippocampus(options: argparse.Namespace) -> None:
    """The last 31 cases, each to the one after it. Constants were chosen on the first 31."""
    folder = options.data / "mr-hippocampus"
    cases = sorted((folder / "images").glob("*.nii.gz"))[-31:][: options.cases + 1]
    rows: dict[str, list[Row | None]] = {"affine alone": [], "hexscope, fast": [], "greedy WNCC affine, NCC": []}
    for a, b in pairwise(cases):
        images = hx.read(a), hx.read(b)
        marks = [hx.read_mask(folder / "labels" / p.name) for p in (a, b)]

        def score(found: Transform, seconds: float, marks: list[Mask] = marks) -> Row:
            return overlap(found, *marks, seconds)

        def both(images: tuple[Image, Image] = images, score: Score = score) -> Row:
            linear, found, seconds = ours(*images)
            return [*score(linear_field(linear, images[0].grid), 0.0), *score(found, seconds)]

        name = f"hippocampus {a.name} {b.name}"
        row = options.rows.kept(name, ourselves(), both)
        got = row[:6], row[6:], options.greedy.row(name, images, [AFFINE, NCC], score)
        for some, one in zip(rows.values(), got, strict=True):
            some.append(one)
    print_head("hippocampus, pairs")
    for title, some in rows.items():
        print_overlap(title, some)


def linear_field(linear: Transform, grid: Grid) -> Transform:
    """A linear transform as one that has a grid, so that it is scored alike."""
    return Transform.deformable(linear.matrix, Warp(grid, np.zeros((*grid.shape, 3), np.float32)))


def brain(options: argparse.Namespace) -> None:
    """All ordered pairs of four people."""
    folder = options.data / "mr-brain-labels"
    people = ("1000", "1001", "1002", "1003")
    images = {p: hx.read(folder / f"{p}_image.nii.gz") for p in people}
    labels = {p: hx.read_mask(folder / f"{p}_labels.nii.gz") for p in people}
    all_pairs = list(permutations(people, 2))
    groups = {
        "1002, 1003": [p for p in all_pairs if set(p) == {"1002", "1003"}],
        "crosswise": [p for p in all_pairs if len(set(p) & {"1000", "1001"}) == 1],
        "tuned on (1000, 1001)": [p for p in all_pairs if set(p) == {"1000", "1001"}],
    }
    for group, some in groups.items():
        print_head(f"brain, {group}")
        for speed in ("fast", "accurate"):
            rows: list[Row | None] = []
            for a, b in some:

                def measured(a: str = a, b: str = b, speed: str = speed) -> Row:
                    _, found, seconds = ours(images[a], images[b], speed=speed)
                    return overlap(found, labels[a], labels[b], seconds)

                rows.append(options.rows.kept(f"brain {a} {b} {speed}", ourselves(), measured))
            print_overlap(f"hexscope, {speed}", rows)
        rows = []
        for a, b in some if group != "crosswise" else some[:2]:

            def score(found: Transform, seconds: float, a: str = a, b: str = b) -> Row:
                return overlap(found, labels[a], labels[b], seconds)

            rows.append(options.greedy.row(f"brain {a} {b}", (images[a], images[b]), [AFFINE, NCC], score))
        print_overlap("greedy WNCC affine, NCC", rows)


def across(options: argparse.Namespace) -> None:
    """T1 against warped T2 and FLAIR of the same brain, at 2 mm."""
    folder = options.data / "mr-multiple-sclerosis" / "mni" / "patient07"
    t1, t2, flair = (halved(hx.read(folder / f"{name}.nii.gz")) for name in ("T1", "T2", "FLAIR"))
    points = t1.grid.to_world(np.argwhere(ndimage.binary_fill_holes(t1.array > 0))[::7])
    print(f"{'T1 and ...: RMS error, mm':34}{'n':>4}{'mean':>9}{'worst':>8}{'folding':>9}{'CPU-s':>8}")
    for name, image in (("T2", t2), ("FLAIR", flair)):
        rows: dict[str, list[Row | None]] = {k: [] for k in ("before", "rigid", "hexscope", "greedy", "greedy smooth")}
        for seed in range(10):
            known = gaussian_warp(seed, t1.grid, 12.0, 4.0)
            moving = hx.resample(image, image.grid, through=known.inverse, how="linear")

            def score(found: Transform, seconds: float, known: Transform = known) -> Row:
                return [root_gap(found, known, points), float(found.folds(t1.grid)), seconds]

            def both(moving: Image = moving, known: Transform = known, score: Score = score) -> Row:
                rigid, found, seconds = ours(t1, moving, kind="rigid")
                gaps = [root_gap(t, known, points) for t in (Transform(), rigid)]
                return [gaps[0], 0.0, 0.0, gaps[1], 0.0, 0.0, *score(found, seconds)]

            of = f"across {name} {seed}"
            row = options.rows.kept(of, ourselves(), both)
            theirs = [options.greedy.row(of, (t1, moving), [command], score) for command in (NMI, NMI_SMOOTH)]
            for kept, one in zip(rows.values(), (row[:3], row[3:6], row[6:], *theirs), strict=True):
                kept.append(one)
        for title, some in rows.items():
            print_errors(f"{name}: {title}", some)


def print_errors(name: str, rows: list[Row | None]) -> None:
    some = [row for row in rows if row is not None]
    if not some:
        print(f"{name:34} not installed, and no row kept")
        return
    m = np.array(some)
    folding = f"{int((m[:, 1] > 0).sum())}/{len(m)}"
    print(f"{name:34}{len(m):4}{m[:, 0].mean():9.3f}{m[:, 0].max():8.3f}{folding:>9}{m[:, 2].mean():8.2f}", flush=True)


def halved(image: Image) -> Image:
    """Means over blocks of 2 × 2 × 2 voxels."""
    shape = tuple(n // 2 for n in image.grid.shape)
    array = image.array[tuple(slice(2 * n) for n in shape)].astype(np.float32)
    blocks = array.reshape(shape[0], 2, shape[1], 2, shape[2], 2).mean(axis=(1, 3, 5))
    affine = np.array(image.grid.affine)
    affine[:3, 3] += affine[:3, :3] @ np.full(3, 0.5)
    affine[:3, :3] *= 2
    return replace(image, pixels=ArrayPixels(blocks), grid=replace(image.grid, shape=shape, affine=affine))


def gaussian_warp(
    seed: int, grid: Grid, sigma_mm: float, rms_mm: float, shift_mm: tuple[float, float, float] = (0, 0, 0)
) -> Transform:
    """A known warp x → x + u(x) of LPS points: smoothed noise, and a shift."""
    rng = np.random.default_rng(seed)
    sigma = sigma_mm / np.array(grid.spacing_mm)
    field = np.stack([ndimage.gaussian_filter(rng.standard_normal(grid.shape), sigma) for _ in range(3)], axis=-1)
    field *= rms_mm / np.sqrt((field**2).sum(axis=-1).mean())
    return Transform(None, "deformable", parts=(Warp(grid, (field + shift_mm).astype(np.float32)),))


def root_gap(found: Transform, known: Transform, points: Floats) -> float:
    """The moving image shows at p what lies at known(p): fixed points have to come back to themselves."""
    gap = known.points(found.inverse.points(points)) - points
    return float(np.sqrt((gap**2).sum(axis=-1).mean()))


def large(options: argparse.Namespace) -> None:
    """A brain warped by 6 mm RMS and shifted, registered without any linear start."""
    folder = options.data / "mr-brain-labels"
    image, labels = hx.read(folder / "1000_image.nii.gz"), hx.read_mask(folder / "1000_labels.nii.gz")
    print(f"{'large motion, from rest: Dice':34}{'before':>9}{'after':>8}{'folds':>7}{'CPU-s':>8}")
    for seed, shift in ((5, (0, 0, 0)), (5, (0, 0, 30)), (6, (20, 25, 0)), (7, (0, 15, 35))):
        known = gaussian_warp(seed, image.grid, 20.0, 6.0, shift)
        moving = hx.resample(image, image.grid, through=known.inverse)
        moved = hx.resample(labels, image.grid, through=known.inverse)
        start = time.process_time()
        found = deform(image, moving, Transform())
        seconds = time.process_time() - start
        after = dice(labels.layers[0], hx.resample(moved, image.grid, through=found).layers[0])
        before = dice(labels.layers[0], moved.layers[0])
        print(
            f"{'shift ' + str(shift):34}{before:9.3f}{after:8.3f}{found.folds(image.grid):7}{seconds:8.2f}", flush=True
        )


def cores(options: argparse.Namespace) -> None:
    """One thread and two, in turn: the least wall seconds of each, CPU seconds there, and whether the bytes are the
    same."""
    folder = options.data / "mr-brain-labels"
    fixed, moving = (hx.read(folder / f"{p}_image.nii.gz") for p in ("1000", "1001"))
    linear = ours(fixed, moving)[0]
    answers, best = set(), {"1": (np.inf, 0.0), "2": (np.inf, 0.0)}
    for threads in ["1", "2"] * options.repeats:
        os.environ["HEXSCOPE_THREADS"] = threads
        start, cpu = time.perf_counter(), time.process_time()
        found = deform(fixed, moving, linear)
        best[threads] = min(best[threads], (time.perf_counter() - start, time.process_time() - cpu))
        answers.add(b"".join(p.warp.displacement_mm.tobytes() for p in found.parts if isinstance(p, Unwarp)))
    os.environ["HEXSCOPE_THREADS"] = "1"
    print(f"{fixed.array.size / 1e6:.1f} M voxels, best of {options.repeats}, load {os.getloadavg()[0]:.1f}")
    for threads, (wall, cpu) in best.items():
        print(f"threads: {threads}   wall {wall:.2f} s   CPU {cpu:.2f} s   wall per CPU second {wall / cpu:.2f}")
    same = "the same bytes" if len(answers) == 1 else "OTHER BYTES"
    print(f"two are {best['1'][0] / best['2'][0]:.2f} times faster than one; {same}")


def inverse(options: argparse.Namespace) -> None:
    """There and back; and the two directions registered apart."""
    folder = options.data / "mr-hippocampus" / "images"
    cases = sorted(folder.glob("*.nii.gz"))[-31:-25]
    exact, apart = [], []
    for a, b in pairwise(cases):
        fixed, moving = hx.read(a), hx.read(b)
        found, other = ours(fixed, moving)[1], ours(moving, fixed)[1]
        points = fixed.grid.to_world(np.argwhere(np.ones(fixed.grid.shape, bool)))[::11]
        exact.append(float(np.abs(found.points(found.inverse.points(points)) - points).max()))
        apart.append(float(np.linalg.norm(other.inverse.points(found.inverse.points(points)) - points, axis=1).mean()))
    print(f"inverse, 5 pairs: there and back misses by at most {max(exact):.5f} voxels (1 mm)")
    print(f"fixed and moving exchanged: the two answers undo each other to {np.mean(apart):.2f} mm on average")


def burden(options: argparse.Namespace) -> None:
    """MTV and TLG of sarcomas after known warps are undone."""
    folder = options.data / "pet-ct-mr-sarcoma" / "nifti"
    patients = ("STS_002", "STS_003", "STS_008", "STS_012", "STS_015", "STS_018", "STS_024")
    rows: dict[str, list[tuple[float, float]]] = {}
    for patient in patients:
        ct = replace(hx.read(folder / patient / "CT_image.nii.gz"), modality="CT")
        pet = replace(hx.read(folder / patient / "PET_image.nii.gz"), modality="PT")
        tumour = hx.read_mask(folder / patient / "PET_mask.nii.gz")
        truth = metabolic(pet, tumour)
        for seed in range(3):
            known = gaussian_warp(seed, ct.grid, 20.0, 5.0)
            ct_there = hx.resample(ct, ct.grid, through=known.inverse)
            pet_there = hx.resample(pet, pet.grid, through=known.inverse, how="cubic")
            rows.setdefault("left as warped", []).append(change(metabolic(pet_there, tumour), truth))
            exact = hx.resample(pet_there, pet.grid, through=known, how="cubic")
            rows.setdefault("undone by the known warp (floor)", []).append(change(metabolic(exact, tumour), truth))
            for title, fixed, moving in (("undone by CT", ct, ct_there), ("undone by PET", pet, pet_there)):
                found = ours(fixed, moving, kind="rigid")[1]
                back = hx.resample(pet_there, pet.grid, through=found, how="cubic")
                rows.setdefault(title, []).append(change(metabolic(back, tumour), truth))
    print(f"{'PET burden, change in %':34}{'n':>4}{'MTV median':>12}{'90 %':>7}{'TLG median':>12}{'90 %':>7}")
    for title, some in rows.items():
        m, t = np.array(some).T
        ends = [np.median(m), np.percentile(m, 90), np.median(t), np.percentile(t, 90)]
        print(f"{title:34}{len(some):4}{ends[0]:12.2f}{ends[1]:7.2f}{ends[2]:12.2f}{ends[3]:7.2f}")


def metabolic(pet: Image, tumour: Mask) -> tuple[float, float]:
    """Volume above 41 % of the maximum near the tumour, in voxels, and that times its mean."""
    away = ndimage.distance_transform_edt(~tumour.any, sampling=pet.grid.spacing_mm)
    values = np.where(away <= 10.0, pet.array, 0.0)
    hot = values > 0.41 * values.max()
    return float(hot.sum()), float(values[hot].sum())


def change(found: tuple[float, float], truth: tuple[float, float]) -> tuple[float, float]:
    """Absolute relative changes, %."""
    return abs(found[0] / truth[0] - 1) * 100, abs(found[1] / truth[1] - 1) * 100


if __name__ == "__main__":
    main()
