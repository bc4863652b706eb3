"""Series: what a reader found, before any pixel was read. And the contract that every format keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from hexscope.core.faults import Fault, Verdict
from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity
from hexscope.core.results import Audited

Kind = Literal["image", "mask", "none"]
_ORDER: tuple[Verdict, ...] = ("ok", "repaired", "ignored", "refused")


@dataclass(frozen=True, eq=False)
class Series:
    """One image or mask that files on disk hold. Headers were read, pixels were not.

    id            DICOM Series Instance UID (with ``:suffix`` where a series was split), else the file's name
    kind          "image", "mask" (SEG, RTSTRUCT, label map) or "none" (a scout, a report: listed, never read)
    shape         of the array, all axes; axes names them
    load          reads it: Image or Mask. Raises InputError with the code of what is wrong. A mask that needs the
                  grid of another series (RTSTRUCT) takes it from ``load_on``
    facts         the header's own words by DICOM keyword, for planning and reports
    references    Series Instance UIDs that a mask was drawn on
    load_even     reads an image whose slices are refused as uneven, resampled onto even steps; None where that
                  is not needed or cannot be done
    """

    id: str
    format: str
    kind: Kind
    modality: str
    files: tuple[str, ...]
    load: Callable[[], Image | Mask]
    quantity: Quantity = Quantity.ARBITRARY
    shape: tuple[int, ...] = ()
    axes: tuple[str, ...] = ()
    grid: Grid | None = None
    description: str = ""
    faults: tuple[Fault, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    load_on: Callable[[Grid], Mask] | None = None
    load_even: Callable[[], Image] | None = None

    @property
    def verdict(self) -> Verdict:
        """The gravest of its faults' verdicts."""
        return max((f.kind.verdict for f in self.faults), key=_ORDER.index, default="ok")

    def audited(self) -> Audited:
        return Audited(self.id, True, self.verdict, self.faults)

    def as_json(self, number: int) -> dict[str, Any]:
        """The row of ``hexscope info --json``."""
        affine = None if self.grid is None else self.grid.affine_lps_mm
        spacing = None if self.grid is None else self.grid.spacing_mm
        return {
            "series": self.id,
            "number": number,
            "kind": self.kind,
            "format": self.format,
            "modality": self.modality,
            "quantity": self.quantity.value,
            "shape": list(self.shape),
            "axes": list(self.axes),
            "spacing_mm": None if spacing is None else list(spacing),
            "plane": None if self.grid is None else self.grid.plane,
            "affine_lps_mm": None if affine is None else affine.tolist(),
            "frame_of_reference": None if self.grid is None else self.grid.frame_of_reference,
            "description": self.description,
            "files": list(self.files),
            "faults": [f.code for f in self.faults],
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Inventory:
    """All that a folder (or a file) holds: the series, and the files that belong to none, with the reason."""

    series: tuple[Series, ...] = ()
    others: tuple[Audited, ...] = ()

    def audited(self) -> tuple[Audited, ...]:
        return (*(s.audited() for s in self.series), *self.others)


class Format(Protocol):
    """One kind of file. A new format is one module that offers this, and its line in ``FORMATS``.

    name      as shown to people
    sniff     may this file be one of mine? From its first 4 KB and its name; content decides, a name alone only
              where the content cannot (raw pixels)
    scan      group files that sniffed true into series, reading headers only. Never raises for a bad file: it
              reports it among ``others`` with a fault
    """

    name: str

    def sniff(self, head: bytes, path: Path) -> bool: ...
    def scan(self, paths: Sequence[Path], *, progress: Callable[[int], object] | None = None) -> Inventory: ...
