"""Cells and glands of the synthetic H&E slide, painted as amounts of the two stains.

A stain map is float32 (y, x); 1.0 is an optical density of 1 along the stain's own colour. All lengths are
pixels of 0.5 um.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

Stain = NDArray[np.float32]
Edge = Callable[[NDArray[Any]], NDArray[np.float64]]
"""The outline of a gland: angle in radians -> distance from its centre."""


@dataclass(frozen=True, eq=False)
class Patch:
    """Hematoxylin, eosin, and how far both cover what lies beneath (0 to 1); all (y, x) float32."""

    hematoxylin: Stain
    eosin: Stain
    cover: Stain


@dataclass(frozen=True)
class Nucleus:
    """An elliptic nucleus; `angle` is that of its long axis in radians, from x to y."""

    centre: tuple[float, float]
    half_axes: tuple[float, float]
    angle: float
    density: float


def paint_nuclei(hematoxylin: Stain, eosin: Stain, nuclei: list[Nucleus], rng: np.random.Generator) -> None:
    """Paint nuclei on the maps, in place; they wrap around the edges, so that tiles join without a seam.

    A nucleus is darker at its rim (the membrane), mottled inside (chromatin), and pushes the eosin of its
    cell aside.
    """
    mottle = gaussian_filter(rng.standard_normal((64, 64), dtype=np.float32), 1.3, mode="wrap")
    mottle /= mottle.std()
    for nucleus in nuclei:
        reach = int(max(nucleus.half_axes)) + 3
        y0, x0 = (round(value) for value in nucleus.centre)
        off_y, off_x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
        off_y += y0 - nucleus.centre[0]
        off_x += x0 - nucleus.centre[1]
        cos, sin = np.cos(nucleus.angle), np.sin(nucleus.angle)
        out = np.hypot(
            (off_x * cos + off_y * sin) / nucleus.half_axes[0],
            (off_y * cos - off_x * sin) / nucleus.half_axes[1],
        )
        cover = np.clip((1.12 - out) * min(nucleus.half_axes) * 0.6, 0.0, 1.0)
        start = int(rng.integers(0, 64 - min(2 * reach + 1, 63)))
        grain = np.take(
            np.take(mottle, np.arange(start, start + 2 * reach + 1), 0, mode="wrap"),
            np.arange(2 * reach + 1),
            1,
            mode="wrap",
        )
        ink = nucleus.density * (0.82 + 0.16 * grain + 0.3 * np.exp(-(((out - 0.9) / 0.16) ** 2)))
        place = np.ix_(
            np.arange(y0 - reach, y0 + reach + 1) % hematoxylin.shape[0],
            np.arange(x0 - reach, x0 + reach + 1) % hematoxylin.shape[1],
        )
        hematoxylin[place] = np.maximum(hematoxylin[place], cover * ink)
        eosin[place] *= 1.0 - 0.55 * cover


def stroma(size: int, rng: np.random.Generator) -> Patch:
    """A square of connective tissue that joins itself on all sides: wavy fibres, clefts, spindle nuclei."""
    noise = gaussian_filter(rng.standard_normal((size, size), dtype=np.float32), (1.6, 16.0), mode="wrap")
    bend = gaussian_filter(rng.standard_normal((2, size, size), dtype=np.float32), (0.0, 60.0, 60.0), mode="wrap")
    bend *= 38.0 / bend.std()
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    fibres = map_coordinates(noise, [rows + bend[0], columns + bend[1]], order=1, mode="grid-wrap")
    fibres /= fibres.std()
    fine = gaussian_filter(rng.standard_normal((size, size), dtype=np.float32), 0.9, mode="wrap")
    eosin = 0.27 + 0.055 * fibres + 0.045 * fine / fine.std()
    eosin *= 1.0 - 0.85 * np.clip((-fibres - 1.7) * 1.6, 0.0, 1.0)  # clefts between the fibres
    hematoxylin = (0.05 + 0.015 * fine / fine.std()).astype(np.float32)
    slope = np.arctan2(-np.gradient(bend[0], axis=1), np.ones_like(rows))
    nuclei = []
    for y, x in rng.uniform(0, size, (int(size * size / 5600), 2)):
        half = (rng.uniform(9.0, 15.0), rng.uniform(2.6, 4.4))
        angle = float(slope[int(y), int(x)] + rng.normal(0.0, 0.18))
        nuclei.append(Nucleus((float(y), float(x)), half, angle, float(rng.uniform(0.6, 0.95))))
    eosin = np.clip(eosin, 0.02, 1.0).astype(np.float32)
    paint_nuclei(hematoxylin, eosin, nuclei, rng)
    return Patch(hematoxylin, eosin, np.ones((size, size), np.float32))


def gland(malignant: bool, rng: np.random.Generator) -> Patch:
    """One gland cut across: a ring of column cells about a white lumen.

    A benign gland is round, its nuclei small and in one row at the base. A malignant one is ragged, its lumen
    narrow, its nuclei large, dark and at all heights.
    """
    radius = rng.uniform(74.0, 124.0) if malignant else rng.uniform(84.0, 118.0)
    wave = (0.08 if malignant else 0.045) * rng.normal(size=4)
    phase = rng.uniform(0.0, 2.0 * np.pi, 4)
    size = 2 * int(radius * 1.55) + 1
    y, x = np.mgrid[:size, :size].astype(np.float32) - size // 2
    squeeze = rng.uniform(0.72, 1.0)
    distance, angle = np.hypot(y / squeeze, x), np.arctan2(y / squeeze, x)

    def edge(theta: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(radius * (1.0 + sum(wave[k] * np.cos((k + 2) * theta + phase[k]) for k in range(4))))

    outer = edge(angle)
    height = rng.uniform(40.0, 56.0) if malignant else rng.uniform(34.0, 42.0)
    ragged = gaussian_filter(rng.standard_normal((size, size), dtype=np.float32), 5.0)
    inner = outer - height + (9.0 if malignant else 3.0) * ragged / ragged.std()
    fine = gaussian_filter(rng.standard_normal((size, size), dtype=np.float32), 1.0)
    fine /= fine.std()
    walls = np.abs(np.sin(angle * radius / 9.0))  # one cell each 18 pixels or so
    lumen = np.clip((inner - distance) / 2.5, 0.0, 1.0)
    eosin = (0.30 + 0.04 * fine + 0.05 * (walls < 0.12)) * (1.0 - lumen) + 0.03 * lumen
    hematoxylin = (0.17 + 0.03 * fine) * (1.0 - lumen) + 0.035 * lumen
    cover = np.clip((outer - distance) / 2.0, 0.0, 1.0)
    eosin, hematoxylin = eosin.astype(np.float32), hematoxylin.astype(np.float32)
    paint_nuclei(hematoxylin, eosin, _row_of_nuclei(malignant, edge, squeeze, size, rng), rng)
    return Patch(hematoxylin, eosin, cover.astype(np.float32))


def _row_of_nuclei(malignant: bool, edge: Edge, squeeze: float, size: int, rng: np.random.Generator) -> list[Nucleus]:
    """Nuclei around a gland whose outline is `edge(angle)`, long axis towards the lumen."""
    radius = float(np.mean(edge(np.linspace(0.0, 2.0 * np.pi, 90))))
    count = int(2.0 * np.pi * radius / (10.5 if malignant else 13.5))
    nuclei = []
    for theta in np.linspace(0.0, 2.0 * np.pi, count, endpoint=False) + rng.normal(0.0, 0.02, count):
        depth = rng.uniform(11.0, 33.0) if malignant else rng.normal(12.5, 1.4)
        at = float(edge(np.array(theta))) - depth
        centre = (size // 2 + at * np.sin(theta) * squeeze, size // 2 + at * np.cos(theta))
        long, wide = (
            (rng.uniform(9.0, 14.0), rng.uniform(5.2, 8.0))
            if malignant
            else (rng.uniform(7.5, 9.5), rng.uniform(4.2, 5.4))
        )
        density = rng.uniform(0.85, 1.35) if malignant else rng.uniform(0.8, 1.0)
        nuclei.append(
            Nucleus(
                (float(centre[0]), float(centre[1])),
                (long, wide),
                float(theta + rng.normal(0.0, 0.12)),
                float(density),
            )
        )
    return nuclei


def lymphocytes(rng: np.random.Generator) -> Patch:
    """A cluster of small, round, very dark nuclei with hardly any body around them."""
    size = 420
    maps = np.zeros((2, size, size), np.float32)
    nuclei = []
    for y, x in rng.normal(size / 2.0, size / 7.5, (260, 2)):
        half = float(rng.uniform(4.6, 6.2))
        nuclei.append(
            Nucleus(
                (float(np.clip(y, 12, size - 12)), float(np.clip(x, 12, size - 12))),
                (half, half * 0.92),
                0.0,
                float(rng.uniform(1.0, 1.35)),
            )
        )
    maps[1] += 0.2
    paint_nuclei(maps[0], maps[1], nuclei, rng)
    return Patch(maps[0], maps[1], np.clip(gaussian_filter((maps[0] > 0.1).astype(np.float32), 0.8), 0.0, 1.0))
