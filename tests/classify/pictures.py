"""Small made-up cases: noise with a bright blob in one half (class "spot") or without (class "plain")."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

import hexscope as hx


def picture(rng: np.random.Generator, shape: tuple[int, ...], marks: tuple[str, ...]) -> np.ndarray:
    """uint8; "spot" is a bright blob in the upper half, "band" a dark band along the last axis in the lower."""
    out = rng.normal(110, 12, shape)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    if "spot" in marks:
        middle = [-0.5, *rng.uniform(-0.4, 0.4, len(shape) - 1)]
        out += 90 * (np.sqrt(sum((a - m) ** 2 for a, m in zip(axes, middle, strict=True))) < 0.3)
    if "band" in marks:
        out -= 60 * (np.abs(axes[0] - rng.uniform(0.4, 0.7)) < 0.12)
    return np.clip(out, 0, 255).astype(np.uint8)


def write_table(
    folder: Path, count: int = 30, *, shape: tuple[int, ...] = (33, 47), several: bool = False, colour: bool = False
) -> Path:
    """A table of ``count`` cases of half as many patients; ``several``: marks that do not exclude each other."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        spot, band = bool(number % 4 < 2), bool(number % 3 == 0)
        marks = tuple(name for name, there in (("spot", spot), ("band", band and several)) if there)
        array = picture(rng, shape, marks)
        if colour:
            array = np.stack([array, array // 2, 255 - array], axis=-1)
        ending = "nii.gz" if len(shape) == 3 else "png"
        grid = hx.Grid(shape, np.diag([3.0, 0.7, 0.5, 1.0])) if len(shape) == 3 else hx.Grid(shape, plane="unknown")
        more = {"quantity": hx.Quantity.RGB, "axes": ("y", "x", "c")} if colour else {}
        hx.save(hx.Image.from_array(array, grid, **more), folder / f"i{number}.{ending}")
        label = "|".join(marks) or "|" if several else marks[0] if marks else "plain"
        rows.append({"case": f"c{number}", "group": f"g{number // 2}", "image": f"i{number}.{ending}", "label": label})
    with (folder / "cases.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "cases.csv"
