"""From probabilities to labels, slab by slab, on the grid of the source: one way for each kind of target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Label, Mask
from hexscope.models.card import ModelCard
from hexscope.models.instances import instances_of
from hexscope.models.prepare import Turn
from hexscope.models.recipe import Target

Floats = NDArray[np.float32]


@dataclass
class Classes:
    """Exactly one class holds at each pixel."""

    card: ModelCard
    grid: Grid
    labels: NDArray[np.uint16] = field(init=False)
    certainty: NDArray[np.uint8] = field(init=False)
    sums: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.labels = np.zeros(self.grid.shape, np.uint16)
        self.certainty = np.zeros(self.grid.shape, np.uint8)
        self.sums = np.zeros((3, len(self.card.classes)))  # of p, of what was decided, and of p where it was

    def take(self, turn: Turn, where: slice, part: Floats) -> None:
        best, winner = part[0].copy(), np.zeros(part.shape[1:], np.uint16)
        for k, plane in enumerate(part[1:]):
            higher = plane > best
            winner[higher] = k + 1
            np.maximum(best, plane, out=best)
        for k, plane in enumerate(part[1:]):
            decided = winner == k + 1
            self.sums[:, k] += plane.sum(dtype=np.float64), decided.sum(), plane[decided].sum(dtype=np.float64)
        values = np.array([0, *self.card.values], np.uint16)
        turn.array(self.labels)[where] = values[winner]
        turn.array(self.certainty)[where] = np.rint(255 * best)

    def result(self) -> tuple[Mask, dict[str, float | None]]:
        rows = zip(self.card.values, self.card.classes, strict=True)
        mask = Mask((self.labels,), self.grid, tuple(Label(v, n) for v, n in rows))
        return mask, _expected(self.card.classes, self.sums)


@dataclass
class Overlapping:
    """Each structure holds or not, by itself."""

    card: ModelCard
    grid: Grid
    layers: list[NDArray[np.uint16]] = field(init=False)
    certainty: NDArray[np.uint8] = field(init=False)
    sums: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.layers = [np.zeros(self.grid.shape, np.uint16) for _ in self.card.classes]
        self.certainty = np.zeros(self.grid.shape, np.uint8)
        self.sums = np.zeros((3, len(self.card.classes)))

    def take(self, turn: Turn, where: slice, part: Floats) -> None:
        sure = np.maximum(part, 1 - part).min(axis=0)  # of the structure that is least sure
        turn.array(self.certainty)[where] = np.rint(255 * sure)
        for k, (plane, value) in enumerate(zip(part, self.card.values, strict=True)):
            decided = plane > 0.5
            self.sums[:, k] += plane.sum(dtype=np.float64), decided.sum(), plane[decided].sum(dtype=np.float64)
            turn.array(self.layers[k])[where] = decided * np.uint16(value)

    def result(self) -> tuple[Mask, dict[str, float | None]]:
        rows = enumerate(zip(self.card.values, self.card.classes, strict=True))
        labels = tuple(Label(v, n, k) for k, (v, n) in rows)
        return Mask(tuple(self.layers), self.grid, labels), _expected(self.card.classes, self.sums)


@dataclass
class Instances:
    """Objects that may touch, each its own label. A 2-D network's objects in a volume are those of each slice."""

    card: ModelCard
    grid: Grid
    planes: Floats | None = None
    turn: Turn | None = None
    certainty: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.certainty = np.zeros(self.grid.shape, np.uint8)

    def take(self, turn: Turn, where: slice, part: Floats) -> None:
        if self.planes is None or self.turn is None:  # as the network saw it: directions are by its axes
            self.turn = turn
            self.planes = np.zeros((len(part), *turn.grid(self.grid).shape), np.float32)
        self.planes[:, where] = part
        turn.array(self.certainty)[where] = np.rint(255 * np.maximum(part[0], 1 - part[0]))

    def result(self) -> tuple[Mask, dict[str, float | None]]:
        assert self.planes is not None and self.turn is not None
        objects = np.zeros(self.grid.shape, np.uint16)
        self.turn.array(objects)[...] = _objects(self.planes)
        name = self.card.classes[0]
        names = {int(v): f"{name} {v}" for v in range(1, int(objects.max(initial=0)) + 1)}
        belongs = self.planes[0]
        inside = belongs > 0.5
        sums = np.array([[belongs.sum(dtype=np.float64)], [inside.sum()], [belongs[inside].sum(dtype=np.float64)]])
        return Mask.from_array(objects, self.grid, names), _expected((name,), sums)


def _objects(planes: Floats) -> NDArray[np.uint16]:
    """Objects of planes (1 + dims, *spatial), of each slice where there is one axis more than directions."""
    if len(planes) == planes.ndim:
        return instances_of(planes)
    out = np.zeros(planes.shape[1:], np.uint16)
    for z, slice_ in enumerate(np.moveaxis(planes, 1, 0)):
        found = instances_of(np.ascontiguousarray(slice_))
        out[z] = np.where(found > 0, found + out.max(), 0)
    return out


class Decision(Protocol):
    """Takes probabilities slab by slab, gives the mask."""

    certainty: NDArray[np.uint8]

    def take(self, turn: Turn, where: slice, part: Floats) -> None:
        """Probabilities (outputs, rows, …) of the rows ``where`` of the turned grid."""
        ...

    def result(self) -> tuple[Mask, dict[str, float | None]]:
        """The mask, and by class the Dice that is expected of it."""
        ...


DECISIONS: Mapping[Target, Callable[[ModelCard, Grid], Decision]] = {
    "classes": Classes,
    "overlapping": Overlapping,
    "instances": Instances,
}


def _expected(names: tuple[str, ...], sums: NDArray[np.float64]) -> dict[str, float | None]:
    """2 Σ p·m / (Σ p + Σ m): the Dice of the mask m with truths drawn from p, to first order."""
    out: dict[str, float | None] = {}
    for name, (all_p, decided, hit) in zip(names, sums.T, strict=True):
        out[name] = round(float(2 * hit / (all_p + decided)), 4) if decided else None
    return out
