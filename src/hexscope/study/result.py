"""What a study found, as data: the same for results.json, for the report and for Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hexscope.core.faults import Fault
from hexscope.core.image import Image, Mask
from hexscope.core.results import Audited, Findings, Scores
from hexscope.core.transform import Transform
from hexscope.study.roles import Decision


@dataclass(frozen=True)
class Picture:
    """A PNG with its caption in both languages."""

    name: str
    png: bytes
    caption: str
    caption_zh: str


@dataclass(frozen=True)
class Registration:
    """A moving image, its reference, the transform between them and, where it may be used, the fused picture."""

    fixed: str
    moving: str
    transform: Transform
    same_frame: bool
    via: str | None = None
    file: str | None = None

    @property
    def moved(self) -> bool:
        """Was the image moved from where its header puts it?"""
        return self.transform.kind != "identity"

    @property
    def usable(self) -> bool:
        certificate = self.transform.certificate
        return certificate is not None and certificate.verdict != "reject"

    def as_json(self, names: Mapping[str, str]) -> dict[str, Any]:
        certificate, matrix = self.transform.certificate, self.transform.resampling_matrix
        return {
            "fixed": names[self.fixed],
            "moving": names[self.moving],
            "fixed_series": self.fixed,
            "moving_series": self.moving,
            "same_frame": self.same_frame,
            "moved": self.moved,
            "via": None if self.via is None else names[self.via],
            "kind": self.transform.kind,
            "matrix_lps": None if matrix is None else matrix.tolist(),
            "direction": "fixed_to_moving",
            "certificate": None if certificate is None else certificate.as_json(),
            "file": self.file,
        }


@dataclass(frozen=True)
class Outlined:
    """What a model outlined, and the Dice that it expects of itself, by structure."""

    model: str
    mask: Mask
    expected_dice: Mapping[str, float | None]


@dataclass(frozen=True)
class Classified:
    """What a model says of a whole image."""

    model: str
    scores: Scores

    def as_json(self) -> dict[str, Any]:
        return {"model": self.model, **self.scores.as_json()}


@dataclass(frozen=True)
class Case:
    """One series on its way through the study. Each stage gives a new one with more in it."""

    id: str
    number: int
    name: str
    kind: str
    audited: Audited
    row: Mapping[str, Any]
    image: Image | None = None
    mask: Mask | None = None
    drawn_on: str | None = None
    role: str = ""
    segmented: Mask | None = None
    outlined: tuple[Outlined, ...] = ()
    findings: Findings | None = None
    classified: tuple[Classified, ...] = ()
    measures: tuple[Mapping[str, Any], ...] = ()
    pictures: tuple[Picture, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its number and name: unique in the study."""
        return f"#{self.number} {self.name}"

    @property
    def slug(self) -> str:
        """A file name for what is made of it: number, modality, a little of its description."""
        words = "".join(c if c.isalnum() else "-" for c in self.name.lower())
        return f"{self.number:02d}-{str(self.row['modality']).lower()}-{words.strip('-')[:32]}".strip("-")

    def as_json(self) -> dict[str, Any]:
        out = {**self.row, **self.audited.as_json()}
        if self.image is not None:
            out["quantity"] = self.image.quantity.value
            out["steps"] = list(self.image.steps)
            out["ledger"] = list(self.image.facts.get("ledger", ()))
        out["series"] = self.id
        out["role"] = self.role
        out["measures"] = [dict(m) for m in self.measures]
        out["outputs"] = dict(self.files)
        out["problems"] = list(self.problems)
        if self.outlined:
            out["models"] = [{"model": o.model, "expected_dice": dict(o.expected_dice)} for o in self.outlined]
        if self.classified:
            out["classified"] = [c.as_json() for c in self.classified]
        if self.findings is not None:
            out["method"] = self.findings.method
            out["promise"] = self.findings.promise
            out["warnings"] = list(self.findings.warnings)
        return out


@dataclass(frozen=True)
class StudyResult:
    """The outcome of one study; ``folder`` holds report.html, results.json and everything that was made."""

    folder: Path
    cases: tuple[Case, ...]
    others: tuple[Audited, ...]
    decisions: tuple[Decision, ...]
    registrations: tuple[Registration, ...]
    fused: tuple[Picture, ...]
    seconds: Mapping[str, float]
    version: str

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def names(self) -> dict[str, str]:
        """Short name of each series, unique in the study."""
        return {c.id: c.title for c in self.cases}

    def refused(self) -> list[Audited]:
        everything = [*(c.audited for c in self.cases), *self.others]
        return [a for a in everything if a.verdict == "refused"]

    def findings(self) -> list[dict[str, Any]]:
        rows = [(c, f) for c in self.cases if c.findings is not None for f in c.findings]
        return [{**f.as_json(), "series": c.id, "name": self.names[c.id]} for c, f in rows]

    def as_json(self) -> dict[str, Any]:
        names = self.names
        return {
            "hexscope": self.version,
            "notice": "Research software, not a medical device. Candidates and scores, never a diagnosis.",
            "series": [c.as_json() for c in self.cases],
            "refused": [a.as_json() for a in self.refused()],
            "others": [a.as_json() for a in self.others],
            "decisions": [{**d.as_json(), "name": names.get(d.about, d.about)} for d in self.decisions],
            "registrations": [r.as_json(names) for r in self.registrations],
            "findings": self.findings(),
            "seconds": {k: round(v, 2) for k, v in self.seconds.items()},
            "report": str(self.report),
        }


def problem(what: str, error: Exception) -> str:
    """One line on a step that failed for one series."""
    return f"{what}: {error}" if not isinstance(error, MemoryError) else f"{what}: not enough memory"


def with_faults(audited: Audited, *faults: Fault) -> Audited:
    """The verdict with more faults, which may make it graver."""
    gravest = max((audited.verdict, *(f.kind.verdict for f in faults)), key=_GRAVITY.index)
    return Audited(audited.where, audited.is_series, gravest, (*audited.faults, *faults))


_GRAVITY = ("ok", "repaired", "ignored", "refused")
