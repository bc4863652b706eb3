"""The prepared cases of a training, in memory or in files, and the windows of them that a batch is cut from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hexscope.core.image import Mask
from hexscope.io.case import WHOLE, Case, CaseTable
from hexscope.io.cases import IGNORE, open_images, open_instances, open_mask
from hexscope.models.instances import instance_planes
from hexscope.models.prepare import Prepared, nearest_labels, prepare, prepare_labels
from hexscope.models.recipe import Recipe
from hexscope.train.augment import UNKNOWN

Progress = Callable[[int, int], object]

#: Pixels of each structure of a case among which a patch's middle is chosen.
_AIMS = 512


@dataclass(frozen=True, eq=False)
class Example:
    """One case as the network sees it.

    image     (planes, *spatial) float16
    labels    uint8: class numbers (*spatial) with `UNKNOWN`, or 254ths for each plane (planes, *spatial); of objects
              float32: (objects, 2 * dims + 1), least and greatest edges in pixels of ``image``, and the class from 0
    aims      pixels of each structure that is there, for patches centred on it
    labelled  (outputs,) which planes of the answer were outlined at all; None: every one
    """

    name: str
    image: NDArray[np.float16]
    labels: NDArray[Any]
    aims: tuple[NDArray[np.intp], ...]
    labelled: NDArray[np.bool_] | None = None


def example_of(case: Case, table: CaseTable, recipe: Recipe, classes: Mapping[int, str]) -> Example:
    """A case, prepared by the model's own recipe. Raises what reading and preparing raise."""
    images = open_images(case, table.kinds)
    given = {channel.name: images[channel.name] for channel in recipe.channels}
    prepared = prepare(given, recipe)
    first = given[recipe.channels[0].name]
    if recipe.target == "instances":
        mask = open_instances(case, on=first)
        shares = instance_planes(nearest_labels(mask.array, prepared))
        labels = np.round(254 * shares).astype(np.uint8)
        parts = [shares[0] > 0]
    else:
        reference = recipe.channels[0].name if table.masks_by == "input" else WHOLE
        mask = open_mask(case, table, reference, on=first)
        planes = _planes(mask, prepared, classes)
        parts = [planes[name] for name in classes.values()]
        labels = _shares(parts) if recipe.target == "overlapping" else _numbers(parts)
        if IGNORE in planes:
            labels[..., planes[IGNORE]] = UNKNOWN
    aims = tuple(_some_of(part) for part in parts if part.any())
    return Example(case.case, prepared.array.astype(np.float16), labels, aims, _labelled(case, recipe, classes))


def _planes(mask: Mask, prepared: Prepared, classes: Mapping[int, str]) -> dict[str, NDArray[np.bool_]]:
    """Where each structure lies on the pixels of ``prepared``."""
    if len(mask.layers) == 1:
        labels = prepare_labels(mask, prepared)
        absent = {name: np.zeros(labels.shape, bool) for name in classes.values()}
        return absent | {label.name: labels == label.value for label in mask.labels}
    out = {}
    for label in mask.labels:
        alone = Mask.from_array(mask.of(label.name), mask.grid)
        out[label.name] = prepare_labels(alone, prepared) > 0
    return out


def _numbers(parts: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    out = np.zeros(parts[0].shape, np.uint8)
    for number, part in enumerate(parts, start=1):
        out[part] = number
    return out


def _shares(parts: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    return np.stack([254 * part.astype(np.uint8) for part in parts])


def _some_of(part: NDArray[np.bool_]) -> NDArray[np.intp]:
    places = np.argwhere(part)
    return places[:: max(1, len(places) // _AIMS)]


def _labelled(case: Case, recipe: Recipe, classes: Mapping[int, str]) -> NDArray[np.bool_] | None:
    if case.labelled is None or recipe.target == "instances":
        return None
    said = [name in case.labelled for name in classes.values()]
    return np.array([True, *said] if recipe.target == "classes" else said)


@dataclass
class Pool:
    """Examples by number; with ``folder``, their arrays lie in files there and are read window by window."""

    folder: Path | None = None
    examples: list[Example] = field(default_factory=list)

    def add(self, example: Example) -> None:
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            stem = self.folder / f"{len(self.examples):06d}"
            mapped = [_mapped(Path(f"{stem}.{k}.npy"), getattr(example, k)) for k in ("image", "labels")]
            example = Example(example.name, mapped[0], mapped[1], example.aims, example.labelled)
        self.examples.append(example)

    def __len__(self) -> int:
        return len(self.examples)


def _mapped(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    if not array.size:
        return array  # no objects: nothing that a file could hold
    np.save(path, array)
    mapped: NDArray[Any] = np.load(path, mmap_mode="r")
    return mapped


@dataclass(frozen=True)
class Cutter:
    """Cuts windows for patches out of examples: wider than the patch, so that turns and zooms find pixels there.

    patch, window  sides in pixels; aimed: part of the patches that are centred on a structure
    """

    patch: tuple[int, ...]
    window: tuple[int, ...]
    aimed: float

    def batch(
        self, examples: Sequence[Example], chance: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Windows of one batch: images, labels, the shift (pixels) of each patch from its window's middle, labelled."""
        cut = [self._cut(example, chance) for example in examples]
        images = torch.from_numpy(np.stack([c[0] for c in cut]))
        labels = torch.from_numpy(np.stack([c[1] for c in cut]))
        shifts = torch.tensor(np.stack([c[2] for c in cut]), dtype=torch.float32)
        if all(e.labelled is None for e in examples):
            return images, labels, shifts, None
        planes = next(len(e.labelled) for e in examples if e.labelled is not None)
        known = [np.ones(planes, bool) if e.labelled is None else e.labelled for e in examples]
        return images, labels, shifts, torch.from_numpy(np.stack(known))

    def _cut(
        self, example: Example, chance: torch.Generator
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.float64]]:
        sides = np.array(example.image.shape[1:])
        corner, shift = self._place(example, sides, chance)
        wanted = [np.arange(c, c + w) for c, w in zip(corner, self.window, strict=True)]
        window: tuple[Any, ...] = np.ix_(*(np.clip(index, 0, n - 1) for index, n in zip(wanted, sides, strict=True)))
        image = example.image[(slice(None), *window)].astype(np.float32)
        return image, self._labels(example, wanted, window), shift

    def _labels(self, example: Example, wanted: Sequence[NDArray[Any]], window: tuple[Any, ...]) -> NDArray[Any]:
        sides = example.image.shape[1:]
        lead: tuple[Any, ...] = (slice(None),) * (example.labels.ndim - len(sides))
        labels = np.array(example.labels[(*lead, *window)])
        for axis, (index, n) in enumerate(zip(wanted, sides, strict=True)):
            beyond = (index < 0) | (index >= n)
            if beyond.any():
                labels[(*lead, *(slice(None),) * axis, beyond)] = UNKNOWN
        return labels

    def _place(
        self, example: Example, sides: NDArray[Any], chance: torch.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The window's corner, and how far the patch's middle lies from that of the window."""
        middle = self._middle(example, sides, chance)
        corner = np.round(middle - np.array(self.window) / 2).astype(int)
        return corner, middle - (corner + np.array(self.window) / 2)

    def _middle(self, example: Example, sides: NDArray[Any], chance: torch.Generator) -> NDArray[np.float64]:
        """Where a patch's middle lies, in pixels from the example's corner."""
        draw = torch.rand(3 + len(sides), generator=chance).numpy().astype(np.float64)
        patch = np.array(self.patch, float)
        if draw[0] < self.aimed and example.aims:
            part = example.aims[int(draw[1] * len(example.aims))]
            return np.asarray(part[int(draw[2] * len(part))] + 0.5 + (draw[3:] - 0.5) * patch / 4)
        room = np.maximum((sides - patch) / 2, 0.08 * patch)
        return np.asarray(sides / 2 + (2 * draw[3:] - 1) * room)


@dataclass(frozen=True)
class BoxCutter(Cutter):
    """Cuts windows whose labels are boxes, in pixels from the window's middle; rows of class -1 fill up to ``most``."""

    most: int = 1

    def _labels(self, example: Example, wanted: Sequence[NDArray[Any]], window: tuple[Any, ...]) -> NDArray[Any]:
        middle = np.array([index[0] + len(index) / 2 for index in wanted])
        out = np.full((self.most, example.labels.shape[1]), -1.0, np.float32)
        out[: len(example.labels)] = example.labels
        out[:, :-1] -= np.tile(middle, 2)
        return out
