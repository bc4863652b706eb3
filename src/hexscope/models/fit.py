"""Does a model fit an image that nobody chose it for? Only where image and card say so; silence is no."""

from __future__ import annotations

from collections.abc import Sequence

from hexscope.core.image import Image
from hexscope.models.card import ModelCard
from hexscope.models.prepare import Turn
from hexscope.models.recipe import Channel

#: Header fields that say which part of the body is shown.
_SAYS = ("BodyPartExamined", "ProtocolName", "StudyDescription", "SeriesDescription")
#: A field of view this many times larger or smaller than the training data's is another kind of image.
_EXTENT = 2.0


def takes(channel: Channel, image: Image) -> bool:
    """Does the image say that it is what the channel asks for?"""
    return (image.modality, image.quantity) == (channel.modality, channel.quantity)


def misfit(card: ModelCard, image: Image) -> str | None:
    """Why the model should not be used on ``image`` (its first input) unasked; None where it may."""
    recipe = card.recipe
    if recipe is None or card.task not in ("segment", "detect", "classify"):
        return "it has no network that segments, detects or classifies"
    if not takes(recipe.channels[0], image):
        return f"it is made for {card.modality} in {card.quantity.value}"
    if image.grid.ndim != recipe.dims or set(image.axes) - set("zyxc"):
        return f"it looks at images of {recipe.dims} axes"
    said = " ".join(str(image.facts.get(field) or "") for field in _SAYS) + f" {image.name}"
    if not any(word.lower() in said.lower() for word in card.anatomy):
        shown = ", ".join(card.anatomy) or "an anatomy that its card does not name"
        return f"it is made for {shown}, and the image does not say that it shows this"
    return _other_extent(card, image)


def _other_extent(card: ModelCard, image: Image) -> str | None:
    usual: Sequence[float] | None = card.fingerprint.get("extent_mm")
    if usual is None or image.grid.spacing_mm is None or card.recipe is None:
        return None
    grid = Turn.of(image.grid, card.recipe.dims).grid(image.grid)
    extent = [n * s for n, s in zip(grid.shape, grid.spacing_mm or (), strict=True)]
    if all(1 / _EXTENT <= a / b <= _EXTENT for a, b in zip(extent, usual, strict=True)):
        return None
    shown, wanted = ("×".join(f"{v:.0f}" for v in values) for values in (extent, usual))
    return f"the image shows {shown} mm; the model was trained on about {wanted} mm"
