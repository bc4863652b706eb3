"""``hexscope info`` on a folder of many files: seconds and greatest memory, in a process of its own.

    python benchmarks/folder.py [--files 10000] [--elements 200]

The folder is made here: CT slices of 64 x 64, a hundred a series, each header filled up with private and public words
and one block of 20 KB, as makers do. The aim: under 2 GB at 10,000 files.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataelem import DataElement

import hexscope as hx

INFO = """
import resource, sys, time
import hexscope as hx
calls = []
start = time.process_time(), time.perf_counter()
found = hx.info(sys.argv[1], progress=lambda done, total: calls.append((done, total)))
cpu, wall = time.process_time() - start[0], time.perf_counter() - start[1]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{sum(len(s.files) for s in found.series)} files, {len(found.series)} series, {len(found.others)} left out")
print(f"{cpu:.1f} CPU s, {wall:.1f} s, {1e3 * cpu / max(calls[-1][1], 1):.2f} CPU ms a file, peak {peak:.0f} MB")
print(f"progress was told {len(calls)} times, last {calls[-1]}")
"""


def make_folder(folder: Path, files: int, elements: int) -> None:
    """One slice is written by us, the rest are copies of it with a place and a name of their own."""
    affine = np.array([[0, 0, 0.7, -180], [0, 0.7, 0, -170], [1.25, 0, 0, -300], [0, 0, 0, 1.0]])
    array = np.random.default_rng(0).integers(-1000, 1500, (1, 64, 64), dtype=np.int16)
    image = hx.Image.from_array(array, hx.Grid(array.shape, affine), modality="CT", quantity="HU")
    hx.save(image, folder / "first")
    (path,) = (folder / "first").iterdir()
    dataset = pydicom.dcmread(path)
    path.unlink()
    dataset.add(DataElement(0x00290010, "LO", "A MAKER"))
    dataset.add(DataElement(0x00291010, "OB", bytes(20_000)))
    for number in range(elements):
        dataset.add(DataElement(0x00291100 + number, "LO", f"a word of the maker {number}"))
    for number in range(files):
        series, k = divmod(number, 100)
        dataset.SeriesInstanceUID = f"1.2.3.{series}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{series}.{k}"
        dataset.ImagePositionPatient = [-180, -170, -300 + 1.25 * k]
        place = folder / f"s{series:04d}"
        place.mkdir(exist_ok=True)
        dataset.save_as(place / f"{k:03d}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=10_000)
    options.add_argument("--elements", type=int, default=200)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        make_folder(Path(name), chosen.files, min(chosen.elements, 0xEFF))
        done = subprocess.run([sys.executable, "-c", INFO, name], capture_output=True, text=True, check=True)
    print(done.stdout, end="")


if __name__ == "__main__":
    main()
