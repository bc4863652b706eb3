"""What an evaluation gives: every figure with its interval, every case, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hexscope.io.case import Refusal
from hexscope.trust.statistics import Estimate, mean_interval


@dataclass(frozen=True)
class CaseResult:
    """Figures of one case; None where a figure means nothing for it.

    facts  what is no figure of merit: counts, sizes, what the model itself expected
    """

    case: str
    group: str
    figures: Mapping[str, float | None]
    facts: Mapping[str, float | None] = field(default_factory=dict)
    cpu_s: float = 0.0
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        rounded = {k: None if v is None else round(v, 5) for k, v in {**self.figures, **self.facts}.items()}
        return {"case": self.case, "group": self.group, **rounded, "cpu_s": round(self.cpu_s, 3)}


@dataclass(frozen=True)
class Evaluation:
    """Figures over all cases, and the cases themselves, in the order of the table.

    metrics  mean with interval by patient, by name; a figure that no case has is left out
    failed   cases that gave no result, each with the reason: they are in no mean
    notes    what else a person should know
    """

    metrics: Mapping[str, Estimate]
    cases: tuple[CaseResult, ...]
    failed: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, cases: Sequence[CaseResult], failed: Sequence[Refusal] = (), notes: Sequence[str] = (), *, seed: int = 0
    ) -> Evaluation:
        """Means and intervals of ``cases``, drawn by patient (``trust.statistics``)."""
        names = dict.fromkeys(name for case in cases for name in case.figures)
        metrics = {}
        for name in names:
            held = [(v, case.group) for case in cases if (v := case.figures.get(name)) is not None]
            if held:
                metrics[name] = mean_interval([v for v, _ in held], [g for _, g in held], seed=seed)
        return cls(metrics, tuple(cases), tuple(failed), tuple(notes))

    def as_json(self, *, per_case: bool = False) -> dict[str, Any]:
        """``{metric: {mean, low, high, n}}``, with ``cases`` where they are asked for and ``failed`` where some did."""
        out: dict[str, Any] = {name: estimate.as_json() for name, estimate in self.metrics.items()}
        if per_case:
            out["cases"] = [case.as_json() for case in self.cases]
        if self.failed:
            out["failed"] = [{"case": r.case, "reason": r.reason} for r in self.failed]
        if self.notes:
            out["notes"] = list(self.notes)
        return out
