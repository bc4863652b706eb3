"""Memory and time of registering a pair of 512 × 512 × 400 voxels, which has to stay under 6 GB.

Run:  python benchmarks/large_volumes.py [KIND ...]

KIND: rigid, deformable, accurate (several CPU minutes); all, where none is named. The pair is made, not real: a body of
air, tissue and bone with noise, int16 as a CT is stored; and the same turned by 3 degrees, shifted by 12 mm and bent by
4 mm RMS (sigma 30 mm). Each registration runs in a process of its own, from files to a file, its certificate included.
The peak is the most that this process held at any time, Python and its libraries (about 0.2 GB) and the images as they
were read included. The miss is the root mean square distance from the known motion in the middle of the body.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from deformable import gaussian_warp, root_gap
from scipy import ndimage

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.transform import Transform, rigid

SHAPE, SPACING_MM = (400, 512, 512), (0.9, 0.75, 0.75)
LIMIT_GB = 6.0
HOW = {
    "rigid": {"kind": "rigid"},
    "deformable": {"kind": "deformable"},
    "accurate": {"kind": "deformable", "speed": "accurate"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="*", help=", ".join(HOW))
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE, help="z y x, for a trial")
    parser.add_argument("--one", nargs=2, metavar=("KIND", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one[0], Path(options.one[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        grid = centred(tuple(options.shape), SPACING_MM)
        body = scene(grid)
        hx.save(seen(body, grid, Transform()), Path(folder, "fixed.nii"))
        hx.save(seen(body, grid, motion(grid)), Path(folder, "moving.nii"))
        print(f"{' x '.join(map(str, options.shape)):34}{'peak GB':>9}{'CPU-s':>8}{'wall s':>8}{'miss mm':>9}")
        for kind in options.kind or HOW:
            command = [sys.executable, __file__, "--one", kind, folder]
            environment = {**os.environ, "HEXSCOPE_THREADS": "1"}
            said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
            gb, cpu, wall, miss = json.loads(said.splitlines()[-1])
            word = "" if gb < LIMIT_GB else "  OVER THE LIMIT"
            print(f"{kind:34}{gb:9.2f}{cpu:8.1f}{wall:8.1f}{miss:9.2f}{word}", flush=True)


def one(kind: str, folder: Path) -> None:
    """Register once, in this process, and print what it took."""
    start, cpu = time.perf_counter(), time.process_time()
    fixed, moving = (hx.read(folder / f"{role}.nii") for role in ("fixed", "moving"))
    found = hx.register(fixed, moving, **HOW[kind])
    hx.save(found, folder / f"{kind}.h5")
    took = time.process_time() - cpu, time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    middle = np.stack(np.meshgrid(*(np.linspace(0.35, 0.65, 9) * n for n in fixed.grid.shape)), axis=-1)
    miss = root_gap(found, motion(fixed.grid), fixed.grid.to_world(middle.reshape(-1, 3)))
    print(json.dumps([peak, *took, miss]))


def centred(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> Grid:
    """An upright grid with its middle at 0."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing_mm
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    affine[3, 3] = 1.0
    return Grid(shape, affine)


def coarse(grid: Grid) -> Grid:
    """The same field in voxels four times as large."""
    return grid.with_shape([max(8, n // 4) for n in grid.shape])


def scene(grid: Grid) -> Image:
    """A body of soft tissue with bones and air in it, in air; HU."""
    small = coarse(grid)
    rng = np.random.default_rng(11)
    blobs = [ndimage.gaussian_filter(rng.standard_normal(small.shape), sigma) for sigma in (2.5, 4.0)]
    fine, wide = (blob / blob.std() for blob in blobs)
    away = [np.linspace(-1, 1, n) for n in small.shape]
    radius = sum(axis**2 for axis in np.meshgrid(0.9 * away[0], 1.35 * away[1], 1.15 * away[2], indexing="ij"))
    hu = 40 + 25 * fine
    hu = np.where(wide > 1.5, 600 + 150 * fine, np.where(wide < -1.6, -850.0, hu))
    hu = np.where(radius < 1 + 0.1 * wide, hu, -1000.0)
    return Image.from_array(hu.astype(np.float32), small, modality="CT", quantity="HU")


def motion(grid: Grid) -> Transform:
    """The moving image shows at p what lies at motion(p)."""
    return rigid((3.0, -2.0, 2.5), (8.0, -6.0, 7.0), (0.0, 0.0, 0.0)) @ gaussian_warp(4, coarse(grid), 30.0, 4.0)


def seen(body: Image, grid: Grid, known: Transform) -> Image:
    """The body on ``grid`` after the inverse of the known motion, with noise, as whole numbers."""
    values = hx.resample(body, grid, through=known.inverse).array
    noise = np.random.default_rng(1).normal(0, 15, (7, *grid.shape[1:])).astype(np.float32)
    whole = np.stack([np.round(plane + noise[z % 7]).astype(np.int16) for z, plane in enumerate(values)])
    return Image.from_array(whole, grid, modality="CT", quantity="HU")


if __name__ == "__main__":
    main()
