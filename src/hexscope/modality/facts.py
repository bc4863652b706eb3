"""Header values as numbers and words. Facts are whatever a reader took from a file: read them with care."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hexscope.core.quantity import Quantity

_GREY = ("", "MONOCHROME1", "MONOCHROME2")


def number(facts: Mapping[str, Any], keyword: str) -> float | None:
    """The value as a finite number; None where it is absent, empty or no number."""
    try:
        out = float(facts[keyword])
    except (KeyError, TypeError, ValueError):
        return None
    return out if math.isfinite(out) else None


def text(facts: Mapping[str, Any], keyword: str) -> str:
    """The value as a word without spaces around it; empty where it is absent."""
    value = facts.get(keyword)
    return "" if value is None else str(value).strip()


def words(facts: Mapping[str, Any], keyword: str) -> tuple[str, ...]:
    """A multi-valued header field as upper-case words; also takes DICOM's ``A\\B`` in one string."""
    value = facts.get(keyword)
    if value is None:
        return ()
    parts = value.split("\\") if isinstance(value, str) else value
    return tuple(str(part).strip().upper() for part in parts)


def is_colour(facts: Mapping[str, Any]) -> bool:
    """Does a pixel hold a colour (DICOM PS3.3 C.7.6.3.1.2)? False where the file does not say."""
    photometric = text(facts, "PhotometricInterpretation").upper()
    return photometric not in _GREY or (number(facts, "SamplesPerPixel") or 1.0) >= 3.0


def grey_or_colour(facts: Mapping[str, Any]) -> Quantity:
    """RGB for colour pictures, else arbitrary: the rule of every modality without an absolute unit."""
    return Quantity.RGB if is_colour(facts) else Quantity.ARBITRARY
