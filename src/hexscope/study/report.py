"""One self-contained report.html, in English and Chinese, and results.json beside it."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from hexscope.io.files import atomic_write
from hexscope.modality import ALL
from hexscope.study.pages import render_page
from hexscope.study.result import StudyResult
from hexscope.study.workplace import Workplace

#: More candidates than this are left to results.json.
_MOST_CANDIDATES = 40

_WORDS = {
    "ok": "正常", "repaired": "已修复", "refused": "已拒绝", "ignored": "已忽略", "accept": "可信", "review": "待查看",
    "reject": "否决", "reference": "参考图像", "moving": "移动图像", "checked": "已核查", "alone": "单独处理",
    "moved with its frame": "随坐标系移动",
}  # fmt: skip


def write_report(result: StudyResult, place: Workplace, language: str) -> None:
    """Write results.json and report.html, each whole or not at all."""
    text = json.dumps(result.as_json(), ensure_ascii=False, indent=1, default=_plain)
    atomic_write(place.path("results.json"), lambda p: p.write_text(text, encoding="utf-8"))
    page = render(result, language)
    atomic_write(place.path("report.html"), lambda p: p.write_text(page, encoding="utf-8"))


def render(result: StudyResult, language: str) -> str:
    """The page as text; it refers to no other host, and only its links to written files need the folder."""
    found = result.findings()
    return render_page(
        "report.html.j2",
        language=language,
        title=_title(result),
        result=result,
        words=_WORDS,
        tiles=_tiles(result),
        decisions=_decisions(result),
        registrations=_registrations(result),
        candidates=found[:_MOST_CANDIDATES],
        hidden_candidates=max(len(found) - _MOST_CANDIDATES, 0),
        refused_others=any(o.verdict == "refused" for o in result.others),
        synthetic=any("synthetic" in str(c.row["description"]).lower() for c in result.cases),
        guides=_guides(result),
    )


def _title(result: StudyResult) -> str:
    kinds = sorted({str(c.row["modality"]) for c in result.cases if c.image is not None} - {"OT"})
    return " + ".join(kinds) if kinds else "Hexscope"


def _tiles(result: StudyResult) -> list[tuple[int, str, str]]:
    verdicts = [c.audited.verdict for c in result.cases]
    accepted = sum(
        r.transform.certificate is not None and r.transform.certificate.verdict == "accept"
        for r in result.registrations
    )
    return [
        (len(result.cases), "series found", "个序列"),
        (verdicts.count("ok"), "sound", "个正常"),
        (verdicts.count("repaired"), "repaired", "个已修复"),
        (len(result.refused()), "refused", "项已拒绝"),
        (
            accepted,
            f"of {len(result.registrations)} alignments accepted",
            f"/ {len(result.registrations)} 项对齐可信",
        ),
        (len(result.findings()), "candidates", "个候选"),
    ]


def _decisions(result: StudyResult) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = defaultdict(list)
    for decision in result.decisions:
        out[decision.about].append(decision)
    return out


def _registrations(result: StudyResult) -> list[dict[str, Any]]:
    images = {c.id: c.image for c in result.cases if c.image is not None}
    rows = []
    for r in result.registrations:
        center = images[r.moving].grid.center_mm
        shift = float(r.transform.displacement_mm(center))
        extra = {"degrees": r.transform.rotation_degrees, "shift_mm": shift}
        rows.append({**r.as_json(result.names), **extra})
    return rows


def _guides(result: StudyResult) -> list[tuple[str, Any, Any]]:
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    render_text = MarkdownIt("commonmark", {"html": False}).enable("table").render
    used = {c.row["modality"] for c in result.cases}
    return [
        (
            f"{m.name} · {m.name_zh}",
            Markup(render_text(m.guide_text("en"))),
            Markup(render_text(m.guide_text("zh"))),
        )
        for m in ALL
        if m.code in used
    ]


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
