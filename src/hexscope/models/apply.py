"""A model on an image: the one path of prediction, for Python, the command line and training's own validation.

Prepare, run tile by tile, bring probabilities back to the image's own grid slab by slab, and only there decide. At
full resolution nothing is kept but labels and, a byte a pixel, how sure each is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hexscope.core.image import Image, Mask
from hexscope.core.patches import tiles
from hexscope.errors import NoModelError
from hexscope.models.card import ModelCard
from hexscope.models.contract import Inputs
from hexscope.models.decide import DECISIONS
from hexscope.models.prepare import Prepared, padded, prepare, restored
from hexscope.models.recipe import Recipe
from hexscope.models.runtime import Network
from hexscope.models.tiling import slabs

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of one case.

    mask           on the grid of the (first) image
    certainty      uint8 on that grid: 255 × the probability of what was decided
    expected_dice  by class: the Dice between the mask and what the calibrated probabilities expect, an estimate of
                   how well the mask agrees with a reader's, made without one; None where nothing was found
    warnings       what to beware of
    engine         what ran the network
    """

    mask: Mask
    certainty: NDArray[np.uint8]
    expected_dice: dict[str, float | None]
    warnings: tuple[str, ...]
    engine: str

    @property
    def uncertainty(self) -> Image:
        """1 − the probability of what was decided, at every pixel, as an image."""
        values = 1.0 - self.certainty.astype(np.float32) / 255.0
        return Image.from_array(
            values, self.mask.grid, steps=(*self.mask.steps, "uncertainty: 1 - probability of the decision")
        )


def predict(card: ModelCard, network: Network, images: Inputs) -> Prediction:
    """Run the model of ``card`` on one case: ``images`` by input name, or the image of its only input.

    Raises what `hexscope.models.prepare.prepare` raises; NoModelError for a card without a network.
    """
    if card.recipe is None:
        raise NoModelError(f"the card {card.name} comes without a network")
    prepared = prepare(images, card.recipe)
    first = images if isinstance(images, Image) else images[card.recipe.channels[0].name]
    rows, engine = probabilities(network, prepared, card.recipe)
    decision = DECISIONS[card.recipe.target](card, prepared.source)
    for where, part in restored(rows, prepared):
        decision.take(prepared.turn, where, part)
    mask, expected = decision.result()
    warnings = [s.removeprefix("warning: ") for s in prepared.steps if s.startswith("warning: ")]
    warnings += _doubts(card, expected)
    told = [s for s in prepared.steps if not s.startswith("warning: ")]
    steps = (*first.steps, *told, f"segment: model {card.name} ({engine})", *(f"warning: {w}" for w in warnings))
    mask = replace(mask, steps=steps, files=first.files, name=first.name)
    return Prediction(mask, decision.certainty, expected, tuple(warnings), engine)


def _doubts(card: ModelCard, expected: dict[str, float | None]) -> Iterator[str]:
    for name, value in expected.items():
        if value is None:
            yield f"no {name} was found"
        elif card.warn_below is not None and value < card.warn_below:
            yield f"{name}: the expected Dice is {value:.2f}, lower than in nearly all cases the model was tried on"


# ---- probabilities ------------------------------------------------------------------------------------------


def probabilities(network: Network, prepared: Prepared, recipe: Recipe) -> tuple[Iterator[Floats], str]:
    """Slabs of probabilities (outputs, rows, …) along the first axis of ``prepared.grid``, and what runs the network.

    Planes of the target "classes" sum to 1; those of the others are each between 0 and 1. A 2-D network goes through
    a volume slice by slice.
    """
    shape = prepared.grid.shape
    alone = (1,) * (len(shape) - recipe.dims)
    tile, overlap = (*alone, *recipe.tile), (*(0 for _ in alone), *recipe.overlap)
    multiple = (*alone, *recipe.multiple)
    short = [m if n < t else 1 for n, t, m in zip(shape, tile, multiple, strict=True)]
    array, inside = padded(prepared.array, (1,) * len(shape), short)
    regions = list(tiles(array.shape[1:], tile, overlap))
    lead = len(alone)
    sample = array[(slice(None), *regions[0])]
    engine = network.engine_for(
        np.ascontiguousarray(sample.reshape(len(array), *sample.shape[1 + lead :])), len(regions)
    )

    def run(part: Floats) -> Floats:
        seen = part.reshape(len(part), *part.shape[1 + lead :])
        out = squashed(engine.run(seen), recipe)
        if recipe.mirror:
            other = squashed(engine.run(np.ascontiguousarray(seen[..., ::-1])), recipe)
            out = np.asarray((out + _unmirrored(other, recipe)) / 2, np.float32)
        return out.reshape(len(out), *part.shape[1 : 1 + lead], *out.shape[1:])

    return _cropped(slabs(array, regions, run), inside), engine.name


def _cropped(rows: Iterator[Floats], inside: tuple[slice, ...]) -> Iterator[Floats]:
    """Slabs without what was padded."""
    at = 0
    for part in rows:
        start, stop = max(inside[0].start - at, 0), min(inside[0].stop - at, part.shape[1])
        at += part.shape[1]
        if start < stop:
            yield part[(slice(None), slice(start, stop), *inside[1:])]


def _unmirrored(answer: Floats, recipe: Recipe) -> Floats:
    """What is said of a mirror image, as it holds for the image."""
    out = answer[..., ::-1].copy()
    if recipe.target == "instances":  # the last plane points along the axis that was mirrored
        out[-1] = 1 - out[-1]
    return out


def squashed(logits: Floats, recipe: Recipe) -> Floats:
    """Logits (outputs, …) as probabilities: softmax over the classes, or each by itself."""
    out = logits / np.float32(recipe.temperature)
    if recipe.target == "classes":
        out -= out.max(axis=0)
        np.exp(out, out=out)
        out /= out.sum(axis=0)
        return out
    np.negative(out, out=out)
    np.clip(out, -60.0, 60.0, out=out)
    np.exp(out, out=out)
    out += 1.0
    np.reciprocal(out, out=out)
    return out
