"""How a detector's stages are put together: region, candidates, features and classifier, merging; data of its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hexscope.errors import FormatError, UsageError

#: Where candidates come from: the network's peaks, or these and filters for blobs and hot spots together.
Source = Literal["network", "both"]
SOURCES: tuple[Source, ...] = ("network", "both")
#: Where they may lie: anywhere, or in what is no background.
Region = Literal["whole", "body"]
REGIONS: tuple[Region, ...] = ("whole", "body")


def planes(classes: int, dims: int) -> int:
    """Planes of the answer of a network that tells ``classes`` apart: see `hexscope.models.peaks`."""
    return classes + 2 + 2 * dims


@dataclass(frozen=True)
class Detector:
    """The stages of one model.

    region      where candidates may lie
    candidates  where they come from
    judged      a classifier in a graph of its own gives the scores; else the network's are taken
    mirror      the network looks at the mirror image along the last axis as well
    sizes       diameters that the filters look for, in pixels of what the network sees
    same        boxes that overlap more are merged into one
    speaks      features that weigh most with the classifier; each finding tells them
    score       findings below it are left out unless a sensitivity is asked for
    hit         in words, when a finding counts as a hit in the figures of the promise
    """

    region: Region = "whole"
    candidates: Source = "network"
    judged: bool = False
    mirror: bool = False
    sizes: tuple[float, ...] = ()
    same: float = 0.5
    speaks: tuple[str, ...] = ()
    score: float = 0.0
    hit: str = "the middle of a finding lies in its box"

    def __post_init__(self) -> None:
        if self.candidates not in SOURCES or self.region not in REGIONS:
            raise UsageError(f"candidates is one of {', '.join(SOURCES)}, region one of {', '.join(REGIONS)}")
        if self.candidates != "network" and not (self.sizes and self.judged):
            raise UsageError("filters need sizes to look for, and a classifier that tells what they find")

    def as_data(self) -> dict[str, Any]:
        """As plain data for TOML or JSON."""
        return asdict(self) | {"sizes": list(self.sizes), "speaks": list(self.speaks)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Detector:
        """From what ``as_data`` gave. FormatError names what is wrong."""
        try:
            sizes = tuple(float(v) for v in data.get("sizes", ()))
            return cls(**{**data, "sizes": sizes, "speaks": tuple(data.get("speaks", ()))})
        except (TypeError, ValueError, UsageError) as error:
            raise FormatError(f"the detector is broken: {error}") from error
