"""Deformable registration of real images: accuracy at its roughness, cost, and what must hold of every answer.

Run:  python benchmarks/deformable.py [TASK ...] [--data FOLDER] [--peers PYTHON]

Tasks: hippocampus, brain, across, large, cores, inverse, burden (all, where none is named).

Dice is the mean over the labels that both have, by nearest neighbour and by vote (the label with most of the trilinear
weights). SDlogJ is the standard deviation of log J inside the fixed labels; "all" is over the whole grid, which
background flatters. CPU seconds on one core (HEXSCOPE_THREADS=1 is set here), the affine part included, without the
certificate, which `register` adds. PYTHON is one that has picsl_greedy and SimpleITK; its answers are scored by the
same code as ours, and its rows are kept in benchmarks/results/deformable_peers.json with their commands: a row marked *
was read from there.

brain: constants were chosen on 1000 and 1001 (1000 fixed, mostly) alone; the other pairs are printed apart.
across: synthetic warps (Gaussian fields, sigma 12 mm, 4 mm RMS) of real T2 and FLAIR, registered to T1 at 2 mm. The
error is the root mean square over the brain of where the found map and the known one lead, in mm. Constants were chosen
on seeds 0 and 1. large: the same of a brain shifted as well. burden: CT and PET of seven sarcoma patients warped alike
(sigma 20 mm, 5 mm RMS), undone by registering the warped CT (or PET) to the one that was not; MTV is the volume above
41 % of the maximum in the tumour mask grown by 10 mm, TLG that times its mean SUV.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from real_data import add_data, require
from scipy import ndimage

import hexscope as hx
from hexscope.core.geometry import Grid, flip_lps_ras
from hexscope.core.image import Image, Mask
from hexscope.core.pixels import ArrayPixels
from hexscope.core.transform import Transform
from hexscope.core.warp import Warp
from hexscope.register.deform import deform
from hexscope.register.field import ready
from hexscope.register.search import find, ladder

KEPT = Path(__file__).parent / "results" / "deformable_peers.json"
AFFINE = "-a -i {fixed} {moving} -ia-image-centers -m WNCC 2x2x2 -n 100x50x10 -o {out}.mat"
NCC = "-i {fixed} {moving} -it {out}.mat -m NCC 2x2x2 -n 100x50x30 -s 1.732vox 0.7071vox -o {out}.nii.gz"
NMI = "-i {fixed} {moving} -m NMI -n 100x50x30 -o {out}.nii.gz"
NMI_SMOOTH = "-i {fixed} {moving} -m NMI -n 100x100x60 -s 3vox 1vox -o {out}.nii.gz"
Floats = NDArray[np.float64]


def main() -> None:
    tasks = {f.__name__: f for f in (hippocampus, brain, across, large, cores, inverse, burden)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="*", help=", ".join(tasks))
    parser.add_argument("--peers", help="a Python that has picsl_greedy and SimpleITK")
    parser.add_argument("--cases", type=int, default=30, help="pairs of hippocampus, at most")
    add_data(parser)
    options = parser.parse_args()
    os.environ["HEXSCOPE_THREADS"] = "1"
    require(options.data)
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


class Peer:
    """greedy, where ``python`` has it; else its rows that were kept."""

    def __init__(self, python: str | None) -> None:
        self.python = python
        self.rows: dict[str, list[float]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}

    def row(
        self,
        name: str,
        images: tuple[Image, Image],
        commands: list[str],
        score: Callable[[Transform, float], list[float]],
    ) -> tuple[list[float], bool] | None:
        """What ``score`` makes of its answer, and whether that was read, not run; None where there is neither."""
        key = f"{name}: greedy " + " ; ".join(commands)
        if key in self.rows:
            return self.rows[key], True
        if self.python is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            found, seconds = self._run(Path(folder), images, commands)
            self.rows[key] = score(found, seconds)
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(self.rows, indent=0, sort_keys=True) + "\n")
        return self.rows[key], False

    def _run(self, folder: Path, images: tuple[Image, Image], commands: list[str]) -> tuple[Transform, float]:
        job = {"out": str(folder / "found"), "commands": commands}
        for name, image in zip(("fixed", "moving"), images, strict=True):
            job[name] = str(folder / f"{name}.nii.gz")
            hx.save(image, job[name])
        script = Path(__file__).with_name("deformable_peers.py")
        said = subprocess.run(
            [str(self.python), str(script)], input=json.dumps(job), capture_output=True, text=True, check=True
        ).stdout
        answer = json.loads(next(line[4:] for line in said.splitlines() if line.startswith("JOB ")))
        done = np.load(folder / "found.npz")
        flip = flip_lps_ras(np.eye(4))
        back = flip @ done["matrix"] @ flip
        warp = Warp(images[0].grid, np.ascontiguousarray(done["warp"]))
        return Transform.deformable(np.linalg.inv(back), warp), float(answer["seconds"])


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


def print_overlap(name: str, rows: list[list[float]], mark: str = "") -> None:
    m = np.mean(rows, axis=0)
    worst = min(r[0] for r in rows)
    folds = f"{sum(r[4] > 0 for r in rows)}/{len(rows)}"
    print(
        f"{name + mark:34}{len(rows):4}{m[0]:9.4f}{m[1]:8.4f}{worst:8.3f}{m[2]:8.3f}{m[3]:7.3f}{folds:>8}{m[5]:8.2f}",
        flush=True,
    )


def print_head(task: str) -> None:
    print(f"{task:34}{'n':>4}{'nearest':>9}{'vote':>8}{'worst':>8}{'SDlogJ':>8}{'all':>7}{'folding':>8}{'CPU-s':>8}")


# ---- tasks -------------------------------------------------------------------------------------------


def hippocampus(options: argparse.Namespace) -> None:
    """The last 31 cases, each to the one after it."""
    folder = options.data / "mr-hippocampus"
    cases = sorted((folder / "images").glob("*.nii.gz"))[-31:][: options.cases + 1]
    peer, rows = Peer(options.peers), {"affine": [], "deformable": [], "greedy": []}
    read = True
    for a, b in pairwise(cases):
        fixed, moving = hx.read(a), hx.read(b)
        marks = [hx.read_mask(folder / "labels" / p.name) for p in (a, b)]
        linear, found, seconds = ours(fixed, moving)
        rows["affine"].append(overlap(linear_field(linear, fixed.grid), *marks, 0.0))
        rows["deformable"].append(overlap(found, *marks, seconds))
        got = peer.row(
            f"hippocampus {a.name} {b.name}", (fixed, moving), [AFFINE, NCC], lambda t, s, m=marks: overlap(t, *m, s)
        )
        if got is not None:
            rows["greedy"].append(got[0])
            read = read and got[1]
    print_head("hippocampus, pairs")
    print_overlap("affine alone", rows["affine"])
    print_overlap("hexscope, fast", rows["deformable"])
    print_peer("greedy WNCC affine, NCC", rows["greedy"], read)


def linear_field(linear: Transform, grid: Grid) -> Transform:
    """A linear transform as one that has a grid, so that it is scored alike."""
    return Transform.deformable(linear.matrix, Warp(grid, np.zeros((*grid.shape, 3), np.float32)))


def print_peer(name: str, rows: list[list[float]], read: bool) -> None:
    if rows:
        print_overlap(name, rows, " *" if read else "")
    else:
        print(f"{name:34} not installed, and no row kept")


def brain(options: argparse.Namespace) -> None:
    """All ordered pairs of four people."""
    folder = options.data / "mr-brain-labels"
    people = ("1000", "1001", "1002", "1003")
    images = {p: hx.read(folder / f"{p}_image.nii.gz") for p in people}
    labels = {p: hx.read_mask(folder / f"{p}_labels.nii.gz") for p in people}
    pairs = [(a, b) for a in people for b in people if a != b]
    groups = {
        "tuned on (1000, 1001)": [p for p in pairs if set(p) == {"1000", "1001"}],
        "1002, 1003": [p for p in pairs if set(p) == {"1002", "1003"}],
        "crosswise": [p for p in pairs if len(set(p) & {"1000", "1001"}) == 1],
    }
    peer = Peer(options.peers)
    for group, some in groups.items():
        print_head(f"brain, {group}")
        for speed in ("fast", "accurate"):
            rows = []
            for a, b in some:
                _, found, seconds = ours(images[a], images[b], speed=speed)
                rows.append(overlap(found, labels[a], labels[b], seconds))
            print_overlap(f"hexscope, {speed}", rows)
        got = [
            peer.row(
                f"brain {a} {b}",
                (images[a], images[b]),
                [AFFINE, NCC],
                lambda t, s, m=(labels[a], labels[b]): overlap(t, *m, s),
            )
            for a, b in (some if group != "crosswise" else some[:2])
        ]
        print_peer("greedy WNCC affine, NCC", [g[0] for g in got if g], all(g[1] for g in got if g))


def across(options: argparse.Namespace) -> None:
    """T1 against warped T2 and FLAIR of the same brain, at 2 mm."""
    folder = options.data / "mr-multiple-sclerosis" / "mni" / "patient07"
    t1, t2, flair = (halved(hx.read(folder / f"{name}.nii.gz")) for name in ("T1", "T2", "FLAIR"))
    points = t1.grid.to_world(np.argwhere(ndimage.binary_fill_holes(t1.array > 0))[::7])
    peer = Peer(options.peers)
    print(f"{'T1 and ...: RMS error, mm':34}{'n':>4}{'mean':>9}{'worst':>8}{'folding':>9}{'CPU-s':>8}")
    for name, image in (("T2", t2), ("FLAIR", flair)):
        rows: dict[str, list[list[float]]] = {k: [] for k in ("before", "rigid", "hexscope", "greedy", "greedy smooth")}
        for seed in range(10):
            known = gaussian_warp(seed, t1.grid, 12.0, 4.0)
            moving = hx.resample(image, image.grid, through=known.inverse, how="linear")

            def score(found: Transform, seconds: float, known: Transform = known) -> list[float]:
                return [root_gap(found, known, points), float(found.folds(t1.grid)), seconds]

            rigid, found, seconds = ours(t1, moving, kind="rigid")
            rows["before"].append([root_gap(Transform(), known, points), 0, 0])
            rows["rigid"].append([root_gap(rigid, known, points), 0, 0])
            rows["hexscope"].append(score(found, seconds))
            for title, command in (("greedy", NMI), ("greedy smooth", NMI_SMOOTH)):
                got = peer.row(f"across {name} {seed}", (t1, moving), [command], score)
                rows[title] += [got[0]] if got else []
        for title, some in rows.items():
            print_errors(f"{name}: {title}", some)


def print_errors(name: str, rows: list[list[float]]) -> None:
    if not rows:
        print(f"{name:34} not installed, and no row kept")
        return
    m = np.array(rows)
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
    """One thread and two: wall seconds, and whether the bytes are the same."""
    folder = options.data / "mr-brain-labels"
    fixed, moving = (hx.read(folder / f"{p}_image.nii.gz") for p in ("1000", "1001"))
    linear = ours(fixed, moving)[0]
    bytes_of, wall = [], []
    for threads in ("1", "2"):
        os.environ["HEXSCOPE_THREADS"] = threads
        start = time.perf_counter()
        found = deform(fixed, moving, linear)
        wall.append(time.perf_counter() - start)
        bytes_of.append(b"".join(p.warp.displacement_mm.tobytes() for p in found.parts if hasattr(p, "warp")))
    os.environ["HEXSCOPE_THREADS"] = "1"
    same = "the same bytes" if bytes_of[0] == bytes_of[1] else "OTHER BYTES"
    print(
        f"{fixed.array.size / 1e6:.1f} M voxels, wall seconds: one core {wall[0]:.2f}, two {wall[1]:.2f}, "
        f"{wall[0] / wall[1]:.2f} times faster; {same}; load {os.getloadavg()[0]:.1f}"
    )


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
    rows: dict[str, list[tuple[float, float]]] = {"left as warped": [], "undone by CT": [], "undone by PET": []}
    for patient in patients:
        ct = replace(hx.read(folder / patient / "CT_image.nii.gz"), modality="CT")
        pet = replace(hx.read(folder / patient / "PET_image.nii.gz"), modality="PT")
        tumour = hx.read_mask(folder / patient / "PET_mask.nii.gz")
        truth = metabolic(pet, tumour)
        for seed in range(3):
            known = gaussian_warp(seed, ct.grid, 20.0, 5.0)
            ct_there = hx.resample(ct, ct.grid, through=known.inverse)
            pet_there = hx.resample(pet, pet.grid, through=known.inverse, how="cubic")
            rows["left as warped"].append(change(metabolic(pet_there, tumour), truth))
            for title, fixed, moving in (("undone by CT", ct, ct_there), ("undone by PET", pet, pet_there)):
                found = ours(fixed, moving, kind="rigid")[1]
                back = hx.resample(pet_there, pet.grid, through=found, how="cubic")
                rows[title].append(change(metabolic(back, tumour), truth))
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
