"""The organs of the upper belly, and the muscles beside the spine."""

from __future__ import annotations

import numpy as np

from hexscope.phantom.shape import Both, Ellipsoid, Half, Layer, Vector, tube, turned
from hexscope.phantom.tissue import Tissue
from hexscope.phantom.trunk import below_diaphragm

_GAS_LEVEL = 46.0
"""The patient lies on the back: gas rises to the front of stomach and gut, there where y < -46 mm."""


def liver_layers() -> list[Layer]:
    """The liver: right lobe under the dome of the diaphragm, thin left lobe across the middle."""
    dome = below_diaphragm(4.0)
    right = Ellipsoid((-70.0, -6.0, -72.0), (70.0, 84.0, 80.0), turned((14.0, 0.0, 12.0)), 2.4)
    tip = Ellipsoid((-94.0, -14.0, -126.0), (32.0, 48.0, 42.0), turned((0.0, 8.0, 0.0)))
    left = Ellipsoid((-4.0, -46.0, -52.0), (66.0, 34.0, 33.0), turned((0.0, -14.0, 10.0)))
    layers = [Layer(Tissue.LIVER, Both((part, dome))) for part in (right, tip, left)]
    fissure = Ellipsoid((-30.0, -62.0, -94.0), (5.0, 26.0, 30.0), turned((0.0, 0.0, 10.0)))
    layers.append(Layer(Tissue.FAT, fissure, over=(Tissue.LIVER,)))
    return layers


def stomach_and_spleen_layers() -> list[Layer]:
    """Spleen (left, behind), stomach with its fluid and gas, pancreas across the middle."""
    path = np.array(
        [
            [58.0, 12.0, -44.0],
            [66.0, -18.0, -66.0],
            [56.0, -48.0, -98.0],
            [20.0, -60.0, -120.0],
            [-18.0, -46.0, -112.0],
        ]
    )
    radii = np.array([30.0, 31.0, 25.0, 18.0, 11.0])
    dome = below_diaphragm(5.0)
    spleen = Ellipsoid((102.0, 36.0, -66.0), (25.0, 42.0, 52.0), turned((24.0, 10.0, -28.0)), 2.2)
    pancreas = np.array(
        [
            [-24.0, -22.0, -124.0],
            [-8.0, -26.0, -110.0],
            [14.0, -12.0, -102.0],
            [46.0, 10.0, -92.0],
            [76.0, 26.0, -80.0],
        ]
    )
    layers = [Layer(Tissue.PANCREAS, piece) for piece in tube(pancreas, np.array([13.0, 11.0, 9.0, 10.0, 6.0]))]
    layers.append(Layer(Tissue.SPLEEN, Both((spleen, dome))))
    layers += [Layer(Tissue.STOMACH_WALL, Both((piece, dome))) for piece in tube(path, radii)]
    inner = tube(path, radii - 4.0)
    layers += [Layer(Tissue.STOMACH_CONTENT, Both((piece, dome))) for piece in inner]
    front = Half((0.0, 1.0, 0.0), -_GAS_LEVEL)
    layers += [Layer(Tissue.GAS, Both((piece, front, dome))) for piece in inner]
    return layers


def gallbladder_layers() -> list[Layer]:
    """The gallbladder, a dark pear under the liver."""
    return [
        Layer(
            Tissue.GALLBLADDER,
            Ellipsoid((-46.0, -58.0, -116.0), (14.0, 17.0, 27.0), turned((-20.0, 12.0, 0.0))),
        )
    ]


def _kidney(label: Tissue, centre: Vector, side: float) -> list[Layer]:
    """Fat around the kidney, the kidney, and in its sinus of fat the pelvis, opening inwards."""
    tilt = turned((-6.0, -12.0 * side, 24.0 * side))
    x, y, z = centre
    return [
        Layer(Tissue.FAT, Ellipsoid(centre, (36.0, 35.0, 64.0), tilt)),
        Layer(label, Ellipsoid(centre, (27.0, 24.0, 53.0), tilt, 2.3)),
        Layer(Tissue.FAT, Ellipsoid((x - side * 13.0, y - 4.0, z), (17.0, 10.0, 25.0), tilt)),
        Layer(Tissue.RENAL_PELVIS, Ellipsoid((x - side * 12.0, y - 3.0, z - 2.0), (10.0, 6.0, 15.0), tilt)),
    ]


def kidney_layers() -> list[Layer]:
    """Both kidneys; the right one lies lower, under the liver."""
    right = _kidney(Tissue.KIDNEY_RIGHT, (-60.0, 35.0, -136.0), -1.0)
    return right + _kidney(Tissue.KIDNEY_LEFT, (62.0, 33.0, -122.0), 1.0)


def back_muscle_layers() -> list[Layer]:
    """The loin muscles on both sides of the spine and the crura of the diaphragm, painted on fat only."""
    layers = []
    for side in (-1.0, 1.0):
        loin = np.array([[24.0 * side, 40.0, -98.0], [32.0 * side, 36.0, -150.0], [40.0 * side, 30.0, -240.0]])
        crus = np.array([[10.0 * side, 24.0, -40.0], [12.0 * side, 20.0, -110.0]])
        pieces = tube(loin, np.array([6.0, 16.0, 25.0])) + tube(crus, np.array([6.0, 5.0]))
        layers += [Layer(Tissue.MUSCLE, piece, over=(Tissue.FAT,)) for piece in pieces]
    return layers


def _gut(path: np.ndarray, radii: np.ndarray, gas: float, inside: tuple[int, ...]) -> list[Layer]:
    """Gut along `path`: wall, content, and gas where y < `gas` (mm); painted where fat of the belly is."""
    front = Half((0.0, 1.0, 0.0), gas)
    wall = [Layer(Tissue.BOWEL_WALL, piece, over=inside) for piece in tube(path, radii)]
    inner = tube(path, radii - 2.5)
    hollow = [Layer(Tissue.BOWEL_CONTENT, piece, over=(Tissue.BOWEL_WALL,)) for piece in inner]
    hollow += [Layer(Tissue.GAS, Both((piece, front)), over=(Tissue.BOWEL_CONTENT,)) for piece in inner]
    return wall + hollow


def bowel_layers(rng: np.random.Generator) -> list[Layer]:
    """The frame of the large bowel, with its bulges, and loops of small bowel that wander within it."""
    corners = np.array(
        [
            [-92.0, -2.0, -235.0],
            [-92.0, -14.0, -182.0],
            [-66.0, -50.0, -172.0],
            [-10.0, -58.0, -178.0],
            [44.0, -58.0, -158.0],
            [96.0, -34.0, -120.0],
            [102.0, 8.0, -128.0],
            [98.0, 16.0, -235.0],
        ]
    )
    steps = np.linspace(0.0, len(corners) - 1.0, 64)
    large = np.stack([np.interp(steps, np.arange(len(corners)), corners[:, axis]) for axis in range(3)], axis=1)
    bulges = 17.0 + 3.0 * np.sin(np.arange(64) * 1.9 + rng.uniform(0.0, 6.0))
    layers = _gut(large, bulges, -52.0, (Tissue.FAT,))
    turns = np.linspace(0.0, 1.0, 70)
    phase = rng.uniform(0.0, 2.0 * np.pi, 3)
    small = np.stack(
        [
            4.0 + 62.0 * np.sin(2.0 * np.pi * 5.0 * turns + phase[0]),
            -28.0 + 24.0 * np.sin(2.0 * np.pi * 7.3 * turns + phase[1]),
            -150.0 - 85.0 * turns + 10.0 * np.sin(2.0 * np.pi * 9.1 * turns + phase[2]),
        ],
        axis=1,
    )
    return layers + _gut(small, np.full(70, 11.5), -49.0, (Tissue.FAT,))
