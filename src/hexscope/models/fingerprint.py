"""What an image is like, in some hundred plain numbers: what the input gate compares with the training images.

The numbers are chosen so that a change of 0.1 in any of them is hardly seen and one of 1 strikes the eye: logarithms to
base 2 of sizes and energies, square roots of shares, grey values as shares of the image's own range. Where a model
scales each image by itself they do not depend on the scale of its values; where it takes them in their unit, the
levels are among the numbers. A volume is looked at in a few of its slices, so that a large one costs no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.models.contract import Inputs, require_inputs
from hexscope.models.prepare import Turn
from hexscope.models.recipe import Channel, Recipe

Floats = NDArray[np.float32]

#: Slices of a volume that are looked at, each with its neighbour.
_SLICES = 16
#: What counts as the image's own range of values, in percent.
_CLIP = (0.5, 99.5)
#: Sides of the small picture of an image, by its number of axes.
_CELLS = {2: 6, 3: 4}
#: Halvings of the picture whose details are measured.
_OCTAVES = 5
#: Width of the border, as a share of the side.
_BORDER = 0.06
_LEAST = 2.0**-10
_QUANTILES = (5, 25, 50, 75, 95)


def fingerprint(images: Inputs, recipe: Recipe) -> dict[str, float]:
    """The numbers of one case, by name ``CHANNEL.NAME`` (``NAME`` where there is one channel).

    Raises what `hexscope.models.contract.require_inputs` raises.
    """
    given, _ = require_inputs(images, recipe)
    out: dict[str, float] = {}
    for channel in recipe.channels:
        lead = f"{channel.name}." if len(recipe.channels) > 1 else ""
        out |= {f"{lead}{name}": float(value) for name, value in _of_image(given[channel.name], channel, recipe.dims)}
    return out


def _of_image(image: Image, channel: Channel, dims: int) -> Iterator[tuple[str, float]]:
    turn = Turn.of(image.grid, dims)
    planes = np.moveaxis(image.array, -1, 0) if "c" in image.axes else image.array[None]
    planes = turn.array(planes)
    if image.grid.ndim > dims:  # looked at slice by slice: the middle one stands for all
        planes = planes[:, planes.shape[1] // 2]
    yield from _geometry(image, turn, dims)
    pairs, slices = _slices(planes)
    if channel.quantity is Quantity.RGB:
        yield from _colours(slices)
    grey = slices.mean(axis=0)
    quantiles = np.percentile(grey, _QUANTILES)
    if not channel.normalise.per_image:
        yield from _levels(quantiles, channel)
    low, high = (float(v) for v in np.percentile(grey[:, ::2, ::2], _CLIP))
    yield from _ends(grey, low, high)
    span = max(high - low, 1e-6 * max(abs(high), abs(low), 1.0))
    grey = np.clip((grey - low) / span, 0, 1)
    yield from _histogram(grey, np.clip((quantiles - low) / span, 0, 1))
    yield from _border(grey)
    yield from _layout(planes, low, span)
    if pairs is not None:
        yield from _through(grey, np.clip((pairs.mean(axis=0) - low) / span, 0, 1))
    yield from _details(grey)
    yield from _texture(grey)


def _slices(planes: NDArray[Any]) -> tuple[Floats | None, Floats]:
    """Some slices of (planes, *spatial) spread over its middle, and the neighbour of each, where there are several:
    (planes, slices, y, x)."""
    if planes.ndim == 3:
        return None, planes[:, None].astype(np.float32, order="C")
    count = planes.shape[1]
    at = np.unique(np.linspace(0.1 * (count - 1), 0.9 * (count - 1), min(_SLICES, count)).round().astype(int))
    return planes[:, np.minimum(at + 1, count - 1)].astype(np.float32), planes[:, at].astype(np.float32)


# ---- the numbers --------------------------------------------------------------------------------------------


def _geometry(image: Image, turn: Turn, dims: int) -> Iterator[tuple[str, float]]:
    grid = turn.grid(image.grid)
    names, shape = "zyx"[-dims:], grid.shape[-dims:]
    for name, side in zip(names, shape, strict=True):
        yield f"size_{name}", np.log2(side)
    if grid.spacing_mm is not None:
        for name, step, side in zip(names, grid.spacing_mm[-dims:], shape, strict=True):
            yield f"spacing_{name}", np.log2(step)
            yield f"extent_{name}", np.log2(step * side)


def _levels(quantiles: Floats, channel: Channel) -> Iterator[tuple[str, float]]:
    """Values in their unit, less the mean and in deviations of the training images' pixels."""
    mean, std = float(np.mean(channel.normalise.mean)), float(np.mean(channel.normalise.std))
    for q, value in zip(_QUANTILES, quantiles, strict=True):
        yield f"level_{q}", 2 * (value - mean) / std


def _ends(grey: Floats, low: float, high: float) -> Iterator[tuple[str, float]]:
    """How many pixels have the least and the greatest value of all, and how fine the steps between are."""
    yield "floor", np.sqrt(np.mean(grey <= grey.min()))
    yield "ceiling", np.sqrt(np.mean(grey >= grey.max()))
    sample = grey.reshape(-1)[:: max(1, grey.size // 65536)]
    yield "steps", np.log2(min(len(np.unique(sample)), 512))
    yield "tails", np.log2(max(float(np.ptp(grey)) / max(high - low, 1e-12), 1.0)) / 4 if high > low else 0.0


def _histogram(grey: Floats, quantiles: Floats) -> Iterator[tuple[str, float]]:
    for q, value in zip(_QUANTILES, quantiles, strict=True):
        yield f"value_{q}", value
    yield "deviation", grey.std()
    yield "dark", np.sqrt(np.mean(grey < 0.02))
    yield "bright", np.sqrt(np.mean(grey > 0.98))


def _border(grey: Floats) -> Iterator[tuple[str, float]]:
    """Mean of each edge of the slices, and how much of the edge is empty."""
    height, width = grey.shape[1:]
    rows, columns = max(1, round(_BORDER * height)), max(1, round(_BORDER * width))
    edges = {
        "top": grey[:, :rows],
        "bottom": grey[:, -rows:],
        "left": grey[:, :, :columns],
        "right": grey[:, :, -columns:],
    }
    for name, edge in edges.items():
        yield f"edge_{name}", edge.mean()
    whole = np.concatenate([edge.reshape(-1) for edge in edges.values()])
    yield "edge_empty", np.sqrt(np.mean(whole < 0.02))
    yield "edge_deviation", whole.std()


def _layout(planes: NDArray[Any], low: float, span: float) -> Iterator[tuple[str, float]]:
    """The image in a few cells an axis, less its mean, and the middle of what is bright along each axis."""
    small = planes
    for axis, side in enumerate(planes.shape[1:], start=1):
        small = _pooled(small, axis, _CELLS[planes.ndim - 1]) if side > 64 else small
    small = np.clip((small.mean(axis=0, dtype=np.float32) - low) / span, 0, 1)
    names = "zyx"[-small.ndim :]
    total = float(small.sum()) + 1e-6
    for axis, name in enumerate(names):
        profile = small.sum(axis=tuple(a for a in range(small.ndim) if a != axis))
        place = (np.arange(len(profile)) + 0.5) / len(profile)
        middle = float((profile * place).sum()) / total
        yield f"middle_{name}", 2 * middle
        yield f"spread_{name}", 4 * np.sqrt(max(float((profile * (place - middle) ** 2).sum()) / total, 0.0))
    for axis in range(small.ndim):
        small = _pooled(small[None], axis + 1, _CELLS[small.ndim])[0]
    small = small - small.mean()
    for index, value in np.ndenumerate(small):
        yield "cell_" + "".join(map(str, index)), value


def _pooled(array: NDArray[Any], axis: int, cells: int) -> Floats:
    """Means over ``cells`` equal parts of an axis."""
    side = array.shape[axis]
    edges = np.linspace(0, side, cells + 1).astype(int)
    starts = np.minimum(edges[:-1], side - 1)
    counts = np.maximum(np.diff(edges), 1)
    sums = np.add.reduceat(array, starts, axis=axis, dtype=np.float32)
    shape = [1] * array.ndim
    shape[axis] = cells
    return np.asarray(sums / counts.reshape(shape), dtype=np.float32)


def _through(grey: Floats, beside: Floats) -> Iterator[tuple[str, float]]:
    """The energy of differences from slice to slice, as a share of all contrast."""
    through = float(np.sqrt(_mean_square(grey - beside)))
    if through > 0:
        yield "detail_through", _log(through / (float(grey.std()) + 1e-6))


def _details(grey: Floats) -> Iterator[tuple[str, float]]:
    """Energy of differences between neighbours, octave by octave, as a share of all contrast: sharpness, noise and the
    slope of the spectrum; along rows and down columns."""
    contrast = float(grey.std()) + 1e-6
    for octave in range(_OCTAVES):
        if min(grey.shape[1:]) < 4:
            return
        down, along = grey[:, 1:] - grey[:, :-1], grey[:, :, 1:] - grey[:, :, :-1]
        parts = [float(np.sqrt(_mean_square(d))) for d in (down, along)]
        yield f"detail_{octave}", _log(float(np.hypot(parts[0], parts[1])) / contrast)
        yield f"turn_{octave}", (_log(parts[1]) - _log(parts[0])) / 2
        if octave < 2:
            both = np.abs(along[:, 1:] - along[:, :-1])
            yield f"noise_{octave}", _log(float(np.median(both)) / contrast) / 2
        even = grey[:, : grey.shape[1] // 2 * 2, : grey.shape[2] // 2 * 2]
        rows = even[:, ::2] + even[:, 1::2]
        grey = (rows[:, :, ::2] + rows[:, :, 1::2]) * np.float32(0.25)


def _mean_square(values: Floats) -> float:
    flat = values.reshape(-1)
    return float(np.dot(flat, flat)) / flat.size


def _log(value: float) -> float:
    return float(np.log2(max(value, _LEAST)))


def _texture(grey: Floats) -> Iterator[tuple[str, float]]:
    """How often a pixel has 0, 1, … 8 brighter neighbours in one arc, or scattered: uniform binary patterns that do not
    turn with the image (Ojala 2002, doi:10.1109/TPAMI.2002.1017623), one pixel and four pixels away."""
    for step in (1, 4):
        if min(grey.shape[1:]) <= 2 * step:
            continue
        level = grey[:, step:-step, step:-step] + np.float32(0.005)
        brighter, arcs = np.zeros(level.shape, np.uint8), np.zeros(level.shape, np.uint8)
        last = _moved(grey, _RING[-1][0] * step, _RING[-1][1] * step, step) > level
        for dy, dx in _RING:
            here = _moved(grey, dy * step, dx * step, step) > level
            brighter += here
            arcs += here ^ last
            last = here
        brighter[arcs > 2] = 9
        share = np.array([np.count_nonzero(brighter == kind) for kind in range(10)]) / brighter.size
        for index, value in enumerate(share):
            yield f"texture_{step}_{index}", np.sqrt(value)


_RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def _moved(grey: Floats, dy: int, dx: int, margin: int) -> Floats:
    height, width = grey.shape[1:]
    return grey[:, margin + dy : height - margin + dy, margin + dx : width - margin + dx]


def _colours(slices: Floats) -> Iterator[tuple[str, float]]:
    """Optical density by colour, and how the colours go together: the stain."""
    flat = slices.reshape(3, -1)
    flat = flat[:, :: max(1, flat.shape[1] // (1 << 18))]
    density = np.log(np.clip(flat / np.float32(255), 1 / 255, 1)) * np.float32(-1 / np.log(10))
    for name, plane in zip("rgb", density, strict=True):
        yield f"density_{name}", plane.mean()
        yield f"density_deviation_{name}", plane.std()
    grey = density.mean(axis=0)
    centred = density - grey
    for name, plane in zip("rgb", centred, strict=True):
        yield f"hue_{name}", 2 * plane.mean()
    yield "saturation", 2 * np.abs(centred).mean()
