"""The H&E slide of a liver lesion: a synthetic gland-forming growth in connective tissue, as a pyramid at 0.5 um per pixel.

Colour follows Beer-Lambert: light through the slide is white * 10 ** -(h * H + e * E) (Ruifrok and Johnston 2001, Anal Quant
Cytol Histol 23:291), with the optical-density vectors that QuPath takes for H&E (doi:10.1038/s41598-017-17204-5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from .cell import Patch, gland, lymphocytes, stroma

MICRONS_PER_PIXEL = 0.5
SHAPE = (4000, 6000)
_LEVELS = 3
_FACTOR = 4
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
        levels: RGB (y, x, 3) uint8, each 4 times smaller than the one before.
        microns_per_pixel: of the first level.
        tissue: (y, x) bool on the grid of the last level: where tissue lies.
        tumour: the same grid: where the malignant glands are.
        glands: number of glands painted, benign and malignant.
    """

    levels: tuple[NDArray[np.uint8], ...]
    microns_per_pixel: float
    tissue: NDArray[np.bool_]
    tumour: NDArray[np.bool_]
    glands: tuple[int, int]

    def area_mm2(self, mask: NDArray[np.bool_]) -> float:
        """Area in mm2 of a mask on the grid of the last level."""
        side = self.microns_per_pixel * _FACTOR ** (len(self.levels) - 1) / 1000.0
        return float(mask.sum() * side * side)


def render_slide(rng: np.random.Generator) -> Slide:
    """Paint the slide: connective tissue, glands, lymphocytes, the outline; then stain it and build the pyramid.

    Returns:
        levels of (4000, 6000, 3), (1000, 1500, 3) and (250, 375, 3).
    """
    outline, tumour = _extents(rng)
    maps = _background(rng)
    counts = _place_patches(maps, outline, tumour, rng)
    shade = _enlarge(outline)
    shade += np.tile(_ragged_edge(rng), (4, 6))[: SHAPE[0], : SHAPE[1]]
    outside = shade <= 0.0
    for stain in maps:
        stain[outside] = 0
    levels = [_stain(maps)]
    for _ in range(_LEVELS - 1):
        levels.append(_shrink(levels[-1]))
    small = _FACTOR ** (_LEVELS - 1)
    tissue = ~outside[small // 2 :: small, small // 2 :: small]
    mask = tissue & (_enlarge(tumour)[small // 2 :: small, small // 2 :: small] > 0.0)
    return Slide(tuple(levels), MICRONS_PER_PIXEL, tissue, mask, counts)


def _extents(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two smooth maps of (200, 300), positive inside: the tissue (a large island and a small one), and the tumour in it."""
    rows, columns = np.mgrid[: SHAPE[0] // _COARSE, : SHAPE[1] // _COARSE].astype(np.float32)
    wobble = gaussian_filter(rng.standard_normal((2, *rows.shape), dtype=np.float32), (0.0, 9.0, 9.0))
    wobble /= wobble.std()
    large = 1.0 - np.hypot((rows - 98.0) / 80.0, (columns - 128.0) / 106.0)
    small = 0.45 * (1.0 - np.hypot((rows - 66.0) / 42.0, (columns - 267.0) / 21.0))
    growth = 1.0 - np.hypot((rows - 84.0) / 52.0, (columns - 158.0) / 60.0)
    return np.maximum(large, small) + 0.055 * wobble[0], (growth + 0.10 * wobble[1]).astype(np.float32)


def _background(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Connective tissue over the whole slide: one tile repeated, made lighter and darker by a slow map so that it does not show."""
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
    """Set glands on the maps, in place, crowded in the tumour and scattered elsewhere, and lymphocytes at its border."""
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


def _stamp(maps: tuple[NDArray[np.uint8], NDArray[np.uint8]], patch: Patch, y: int, x: int, rng: np.random.Generator) -> None:
    """Lay a patch, turned by a random quarter and perhaps mirrored, on the maps about (y, x), in place; edges are cut off."""
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
    return np.clip(stain / _UNIT, 0.0, 255.0).astype(np.uint8)


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
    return colours[pairs]


def _shrink(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The next level: the mean of each 4 x 4 pixels."""
    image = Image.fromarray(rgb).reduce(_FACTOR)
    return np.array(image, dtype=np.uint8)
