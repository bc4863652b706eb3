"""The H&E slide of a liver lesion: a synthetic growth that forms glands, at 0.5 um per pixel.

Colour follows Beer-Lambert: light through the slide is white * 10 ** -(h * H + e * E) (Ruifrok and Johnston
2001, Anal Quant Cytol Histol 23:291), with the optical-density vectors that QuPath takes for H&E
(doi:10.1038/s41598-017-17204-5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from hexscope.phantom.cell import Patch, gland, lymphocytes, stroma

MICRONS_PER_PIXEL = 0.5
SHAPE = (4000, 6000)
_COARSE = 20
"""Pixels per node of the smooth maps (outline of the tissue, extent of the tumour)."""
_TILE = 1024
_WHITE = np.array([244.0, 242.0, 245.0])
_HEMATOXYLIN = np.array([0.651, 0.701, 0.290])
_EOSIN = np.array([0.216, 0.801, 0.558])
_UNIT = 0.008
"""Optical density of one step of a stain map stored in bytes."""


@dataclass(frozen=True, eq=False)
class Slide:
    """A whole slide.

    Attributes:
        rgb: (4000, 6000, 3) uint8.
        microns_per_pixel: its spacing.
        tissue: (200, 300) bool, one node for 20 x 20 pixels: where tissue lies.
        tumour: the same nodes: where the malignant glands are.
        glands: number of glands painted, benign and malignant.
    """

    rgb: NDArray[np.uint8]
    microns_per_pixel: float
    tissue: NDArray[np.bool_]
    tumour: NDArray[np.bool_]
    glands: tuple[int, int]

    def area_mm2(self, mask: NDArray[np.bool_]) -> float:
        """Area in mm2 of `tissue` or `tumour`."""
        side = self.microns_per_pixel * _COARSE / 1000.0
        return float(mask.sum() * side * side)


def render_slide(rng: np.random.Generator) -> Slide:
    """Paint the slide: connective tissue, glands, lymphocytes, the outline; then stain it."""
    outline, tumour = _extents(rng)
    maps = _background(rng)
    counts = _place_patches(maps, outline, tumour, rng)
    shade = _enlarge(outline)
    shade += np.tile(_ragged_edge(rng), (4, 6))[: SHAPE[0], : SHAPE[1]]
    outside = shade <= 0.0
    for stain in maps:
        stain[outside] = 0
    middle = slice(_COARSE // 2, None, _COARSE)
    tissue = ~outside[middle, middle]
    return Slide(_stain(maps), MICRONS_PER_PIXEL, tissue, tissue & (tumour > 0.0), counts)


def _extents(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two smooth maps (200, 300), positive inside: the tissue (two islands), and the tumour in it."""
    rows, columns = np.mgrid[: SHAPE[0] // _COARSE, : SHAPE[1] // _COARSE].astype(np.float32)
    wobble = gaussian_filter(rng.standard_normal((2, *rows.shape), dtype=np.float32), (0.0, 9.0, 9.0))
    wobble /= wobble.std()
    large = 1.0 - np.hypot((rows - 98.0) / 80.0, (columns - 128.0) / 106.0)
    small = 0.45 * (1.0 - np.hypot((rows - 66.0) / 42.0, (columns - 267.0) / 21.0))
    growth = 1.0 - np.hypot((rows - 84.0) / 52.0, (columns - 158.0) / 60.0)
    return np.maximum(large, small) + 0.055 * wobble[0], (growth + 0.10 * wobble[1]).astype(np.float32)


def _background(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Connective tissue everywhere: one tile repeated, with a slow change of strength to hide that."""
    tile = stroma(_TILE, rng)
    slow = gaussian_filter(rng.standard_normal((SHAPE[0] // _COARSE, SHAPE[1] // _COARSE), dtype=np.float32), 14.0)
    gain = _enlarge(0.92 + 0.17 * slow / slow.std())
    repeats = (-(-SHAPE[0] // _TILE), -(-SHAPE[1] // _TILE))
    hematoxylin = np.tile(_bytes(tile.hematoxylin), repeats)[: SHAPE[0], : SHAPE[1]].copy()
    eosin = np.tile(tile.eosin / np.float32(_UNIT), repeats)[: SHAPE[0], : SHAPE[1]]
    eosin *= gain
    return hematoxylin, np.clip(eosin, 0.0, 255.0).astype(np.uint8)


def _place_patches(
    maps: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    outline: NDArray[np.float32],
    tumour: NDArray[np.float32],
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Set glands, crowded in the tumour and scattered elsewhere, and lymphocytes at its border, in place."""
    kinds = {malignant: [gland(malignant, rng) for _ in range(12)] for malignant in (False, True)}
    counts = {False: 0, True: 0}
    taken: list[tuple[float, float, float]] = []
    for y, x in rng.uniform((0.0, 0.0), SHAPE, (4200, 2)):
        node = (int(y) // _COARSE, int(x) // _COARSE)
        malignant = bool(tumour[node] > 0.0)
        room = 92.0 if malignant else 165.0
        if outline[node] < 0.06 or any((y - v) ** 2 + (x - u) ** 2 < (room + other) ** 2 for v, u, other in taken):
            continue
        taken.append((float(y), float(x), room))
        counts[malignant] += 1
        _stamp(maps, kinds[malignant][int(rng.integers(12))], int(y), int(x), rng)
    cluster = lymphocytes(rng)
    border = np.argwhere((np.abs(tumour) < 0.05) & (outline > 0.12))
    for row, column in border[rng.integers(0, len(border), 16)]:
        _stamp(maps, cluster, int(row) * _COARSE, int(column) * _COARSE, rng)
    return counts[False], counts[True]


def _stamp(
    maps: tuple[NDArray[np.uint8], NDArray[np.uint8]], patch: Patch, y: int, x: int, rng: np.random.Generator
) -> None:
    """Lay a patch, turned and perhaps mirrored at random, on the maps about (y, x), in place."""
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    parts = [np.rot90(part, turns) for part in (patch.hematoxylin, patch.eosin, patch.cover)]
    if flip:
        parts = [part[:, ::-1] for part in parts]
    top, left = y - parts[0].shape[0] // 2, x - parts[0].shape[1] // 2
    rows = slice(max(top, 0), min(top + parts[0].shape[0], SHAPE[0]))
    columns = slice(max(left, 0), min(left + parts[0].shape[1], SHAPE[1]))
    cut = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    cover = parts[2][cut]
    for stain, part in zip(maps, parts[:2], strict=True):
        mixed = stain[rows, columns] * (1.0 - cover) + part[cut] / _UNIT * cover
        stain[rows, columns] = np.clip(mixed, 0.0, 255.0).astype(np.uint8)


def _bytes(stain: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(stain / _UNIT, 0.0, 255.0), dtype=np.uint8)


def _ragged_edge(rng: np.random.Generator) -> NDArray[np.float32]:
    """A small rough map, (1024, 1024), that frays the outline of the tissue."""
    rough = gaussian_filter(rng.standard_normal((_TILE, _TILE), dtype=np.float32), 7.0, mode="wrap")
    return np.asarray(0.006 * rough / rough.std(), dtype=np.float32)


def _enlarge(coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """A coarse map brought to all pixels, (4000, 6000), by a cubic curve."""
    picture = Image.fromarray(np.asarray(coarse, dtype=np.float32))
    return np.array(picture.resize((SHAPE[1], SHAPE[0]), Image.Resampling.BICUBIC), dtype=np.float32)


def _stain(maps: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Beer-Lambert: two stain maps in bytes -> RGB (y, x, 3) uint8."""
    density = np.arange(256) * _UNIT
    light = 10.0 ** -(density[:, None, None] * _HEMATOXYLIN + density[None, :, None] * _EOSIN)
    colours = np.rint(_WHITE * light).astype(np.uint8).reshape(-1, 3)  # one row for each pair of amounts
    pairs = maps[0].astype(np.uint16) << 8 | maps[1]
    found: NDArray[np.uint8] = colours[pairs]
    return found
