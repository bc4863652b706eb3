"""Where voxels lie: random oblique grids through DICOM and NIfTI and back, SimpleITK, nibabel, highdicom beside us.

    python benchmarks/geometry.py [--grids 1000]

Prints the largest distance by which any voxel centre moved, over all grids, and who else agrees.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

import hexscope as hx


def random_grid(rng: np.random.Generator) -> hx.Grid:
    """Three unequal sides and spacings, any orientation, either handedness, far from the origin."""
    shape = tuple(int(n) for n in rng.choice(np.arange(2, 12), 3, replace=False))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(rng=rng).as_matrix() * rng.uniform(0.3, 5.0, 3)
    affine[:3, 3] = rng.uniform(-800, 800, 3)
    return hx.Grid(shape, affine)


def moved_mm(image: hx.Image, again: hx.Image) -> float:
    """How far the voxel centres of equal values lie apart, at most; every value is its own."""
    first = {int(v): p for v, p in zip(image.array.ravel(), _points(image.grid), strict=True)}
    second = {round(float(v)): p for v, p in zip(again.array.ravel(), _points(again.grid), strict=True)}
    assert first.keys() == second.keys(), "values were lost"
    return float(max(np.linalg.norm(first[v] - second[v]) for v in first))


def _points(grid: hx.Grid) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return grid.to_world(index).reshape(-1, 3)


def by_simpleitk(path: Path) -> hx.Image:
    """What SimpleITK reads, as an image of ours made from its own origin, spacing and direction."""
    if path.is_dir():
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
        image = reader.Execute()
    else:
        image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = (np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing())[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    array = sitk.GetArrayFromImage(image)
    return hx.Image.from_array(array, hx.Grid(array.shape, affine))


def by_nibabel(path: Path) -> hx.Image:
    image = nib.load(path)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine[:, [2, 1, 0, 3]]
    array = np.asarray(image.dataobj).T
    return hx.Image.from_array(array, hx.Grid(array.shape, affine))


def round_trips(grids: int) -> dict[str, list[float]]:
    rng = np.random.default_rng(2026)
    rows: dict[str, list[float]] = {}
    for _ in range(grids):
        grid = random_grid(rng)
        array = rng.permutation(int(np.prod(grid.shape))).astype(np.int16).reshape(grid.shape)
        image = hx.Image.from_array(array, grid, modality="CT", quantity="HU")
        with tempfile.TemporaryDirectory() as name:
            nifti, series = Path(name) / "x.nii.gz", Path(name) / "series"
            hx.save(image, nifti)
            hx.save(image, series)
            rows.setdefault("NIfTI, ours", []).append(moved_mm(image, hx.read(nifti)))
            rows.setdefault("NIfTI, nibabel", []).append(moved_mm(image, by_nibabel(nifti)))
            rows.setdefault("NIfTI, SimpleITK", []).append(moved_mm(image, by_simpleitk(nifti)))
            rows.setdefault("DICOM, ours", []).append(moved_mm(image, hx.read(series)))
            rows.setdefault("DICOM, SimpleITK", []).append(moved_mm(image, by_simpleitk(series)))
    return rows


def seg_on_an_oblique_grid() -> list[str]:
    rng = np.random.default_rng(7)
    grid = hx.Grid((9, 31, 23), random_grid(rng).affine)
    values = rng.integers(-1000, 1000, grid.shape, dtype=np.int16)
    image = hx.Image.from_array(values, grid, modality="CT", quantity="HU")
    truth = np.zeros(grid.shape, np.uint8)
    truth[2:8, 5:20, 4:11] = 1
    truth[3:5, 22:30, 13:21] = 2
    lines = []
    with tempfile.TemporaryDirectory() as name:
        hx.save(image, Path(name) / "ct")
        source = hx.read(Path(name) / "ct")
        labels = hx.resample(hx.Mask.from_array(truth, grid, {1: "liver", 2: "lesion"}), source.grid)
        out = Path(name) / "seg.dcm"
        hx.save(labels, out, source=source)
        volume = hd.seg.segread(out).get_volume(combine_segments=True)
        theirs = hx.Image.from_array(volume.array.astype(np.int16), hx.Grid(volume.array.shape, volume.affine))
        ours = hx.Mask.from_array(theirs.array, theirs.grid)
        there = hx.resample(ours, source.grid).array
        for value, label in ((1, "liver"), (2, "lesion")):
            a, b = there == value, labels.array == value
            lines.append(f"SEG read by highdicom, {label}: Dice {2 * (a & b).sum() / (a.sum() + b.sum()):.4f}")
        tool = shutil.which("dciodvfy")
        if tool is None:
            lines.append("dciodvfy is not installed: not checked")
        else:
            for file in (out, next((Path(name) / "ct").iterdir())):
                said = subprocess.run([tool, str(file)], capture_output=True, text=True, check=False).stderr
                what = "SEG" if file == out else "CT slice"
                lines.append(f"dciodvfy, {what}: {said.count('Error')} errors")
    return lines


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--grids", type=int, default=1000)
    rows = round_trips(options.parse_args().grids)
    print(f"{'through, read by':<20}{'grids':>7}{'largest move mm':>18}{'over 1e-3 mm':>14}")
    for what, moves in rows.items():
        far = sum(m > 1e-3 for m in moves)
        print(f"{what:<20}{len(moves):>7}{max(moves):>18.2e}{far:>14}")
    for line in seg_on_an_oblique_grid():
        print(line)
    return int(any(max(rows[k]) > 1e-3 for k in ("NIfTI, ours", "DICOM, ours")))


if __name__ == "__main__":
    sys.exit(main())
