"""The audit: look at every series, pixels included, and say ok, repaired, refused or ignored, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hexscope.core.faults import Fault
from hexscope.core.image import Image, Mask
from hexscope.core.results import Audited
from hexscope.errors import HexscopeError
from hexscope.io.reading import open_mask, open_series, refusal
from hexscope.io.series import Inventory, Series
from hexscope.modality import of_code

Tell = Callable[[str, int, int], object]

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


def audit_inventory(found: Inventory, *, tell: Tell | None = None) -> Audit:
    """Load every series of ``found``; one that fails is refused with its fault, the others go on."""
    items: list[Audited] = []
    images: dict[str, Image] = {}
    masks: dict[str, Mask] = {}
    for number, series in enumerate(found.series, start=1):
        if tell is not None:
            tell(series.description or series.id, number, len(found.series))
        thing, faults = _open(series, found)
        judged = replace(series, faults=tuple(dict.fromkeys((*series.faults, *faults))))
        items.append(judged.audited())
        if isinstance(thing, Image) and judged.verdict != "refused":
            images[series.id] = replace(thing, faults=judged.faults)
        elif isinstance(thing, Mask):
            masks[series.id] = thing
    return Audit((*items, *found.others), images, masks)


def _open(series: Series, found: Inventory) -> tuple[Image | Mask | None, tuple[Fault, ...]]:
    """The series with its pixels read once, and the faults that only this shows."""
    if series.kind == "none":
        return None, ()
    try:
        if series.kind == "mask":
            return open_mask(series, found), ()
        image = open_series(series)
        faults = (*image.faults, *_value_faults(image))
        return image, faults
    except HexscopeError as error:
        fault = refusal(error)
        known = any(fault.code == told.code for told in series.faults)  # the header pass saw it already
        return None, () if known else (fault,)
    except MemoryError:
        return None, (Fault("file.too_large", f"{series.id} does not fit into memory"),)
    except Exception as error:  # one bad case never stops the others, whatever a decoder throws
        return None, (Fault("file.unreadable", f"{series.id}: {type(error).__name__}: {error}"),)


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
