"""Reading a CT series: our reader and SimpleITK's series reader in one run, in CPU seconds.

    python benchmarks/reading.py [--slices 300] [--repeat 3] [--syntax plain rle jpeg-lossless jpeg-ls j2k htj2k]

The series is made here (512 x 512, a body with noise in 12 of 16 bits, as scanners write, shuffled names), so that
anyone gets the same. Each reader opens the folder in a process of its own; start-up and import (ours loads pydicom
when it first reads, SimpleITK at once) stand apart from reading. The voxels are compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import rle.rle
from pydicom.encaps import encapsulate

OURS = """
import sys, time, json
import hexscope as hx
import pydicom, pydicom.pixels, imagecodecs, rle
from hexscope.io.formats import FORMATS
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


SYNTAXES = {
    "plain": "1.2.840.10008.1.2.1",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg-lossless": "1.2.840.10008.1.2.4.70",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "j2k": "1.2.840.10008.1.2.4.90",
    "htj2k": "1.2.840.10008.1.2.4.201",
}


def make_series(folder: Path, slices: int) -> None:
    """A round body of about 40 HU with noise, in air; uncompressed, 12 bits unsigned."""
    import hexscope as hx

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:512, :512]
    body = np.where((y - 250) ** 2 / 1.6 + (x - 260) ** 2 / 2.4 < 150**2, 1040, 20).astype(np.float32)
    noise = rng.normal(0, 12, (slices, 512, 512)).astype(np.float32)
    array = (body + noise + 200 * np.sin(x / 40 + np.arange(slices)[:, None, None] / 9)).clip(0, 4095).astype(np.int16)
    affine = np.array([[0, 0, 0.7, -180], [0, 0.7, 0, -170], [1.25, 0, 0, -300], [0, 0, 0, 1.0]])
    image = hx.Image.from_array(array - 1024, hx.Grid(array.shape, affine), modality="CT", quantity="HU")
    hx.save(image, folder)
    order = rng.permutation(slices)
    for file, number in zip(sorted(folder.iterdir()), order, strict=True):
        dataset = pydicom.dcmread(file)
        dataset.PixelData = (dataset.pixel_array - np.int16(-1024 - int(dataset.RescaleIntercept))).tobytes()
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation, dataset.RescaleIntercept = 12, 11, 0, -1024
        dataset.save_as(folder / f"x{number:05d}")
        file.unlink()


def compressed(plain: Path, folder: Path, syntax: str) -> None:
    """The same files in another transfer syntax."""
    folder.mkdir()
    for path in plain.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.PixelData = encapsulate([encoded(dataset.pixel_array, syntax)])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = SYNTAXES[syntax]
        dataset.save_as(folder / path.name)


def encoded(array: np.ndarray, syntax: str) -> bytes:
    if syntax == "rle":
        return bytes(rle.rle.encode_frame(array.tobytes(), array.shape[0], array.shape[1], 1, 16, "<"))
    if syntax == "jpeg-lossless":
        return imagecodecs.jpeg8_encode(array, lossless=True, predictor=1, bitspersample=16)
    if syntax == "jpeg-ls":
        return imagecodecs.jpegls_encode(array)
    if syntax == "j2k":
        return imagecodecs.jpeg2k_encode(array, level=0, reversible=True, codecformat="j2k")
    return imagecodecs.htj2k_encode(array, reversible=True)


def timed(code: str, folder: Path) -> dict[str, float] | None:
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    return dict(json.loads(done.stdout)) if done.returncode == 0 else None


def compare(syntax: str, folder: Path, repeat: int) -> None:
    """Print one row of the table."""
    runs: dict[str, list[dict[str, float]]] = {"hexscope": [], "SimpleITK": []}
    for _ in range(repeat + 1):
        for reader, code in (("hexscope", OURS), ("SimpleITK", THEIRS)):
            if (row := timed(code, folder)) is not None:
                runs[reader].append(row)
    cpu, wall = (
        {r: float(np.median([x[k] for x in v[1:]])) for r, v in runs.items() if v} for k in ("cpu_s", "wall_s")
    )
    cells = [f"{cpu['hexscope']:>8.2f}{wall['hexscope']:>8.2f}"]
    if "SimpleITK" in cpu:
        same = len({row["sum"] for rows in runs.values() for row in rows}) == 1
        cells.append(f"{cpu['SimpleITK']:>8.2f}{wall['SimpleITK']:>8.2f}")
        cells.append(f"{cpu['SimpleITK'] / cpu['hexscope']:>8.2f}{wall['SimpleITK'] / wall['hexscope']:>8.2f}")
        cells.append("  equal" if same else "  DIFFER")
    print(f"{syntax:<16}" + "".join(cells), flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--slices", type=int, default=300)
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--syntax", nargs="+", choices=SYNTAXES, default=["plain"])
    chosen = options.parse_args()
    print(f"reading {chosen.slices} slices of 512 x 512, median of {chosen.repeat} (first run left out)")
    print(f"{'':<16}{'hexscope':>16}{'SimpleITK':>16}{'times as fast':>16}")
    print(f"{'syntax':<16}" + f"{'CPU s':>8}{'wall s':>8}" * 2 + f"{'CPU':>8}{'wall':>8}  voxels")
    with tempfile.TemporaryDirectory() as name:
        plain = Path(name) / "plain"
        make_series(plain, chosen.slices)
        for syntax in chosen.syntax:
            folder = plain if syntax == "plain" else Path(name) / syntax
            if folder != plain:
                compressed(plain, folder, syntax)
            compare(syntax, folder, chosen.repeat)


if __name__ == "__main__":
    main()
