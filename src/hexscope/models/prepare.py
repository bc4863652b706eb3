"""From images to what a network sees, and back to the image's own grid: the one way for training and for use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.rescale import rescaled, taps_between
from hexscope.errors import GeometryError
from hexscope.models.contract import require_inputs
from hexscope.models.recipe import Channel, Normalise, Recipe

Floats = NDArray[np.float32]

#: Percentiles, mean and deviation of an image are taken from about so many of its pixels, evenly spread.
_SAMPLE = 1 << 20
#: About so many probabilities are brought to full resolution at a time.
_CHUNK = 4 << 20
#: Label maps of up to so many values are averaged; with more (instances, parcels), the nearest pixel is taken.
_SHARES = 32


@dataclass(frozen=True)
class Turn:
    """A volume turned by transposition and flips alone, and back."""

    order: tuple[int, ...]
    turned: tuple[int, ...]

    @classmethod
    def of(cls, grid: Grid, dims: int = 3) -> Turn:
        """To the patient's axes (superior, posterior, left) for a placed volume that is looked at as one; nothing for
        anything else: slices are looked at as they were acquired."""
        if dims == 3 and grid.ndim == 3 and grid.affine is not None:
            return cls(*grid.patient_order())
        return cls(tuple(range(grid.ndim)), ())

    def array(self, array: NDArray[Any]) -> NDArray[Any]:
        """The turned view of an array in the order of the file, planes first; writing to it writes to ``array``."""
        lead = array.ndim - len(self.order)
        turned = np.transpose(array, (*range(lead), *(lead + axis for axis in self.order)))
        return np.flip(turned, tuple(lead + axis for axis in self.turned))

    def grid(self, grid: Grid) -> Grid:
        grid = grid.permute(self.order)
        for axis in self.turned:
            grid = grid.flip(axis)
        return grid


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a network sees of one case.

    array   (planes, *spatial) float32, normalised, not padded
    grid    where its pixels lie
    source  the grid of the reference image, on which the answer is given
    turn    how the source was turned
    steps   what was done and taken for granted
    """

    array: Floats
    grid: Grid
    source: Grid
    turn: Turn
    steps: tuple[str, ...] = ()


# ---- there --------------------------------------------------------------------------------------------------


def prepare(images: Mapping[str, Image] | Image, recipe: Recipe) -> Prepared:
    """What the network of ``recipe`` sees of a case: ``images`` by channel name (one image: the only channel).

    Other channels are brought onto the reference's pixels, so they may have grids of their own in one frame of
    reference. Raises QuantityError where an image is not what its channel asks for, UsageError where channels lack,
    GeometryError where an image has other axes than the recipe, or no position while another channel has one.
    """
    given, told = require_inputs(images, recipe)
    reference = given[recipe.channels[0].name]
    source = reference.grid
    turn = Turn.of(source, recipe.dims)
    grid = _seen(turn.grid(source), recipe)
    planes = [_planes(given[c.name], c, source, turn, grid) for c in recipe.channels]
    array = planes[0] if len(planes) == 1 else np.concatenate(planes)
    return Prepared(array, grid, source, turn, told)


def _seen(turned: Grid, recipe: Recipe) -> Grid:
    """The grid that the network looks at; where it is flat and the image a volume, that of each slice."""
    alone = turned.ndim - recipe.dims
    if recipe.spacing_mm is not None:
        old = turned.require_spacing("a model trained at a spacing")
        return turned.with_spacing((*old[:alone], *recipe.spacing_mm))
    if recipe.frame is not None:
        sides = turned.shape[alone:]
        steps = turned.spacing_mm if recipe.dims == 3 and turned.spacing_mm is not None else (1.0,) * recipe.dims
        lengths = [n * s for n, s in zip(sides, steps, strict=True)]
        scale = min(f / n for f, n in zip(recipe.frame, lengths, strict=True))
        fitted = [min(f, max(1, round(n * scale))) for f, n in zip(recipe.frame, lengths, strict=True)]
        return turned.with_shape((*turned.shape[:alone], *fitted))
    return turned


def _planes(image: Image, channel: Channel, source: Grid, turn: Turn, grid: Grid) -> Floats:
    """(planes, *spatial) of one channel on ``grid``, normalised."""
    own = _planes_first(image, image.array)
    if image.grid.same_as(source):
        planes = _rescaled(own, source, turn, grid)
        return normalise(planes, channel.normalise, planes)
    planes = _planes_first(image, _brought(image, grid)).astype(np.float32)
    return normalise(planes, channel.normalise, own)  # what an image does not cover is not among its numbers


def _planes_first(image: Image, array: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(array, -1, 0) if "c" in image.axes else array[None]


def _rescaled(array: NDArray[Any], source: Grid, turn: Turn, grid: Grid) -> Floats:
    """``array`` (planes, *file order) on the grid that the network looks at."""
    return rescaled(turn.array(array), taps_between(turn.grid(source), grid))


def _brought(image: Image, grid: Grid) -> NDArray[Any]:
    """An image with a grid of its own, through space."""
    from hexscope.core.resample import resample

    if grid.affine is None:
        raise GeometryError(
            f"{image.name or 'a channel'} has shape {image.grid.shape} and the first channel another grid; channels "
            "without a position must lie pixel for pixel on one another"
        )
    return resample(image, grid).array


def normalise(planes: Floats, how: Normalise, own: NDArray[Any]) -> Floats:
    """``planes`` (planes, *spatial), clipped and scaled in place; figures per image are those of ``own``."""
    low, high = how.clip
    mean, std = how.mean, how.std
    if how.per_image:
        flat = own.reshape(len(own), -1)
        sample = flat[:, :: max(1, flat.shape[1] // _SAMPLE)].astype(np.float32)
        low, high = (float(v) for v in np.percentile(sample, how.clip))
        sample = np.clip(sample, low, high)
        mean = tuple(float(v) for v in sample.mean(axis=1, dtype=np.float64))
        std = tuple(float(v) + 1e-6 for v in sample.std(axis=1, dtype=np.float64))
    np.clip(planes, low, high, out=planes)
    for plane, m, s in zip(planes, mean, std, strict=True):
        plane -= np.float32(m)
        plane /= np.float32(s)
    return planes


def prepare_labels(mask: Mask, prepared: Prepared) -> NDArray[np.uint16]:
    """The labels of ``mask`` (its values, unchanged) on the pixels of ``prepared``: uint16, *spatial.

    A label map on the grid of the reference is averaged over each new pixel, label by label, and the largest share
    wins, so that thin structures neither vanish nor fray; one on another grid is taken by nearest neighbour through
    space. Raises InputError where structures overlap: give each with ``mask.of(name)``.
    """
    labels = mask.array
    if not mask.grid.same_as(prepared.source):
        from hexscope.core.resample import resample

        return resample(mask, prepared.grid).array
    values = np.unique(labels)
    if len(values) > _SHARES or prepared.grid.shape == prepared.source.shape:
        return nearest_labels(labels, prepared)
    best = np.zeros(prepared.grid.shape, np.float32)
    out = np.zeros(prepared.grid.shape, np.uint16)
    for value in values:
        share = _rescaled((labels == value).astype(np.float32)[None], prepared.source, prepared.turn, prepared.grid)[0]
        larger = share > best
        best[larger] = share[larger]
        out[larger] = value
    return out


def nearest_labels(labels: NDArray[Any], prepared: Prepared) -> NDArray[np.uint16]:
    """A label array in the file's order at the nearest pixels: for instance maps, where shares mean little."""
    out = prepared.turn.array(labels)
    turned = prepared.turn.grid(prepared.source)
    for axis, taps in enumerate(taps_between(turned, prepared.grid, smooth=False)):
        index = taps.index[np.arange(len(taps.index)), taps.weight.argmax(axis=1)]
        out = np.take(out, index, axis=axis)
    return np.ascontiguousarray(out, dtype=np.uint16)


# ---- back ---------------------------------------------------------------------------------------------------


def padded(array: Floats, least: Sequence[int], multiple: Sequence[int]) -> tuple[Floats, tuple[slice, ...]]:
    """``array`` (planes, *spatial) grown at both ends to sides of at least ``least``, multiples of ``multiple``.

    The new pixels repeat the edge. Also gives where the original lies.
    """
    sides = array.shape[1:]
    wanted = [-(-max(n, m) // k) * k for n, m, k in zip(sides, least, multiple, strict=True)]
    before = [(w - n) // 2 for w, n in zip(wanted, sides, strict=True)]
    inside = tuple(slice(b, b + n) for b, n in zip(before, sides, strict=True))
    widths = [(b, w - n - b) for b, w, n in zip(before, wanted, sides, strict=True)]
    if not any(map(any, widths)):
        return array, inside
    return np.pad(array, [(0, 0), *widths], mode="edge"), inside


def restore(probabilities: NDArray[Any], prepared: Prepared) -> Floats:
    """``probabilities`` (planes, *spatial) on the grid of the reference, in the order of its file, interpolated."""
    out = np.empty((len(probabilities), *prepared.source.shape), np.float32)
    for where, part in restored(iter([probabilities]), prepared):
        prepared.turn.array(out)[:, where] = part
    return out


def restored(rows: Iterator[NDArray[Any]], prepared: Prepared) -> Iterator[tuple[slice, Floats]]:
    """Slabs on the turned grid of the source: which of its rows, and their probabilities, interpolated."""
    turned = prepared.turn.grid(prepared.source)
    first, *inner = taps_between(prepared.grid, turned, smooth=False)
    low, high = first.index.min(axis=1), first.index.max(axis=1) + 1
    held: NDArray[Any] | None = None
    begin = done = 0  # the row of the network's grid that ``held`` begins with; the rows of the source that are out
    for part in rows:
        held = part if held is None else np.concatenate([held, part], axis=1)
        ready = int(np.searchsorted(high, begin + held.shape[1], side="right"))
        step = max(1, _CHUNK // (len(part) * int(np.prod(turned.shape[1:]))))
        while done < ready:
            stop = min(done + step, ready)
            a, b = int(low[done]) - begin, int(high[stop - 1]) - begin
            out = first.part(done, stop, begin + a).along(held[:, a:b], 1)
            for axis, taps in enumerate(inner, start=2):
                out = taps.along(out, axis)
            yield slice(done, stop), out
            done = stop
        if done < len(low):
            drop = int(low[done]) - begin
            held, begin = held[:, drop:], begin + drop
