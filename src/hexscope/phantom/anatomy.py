"""The digital patient: what each point of one synthetic torso is made of. It is no person's.

World is LPS millimetres in the frame of the CT: x towards the patient's left, y towards the back, z towards
    the head. The torso is a list of layers painted one over the other, bent by a gentle smooth warp so that
    nothing is a plain ellipsoid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hexscope.phantom.abdomen import (
    back_muscle_layers,
    bowel_layers,
    gallbladder_layers,
    kidney_layers,
    liver_layers,
    stomach_and_spleen_layers,
)
from hexscope.phantom.lesion import Kind, Lesion, plan_lesions
from hexscope.phantom.shape import Layer, Points
from hexscope.phantom.skeleton import skeleton_layers
from hexscope.phantom.trunk import diaphragm_layers, lung_layers, wall_layers
from hexscope.phantom.vessel import great_vessel_layers, heart_layers, liver_vessel_layers, lung_vessel_layers

Labels = NDArray[np.uint8]
Affine = NDArray[np.float64]

_TILE = (16, 32, 32)
"""Voxels painted at once: small enough that most shapes miss a tile, large enough that numpy earns its keep.
"""
_MOST_POINTS = 16384


@dataclass(frozen=True, eq=False)
class Warp:
    """A smooth bend of space, p + sum of `sizes` * sin(`waves` . p + `phases`): organs are seen through it.

    Attributes:
        waves: (k, 3) radians per mm.
        phases: (k,) radians.
        sizes: (k, 3) mm.
    """

    waves: NDArray[np.float64]
    phases: NDArray[np.float64]
    sizes: NDArray[np.float64]

    def __call__(self, points: Points) -> Points:
        """(n, 3) LPS mm -> (n, 3) LPS mm, where the straight patient is looked up."""
        turns = points @ self.waves.T.astype(np.float32) + self.phases.astype(np.float32)
        return np.asarray(points + np.sin(turns) @ self.sizes.astype(np.float32), dtype=np.float32)


def _draw_warp(rng: np.random.Generator) -> Warp:
    """Four waves of 70 to 150 mm, about 3 mm in all."""
    ways = rng.normal(0.0, 1.0, (4, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    lengths = rng.uniform(70.0, 150.0, (4, 1))
    return Warp(ways * 2.0 * np.pi / lengths, rng.uniform(0.0, 2.0 * np.pi, 4), rng.uniform(-1.6, 1.6, (4, 3)))


class _Painter:
    """Layers with the reach of each worked out once, so that those far from the points are skipped."""

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self.layers = layers
        reach = np.stack([layer.shape.bounds for layer in layers])
        self.low, self.high = reach[:, 0], reach[:, 1]

    def paint(self, labels: Labels, points: Points) -> None:
        """Paint all layers in order onto `labels` (n,), in place, at `points` (n, 3)."""
        columns = np.asfortranarray(points)  # x, y and z each in one run of memory: twice as fast
        x, y, z = columns.T
        least, greatest = columns.min(axis=0), columns.max(axis=0)
        touched = (self.low <= greatest).all(axis=1) & (self.high >= least).all(axis=1)
        whole = (self.low <= least).all(axis=1) & (self.high >= greatest).all(axis=1)
        for index in np.flatnonzero(touched):
            layer, low, high = self.layers[index], self.low[index], self.high[index]
            if whole[index] and layer.over is None:
                labels[layer.shape.inside(columns)] = layer.label
                continue
            near = np.flatnonzero((z >= low[2]) & (z <= high[2]))  # axis by axis: most shapes are small
            near = near[(x[near] >= low[0]) & (x[near] <= high[0])]
            near = near[(y[near] >= low[1]) & (y[near] <= high[1])]
            if layer.over is not None:
                near = near[np.isin(labels[near], layer.over)]
            labels[near[layer.shape.inside(columns[near])]] = layer.label


@dataclass(frozen=True, eq=False)
class Patient:
    """One synthetic torso.

    Attributes:
        layers: painted in this order, seen through `warp`.
        lesions: painted last, not warped, so that their centres are exact.
        warp: the bend of space.
    """

    layers: tuple[Layer, ...]
    lesions: tuple[Lesion, ...]
    warp: Warp

    @cached_property
    def _organs(self) -> _Painter:
        return _Painter(self.layers)

    @cached_property
    def _spots(self) -> _Painter:
        return _Painter(tuple(lesion.layer for lesion in self.lesions))

    def label_at(self, points_mm: NDArray[np.floating]) -> Labels:
        """What is at each point: (..., 3) LPS mm in the CT's frame -> (...) labels."""
        flat = points_mm.reshape(-1, 3).astype(np.float32)
        if len(flat) > _MOST_POINTS:
            parts = [self.label_at(flat[i : i + _MOST_POINTS]) for i in range(0, len(flat), _MOST_POINTS)]
            return np.concatenate(parts).reshape(points_mm.shape[:-1])
        labels = np.zeros(len(flat), dtype=np.uint8)
        self._organs.paint(labels, self.warp(flat))
        self._spots.paint(labels, flat)
        return labels.reshape(points_mm.shape[:-1])

    def label_on(self, affine: Affine, shape: Sequence[int], pose: Affine | None = None) -> Labels:
        """The labels on a whole grid.

        Args:
            affine: 4x4, array index (z, y, x, 1) to LPS mm of the scanner's world.
            shape: (z, y, x) number of voxels.
            pose: 4x4, the scanner's LPS mm to those of the CT; identity where the patient has not moved.

        Returns:
            (z, y, x) labels.
        """
        to_patient = affine if pose is None else pose @ affine
        labels = np.zeros(tuple(shape), dtype=np.uint8)
        for tile in _tiles(shape):
            labels[tile] = self.label_at(positions(to_patient, tile))
        return labels


def positions(affine: Affine, box: tuple[slice, slice, slice]) -> NDArray[np.float64]:
    """LPS mm of the voxel centres in a box of array indices: (z, y, x, 3)."""
    axes = [np.arange(part.start, part.stop, dtype=np.float64) for part in box]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return np.asarray(index @ affine[:3, :3].T + affine[:3, 3])


def _tiles(shape: Sequence[int]) -> Iterator[tuple[slice, slice, slice]]:
    """Boxes of at most `_TILE` voxels that together cover `shape`."""
    for z, y, x in product(*(range(0, size, step) for size, step in zip(shape, _TILE, strict=True))):
        yield (
            slice(z, min(z + _TILE[0], shape[0])),
            slice(y, min(y + _TILE[1], shape[1])),
            slice(x, min(x + _TILE[2], shape[2])),
        )


def make_patient(rng: np.random.Generator) -> Patient:
    """One digital patient; vessels, bowel, lesion places and the warp differ from generator to generator."""
    layers = wall_layers() + lung_layers() + heart_layers() + great_vessel_layers() + lung_vessel_layers(rng)
    layers += diaphragm_layers() + liver_layers() + stomach_and_spleen_layers() + bowel_layers(rng)
    layers += kidney_layers() + gallbladder_layers() + liver_vessel_layers(rng) + back_muscle_layers()
    abdominal = [layer for layer in great_vessel_layers() if layer.shape.bounds[0, 2] < -30.0]
    layers += abdominal + skeleton_layers()
    return Patient(tuple(layers), plan_lesions(rng), _draw_warp(rng))


def with_lesions(table: NDArray[np.float32], patient: Patient, values: dict[Kind, float]) -> NDArray[np.float32]:
    """A table of 256 values by label, completed with the value of each lesion by its kind."""
    full = table.copy()
    for lesion in patient.lesions:
        full[lesion.label] = values[lesion.kind]
    return full
