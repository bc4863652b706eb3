"""Spine, ribs, breast bone, shoulder blades and collar bones."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.interpolate import PchipInterpolator

from hexscope.phantom.shape import Column, Ellipsoid, Layer, Segment, Vector, along, tube, turned
from hexscope.phantom.tissue import Tissue
from hexscope.phantom.trunk import CAGE_GAP, CAVITY, inset

CAGE: Column = inset(CAVITY, -CAGE_GAP)

_SPINE_HEIGHTS = (-240.0, -160.0, -110.0, -50.0, 20.0, 80.0, 140.0, 200.0)
_SPINE_DEPTHS = (24.0, 32.0, 38.0, 47.0, 52.0, 50.0, 40.0, 22.0)

# The twelve ribs of a side: how far each falls from spine to front (mm), and the angle at which its bone ends
# (degrees from the side towards the front).
_RIB_FALLS = (24.0, 38.0, 48.0, 55.0, 60.0, 65.0, 68.0, 69.0, 66.0, 58.0, 38.0, 22.0)
_RIB_ENDS = (-58.0, -60.0, -60.0, -58.0, -56.0, -53.0, -50.0, -38.0, -25.0, -10.0, 14.0, 36.0)
# Where the cartilage of ribs 1 to 10 meets the breast bone, or the cartilage above it (z in mm).
_CARTILAGE_ENDS = (100.0, 84.0, 62.0, 40.0, 20.0, 2.0, -10.0, -24.0, -48.0, -72.0)


def spine_y(z: float) -> float:
    """LPS y in mm of the middle of the vertebral bodies at height `z`: the curve of back and loin."""
    return float(PchipInterpolator(_SPINE_HEIGHTS, _SPINE_DEPTHS)(np.clip(z, -240.0, 200.0)))


def vertebra_heights() -> list[float]:
    """z in mm of the vertebrae, from the seventh of the neck over T1 (138) and T12 (-82) downwards."""
    chest = [138.0 - 20.0 * k for k in range(-2, 12)]
    return chest + [-105.0 - 26.0 * k for k in range(5)]


def _vertebra(z: float, half_height: float) -> list[Layer]:
    """One vertebra: body with its spongy inside, arch and processes; lower ones are larger."""
    growth = (160.0 - z) / 330.0
    wide, deep = 13.0 + 9.0 * growth, 10.5 + 5.5 * growth
    y = spine_y(z)
    arch_y = y + deep + 8.0
    slope = 16.0 if z > -90.0 else 4.0
    layers = [
        Layer(Tissue.BONE, Ellipsoid((0.0, y, z), (wide, deep, half_height), power=3.4)),
        Layer(Tissue.MARROW, Ellipsoid((0.0, y, z), (wide - 1.8, deep - 1.8, half_height - 1.6), power=3.4)),
        Layer(Tissue.BONE, Segment((0.0, arch_y, z - 4.0), (0.0, arch_y, z + 4.0), 13.0, 12.0)),
        Layer(
            Tissue.BONE,
            Segment((0.0, arch_y + 8.0, z), (0.0, arch_y + 23.0, z - slope), 5.5, 4.5, (1.0, 0.0, 0.0), 1.7),
        ),
    ]
    for side in (-1.0, 1.0):
        tip = (side * 31.0, arch_y + 6.0, z + 2.0)
        layers.append(Layer(Tissue.BONE, Segment((side * 9.0, arch_y, z), tip, 5.0, 4.0)))
    return layers


def spine_layers() -> list[Layer]:
    """Discs, vertebrae and the canal with the cord in its fluid."""
    heights = vertebra_heights()
    gaps = [upper - lower for upper, lower in itertools.pairwise(heights)]
    layers: list[Layer] = []
    for z, gap in zip(heights, gaps, strict=False):
        disc = (0.0, spine_y(z - gap / 2.0), z - gap / 2.0)
        growth = (160.0 - z) / 330.0
        layers.append(
            Layer(Tissue.CARTILAGE, Ellipsoid(disc, (12.5 + 9.0 * growth, 10.0 + 5.5 * growth, 3.6), power=3.0))
        )
    for z, gap in zip(heights, [*gaps, gaps[-1]], strict=True):
        layers.extend(_vertebra(z, gap / 2.0 - 2.4))
    path = np.array([[0.0, spine_y(z) + 18.5 + 5.5 * (160.0 - z) / 330.0, z] for z in np.arange(200.0, -241.0, -20.0)])
    for label, radius in ((Tissue.FLUID, 8.0), (Tissue.CORD, 5.0)):
        layers.extend(Layer(label, piece) for piece in tube(path, np.full(len(path), radius)))
    return layers


def _rib(number: int, side: float) -> list[Layer]:
    """Rib 1 to 12 of the left (`side` 1) or right (-1): bone, its spongy inside, cartilage in front."""
    z_back = 138.0 - 20.0 * (number - 1)
    fall, end = _RIB_FALLS[number - 1], _RIB_ENDS[number - 1]
    z_back += 2.5 * side  # the two sides of nobody's chest are quite alike
    angles = np.linspace(66.0, end, 22)
    part = (66.0 - angles) / (66.0 + 60.0)
    heights = z_back - fall * part**1.15
    neck = np.array([[12.0, spine_y(z_back) + 6.0, z_back + 3.0], [30.0, spine_y(z_back) + 22.0, z_back + 1.0]])
    wall = np.array([CAGE.surface(float(z), float(angle)) for z, angle in zip(heights, angles, strict=True)])
    path = np.concatenate([neck, wall])
    layers = _pressed_tube(Tissue.BONE, path, side, 6.6, 1.55)
    layers += _pressed_tube(Tissue.MARROW, path, side, 4.4, 1.75)
    if number <= 10:
        turns = np.linspace(end, -79.0 if number <= 7 else -64.0, 10)
        rise = np.linspace(0.0, 1.0, 10) ** 1.5
        zs = heights[-1] + (_CARTILAGE_ENDS[number - 1] - heights[-1]) * rise
        front = np.array([CAGE.surface(float(z), float(turn)) for z, turn in zip(zs, turns, strict=True)])
        layers = _pressed_tube(Tissue.CARTILAGE, front, side, 6.2, 1.5) + layers
    return layers


def _pressed_tube(label: Tissue, path: np.ndarray, side: float, radius: float, ratio: float) -> list[Layer]:
    """A tube along `path` (of the left; mirrored for the right), thinner across the wall than it is high."""
    placed = path * np.array([side, 1.0, 1.0])
    layers = []
    for start, end in itertools.pairwise(placed):
        outwards = np.array([(start[0] + end[0]) / 2.0 / 1.6, (start[1] + end[1]) / 2.0, 0.0])
        outwards /= np.linalg.norm(outwards)
        flat: Vector = (float(outwards[0]), float(outwards[1]), 0.0)
        ends: list[Vector] = [(float(p[0]), float(p[1]), float(p[2])) for p in (start, end)]
        layers.append(Layer(label, Segment(ends[0], ends[1], radius, radius, flat, ratio)))
    return layers


def _front_and_shoulders() -> list[Layer]:
    """Breast bone, collar bones and shoulder blades."""
    high, middle, low = (CAGE.surface(z, -90.0) for z in (104.0, 62.0, -14.0))
    path = np.stack([high, middle, low])
    layers: list[Layer] = []
    for label, trim, ratio in ((Tissue.BONE, 0.0, 3.2), (Tissue.MARROW, 3.0, 3.9)):
        radii = (24.0 - trim, 16.0 - trim, 15.0 - trim)
        for i in range(2):
            ends: list[Vector] = [(float(p[0]) + 1.0, float(p[1]), float(p[2])) for p in path[i : i + 2]]
            layers.append(Layer(label, Segment(ends[0], ends[1], radii[i], radii[i + 1], (0.0, 1.0, 0.0), ratio)))
    for side in (-1.0, 1.0):
        collar = np.array([[16.0, -56.0, 113.0], [60.0, -54.0, 128.0], [104.0, -30.0, 141.0], [140.0, -4.0, 146.0]])
        collar *= np.array([side, 1.0, 1.0])
        for label, radius in ((Tissue.BONE, 6.0), (Tissue.MARROW, 3.5)):
            layers.extend(Layer(label, piece) for piece in tube(collar, np.full(4, radius)))
        blade = turned((8.0, 4.0 * side, -27.0 * side))
        layers.append(Layer(Tissue.BONE, Ellipsoid((side * 95.0, 79.0, 72.0), (36.0, 3.6, 62.0), blade, 2.5)))
        ridge = ((side * 70.0, 86.0, 104.0), (side * 132.0, 62.0, 118.0))
        layers.append(Layer(Tissue.BONE, Segment(ridge[0], ridge[1], 4.5, 7.0, tuple(along((0, 1, 0.3))[:, 0]), 1.5)))
    return layers


def skeleton_layers() -> list[Layer]:
    """All bones, in the order in which they are painted."""
    layers = _front_and_shoulders()
    for number in range(1, 13):
        for side in (-1.0, 1.0):
            layers.extend(_rib(number, side))
    return layers + spine_layers()
