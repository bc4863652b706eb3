"""Features of random kernels: patches of the images themselves, whitened, written as ONNX nodes. No label is looked at.

Each kernel is a patch drawn by chance and whitened with the covariance of its like, so that it answers to what is
particular (Coates and Ng 2012, doi:10.1007/978-3-642-35289-8_30); its answer is divided by the local contrast, and what
exceeds a threshold on either side is averaged over a coarse grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.train.export import Writer

Floats = NDArray[np.float32]

#: Sides of kernels, and how many of each, by number of axes; small pictures (to 48 pixels) have kernels of their own.
_SIDES = {2: ((5, 9, 13), 150), 3: ((3, 5), 100)}
_SMALL = ((5, 7, 9), 150)
_SMALL_SIDE = 48
#: Larger images are halved first; kernels step over every second pixel above this side.
_HALVED_SIDE = 128
_STEPPED_SIDE = 40
#: The coarse grid along each axis.
_CELLS = {2: 3, 3: 2}
_DRAWN = 20_000
#: Added to a local variance (images have one of 1): flat parts are not blown up.
_FLAT = 0.01
_SOFT = 0.05
#: An answer counts beyond this part of its own deviation.
_BEYOND = 0.5


@dataclass(frozen=True, eq=False)
class PatchKernels:
    """Kernels by size, (number, planes, *sides) each with the deviation of its answers, for images of one frame."""

    frame: tuple[int, ...]
    kernels: tuple[Floats, ...]
    spreads: tuple[Floats, ...]

    @classmethod
    def draw(cls, views: Sequence[Floats], seed: int) -> PatchKernels:
        """Kernels from ``views`` (planes, *frame) by chance."""
        chance = np.random.default_rng([seed, 77])
        frame = views[0].shape[1:]
        dims = len(frame)
        sides, count = _SMALL if dims == 2 and max(frame) <= _SMALL_SIDE else _SIDES[dims]
        kernels, spreads = [], []
        for side in sides:
            patches = _patches(views, side, chance)
            chosen, spread = _whitened(patches.reshape(len(patches), -1), count, chance)
            kernels.append(chosen.reshape(count, *patches.shape[1:]))
            spreads.append(spread)
        return cls(tuple(frame), tuple(kernels), tuple(spreads))

    def write(self, writer: Writer, image: str, planes: int) -> str:
        """Nodes from ``image`` (n, planes, *frame) to features (n, numbers)."""
        dims = len(self.frame)
        x, sides = image, self.frame
        if _is_halved(self.frame):
            x = writer.node("AveragePool", [x], kernel_shape=[2] * dims, strides=[2] * dims)
            sides = tuple(n // 2 for n in sides)
        parts = [
            part
            for kernels, spread in zip(self.kernels, self.spreads, strict=True)
            for part in _answers(writer, x, sides, kernels, spread)
        ]
        return writer.node("Concat", parts, axis=1)

    def counts(self, planes: int) -> Floats:
        """One for all features."""
        return np.ones(1, np.float32)


def _is_halved(frame: Sequence[int]) -> bool:
    return max(frame) > _HALVED_SIDE


def _patches(views: Sequence[Floats], side: int, chance: np.random.Generator) -> Floats:
    """(drawn, planes, *side) patches, each with mean 0 and a deviation of about 1."""
    frame = views[0].shape[1:]
    step = 2 if _is_halved(frame) else 1
    shown = [_halved(view) if step == 2 else view for view in views]
    room = [n // step - side + 1 for n in frame]
    which = chance.integers(0, len(shown), _DRAWN)
    corners = np.stack([chance.integers(0, r, _DRAWN) for r in room], axis=1)
    out = np.empty((_DRAWN, views[0].shape[0], *(side for _ in frame)), np.float32)
    for k in range(_DRAWN):
        where = tuple(slice(c, c + side) for c in corners[k])
        out[k] = shown[which[k]][(slice(None), *where)]
    axes = tuple(range(1, out.ndim))
    out -= out.mean(axis=axes, keepdims=True)
    out /= np.sqrt(out.var(axis=axes, keepdims=True) + np.float32(_FLAT))
    return out


def _halved(view: Floats) -> Floats:
    for axis in range(1, view.ndim):
        first = tuple(slice(0, None, 2) if a == axis else slice(None) for a in range(view.ndim))
        second = tuple(slice(1, None, 2) if a == axis else slice(None) for a in range(view.ndim))
        view = np.float32(0.5) * (view[first] + view[second])
    return view


def _whitened(patches: Floats, count: int, chance: np.random.Generator) -> tuple[Floats, Floats]:
    """``count`` of the patches as kernels that answer to whitened patches, and how their answers vary."""
    values, vectors = np.linalg.eigh(np.cov(patches.T))
    whiten = (vectors / np.sqrt(values.clip(0) + _SOFT * values.mean() + _FLAT)) @ vectors.T
    chosen = patches[chance.choice(len(patches), count, replace=False)].astype(np.float64) @ whiten
    chosen /= np.linalg.norm(chosen, axis=1, keepdims=True) + 1e-6
    kernels = np.asarray(chosen @ whiten)
    kernels -= kernels.mean(axis=1, keepdims=True)  # a patch's mean says nothing
    return kernels.astype(np.float32), (patches @ kernels.T).std(axis=0).astype(np.float32)


def _answers(writer: Writer, x: str, sides: Sequence[int], kernels: Floats, spread: Floats) -> list[str]:
    dims, side = len(sides), kernels.shape[-1]
    step = 2 if max(sides) > _STEPPED_SIDE else 1
    half = side // 2
    pads = [0, 0, *[half] * dims]
    padded = writer.node("Pad", [x, writer.exact(np.array([*pads, *pads], np.int64))], mode="edge")
    local: dict[str, Any] = {"kernel_shape": [side] * dims, "strides": [step] * dims}
    mean = _over_planes(writer, writer.node("AveragePool", [padded], **local))
    squares = _over_planes(writer, writer.node("AveragePool", [writer.node("Mul", [padded, padded])], **local))
    variance = writer.node("Sub", [squares, writer.node("Mul", [mean, mean])])
    flat = writer.node("Add", [writer.node("Relu", [variance]), writer.number(_FLAT)])
    answer = writer.node("Conv", [padded, writer.weight(kernels)], strides=[step] * dims)
    answer = writer.node("Div", [answer, writer.node("Sqrt", [flat])])
    beyond = writer.exact((_BEYOND * spread).reshape(1, -1, *[1] * dims))
    cells = _CELLS[dims]
    kernel = [(n + step - 1) // step // cells for n in sides]
    out = []
    for signed in (answer, writer.node("Neg", [answer])):
        over = writer.node("Relu", [writer.node("Sub", [signed, beyond])])
        pooled = writer.node("AveragePool", [over], kernel_shape=kernel, strides=kernel)
        for axis, n in enumerate(sides, start=2):
            pooled = (
                writer.part(pooled, axis, 0, cells) if (n + step - 1) // step // kernel[axis - 2] > cells else pooled
            )
        out.append(writer.node("Flatten", [pooled], axis=1))
    return out


def _over_planes(writer: Writer, x: str) -> str:
    return writer.node("ReduceMean", [x], axes=[1], keepdims=1)
