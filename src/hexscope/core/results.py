"""What tasks give back: Findings, Scores, Measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hexscope.core.faults import Fault

Point = tuple[float, ...]
Box = tuple[float, ...]


@dataclass(frozen=True)
class Finding:
    """A candidate: where it is, how it scores, what was measured. Never a diagnosis.

    center_lps_mm or center_px ([y, x]) says where; box_lps_mm is (least x, y, z, greatest x, y, z),
    box_px is (y0, x0, y1, x1), half-open.
    """

    score: float
    kind: str
    center_lps_mm: Point | None = None
    center_px: Point | None = None
    box_lps_mm: Box | None = None
    box_px: Box | None = None
    volume_ml: float | None = None
    measures: Mapping[str, float | None] = field(default_factory=dict)
    series: str = ""
    label: int | None = None

    def as_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"score": round(self.score, 4), "class": self.kind}
        if self.center_lps_mm is not None:
            out["center_lps_mm"] = [round(v, 3) for v in self.center_lps_mm]
        if self.box_lps_mm is not None:
            low, high = self.box_lps_mm[:3], self.box_lps_mm[3:]
            out["box_lps_mm"] = [[round(v, 3) for v in low], [round(v, 3) for v in high]]
        if self.center_px is not None:
            out["center_px"] = [round(v, 2) for v in self.center_px]
        if self.box_px is not None:
            out["box_px"] = list(self.box_px)
        out["volume_ml"] = None if self.volume_ml is None else round(self.volume_ml, 4)
        out["measures"] = {k: None if v is None else round(v, 4) for k, v in self.measures.items()}
        out["series"] = self.series
        if self.label is not None:
            out["label"] = self.label
        return out


@dataclass(frozen=True)
class Findings:
    """Candidates of one image, best score first.

    method  what looked for them and with which threshold, citing its source
    mask    the candidates as labels (a `Mask`; values are the findings' ``label``), where the method outlines them
    promise what is guaranteed about them; None: nothing is
    """

    items: tuple[Finding, ...]
    method: str
    mask: Any = None
    promise: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def as_json(self) -> dict[str, Any]:
        return {
            "findings": [f.as_json() for f in self.items],
            "method": self.method,
            "promise": None if self.promise is None else dict(self.promise),
            "warnings": list(self.warnings),
            "steps": list(self.steps),
        }


@dataclass(frozen=True)
class Scores:
    """Class probabilities of one image. ``set`` holds the classes that cannot be excluded; None: not computed.

    abstains  the set does not settle the matter: the model cannot tell
    coverage  share of such images whose true class is in the set
    """

    probabilities: Mapping[str, float]
    set: tuple[str, ...] | None = None
    abstains: bool = False
    steps: tuple[str, ...] = ()
    coverage: float | None = None
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "scores": dict(self.probabilities),
            "set": None if self.set is None else list(self.set),
            "abstains": self.abstains,
            "coverage": self.coverage,
            "warnings": list(self.warnings),
            "steps": list(self.steps),
        }


@dataclass(frozen=True)
class LedgerEntry:
    """One factor of a conversion: its name, its value with unit, and the header field it came from."""

    name: str
    value: float | str
    unit: str
    tag: str

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "unit": self.unit, "tag": self.tag}


@dataclass(frozen=True)
class Audited:
    """The audit's word on one series or file: ok, repaired, refused or ignored, and why."""

    where: str
    is_series: bool
    verdict: str
    faults: tuple[Fault, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            ("series" if self.is_series else "path"): self.where,
            "verdict": self.verdict,
            "faults": [f.as_json() for f in self.faults],
        }
