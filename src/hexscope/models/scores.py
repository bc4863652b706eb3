"""What a classifier's network says of one case: its views, one after another, and their answers made one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hexscope.core.patches import tiles
from hexscope.errors import NoModelError
from hexscope.models.card import ModelCard
from hexscope.models.classifier import Classifier
from hexscope.models.contract import Inputs
from hexscope.models.prepare import Prepared, padded, prepare
from hexscope.models.recipe import Recipe
from hexscope.models.runtime import Network

Floats = NDArray[np.float32]

#: A tile that varies by less than this part of the image's own deviation shows nothing.
_SHOWS = 0.1


@dataclass(frozen=True, eq=False)
class Look:
    """The network's answer on one case.

    scores    (members, classes), the network's members only
    likeness  (numbers,): near one another where images look alike
    prepared  what the network saw
    engine    what ran it
    """

    scores: NDArray[np.float64]
    likeness: NDArray[np.float64]
    prepared: Prepared
    engine: str


def look(card: ModelCard, network: Network, images: Inputs) -> Look:
    """Run the network of ``card`` on one case: ``images`` by input name, or the image of its only input.

    Raises what `hexscope.models.prepare.prepare` raises; NoModelError for a card that classifies nothing.
    """
    recipe, classifier = parts_of(card)
    prepared = prepare(images, recipe)
    answers, engine = answered(network, list(views(prepared.array, recipe, classifier.mirror)))
    numbers = classifier.pooled(answers)
    cut = len(numbers) - classifier.likeness
    return Look(numbers[:cut].reshape(-1, len(card.classes)), numbers[cut:], prepared, engine)


def parts_of(card: ModelCard) -> tuple[Recipe, Classifier]:
    """The recipe and the classifier of a card. NoModelError where it has none."""
    if card.recipe is None or card.classifier is None:
        raise NoModelError(f"model {card.name} is made to {card.task}, not to classify")
    return card.recipe, card.classifier


def answered(network: Network, seen: list[Floats]) -> tuple[Floats, str]:
    """(views, numbers) of views of one size, and what ran the network."""
    engine = network.engine_for(seen[0], 1)
    return np.stack([engine.run(view) for view in seen]), engine.name


def views(array: Floats, recipe: Recipe, mirror: bool) -> Iterator[Floats]:
    """What the network is shown of a prepared ``array`` (planes, *spatial), each (planes, *recipe.tile).

    An image that fits into the tile is one view; a larger one gives its tiles, less those that show nothing; a volume
    before a network for planes gives its slices. ``mirror``: each is followed by its mirror image.
    """
    for part in _slices(array, recipe.dims):
        whole, _ = padded(part, recipe.tile, (1,) * recipe.dims)
        regions = list(tiles(whole.shape[1:], recipe.tile, recipe.overlap))
        cut = [np.ascontiguousarray(whole[(slice(None), *region)]) for region in regions]
        least = _SHOWS * float(whole.std())
        shown = [tile for tile in cut if float(tile.std()) >= least] if len(cut) > 1 else cut
        for tile in shown:
            yield tile
            if mirror:
                yield np.ascontiguousarray(tile[..., ::-1])


def _slices(array: Floats, dims: int) -> Iterator[Floats]:
    if array.ndim == dims + 1:
        yield array
        return
    for k in range(array.shape[1]):
        yield from _slices(array[:, k], dims)
