"""Label maps that others saved as plain images, taken as masks."""

from __future__ import annotations

import numpy as np

from hexscope.core.image import Image, Mask
from hexscope.errors import InputError


def mask_from_image(image: Image) -> Mask:
    """The image's numbers as labels, 0 for background; names are ``label N``.

    Raises InputError where the numbers are not whole, below 0 or too large to be labels, or the image has colour
    or time.
    """
    name = image.name or "the image"
    if set(image.axes) - set("zyx"):
        raise InputError(f"a mask has axes z, y, x; {name} has {image.axes}")
    array = image.array
    if array.dtype.kind == "f" and not np.array_equal(array, np.round(array)):
        raise InputError(f"{name} holds fractions; a mask holds whole label values")
    if array.size and (array.min() < 0 or array.max() > np.iinfo(np.uint16).max):
        raise InputError(f"{name} runs from {array.min():g} to {array.max():g}; labels lie between 0 and 65535")
    return Mask.from_array(array, image.grid, steps=image.steps, files=image.files, name=image.name)
