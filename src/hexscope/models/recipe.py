"""What a network sees of an image, as data: channels, their numbers, the pixels it looks at, what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from hexscope.core.quantity import Quantity
from hexscope.errors import FormatError, UsageError

#: What the planes of the network's answer are: one logit a class, background first (exactly one holds); one logit a
#: structure (they may overlap); one of belonging to an object and one an axis of where its
#: middle lies; or peaks, a logit a
#: class and what names a box (`hexscope.models.peaks`), at a part of the resolution. Or numbers of the
#: whole image, without planes: scores of its classes (`hexscope.models.classifier`).
Target = Literal["classes", "overlapping", "instances", "peaks", "scores"]
TARGETS: tuple[Target, ...] = ("classes", "overlapping", "instances", "peaks", "scores")

T = TypeVar("T")


@dataclass(frozen=True)
class Normalise:
    """Clip, then subtract ``mean``, then divide by ``std``.

    clip       (low, high) in the channel's own numbers; where ``per_image``, percentiles (0 to 100) of each image
    mean, std  in the channel's own numbers, one a plane (three for RGB); empty where ``per_image``: the image's own
    per_image  for numbers without a scale (MRI, ultrasound): no fixed figure would mean anything
    """

    per_image: bool = True
    clip: tuple[float, float] = (0.5, 99.5)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.clip[0] < self.clip[1]:
            raise UsageError(f"clip is (low, high), low below high; got {self.clip}")
        if self.per_image == bool(self.mean) or len(self.mean) != len(self.std):
            raise UsageError("fixed numbers need a mean and a std for each plane; numbers per image need neither")
        if any(s <= 0 for s in self.std):
            raise UsageError(f"std is above 0; got {self.std}")


@dataclass(frozen=True)
class Channel:
    """One input of a model: its name in the cases table, what an image must be to serve, how its numbers are scaled.

    modality   "OT" where the training data did not say; then any is taken
    quantity   RGB makes three planes, everything else one
    """

    name: str
    modality: str
    quantity: Quantity
    normalise: Normalise = Normalise()

    @property
    def planes(self) -> int:
        return 3 if self.quantity is Quantity.RGB else 1


@dataclass(frozen=True)
class Recipe:
    """From images to the array a network sees, and back. All lengths in array order.

    channels    inputs in the network's order; the first is the reference: the answer lies on its grid
    dims        2 or 3 spatial axes
    spacing_mm  pixels of this size, placed volumes turned so that their axes run (superior, posterior, left); or
    frame       an image shrunk or grown to fit into this many pixels, aspect kept (of volumes in mm, where they say
                their spacing); neither: pixels as they are
    multiple    the network takes sides that are multiples of this; images are padded with the value at their edge
    tile        larger images are seen in tiles of this many pixels, neighbours sharing ``overlap``
    target      what the network's answer is, see ``Target``
    temperature the logits are divided by this before they become probabilities (doi:10.48550/arXiv.1706.04599)
    mirror      of masks: the mirror image along the last axis is looked at as well, and both answers are averaged
    """

    channels: tuple[Channel, ...]
    dims: int
    multiple: tuple[int, ...]
    tile: tuple[int, ...]
    overlap: tuple[int, ...]
    spacing_mm: tuple[float, ...] | None = None
    frame: tuple[int, ...] | None = None
    target: Target = "classes"
    temperature: float = 1.0
    mirror: bool = False

    def __post_init__(self) -> None:
        names = [c.name for c in self.channels]
        if not names or len(set(names)) != len(names):
            raise UsageError(f"a recipe needs channels with names of their own; got {names}")
        if self.dims not in (2, 3):
            raise UsageError(f"a recipe has 2 or 3 axes; got {self.dims}")
        if self.spacing_mm is not None and self.frame is not None:
            raise UsageError("a recipe has a spacing_mm or a frame, not both")
        for what in ("multiple", "tile", "overlap", "spacing_mm", "frame"):
            value = getattr(self, what)
            if value is not None and len(value) != self.dims:
                raise UsageError(f"{what} needs {self.dims} values; got {value}")
        if any(t % m or not 0 <= o < t for t, m, o in zip(self.tile, self.multiple, self.overlap, strict=True)):
            raise UsageError(f"tile {self.tile} must be a multiple of {self.multiple} and more than its overlap")
        if self.target not in TARGETS or self.temperature <= 0:
            raise UsageError(f"target is one of {', '.join(TARGETS)} and temperature above 0")

    @property
    def planes(self) -> int:
        """Planes of the array that the network sees."""
        return sum(c.planes for c in self.channels)

    def as_data(self) -> dict[str, Any]:
        """As plain data for TOML or JSON; what is None is left out."""
        out: dict[str, Any] = {"dims": self.dims, "target": self.target, "temperature": self.temperature}
        for what in ("spacing_mm", "frame", "multiple", "tile", "overlap"):
            value = getattr(self, what)
            if value is not None:
                out[what] = list(value)
        if self.mirror:
            out["mirror"] = True
        out["channels"] = [_channel_data(c) for c in self.channels]
        return out

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Recipe:
        """From what ``as_data`` gave. FormatError names the field that is missing or wrong."""
        try:
            return cls(
                channels=tuple(_channel(c) for c in data["channels"]),
                dims=int(data["dims"]),
                multiple=_numbers(data["multiple"], int),
                tile=_numbers(data["tile"], int),
                overlap=_numbers(data["overlap"], int),
                spacing_mm=_numbers(data["spacing_mm"], float) if "spacing_mm" in data else None,
                frame=_numbers(data["frame"], int) if "frame" in data else None,
                target=data.get("target", "classes"),
                temperature=float(data.get("temperature", 1.0)),
                mirror=bool(data.get("mirror", False)),
            )
        except KeyError as error:
            raise FormatError(f"the recipe lacks the field {error}") from error
        except (TypeError, ValueError, UsageError) as error:
            raise FormatError(f"the recipe is broken: {error}") from error


def _numbers(values: Sequence[Any], kind: Callable[[Any], T]) -> tuple[T, ...]:
    return tuple(kind(v) for v in values)


def _channel_data(channel: Channel) -> dict[str, Any]:
    how = channel.normalise
    scale = {"per_image": how.per_image, "clip": list(how.clip), "mean": list(how.mean), "std": list(how.std)}
    return {
        "name": channel.name,
        "modality": channel.modality,
        "quantity": channel.quantity.value,
        "normalise": {key: value for key, value in scale.items() if value != []},
    }


def _channel(data: Mapping[str, Any]) -> Channel:
    how = data["normalise"]
    low, high = _numbers(how["clip"], float)
    scale = Normalise(
        bool(how["per_image"]), (low, high), _numbers(how.get("mean", ()), float), _numbers(how.get("std", ()), float)
    )
    return Channel(str(data["name"]), str(data["modality"]), Quantity.named(data["quantity"]), scale)
