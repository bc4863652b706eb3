"""The rules of a detector's plan, where they differ from `hexscope.train.choices`: what an object asks of the network.

Lengths by axis are in array order, in pixels that the network sees unless a name says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hexscope.train import choices
from hexscope.train.plan import Choice

Sizes = tuple[int, ...]

#: The shortest side of a small object should be at least so many pixels where the network looks.
_LEAST_SIDE = 10.0
#: Pixels of a picture that is seen whole: usually, and at most, where objects are small.
_WHOLE, _MOST_WHOLE = 1 << 16, 1 << 18
_GRAIN = 32
#: Objects of which the small ones are wider than this are found at a quarter of the resolution.
_COARSE_FROM = 14.0


def view(dims: int, spacing_mm: Sequence[float] | None, shape: Sequence[float], small: float) -> Choice:
    if dims == 3:
        return choices.view(dims, spacing_mm, None)
    needed = min(1.0, _LEAST_SIDE / small)
    if math.prod(shape) * needed**2 > _MOST_WHOLE:
        why = f"small objects of {small:.0f} pixels would vanish in a picture that is seen whole: it is seen in patches"
        return Choice("native", why, "frame")
    return Choice("frame", "a picture is seen whole, so that an object is seen in its place", "native, in patches")


def seen(
    view: str, dims: int, shape: Sequence[float], spacing_mm: Sequence[float] | None, spacing: Any, small: float
) -> Choice:
    """Median sides of an image as the network sees it."""
    if view != "frame":
        return choices.seen(view, dims, shape, spacing_mm, spacing, small)
    usual = math.sqrt(_WHOLE / math.prod(shape))
    factor = min(1.0, max(usual, _LEAST_SIDE / small))
    sides = tuple(max(_GRAIN, _GRAIN * round(n * factor / _GRAIN)) for n in shape)
    why = f"the median picture at {factor:.2f} of its size: small objects are {small * factor:.0f} pixels wide"
    return Choice(sides, why, "as stored: more time a picture, fewer pictures")


def usual(object_sides: Sequence[float], shape: Sequence[float], seen: Sizes) -> Choice:
    """Median sides of an object where the network looks; its boxes begin with them."""
    value = tuple(round(s * b / a, 2) for s, a, b in zip(object_sides, shape, seen, strict=True))
    return Choice(value, "the median object")


def stem(dims: int, spacing: Any, small: float, shape: Sequence[float], seen: Sizes) -> Choice:
    """How many pixels of each axis the first layer joins; boxes are named at that resolution."""
    width = small * min(b / a for a, b in zip(shape, seen, strict=True))
    if dims == 3:
        return choices.stem(dims, spacing)
    if width >= _COARSE_FROM:
        return Choice((4, 4), f"small objects are {width:.0f} pixels wide: a quarter of the resolution names them", "2")
    return Choice((2, 2), f"small objects are {width:.0f} pixels wide: half the resolution tells them apart", "4")


def width(stem: Sizes) -> Choice:
    """Channels of the first level."""
    if max(stem) == 4:
        return Choice(48, "the first layer sees 16 pixels at once: it needs more features than one that sees 4", "32")
    return Choice(32, "fills the vector units of a processor at half resolution", "24, 48")


def head() -> Choice:
    """Channels at full resolution."""
    return Choice(0, "a box is named by a few numbers: nothing is drawn at full resolution")


def batch(dims: int, device: str, per_image: float) -> Choice:
    """Patches an iteration."""
    if device == "cpu" and (dims == 3 or per_image >= 4):
        return Choice(4, "few patches an iteration mean many iterations in the minutes given", "8")
    return Choice(8, f"{per_image:.1f} objects an image: with fewer patches an iteration would see too few", "4")


def rotate(dims: int) -> Choice:
    """Largest turn in degrees; a box turned holds the ellipse that filled it."""
    return Choice(
        (10.0,) * (1 if dims == 2 else 3), "as patients lie; boxes stay boxes only under small turns", "0, 20"
    )


def zoom() -> Choice:
    """Largest relative change of size."""
    return Choice(0.2, "objects of one kind differ in size", "0.1, 0.3")


def learning_rate() -> Choice:
    return Choice(3e-3, "the largest at which heat and boxes learn steadily together", "1e-3, 6e-3")


#: Asked before the speed of the machine is known, and after.
DATA_RULES = (
    view, choices.spacing, seen, choices.patch, usual, stem, choices.encoder, choices.strides, choices.kernels, width,
    choices.widths, head, batch, choices.foreground, rotate, choices.flips, zoom, choices.colour, learning_rate,
    choices.weight_decay, choices.precision, choices.storage,
)  # fmt: skip
RULES = (*DATA_RULES, choices.iterations)
