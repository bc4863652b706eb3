"""The contract of a modality: one file holds all that is particular to one, as one `Modality`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

from hexscope.core.faults import Fault
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.core.results import LedgerEntry
from hexscope.errors import QuantityError

Facts = Mapping[str, Any]
Language = Literal["en", "zh"]
Ledger = tuple[LedgerEntry, ...]


@dataclass(frozen=True)
class Window:
    """A display window in the image's own quantity: black at ``low``, white at ``high``."""

    name: str
    name_zh: str
    low: float
    high: float


def no_audit(image: Image) -> tuple[Fault, ...]:
    """A modality whose header can hide nothing."""
    return ()


def lacking(image: Image, needs: Mapping[str, str]) -> tuple[Fault, ...]:
    """One fault that names every field of ``needs`` (keyword to tag) that a DICOM header lacks; files of other
    formats have no header to lack one."""
    absent = [f"{keyword} {tag}" for keyword, tag in needs.items() if image.facts.get(keyword) in (None, "", [])]
    if not absent or "SOPClassUID" not in image.facts:
        return ()
    return (Fault("value.bare_header", f"{image.name or 'this image'} lacks {', '.join(absent)}"),)


def no_conversion(image: Image, wanted: Quantity) -> tuple[Image, Ledger]:
    """A modality with one quantity: anything else raises QuantityError."""
    if wanted is image.quantity:
        return image, ()
    raise QuantityError(
        f"{image.name or 'this image'} is {image.modality} in {image.quantity.value}; "
        f"there is no way from there to {wanted.value}",
        code="value.wrong_quantity",
    )


@dataclass(frozen=True)
class Modality:
    """What is particular to one kind of image.

    code       "CT", "MR", "XR", "US", "PT" or "SM"
    dicom      the values of DICOM Modality (0008,0060) that mean it
    guide      name of its guide under ``guides/`` and on the command line
    windows    display windows, the usual one first; empty: take percentiles of the image
    plausible  the range a quantity can have; outside it the audit says ``value.implausible``
    needs      DICOM keywords a sound header carries
    working    the quantity that a study brings it into; None: as stored
    stored     from the facts: what the numbers mean after the file's own rescale
    audit      faults that only this modality knows to look for
    convert    image in another quantity, with the ledger of factors; QuantityError or MissingFact if not
    """

    code: str
    name: str
    name_zh: str
    dicom: tuple[str, ...]
    guide: str
    stored: Callable[[Facts], Quantity]
    windows: tuple[Window, ...] = ()
    plausible: Mapping[Quantity, tuple[float, float]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    working: Quantity | None = None
    audit: Callable[[Image], tuple[Fault, ...]] = no_audit
    convert: Callable[[Image, Quantity], tuple[Image, Ledger]] = no_conversion

    def guide_text(self, language: Language = "en") -> str:
        """The guide, Markdown, about a page; at its end the header fields that a sound file carries."""
        title = "## 完整的头文件应有的字段" if language == "zh" else "## Header fields of a sound file"
        fields = ", ".join(f"`{keyword}`" for keyword in self.needs)
        return f"{_guide(self.guide, language).rstrip()}\n\n{title}\n\n{fields}\n"


@cache
def _guide(name: str, language: Language) -> str:
    return (resources.files("hexscope.modality") / "guides" / f"{name}.{language}.md").read_text(encoding="utf-8")
