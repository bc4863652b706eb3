"""The main job, from a messy folder to a report, one stage after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hexscope import __version__
from hexscope.core.image import Image
from hexscope.io.reading import inventory
from hexscope.io.series import Inventory
from hexscope.study.audit import Audit, audit_inventory
from hexscope.study.join import join_pairs
from hexscope.study.outputs import write_outputs
from hexscope.study.pictures import case_pictures, fused_pictures
from hexscope.study.report import write_report
from hexscope.study.result import Case, Picture, Registration, StudyResult
from hexscope.study.roles import Plan, plan_study
from hexscope.study.tasks import Liver, find_candidates, find_structures, in_working_quantity, measure_drawn
from hexscope.study.workplace import Workplace

Say = Callable[..., object]


def _silent(message: str, **values: Any) -> None:
    """Says nothing: the default when nobody listens."""


class _Clock:
    """Wall seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._since
        self._since = now


def study(
    folder: Path,
    out: Path,
    *,
    resume: bool = False,
    one_patient: bool = False,
    liver: Liver = None,
    tell: Say = _silent,
    counter: Callable[[str], Any] | None = None,
    language: str = "en",
) -> StudyResult:
    """Study ``folder`` into ``out``: sort, audit, true units, roles, register, fuse, segment, detect, measure, report.

    resume       use again what an interrupted run of the same files left
    one_patient  join images that name no patient as if they were of one
    liver        Sphere or Mask for the liver-based PET threshold
    tell         called with a message and its values at each stage; ``counter(what)`` gives a (done, total) callback
    language     the language that the report opens in; it holds both

    One bad file, series or step never stops the others: its fault or problem stands in the result.
    """
    clock = _Clock()
    with Workplace(out, resume=resume) as place:
        tell("sorting {folder}", folder=folder)
        found = inventory(folder, progress=counter("reading headers") if counter else None)
        clock.lap("sort")
        tell("auditing {n} series", n=len(found.series))
        audit = audit_inventory(found)
        clock.lap("audit")
        tell("true units")
        cases = [in_working_quantity(c) for c in _cases(found, audit)]
        clock.lap("units")
        tell("choosing roles")
        plan, cases = _with_roles(cases, one_patient)
        joined, cases = _joined(plan, cases, place, tell)
        clock.lap("register")
        cases = _with_tasks(cases, liver, tell)
        clock.lap("tasks")
        tell("writing the report")
        cases = [case_pictures(write_outputs(c, place)) for c in cases]
        fused = _fused(joined, cases, place)
        clock.lap("write")
        result = StudyResult(
            out,
            tuple(cases),
            audit.items[len(found.series) :],
            plan.decisions,
            joined,
            fused,
            clock.seconds,
            __version__,
        )
        write_report(result, place, language)
    tell("report: {path}", path=result.report)
    return result


def _cases(found: Inventory, audit: Audit) -> list[Case]:
    cases = []
    for number, (series, audited) in enumerate(zip(found.series, audit.items, strict=False), start=1):
        row = series.as_json(number)
        name = series.description or Path(series.files[0]).name
        drawn_on = next((s.id for s in found.series if s.id in series.references), None)
        cases.append(
            Case(
                series.id, number, name, series.kind, audited, row,
                audit.images.get(series.id), audit.masks.get(series.id), drawn_on,
            )
        )  # fmt: skip
    return cases


def _images(cases: list[Case]) -> dict[str, Image]:
    return {c.id: c.image for c in cases if c.image is not None}


def _with_roles(cases: list[Case], one_patient: bool) -> tuple[Plan, list[Case]]:
    plan = plan_study(_images(cases), one_patient=one_patient)
    roles = {d.about: d.what for d in plan.decisions}
    return plan, [replace(c, role=roles.get(c.id, "mask" if c.mask is not None else c.audited.verdict)) for c in cases]


def _joined(plan: Plan, cases: list[Case], place: Workplace, tell: Say) -> tuple[tuple[Registration, ...], list[Case]]:
    joined, failed = join_pairs(plan, {c.id: c for c in cases}, place, tell)
    told = [replace(c, problems=(*c.problems, failed[c.id])) if c.id in failed else c for c in cases]
    return joined, told


def _with_tasks(cases: list[Case], liver: Liver, tell: Say) -> list[Case]:
    images = _images(cases)
    out = []
    for case in cases:
        if case.image is not None:
            tell("segmenting {name}", name=case.title)
        out.append(measure_drawn(find_candidates(find_structures(case), liver), images))
    return out


def _fused(joined: tuple[Registration, ...], cases: list[Case], place: Workplace) -> tuple[Picture, ...]:
    """Fused views of every pair that may be used, also written as PNG files."""
    by_id: Mapping[str, Case] = {c.id: c for c in cases}
    pictures: list[Picture] = []
    for pair in joined:
        if pair.usable:
            pictures.extend(fused_pictures(by_id[pair.fixed], by_id[pair.moving], pair))
    for picture in pictures:
        place.path("fused", f"{picture.name}.png").write_bytes(picture.png)
    return tuple(pictures)
