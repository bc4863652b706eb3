"""The audit: look at every series, pixels included, and say ok, repaired, refused or ignored, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from types import MappingProxyType

import numpy as np

from hexscope.core.faults import Fault
from hexscope.core.image import Image, Mask
from hexscope.core.results import Audited
from hexscope.errors import HexscopeError
from hexscope.io.masks import mask_from_image
from hexscope.io.reading import declared, open_mask, open_series, refusal
from hexscope.io.series import Inventory, Series
from hexscope.modality import of_code

#: A larger image (a whole slide) is judged by its header and a part of it, bytes.
_READ_WHOLE_BYTES = 4 << 30


@dataclass(frozen=True)
class Audit:
    """The verdicts, and what could be read: images and masks by series id."""

    items: tuple[Audited, ...]
    images: Mapping[str, Image] = field(default_factory=dict)
    masks: Mapping[str, Mask] = field(default_factory=dict)

    def summary(self) -> dict[str, int]:
        """How many items got each verdict."""
        return {v: sum(i.verdict == v for i in self.items) for v in ("ok", "repaired", "refused", "ignored")}


def audit_inventory(found: Inventory, *, kinds: Mapping[str, str] = MappingProxyType({})) -> Audit:
    """Judge every series of ``found`` and keep what could be read.

    ``kinds`` declares files that do not say what they are, by a pattern of their name: ``{"CT*": "CT:HU",
    "*mask*": "mask"}``.
    """
    items: list[Audited] = []
    images: dict[str, Image] = {}
    masks: dict[str, Mask] = {}
    for series in found.series:
        audited, thing = audit_series(series, found, kinds)
        items.append(audited)
        if isinstance(thing, Image):
            images[series.id] = thing
        elif isinstance(thing, Mask):
            masks[series.id] = thing
    return Audit((*items, *found.others), images, masks)


def audit_series(
    series: Series, found: Inventory, kinds: Mapping[str, str] = MappingProxyType({})
) -> tuple[Audited, Image | Mask | None]:
    """The verdict on one series, pixels included, and what it holds; None where it is refused or no image."""
    thing, faults = _opened(series, found, kinds)
    judged = replace(series, faults=tuple(dict.fromkeys((*series.faults, *faults))))
    if judged.verdict == "refused":
        return judged.audited(), None
    if isinstance(thing, Image):
        thing = replace(thing, faults=judged.faults)
    return judged.audited(), thing


def _opened(
    series: Series, found: Inventory, kinds: Mapping[str, str]
) -> tuple[Image | Mask | None, tuple[Fault, ...]]:
    """What the series holds, and the faults that only its pixels show. Whatever a decoder throws is a fault."""
    try:
        return _read(series, found, kinds)
    except HexscopeError as error:
        fault = refusal(error)
        known = any(fault.code == told.code for told in series.faults)  # the header pass saw it already
        return None, () if known else (fault,)
    except MemoryError:
        return None, (Fault("file.too_large", f"{series.id} does not fit into memory"),)
    except Exception as error:  # one bad case never stops the others
        return None, (Fault("file.unreadable", f"{series.id}: {type(error).__name__}: {error}"),)


def _read(series: Series, found: Inventory, kinds: Mapping[str, str]) -> tuple[Image | Mask | None, tuple[Fault, ...]]:
    if series.kind == "none":
        return None, ()
    if series.kind == "mask":
        return open_mask(series, found), ()
    image = open_series(series)
    kind = next((k for pattern, k in kinds.items() if fnmatch(Path(series.files[0]).name, pattern)), None)
    if kind == "mask":
        return mask_from_image(image), ()
    if kind is not None:
        image = declared(image, kind)
    return image, (*image.faults, *_value_faults(image))


def _value_faults(image: Image) -> tuple[Fault, ...]:
    """Values outside what the quantity can be. Reading them also proves that the pixels are there."""
    size = int(np.prod(image.shape, dtype=np.float64)) * image.pixels.dtype.itemsize
    if len(image.pixels.levels) > 1 or size > _READ_WHOLE_BYTES:
        image.pixels.read(tuple(slice(0, min(n, 256)) for n in image.shape))
        return ()
    array = image.array
    modality = of_code(image.modality)
    limits = None if modality is None else modality.plausible.get(image.quantity)
    if limits is None or array.size == 0:
        return ()
    low, high = float(array.min()), float(array.max())
    if low >= limits[0] and high <= limits[1]:
        return ()
    detail = f"{image.quantity.value} runs from {low:g} to {high:g}; plausible is {limits[0]:g} to {limits[1]:g}"
    return (Fault("value.implausible", detail),)
