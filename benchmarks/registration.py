"""Linear registration of real images after known motions: how well each is undone, and at what cost.

Run:  python benchmarks/registration.py [TASK ...] [--data FOLDER] [--motions N] [--peers PYTHON]

Tasks: brain, hippocampus, remapped, axes, sarcoma, sclerosis, planes (all, where none is named). CPU seconds are those
of the search on one core (HEXSCOPE_THREADS=1 is set here), images in memory, without the certificate that `register`
adds. PYTHON is one that has picsl_greedy and SimpleITK. All rows are kept in benchmarks/results/registration.jsonl, the
peer's with its command, ours with a stamp of our code, and are not measured again.

brain, hippocampus: affine between people, Dice of the labels (nearest neighbour). Constants were chosen on brains 1000
and 1001; the other pairs are printed apart.
remapped, axes: a brain at 2 mm against itself with its intensities mapped by a random curve that is not monotone, 2 %
noise, a Gaussian warp (sigma 16 mm, .68 mm RMS an axis), and a rigid motion of the pixels: up to the angle named and
40 mm along each axis; axes: the 24 ways to lay axes on axes. "apart" is the mean distance over the brain to the best
rigid fit to the true map (Kabsch), "excess" how much farther than that fit the answer lies from the motion itself.
sarcoma: MR and PET of seven patients, moved by up to 45 degrees and 40 mm, to CT; the mean distance over the moving
field to where the same registration puts the image that was not moved. "header": only the affine changes; "pixels": the
image is resampled, which also changes what it shows, into a larger field that is blank (0) about it. STS_019, whose CT
lies apart, is printed by itself.
sclerosis: raw T1 and T2, moved by up to 20 degrees and 20 mm, to FLAIR: mean distance over the head, rigid to the best
rigid fit to the set's reference, affine to the reference. The set does not say which way its reference goes: ITK's
usual one is taken, from fixed to moving.
planes: chest films, fetal heads and a stained section, turned by any angle, grown by up to 15 %, the section in other
dyes (synthetic): mean distance in pixels.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import pairwise, permutations, product
from pathlib import Path
from typing import Any

import numpy as np
from kept_rows import KeptRows
from motions import Points, itk_matrix, kabsch, lattice, mean_gap, moved, random_motion, roomy
from numpy.typing import NDArray
from real_data import add_data, require
from scipy import interpolate, ndimage

import hexscope as hx
from hexscope.core.geometry import Grid, flip_lps_ras
from hexscope.core.image import Image
from hexscope.core.transform import Transform, rigid
from hexscope.register.field import ready
from hexscope.register.search import find, ladder

#: What a linear search is made of, below src/hexscope: a row of ours is kept with a stamp of these.
SEARCH = (
    *(f"register/{name}.py" for name in ("climb", "field", "motion", "nmi", "padding", "pyramid", "search", "starts")),
    *(f"kernels/{name}.py" for name in ("histogram", "smooth", "thinning")),
)
POLISH = ("register/local.py", "register/flow.py", "kernels/lncc.py")
#: greedy's NMI is the better of its measures between whole brains, and throws crops of 35 voxels far off.
AFFINE = "-a -i {fixed} {moving} -ia-image-centers -m NMI -n 100x50x10 -o {out}.mat"
CROPS = "-a -i {fixed} {moving} -ia-image-centers -m WNCC 2x2x2 -n 100x50x10 -o {out}.mat"
RIGID = "-a -dof 6 -i {fixed} {moving} -ia-image-centers -m NMI -n 100x50x10 -search 1000 45 40 -o {out}.mat"
PATIENTS = ("STS_002", "STS_003", "STS_008", "STS_012", "STS_015", "STS_018", "STS_024")
APART = "STS_019"


def main() -> None:
    tasks = {f.__name__: f for f in (brain, hippocampus, remapped, axes, sarcoma, sclerosis, planes)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="*", help=", ".join(tasks))
    parser.add_argument("--motions", type=int, default=20, help="of each image; remapped: five times as many")
    parser.add_argument("--peers", help="a Python that has picsl_greedy and SimpleITK")
    add_data(parser)
    options = parser.parse_args()
    os.environ["HEXSCOPE_THREADS"] = "1"
    require(options.data)
    options.rows = Rows(options.peers)
    print(f"{'':34}{'n':>5}{'good':>6}{'mean':>8}{'median':>8}{'worst':>8}{'CPU-s':>7}")
    for name in options.task or tasks:
        tasks[name](options)


@dataclass
class Row:
    """Figures of one kind: ``good`` is the limit that they should keep, from above or (``most``) from below."""

    name: str
    good: float
    most: bool = True
    figures: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def add(self, figure: float, seconds: float, label: str) -> None:
        self.figures.append(figure)
        self.seconds.append(seconds)
        if (figure > self.good) is self.most:
            self.missed.append(f"{label} {figure:.2f}")

    def add_some(self, kept: list[float] | None, label: str) -> None:
        if kept is not None:
            self.add(*kept, label)

    def show(self) -> None:
        if not self.figures:
            return
        f = np.array(self.figures)
        good, worst = len(f) - len(self.missed), f.max() if self.most else f.min()
        line = f"{self.name:34}{len(f):5}{good:6}{f.mean():8.3f}{np.median(f):8.3f}{worst:8.3f}"
        told = f"{'≤' if self.most else '≥'} {self.good:g}" + (", missed: " if self.missed else "")
        print(f"{line}{np.mean(self.seconds):7.2f}   {told}{', '.join(self.missed)}", flush=True)


def ours(fixed: Image, moving: Image, kind: str = "rigid") -> tuple[Transform, float]:
    """The transform and its CPU seconds."""
    start = time.process_time()
    rungs = ladder(*ready(fixed, moving), 0)
    found = Transform(rungs.moving_to_fixed(find(rungs, kind=kind)[0].matrix), kind)
    return found, time.process_time() - start


class Rows:
    """Rows that are kept: ours, and those of greedy, where ``python`` has it."""

    def __init__(self, python: str | None) -> None:
        self._python, self._kept = python, KeptRows("registration")

    def ours(self, of: str, kind: str, make: Callable[[], list[float]]) -> list[float]:
        """Our figures, CPU seconds last."""
        return self._kept.kept(of, f"hexscope {stamp(SEARCH + POLISH * (kind == 'affine'))}", make)

    def greedy(
        self, of: str, command: str, images: Callable[[], tuple[Image, Image]], score: Callable[[Transform], float]
    ) -> list[float] | None:
        """Its figure and its CPU seconds on images (fixed, moving); None where it can neither be run nor read."""
        by = f"greedy {command}"
        if self._python is None:
            return self._kept.get(of, by)
        return self._kept.kept(of, by, lambda: self._answered(*images(), command, score))

    def _answered(self, fixed: Image, moving: Image, command: str, score: Callable[[Transform], float]) -> list[float]:
        found, seconds = self._run(fixed, moving, command)
        return [score(found), seconds]

    def _run(self, fixed: Image, moving: Image, command: str) -> tuple[Transform, float]:
        with tempfile.TemporaryDirectory() as folder:
            job = {"out": f"{folder}/found", "commands": [command]}
            for name, image in (("fixed", fixed), ("moving", moving)):
                job[name] = f"{folder}/{name}.nii.gz"
                hx.save(image, job[name])
            script = Path(__file__).with_name("deformable_peers.py")
            said = subprocess.run(
                [str(self._python), str(script)], input=json.dumps(job), capture_output=True, text=True, check=True
            ).stdout
            flip = flip_lps_ras(np.eye(4))
            back = flip @ np.load(f"{folder}/found.npz")["matrix"] @ flip
        answer = json.loads(next(line[4:] for line in said.splitlines() if line.startswith("JOB ")))
        return Transform(np.linalg.inv(back)), answer["seconds"]


@cache
def stamp(files: tuple[str, ...]) -> str:
    """Of our code: rows of other code are not taken for this one's."""
    root = Path(hx.__file__).parent
    return hashlib.sha256(b"".join((root / name).read_bytes() for name in files)).hexdigest()[:12]


def in_memory(image: Image) -> Image:
    assert image.array is not None
    return image


# ---- between people ----------------------------------------------------------------------------------


def brain(options: argparse.Namespace) -> None:
    folder = options.data / "mr-brain-labels"
    for title, pairs in (
        ("brain affine, 1000 and 1001", [(1000, 1001), (1001, 1000)]),
        ("brain affine, 1002 and 1003", [(1002, 1003), (1003, 1002)]),
        ("brain affine, cross pairs", [p for a, b in product((1000, 1001), (1002, 1003)) for p in ((a, b), (b, a))]),
    ):
        files = [tuple(folder / f"{i}_image.nii.gz" for i in pair) for pair in pairs]
        labels = [tuple(folder / f"{i}_labels.nii.gz" for i in pair) for pair in pairs]
        overlaps(options.rows, title, files, labels, 0.42)


def hippocampus(options: argparse.Namespace) -> None:
    folder = options.data / "mr-hippocampus"
    files = list(pairwise(sorted((folder / "images").glob("*.nii.gz"))[-31:]))
    labels = [tuple(folder / "labels" / f.name for f in pair) for pair in files]
    overlaps(options.rows, "hippocampus affine, last 31", files, labels, 0.5, CROPS)


def overlaps(rows: Rows, title: str, files: list[Any], labels: list[Any], good: float, command: str = AFFINE) -> None:
    """Dice of our affine and the peer's over pairs of files."""
    row, theirs = Row(title, good, most=False), Row(f"{title}: greedy", good, most=False)
    for pair, marked in zip(files, labels, strict=True):
        name = "-".join(f.name.removesuffix(".nii.gz") for f in pair)

        @cache
        def images(pair: Any = pair) -> tuple[Image, Image]:
            fixed, moving = (in_memory(hx.read(f)) for f in pair)
            return fixed, moving

        def score(found: Transform, marked: Any = marked) -> float:
            fixed, moving = (hx.read_mask(f) for f in marked)
            return dice(fixed.layers[0], hx.resample(moving, fixed.grid, through=found).layers[0])

        def measured(images: Any = images, score: Any = score) -> list[float]:
            found, seconds = ours(*images(), "affine")
            return [score(found), seconds]

        row.add(*rows.ours(f"affine {name}", "affine", measured), name)
        theirs.add_some(rows.greedy(f"affine {name}", command, images, score), name)
    row.show()
    theirs.show()


def dice(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    """Mean over the labels that both have."""
    count = int(max(a.max(), b.max())) + 1
    in_a, in_b, both = (np.bincount(x.ravel(), minlength=count)[1:] for x in (a, b, a[a == b]))
    shared = (in_a > 0) & (in_b > 0)
    return float((2 * both[shared] / (in_a + in_b)[shared]).mean())


# ---- one brain in another contrast -------------------------------------------------------------------


def remapped(options: argparse.Namespace) -> None:
    for degrees, count in ((45, 5 * options.motions), (90, 5 * options.motions // 2)):
        turns = [np.random.default_rng([degrees, i]).uniform(-degrees, degrees, 3) for i in range(count)]
        motions = [rigid(tuple(turn), (0, 0, 0), (0, 0, 0)).matrix[:3, :3] for turn in turns]
        remapped_rows(options, f"remapped, ±{degrees}°", motions, beside=5 if degrees == 45 else 0)

    still = [rigid(tuple(np.random.default_rng([1, i]).uniform(-45, 45, 3)), (0, 0, 0), (0, 0, 0)) for i in range(20)]
    remapped_rows(options, "remapped, ±45°, no warp", [t.matrix[:3, :3] for t in still], warp_mm=0.0)


def axes(options: argparse.Namespace) -> None:
    signed = [np.eye(3)[list(o)] * np.array(s) for o in permutations(range(3)) for s in product((1, -1), repeat=3)]
    remapped_rows(options, "remapped, 24 axes", [m for m in signed if np.linalg.det(m) > 0])


def remapped_rows(
    options: argparse.Namespace, title: str, turns: list[Points], *, beside: int = 0, warp_mm: float = 0.68
) -> None:
    """beside: greedy runs on so many of them."""
    apart, excess = Row(f"{title}: apart, mm", 0.05), Row(f"{title}: excess, mm", 0.05)
    theirs = Row(f"{title}: greedy: apart, mm", 0.05)
    for number, turn in enumerate(turns):

        @cache
        def case(turn: Points = turn, number: int = number) -> RemappedPair:
            return remapped_pair(options.data, turn, number, warp_mm)

        def measured(case: Callable[[], RemappedPair] = case) -> list[float]:
            fixed, moving, motion, best, places = case()
            found, seconds = ours(fixed, moving)
            floor = mean_gap(best, motion.inverse, places)
            return [mean_gap(found, best, places), mean_gap(found, motion.inverse, places) - floor, seconds]

        def images(case: Callable[[], RemappedPair] = case) -> tuple[Image, Image]:
            return case()[:2]

        def score(found: Transform, case: Callable[[], RemappedPair] = case) -> float:
            return mean_gap(found, *case()[3:])

        of = f"{title} {number}"
        gap, more, seconds = options.rows.ours(of, "rigid", measured)
        apart.add(gap, seconds, f"#{number}")
        excess.add(more, seconds, f"#{number}")
        if number < beside:
            theirs.add_some(options.rows.greedy(of, RIGID, images, score), f"#{number}")
    for row in (apart, excess, theirs):
        row.show()


#: Fixed, moving, the motion, the best rigid way back, and places in the moving.
RemappedPair = tuple[Image, Image, Transform, Transform, Points]


def remapped_pair(data: Path, turn: Points, seed: int, warp_mm: float) -> RemappedPair:
    """A brain, and itself in another contrast and place."""
    rng = np.random.default_rng(seed)
    whole = in_memory(hx.read(data / "mr-brain-labels" / f"{1000 + seed % 4}_image.nii.gz"))
    fixed = hx.resample(whole, whole.grid.with_spacing((2.0, 2.0, 2.0)))
    grid, values = fixed.grid, np.asarray(fixed.array, np.float64)
    values = values / np.percentile(values, 99.5)
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = grid.center_mm - turn @ grid.center_mm + rng.uniform(-40, 40, 3)
    motion = Transform(matrix, "rigid")
    warp = np.stack([ndimage.gaussian_filter(rng.normal(size=grid.shape), 8.0) for _ in range(3)], axis=-1)
    warp *= warp_mm / warp.std()
    affine = np.diag([2.0, 2.0, 2.0, 1.0])[[2, 1, 0, 3]]
    affine[:3, 3] = motion.points(grid.center_mm) - affine[:3, :3] @ np.full(3, 59.5)
    room = Grid((120, 120, 120), affine)
    index = np.stack(np.meshgrid(*[np.arange(120.0)] * 3, indexing="ij"), axis=-1)
    places = motion.inverse.points(room.to_world(index))
    at = np.moveaxis(grid.to_index(places), -1, 0)
    bent = np.stack([ndimage.map_coordinates(warp[..., k], at, order=1, mode="nearest") for k in range(3)], axis=-1)
    seen = ndimage.map_coordinates(values, np.moveaxis(grid.to_index(places + bent), -1, 0), order=1)
    curve = interpolate.PchipInterpolator(np.linspace(0, 1, 7), [0, *rng.permutation(np.linspace(0.1, 1, 6))])
    seen = np.where(seen > 0.02, curve(np.clip(seen, 0, 1)), 0) + rng.normal(0, 0.02, seen.shape)
    moving = Image.from_array(seen.astype(np.float32), room, modality="MR")
    inside = np.argwhere(values > 0.1)[::20]
    ours_at = grid.to_world(inside)
    theirs_at = motion.points(ours_at)
    return fixed, moving, motion, kabsch(theirs_at, ours_at + warp[tuple(inside.T)]), theirs_at


# ---- one patient ------------------------------------------------------------------------------------


def sarcoma(options: argparse.Namespace) -> None:
    for name, file, limit in (("MR", "MR_T1_image", 0.5), ("PET", "PET_image", 1.5)):
        header = Row(f"sarcoma {name} to CT, header, mm", limit)
        pixels = Row(f"sarcoma {name} to CT, pixels, mm", limit)
        alone = Row(f"{APART} {name} to CT, header, mm", limit)
        for patient in (*PATIENTS, APART):
            folder = options.data / "pet-ct-mr-sarcoma" / "nifti" / patient
            body = Body(folder / "CT_image.nii.gz", folder / f"{file}.nii.gz")
            rng = np.random.default_rng(int(patient[-3:]))
            for number in range(max(1, options.motions * 3 // 4)):
                motion = random_motion(rng, 45, 40, body.moving.grid.center_mm)
                of, label = f"sarcoma {patient} {name} {number}", f"{patient}#{number}"
                kept = options.rows.ours(f"{of} header", "rigid", lambda b=body, m=motion: b.by_header(m))
                (alone if patient == APART else header).add(*kept, label)
                if number < options.motions // 5 and patient != APART:
                    kept = options.rows.ours(f"{of} pixels", "rigid", lambda b=body, m=motion: b.by_pixels(m))
                    pixels.add(*kept, label)
        for row in (header, pixels, alone):
            row.show()


class Body:
    """Two scans of one patient; how far from its own pose on the unmoved pair the search ends after a motion, and CPU
    seconds."""

    def __init__(self, ct: Path, moving: Path) -> None:
        self.ct, self.moving = (in_memory(hx.read(file)) for file in (ct, moving))

    @cached_property
    def still(self) -> Transform:
        return ours(self.ct, self.moving)[0]

    def by_header(self, motion: Transform) -> list[float]:
        return self._told(motion, *ours(self.ct, moved(self.moving, motion)))

    def by_pixels(self, motion: Transform) -> list[float]:
        turned = hx.resample(self.moving, roomy(self.moving.grid, motion), through=motion)
        return self._told(motion, *ours(self.ct, turned))

    def _told(self, motion: Transform, found: Transform, seconds: float) -> list[float]:
        return [mean_gap(found @ motion, self.still, lattice(self.moving.grid)), seconds]


def sclerosis(options: argparse.Namespace) -> None:
    folder = options.data / "mr-multiple-sclerosis" / "raw" / "patient01"
    flair = in_memory(hx.read(folder / "study1_FLAIR.nii.gz"))
    for contrast in ("T1W", "T2W"):
        moving = in_memory(hx.read(folder / f"study1_{contrast}.nii.gz"))
        given = itk_matrix(folder / f"study1_{contrast}_intrastudy_to_FLAIR.txt")
        head = moving.grid.to_world(np.argwhere(moving.array > np.percentile(moving.array, 60))[::200])
        reference = Transform(np.linalg.inv(given))
        targets = {"rigid": kabsch(head, reference.points(head)), "affine": reference}
        for kind, target in targets.items():
            row = Row(f"sclerosis {contrast} to FLAIR, {kind}, mm", 0.5)
            rng = np.random.default_rng(len(contrast))
            for number in range(options.motions):
                motion = random_motion(rng, 20, 20, head.mean(axis=0))

                def measured(motion: Transform = motion, kind: str = kind, way: Any = (moving, target, head)) -> Any:
                    found, seconds = ours(flair, moved(way[0], motion), kind)
                    return [mean_gap(found @ motion, *way[1:]), seconds]

                row.add(*options.rows.ours(f"sclerosis {contrast} {kind} {number}", kind, measured), f"#{number}")
            row.show()


# ---- planes -----------------------------------------------------------------------------------------


def planes(options: argparse.Namespace) -> None:
    data = options.data
    films = sorted((data / "xray-chest" / "images" / "no_finding").glob("*"))[: options.motions // 2]
    heads = sorted((data / "us-fetal-head" / "images").glob("*"))[: options.motions // 2]
    section = data / "path-slides" / "small_HE.svs"
    for name, files, spacing in (
        ("chest film", films, (1.4, 1.4)),
        ("fetal head", heads, (0.1, 0.1)),
        ("stained section", [section] * 4, None),
    ):
        for kind in ("rigid", "similarity"):
            row = Row(f"{name}, {kind}, px", 1.0)
            for number, file in enumerate(files):
                fixed = in_memory(hx.read(file, spacing_mm=spacing) if spacing else hx.read(file))
                rng = np.random.default_rng([number, len(kind)])
                moving, map_px = turned(fixed, rng, kind == "similarity")

                def measured(fixed: Image = fixed, moving: Image = moving, way: Any = (map_px, kind)) -> list[float]:
                    found, seconds = ours(fixed, moving, way[1])
                    return [plane_gap_px(found, fixed.grid, way[0]), seconds]

                of = f"{name} {kind} {file.stem} {number}"
                row.add(*options.rows.ours(of, kind, measured), f"{file.stem}#{number}")
            row.show()


def turned(image: Image, rng: np.random.Generator, grows: bool) -> tuple[Image, Points]:
    """The picture turned, shifted, (grown) and, where in colour, dyed otherwise; and (2, 3) from its pixels back."""
    array = np.atleast_3d(np.asarray(image.array, np.float64))
    angle, size = rng.uniform(-np.pi, np.pi), rng.uniform(0.87, 1.15) if grows else 1.0
    linear = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array(array.shape[:2]) - 1) / 2
    offset = middle - linear @ (middle + rng.uniform(-0.08, 0.08, 2) * array.shape[0])
    channels = [ndimage.affine_transform(c, linear, offset, order=1, mode="nearest") for c in np.moveaxis(array, -1, 0)]
    seen = np.stack(channels, axis=-1)
    if seen.shape[-1] == 3:
        density = -np.log((seen + 1) / 256)
        seen = 256 * np.exp(-density @ np.array([[0.3, 0.9, 0.5], [0.8, 0.2, 0.1], [0.1, 0.4, 0.9]])) - 1
    seen = np.clip(seen + rng.normal(0, 3, seen.shape), 0, 255).astype(np.uint8)
    whole = image.with_array(seen.reshape(image.array.shape), "turned")
    return whole, np.concatenate([linear, offset[:, None]], axis=1)


def plane_gap_px(found: Transform, grid: Grid, map_px: Points) -> float:
    """Mean distance over the middle of a plane, px."""
    placed = grid.placed("a benchmark")
    ends = [np.linspace(0.2 * n, 0.8 * n, 7) for n in grid.shape]
    pixels = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 2)
    truth = placed.to_world(pixels @ map_px[:, :2].T + map_px[:, 2])
    gaps = np.linalg.norm(found.points(placed.to_world(pixels)) - truth, axis=1)
    return float(gaps.mean() / np.mean(grid.require_spacing("a benchmark")))


if __name__ == "__main__":
    main()
