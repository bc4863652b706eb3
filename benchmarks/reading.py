"""Reading a CT series: our reader and SimpleITK's series reader in one run, in CPU seconds.

    python benchmarks/reading.py [--slices 300] [--repeat 3]

The series is made here (512 x 512, uncompressed, shuffled names), so that anyone gets the same. Each reader opens the
folder cold in a process of its own; start-up and import are told apart from reading. The voxels are compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

OURS = """
import sys, time, json
import hexscope as hx
hx.read
start = time.process_time(), time.perf_counter()
image = hx.read(sys.argv[1])
array = image.array
cpu, wall = time.process_time() - start[0], time.perf_counter() - start[1]
print(json.dumps({"cpu_s": cpu, "wall_s": wall, "sum": int(array.sum(dtype="int64")), "shape": array.shape}))
"""
THEIRS = """
import sys, time, json
import SimpleITK as sitk
start = time.process_time(), time.perf_counter()
reader = sitk.ImageSeriesReader()
reader.SetFileNames(reader.GetGDCMSeriesFileNames(sys.argv[1]))
image = reader.Execute()
array = sitk.GetArrayViewFromImage(image)
cpu, wall = time.process_time() - start[0], time.perf_counter() - start[1]
print(json.dumps({"cpu_s": cpu, "wall_s": wall, "sum": int(array.sum(dtype="int64")), "shape": array.shape}))
"""


def make_series(folder: Path, slices: int) -> None:
    import hexscope as hx

    rng = np.random.default_rng(0)
    array = rng.integers(-1000, 1500, (slices, 512, 512), dtype=np.int16)
    affine = np.array([[0, 0, 0.7, -180], [0, 0.7, 0, -170], [1.25, 0, 0, -300], [0, 0, 0, 1.0]])
    image = hx.Image.from_array(array, hx.Grid(array.shape, affine), modality="CT", quantity="HU")
    hx.save(image, folder)
    order = rng.permutation(slices)
    for file, number in zip(sorted(folder.iterdir()), order, strict=True):
        file.rename(folder / f"x{number:05d}")


def timed(code: str, folder: Path) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--slices", type=int, default=300)
    options.add_argument("--repeat", type=int, default=3)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "ct"
        make_series(folder, chosen.slices)
        runs: dict[str, list[dict[str, float]]] = {"hexscope": [], "SimpleITK": []}
        for _ in range(chosen.repeat + 1):
            runs["hexscope"].append(timed(OURS, folder))
            runs["SimpleITK"].append(timed(THEIRS, folder))
    print(f"reading {chosen.slices} slices of 512 x 512, median of {chosen.repeat} (first run left out)")
    print(f"{'reader':<12}{'CPU s':>8}{'wall s':>8}  voxels")
    medians = {}
    for reader, rows in runs.items():
        rows = rows[1:]
        medians[reader] = float(np.median([r["cpu_s"] for r in rows]))
        wall = float(np.median([r["wall_s"] for r in rows]))
        same = rows[0]["sum"] == runs["SimpleITK"][0]["sum"]
        print(f"{reader:<12}{medians[reader]:>8.2f}{wall:>8.2f}  {'equal' if same else 'DIFFER'}")
    print(f"ratio SimpleITK / hexscope: {medians['SimpleITK'] / medians['hexscope']:.2f}")


if __name__ == "__main__":
    main()
