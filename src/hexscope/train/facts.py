"""What the training data are like, in plain figures: all that a plan may rest on, and the fingerprint in the card."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity
from hexscope.core.resample import resample
from hexscope.errors import InputError
from hexscope.io.case import WHOLE, Case, CaseTable
from hexscope.io.case_boxes import Objects, open_objects
from hexscope.io.cases import IGNORE, open_images, open_instances, open_mask
from hexscope.models.prepare import Turn
from hexscope.models.recipe import Target
from hexscope.train.checks import Checked

#: Cases whose pixels are looked at for ranges and sizes, evenly spread over the table.
_LOOKED_AT = 24
#: Pixels of each that make the pooled sample of a channel.
_SAMPLE = 4096
#: A lateral field of view beyond this shows both sides of the body, mm.
_TORSO_MM = 220.0
#: Words that name a side of the body in the name of a class.
_SIDED = re.compile(r"(?<![a-z])(left|right|lt|rt|l|r|sin|dex|sinister|dexter)(?![a-z])|左|右")


@dataclass(frozen=True)
class ChannelFacts:
    """One input: what it is, and its numbers over all cases.

    low, high  0.5 and 99.5 %; of numbers with a scale, those of the structures, widened by as much on either side
    mean, std  between them, one a plane
    """

    name: str
    modality: str
    quantity: str
    low: float
    high: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Structure:
    """One class over the cases that hold it.

    share      median part of the image's pixels
    thickness  median of 4 times the mean distance to its edge, pixels of the finest axis: a slab's thickness
    extent     median side of its bounding box by axis, pixels
    presence   part of the cases that hold it
    """

    share: float
    thickness: float
    extent: tuple[float, ...]
    presence: float


@dataclass(frozen=True)
class Facts:
    """The data in figures. Lengths by axis are in the order that the network sees (superior, posterior, left).

    target     what is asked of each pixel, see `hexscope.models.recipe.Target`
    dims       2 or 3
    placed     do the files say where the patient lies?
    shape      median side by axis, pixels; ``largest`` the 90 % side
    spacing_mm median by axis; None where the files do not say; ``spacing_varies``: 90 % over 10 % percentile
    extent_mm  median field of view by axis
    object_px  median diameter of an object; None where objects are not counted
    sides      class names that name a side of the body
    partly     are some classes outlined in some cases only?
    """

    target: Target
    cases: int
    patients: int
    dims: int
    placed: bool
    shape: tuple[float, ...]
    largest: tuple[float, ...]
    spacing_mm: tuple[float, ...] | None
    spacing_varies: float
    extent_mm: tuple[float, ...] | None
    channels: tuple[ChannelFacts, ...]
    classes: tuple[str, ...]
    values: tuple[int, ...]
    structures: Mapping[str, Structure]
    object_px: float | None
    sides: tuple[str, ...]
    partly: bool

    @property
    def shows_both_sides(self) -> bool:
        """Is the field of view so wide that organs of the left and of the right are seen together?"""
        return self.placed and self.extent_mm is not None and self.extent_mm[-1] > _TORSO_MM

    def as_data(self) -> dict[str, Any]:
        """As plain data, rounded to what is meaningful, for the card and the plan."""
        rounded: dict[str, Any] = _rounded(asdict(self))
        return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, Mapping):
        return {k: _rounded(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value


def measure(checked: Checked, train: Sequence[Case]) -> Facts:
    """The facts of the cases to train on (never of those to measure on). InputError where none is labelled."""
    table = checked.table
    looked = [_look(case, table, checked) for case in _spread(train)]
    shapes = np.array([seen.grid.shape for seen in looked], float)
    spacings = [seen.grid.spacing_mm for seen in looked if seen.grid.spacing_mm is not None]
    known = len(spacings) == len(looked)
    spacing = np.array(spacings) if known else None
    classes = tuple(table.classes.values())
    whole = checked.target == "label"
    structures = {name: _whole(name, train, shapes) if whole else _structure(name, looked) for name in classes}
    if not any(s.presence for s in structures.values()):
        raise InputError(f"no case of {table.source} to train on holds {' or '.join(classes)}: nothing can be learnt")
    return Facts(
        target=_target(checked, looked),
        cases=len(train),
        patients=len({c.group for c in train}),
        dims=shapes.shape[1],
        placed=all(seen.grid.affine is not None for seen in looked),
        shape=_tuple(np.median(shapes, axis=0)),
        largest=_tuple(np.percentile(shapes, 90, axis=0)),
        spacing_mm=_tuple(np.median(spacing, axis=0)) if spacing is not None else None,
        spacing_varies=_spread_of(spacing) if spacing is not None else 1.0,
        extent_mm=_tuple(np.median(shapes * spacing, axis=0)) if spacing is not None else None,
        channels=tuple(_channel(name, looked) for name in looked[0].images),
        classes=classes,
        values=tuple(table.classes),
        structures=structures,
        object_px=_object_size(looked) if checked.target == "instances" else None,
        sides=tuple(name for name in classes if _SIDED.search(name.lower())),
        partly=any(c.labelled is not None and len(c.labelled) < len(classes) for c in train),
    )


# ---- one case -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Seen:
    """One case: the first image's grid as the network sees it, the structures and the grid of their own."""

    grid: Grid
    images: Mapping[str, Image]
    parts: Mapping[str, NDArray[np.bool_]]
    place: Grid
    sizes: NDArray[np.float64]
    overlapping: bool


def _spread(cases: Sequence[Case]) -> list[Case]:
    ordered = sorted(cases, key=lambda c: c.case)
    at = np.unique(np.linspace(0, len(ordered) - 1, min(_LOOKED_AT, len(ordered))).round().astype(int))
    return [ordered[i] for i in at]


def _look(case: Case, table: CaseTable, checked: Checked) -> _Seen:
    images = open_images(case, table.kinds)
    first = next(iter(images.values()))
    turn = Turn.of(first.grid)
    sizes = np.zeros(0)
    if checked.target == "boxes":
        objects = open_objects(case, table, "boxes", first)
        parts = {name: covered(first.grid, objects, name) for name in table.classes.values()}
        return _Seen(turn.grid(first.grid), images, parts, turn.grid(first.grid), np.zeros(0), False)
    if checked.target == "label":
        return _Seen(turn.grid(first.grid), images, {}, turn.grid(first.grid), sizes, False)
    if checked.target == "instances":
        mask = open_instances(case, on=first)
        sizes = np.bincount(mask.array.ravel())[1:].astype(float)
        parts = {name: mask.array > 0 for name in table.classes.values()}
    else:
        reference = next(iter(images)) if table.masks_by == "input" else WHOLE
        mask = open_mask(case, table, reference, on=first)
        parts = {label.name: mask.of(label.name) for label in mask.labels if label.name != IGNORE}
    turned = Turn.of(mask.grid)
    parts = {name: turned.array(part) for name, part in parts.items()}
    overlapping = checked.target == "mask" and len(mask.layers) > 1
    return _Seen(turn.grid(first.grid), images, parts, turned.grid(mask.grid), sizes, overlapping)


def covered(grid: Grid, objects: Objects, name: str) -> NDArray[np.bool_]:
    """Pixels of ``grid`` whose middle lies in a box of that name."""
    out = np.zeros(grid.shape, bool)
    for box, own in zip(objects.boxes, objects.names, strict=True):
        if own == name:
            ends = np.round(box).astype(int)
            out[tuple(slice(a, max(b, a + 1)) for a, b in zip(ends[: grid.ndim], ends[grid.ndim :], strict=True))] = (
                True
            )
    return out


def _target(checked: Checked, looked: Sequence[_Seen]) -> Target:
    if checked.target == "label":
        return "scores"
    if checked.target == "instances":
        return "instances"
    return "overlapping" if any(seen.overlapping for seen in looked) else "classes"


def _channel(name: str, looked: Sequence[_Seen]) -> ChannelFacts:
    images = [seen.images[name] for seen in looked if name in seen.images]
    first = images[0]
    planes = 3 if first.quantity is Quantity.RGB else 1
    samples = np.concatenate([_sample(image, planes) for image in images])
    low, high = (float(v) for v in np.percentile(samples, [0.5, 99.5]))
    inside = (
        [_inside(seen, name) for seen in looked if name in seen.images and seen.parts]
        if _has_scale(first.quantity)
        else []
    )
    held = np.concatenate(inside) if inside else np.zeros(0)
    if len(held):
        a, b = (float(v) for v in np.percentile(held, [0.5, 99.5]))
        low, high = max(samples.min(), a - (b - a)), min(samples.max(), b + (b - a))
    clipped = np.clip(samples, low, high)
    std = np.maximum(clipped.std(axis=0), 1e-6)
    return ChannelFacts(
        name, first.modality, first.quantity.value, low, high, _tuple(clipped.mean(axis=0)), _tuple(std)
    )


def _has_scale(quantity: Quantity) -> bool:
    return quantity not in (Quantity.ARBITRARY, Quantity.RGB)


def _inside(seen: _Seen, name: str) -> NDArray[np.float64]:
    """A sample of the channel's numbers within the structures, where they lie on its grid or can be brought there."""
    image = seen.images[name]
    whole = np.logical_or.reduce(list(seen.parts.values()))
    mask = Mask.from_array(whole, seen.place)
    if not image.grid.same_as(seen.grid):
        mask = resample(mask, image.grid)
    values = image.array[mask.array > 0].ravel()
    return values[:: max(1, len(values) // _SAMPLE)].astype(np.float64)


def _sample(image: Image, planes: int) -> NDArray[np.float64]:
    flat = image.array.reshape(-1, planes)
    return flat[:: max(1, len(flat) // _SAMPLE)][:_SAMPLE].astype(np.float64)


# ---- structures ---------------------------------------------------------------------------------------------


def _structure(name: str, looked: Sequence[_Seen]) -> Structure:
    held = [seen for seen in looked if name in seen.parts and seen.parts[name].any()]
    dims = looked[0].grid.ndim
    if not held:
        return Structure(0.0, 0.0, (0.0,) * dims, 0.0)
    boxes = [ndimage.find_objects(seen.parts[name].astype(np.uint8))[0] for seen in held]
    thick = [_thickness(seen.parts[name][box], seen.place) for seen, box in zip(held, boxes, strict=True)]
    return Structure(
        share=float(np.median([seen.parts[name].mean() for seen in held])),
        thickness=float(np.median(thick)),
        extent=_tuple(np.median([[s.stop - s.start for s in box] for box in boxes], axis=0)),
        presence=len(held) / len(looked),
    )


def _whole(name: str, cases: Sequence[Case], shapes: NDArray[np.float64]) -> Structure:
    """A class of whole images: as large as they are."""
    sides = np.median(shapes, axis=0)
    return Structure(1.0, float(sides.min()), _tuple(sides), sum(name in c.marks for c in cases) / len(cases))


def _thickness(part: NDArray[np.bool_], grid: Grid) -> float:
    spacing = np.array(grid.spacing_mm or (1.0,) * part.ndim)
    depth = ndimage.distance_transform_edt(np.pad(part, 1), sampling=spacing / spacing.min())
    return 4.0 * float(depth[np.pad(part, 1)].mean())


def _object_size(looked: Sequence[_Seen]) -> float | None:
    """Median diameter of the disc or ball of an object's size, pixels."""
    sizes = np.concatenate([seen.sizes[seen.sizes > 0] for seen in looked])
    if not len(sizes):
        return None
    half = np.median(sizes)
    return float(2 * np.sqrt(half / np.pi) if looked[0].grid.ndim == 2 else 2 * np.cbrt(half * 0.75 / np.pi))


def _spread_of(spacing: NDArray[np.float64]) -> float:
    low, high = np.percentile(spacing, [10, 90], axis=0)
    return float((high / low).max())


def _tuple(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(v) for v in np.atleast_1d(values))
