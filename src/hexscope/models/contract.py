"""What a model asks of its input, kept: an image that is something else is refused, and both are named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hexscope.core.image import Image
from hexscope.core.pixels import ArrayPixels
from hexscope.core.quantity import Quantity
from hexscope.errors import GeometryError, QuantityError, UsageError
from hexscope.models.recipe import Channel, Recipe

Inputs = Mapping[str, Image] | Image


def require_inputs(images: Inputs, recipe: Recipe) -> tuple[dict[str, Image], tuple[str, ...]]:
    """The image of each channel, and what was taken for granted about them.

    UsageError where channels lack or are unknown, QuantityError where an image says that it is something else,
    GeometryError where it has other axes.
    """
    wanted = [c.name for c in recipe.channels]
    given = {wanted[0]: images} if isinstance(images, Image) else dict(images)
    unknown, missing = [n for n in given if n not in wanted], [n for n in wanted if n not in given]
    if unknown or missing:
        lacks = f"it lacks {', '.join(missing)}" if missing else f"it does not know {', '.join(unknown)}"
        raise UsageError(
            f"the model takes the inputs {', '.join(wanted)}, and {lacks}; name each as --input NAME=PATH, or pass "
            "a mapping from name to image"
        )
    told: list[str] = []
    fitting = {c.name: _fitting(given[c.name], c, recipe.dims, told) for c in recipe.channels}
    return fitting, tuple(told)


def _fitting(image: Image, channel: Channel, dims: int, told: list[str]) -> Image:
    name = image.name or channel.name
    image = _in_colours(image, channel, told)
    _require_meaning(image, channel, name, told)
    extra = [a for a in image.axes if a not in "zyxc"]
    if extra:
        raise GeometryError(f"{name} has axes {image.axes}; take one time point with frame(), or PATH@t=N")
    if image.grid.ndim > dims:
        told.append(f"{name} is a volume and was looked at slice by slice")
    if image.grid.ndim < dims:
        raise GeometryError(f"the model looks at images of {dims} axes; {name} has {image.grid.ndim}")
    return image


def _require_meaning(image: Image, channel: Channel, name: str, told: list[str]) -> None:
    """Modality and quantity as the channel asks. Silence passes only where no scale is at stake, and is told."""
    wanted, got = channel.quantity, image.quantity
    if channel.modality != "OT" and image.modality not in ("OT", channel.modality):
        raise QuantityError(
            f"input {channel.name} of the model is {channel.modality}; {name} is {image.modality}",
            code="value.wrong_quantity",
        )
    scale_unknown = channel.modality == "OT" and wanted is Quantity.ARBITRARY and got is not Quantity.RGB
    if got is not wanted and not scale_unknown:
        hint = (
            f"declare it with --as {channel.modality}:{wanted.value} if you know that it is"
            if (image.modality == "OT" and got is Quantity.ARBITRARY)
            else f'convert it with quantify(image, "{wanted.value}") if its header allows'
        )
        raise QuantityError(
            f"input {channel.name} of the model is {channel.modality} in {wanted.value}; {name} is {image.modality} "
            f"in {got.value}: {hint}",
            code="value.wrong_quantity",
        )
    if channel.modality == "OT":
        told.append(f"warning: the model's training data did not say what they are; {name} was taken as it is")
    elif image.modality == "OT":
        told.append(f"{name} does not say what it is and was taken as {channel.modality}")


def _in_colours(image: Image, channel: Channel, told: list[str]) -> Image:
    """Grey bytes where grey is asked and three equal planes are stored, and the other way round: nothing is lost."""
    wants_colour, has_colour = channel.quantity is Quantity.RGB, image.quantity is Quantity.RGB
    if wants_colour == has_colour or (has_colour and channel.quantity is not Quantity.ARBITRARY):
        return image
    if image.pixels.dtype != np.uint8 or (wants_colour and image.quantity is not Quantity.ARBITRARY):
        return image
    array = image.array
    name = image.name or channel.name
    if wants_colour:
        told.append(f"{name} is grey; its values were taken as red, green and blue")
        array, axes, quantity = np.stack([array] * 3, axis=-1), (*image.axes, "c"), Quantity.RGB
    else:
        if not (np.array_equal(array[..., 0], array[..., 1]) and np.array_equal(array[..., 0], array[..., 2])):
            return image
        told.append(f"{name} is stored in colours that are all grey; one of them was taken")
        array, axes, quantity = array[..., 0], image.axes[:-1], Quantity.ARBITRARY
    return replace(image, pixels=ArrayPixels(array), axes=axes, quantity=quantity)
