"""The main job, from a messy folder to a report, one stage after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from hexscope import __version__
from hexscope.core.image import Image, Mask
from hexscope.io.reading import Progress, inventory
from hexscope.io.series import Inventory, Series
from hexscope.models.shelf import shelf
from hexscope.study.audit import Audit, audit_inventory
from hexscope.study.join import Tell, join_pairs
from hexscope.study.models import ask_models
from hexscope.study.outputs import write_fused, write_outputs
from hexscope.study.pictures import case_pictures, fused_pictures
from hexscope.study.report import write_report
from hexscope.study.result import Case, Picture, Registration, StudyResult, problem
from hexscope.study.roles import Plan, plan_study
from hexscope.study.tasks import Liver, find_candidates, find_structures, in_working_quantity, measure_drawn
from hexscope.study.workplace import Workplace


class Listener(Protocol):
    """Somebody who wants to hear how a study goes: the command line's console, say."""

    def say(self, message: str, **values: Any) -> None:
        """A message in English; ``values`` fill its braces."""

    def counter(self, what: str) -> Progress:
        """A callback (done, total) for long counts."""


class _Nobody:
    """Hears nothing."""

    def say(self, message: str, **values: Any) -> None: ...

    def counter(self, what: str) -> Progress:
        return lambda done, total: None


NOBODY: Listener = _Nobody()


class _Clock:
    """Wall seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._since
        self._since = now


@dataclass(frozen=True)
class Wishes:
    """What the user knows and the files do not say.

    one_patient  join images that name no patient as if they were of one
    kinds        what files are that do not say, by a pattern of their name: {"CT*": "CT:HU", "*mask*": "mask"}
    liver        Sphere or Mask for the liver-based PET threshold
    models       names of models to use wherever their modality is; others only where image and card say that they fit
    """

    one_patient: bool = False
    kinds: Mapping[str, str] = field(default_factory=dict)
    liver: Liver = None
    models: Sequence[str] = ()


def study(
    folder: Path, out: Path, *, resume: bool = False, listener: Listener = NOBODY, language: str = "en", **wishes: Any
) -> StudyResult:
    """Study ``folder`` into ``out``: sort, audit, true units, roles, register, fuse, segment, detect, measure, report.

    resume       use again what an interrupted run of the same files left
    listener     is told each stage
    language     the language that the report opens in; it holds both
    wishes       see `Wishes`

    One bad file, series or step never stops the others: its fault or problem stands in the result.
    """
    wish = Wishes(**wishes)
    clock = _Clock()
    tell = listener.say
    with Workplace(out, resume=resume) as place:
        tell("sorting {folder}", folder=folder)
        found = inventory(folder, progress=listener.counter("reading headers"))
        clock.lap("sort")
        tell("auditing {n} series", n=len(found.series))
        audit = audit_inventory(found, kinds=wish.kinds)
        clock.lap("audit")
        tell("true units")
        cases = [in_working_quantity(c) for c in _cases(found, audit)]
        clock.lap("units")
        tell("choosing roles")
        plan, cases = _with_roles(cases, wish.one_patient)
        joined, cases = _joined(plan, cases, place, tell)
        clock.lap("register")
        cases = ask_models(_with_tasks(cases, wish.liver, tell), shelf().models, wish.models)
        clock.lap("tasks")
        tell("writing the report")
        cases = [case_pictures(write_outputs(c, place)) for c in cases]
        fused, cases = _fused(joined, cases, place)
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
        image, mask = audit.images.get(series.id), audit.masks.get(series.id)
        kind = series.kind if mask is None else "mask"
        row = {**series.as_json(number), "kind": kind}
        if image is not None:
            row["modality"] = image.modality  # as declared, where the file does not say
        name = series.description or Path(series.files[0]).name
        drawn_on = None if mask is None else _drawn_on(series, mask, audit)
        cases.append(Case(series.id, number, name, kind, audited, row, image, mask, drawn_on))
    return cases


def _drawn_on(series: Series, mask: Mask, audit: Audit) -> str | None:
    """The image that a mask belongs to: the one it names, else one on its very grid."""
    named = next((i for i in series.references if i in audit.images), None)
    if named is not None:
        return named
    placed = {i: image for i, image in audit.images.items() if image.is_volume}
    return next((i for i, image in placed.items() if image.grid.same_as(mask.grid)), None)


def _images(cases: list[Case]) -> dict[str, Image]:
    return {c.id: c.image for c in cases if c.image is not None}


def _with_roles(cases: list[Case], one_patient: bool) -> tuple[Plan, list[Case]]:
    plan = plan_study(_images(cases), one_patient=one_patient)
    roles = {d.about: d.what for d in plan.decisions}
    return plan, [replace(c, role=roles.get(c.id, "mask" if c.mask is not None else c.audited.verdict)) for c in cases]


def _joined(plan: Plan, cases: list[Case], place: Workplace, tell: Tell) -> tuple[tuple[Registration, ...], list[Case]]:
    joined, failed = join_pairs(plan, {c.id: c for c in cases}, place, tell)
    told = [replace(c, problems=(*c.problems, failed[c.id])) if c.id in failed else c for c in cases]
    return joined, told


def _with_tasks(cases: list[Case], liver: Liver, tell: Tell) -> list[Case]:
    images = _images(cases)
    out = []
    for case in cases:
        if case.image is not None:
            tell("segmenting {name}", name=case.title)
        out.append(measure_drawn(find_candidates(find_structures(case), liver), images))
    return out


def _fused(
    joined: tuple[Registration, ...], cases: list[Case], place: Workplace
) -> tuple[tuple[Picture, ...], list[Case]]:
    """Fused views of every pair that may be used, also written as files; what fails is told with the moving case."""
    by_id = {c.id: c for c in cases}
    pictures: list[Picture] = []
    for pair in joined:
        fixed, moving = by_id[pair.fixed], by_id[pair.moving]
        try:
            views = fused_pictures(fixed, moving, pair) if pair.usable else ()
            write_fused(fixed, views, place)
            pictures.extend(views)
        except Exception as error:
            by_id[moving.id] = replace(moving, problems=(*moving.problems, problem("fusion", error)))
    return tuple(pictures), list(by_id.values())
