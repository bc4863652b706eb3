"""The rows as a page of Markdown, and as lines for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from matrix.opening import OURS, READERS
from matrix.reasons import Reason, reason_for

Row = dict[str, Any]
Found = tuple[str, str, Reason | None]
OTHERS = [r for r in READERS if r != OURS]
BAD_STATES = ("crashed", "out of time", "out of memory")
WORDS = {
    "right": "the grid and values that ours gives, or that the reason below calls right",
    "right, no grid": "the same values; the reader gives no grid by itself",
    "both right": "another reading that is true as well; see the reason",
    "wrong": "other values or another grid, and the reason says that they are wrong",
    "silent": "a place or spacing that the file does not give, without a word",
    "?": "a difference that nobody has explained yet",
    "refuses": "an error, or a verdict with its reason",
    "–": "the reader does not claim this kind of file",
    **{state: "ended by a signal, the clock (10 s) or the limit (2 GB)" for state in BAD_STATES},
}


def found_in(row: Row, reader: str) -> list[Found]:
    """The differences between a reader and ours: kind, detail, reason."""
    answer, ours = row["readers"][reader], row["readers"][OURS]
    if answer["state"] != "read" or ours["state"] in BAD_STATES:
        return []
    kinds = answer.get("differs", {}) if ours["state"] == "read" else {"reads": f"what ours refuses: {ours['reason']}"}
    return [(k, d, reason_for(row["case"], row["traits"], reader, k)) for k, d in kinds.items()]


def word(row: Row, reader: str) -> str:
    """One of ``WORDS`` for a reader that is not ours."""
    answer = row["readers"][reader]
    if answer["state"] != "read":
        return {"no claim": "–"}.get(answer["state"], answer["state"])
    found = found_in(row, reader)
    rights = {reason.right if reason else "?" for _, _, reason in found}
    if not found:
        return "right" if answer.get("has_grid", True) else "right, no grid"
    if "?" in rights:
        return "?"
    if rights == {"theirs"}:
        return "right"
    if rights == {"both"}:
        return "both right"
    return "silent" if {kind for kind, _, _ in found} <= {"invents"} else "wrong"


def our_word(row: Row) -> str:
    """Ours is right unless a reason says that another is."""
    state = row["readers"][OURS]["state"]
    if state != "read":
        return str(state)
    rights = {r.right for reader in OTHERS for _, _, r in found_in(row, reader) if r}
    return "wrong" if rights & {"theirs", "neither"} else "right"


def unexplained(rows: Sequence[Row]) -> list[str]:
    """Differences without a reason, and what our reader must never do."""
    out = []
    for row in rows:
        ours = row["readers"][OURS]
        if ours["state"] in BAD_STATES:
            out.append(f"{row['case']}: {OURS} {ours['state']} {ours['reason']}")
        for reader in OTHERS:
            lost = [(k, d) for k, d, reason in found_in(row, reader) if reason is None]
            out += [f"{row['case']}: {reader}: {kind}: {detail} {row['traits']}" for kind, detail in lost]
    return out


def summary_rows(rows: Sequence[Row]) -> Iterator[list[str]]:
    """Readers against words, CPU seconds and memory."""
    counts = {reader: Counter(word(row, reader) for row in rows) for reader in OTHERS}
    counts[OURS] = Counter(our_word(row) for row in rows)
    words = [w for w in WORDS if any(counts[reader][w] for reader in READERS)]
    yield ["reader", *words, "CPU s", "peak MB"]
    for reader in READERS:
        cpu = sum(row["readers"][reader]["cpu_s"] for row in rows)
        peak = max((row["readers"][reader]["peak_mb"] for row in rows), default=0)
        yield [reader, *(str(counts[reader][w]) for w in words), f"{cpu:.1f}", f"{peak:.0f}"]


def summary(rows: Sequence[Row]) -> str:
    return "\n".join("".join(f"{cell:>16}" for cell in cells) for cells in summary_rows(rows))


def _table(cells: Iterator[list[str]] | Sequence[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in cells]
    return [lines[0], "|" + "---|" * lines[0].count(" | ") + "---|", *lines[1:]]


def page(rows: Sequence[Row]) -> str:
    """The whole page."""
    lines = [
        "# Readers, file by file",
        "",
        "Made by `make readers` (`python benchmarks/readers.py --write docs/readers.md`); do not edit by hand.",
        "",
        f"{len(rows)} cases: every file that pydicom, pydicom-data, wsidicom-data and nibabel ship, each alone, and "
        "the series of pydicom's test discs together. Each reader opens each case in a process of its own with 10 s "
        "and 2 GB. Grids are compared to 0.001 mm in LPS, values after rescale; lossy codes may differ by rounding.",
        "",
        ", ".join(_versions()) + ".",
        "",
        *_table(summary_rows(rows)),
        "",
        "CPU s is the sum over the cases without import; peak MB the largest process, libraries included.",
        "",
        *(f"- **{w}**: {text}" for w, text in WORDS.items() if w not in BAD_STATES[1:]),
        "",
        "## Where readers differ, and who is right",
        "",
        *_table([["reader", "cases", "right", "why", "for instance"], *_reasons(rows)]),
        "",
        "## What ours refuses, and why",
        "",
        *_table([["code", "cases", "read by others", "for instance"], *_refusals(rows)]),
        "",
        "## Every case",
        "",
        *_table([["case", *READERS], *([row["case"], our_word(row), *(word(row, r) for r in OTHERS)] for row in rows)]),
        "",
    ]
    return "\n".join(lines)


def _versions() -> Iterator[str]:
    for reader in READERS:
        try:
            yield f"{reader} {version(reader)}"
        except PackageNotFoundError:
            yield reader


def _reasons(rows: Sequence[Row]) -> list[list[str]]:
    groups: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        for reader in OTHERS:
            for kind, detail, reason in found_in(row, reader):
                right, text = ("?", f"UNEXPLAINED {kind}: {detail}") if reason is None else (reason.right, reason.text)
                groups.setdefault((right, text, reader), []).append(row["case"])
    merged: dict[tuple[str, str], list[tuple[str, list[str]]]] = {}
    for (right, text, reader), names in groups.items():
        merged.setdefault((right, text), []).append((reader, names))
    order = ("?", "theirs", "neither", "both", "ours")
    out = []
    for (right, text), parts in sorted(merged.items(), key=lambda item: order.index(item[0][0])):
        readers = "<br>".join(f"{reader} ({len(set(names))})" for reader, names in parts)
        cases = {name for _, names in parts for name in names}
        out.append([readers, str(len(cases)), right, text, parts[0][1][0]])
    return out


def _refusals(rows: Sequence[Row]) -> list[list[str]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["readers"][OURS]["state"] == "refuses":
            groups.setdefault(row["readers"][OURS]["reason"].split(":")[0], []).append(row)
    out = []
    for code, own in sorted(groups.items()):
        read = sum(any(row["readers"][r]["state"] == "read" for r in OTHERS) for row in own)
        reason = own[0]["readers"][OURS]["reason"].split(";")[0].removeprefix(f"{code}: ")
        out.append([f"`{code}`", str(len(own)), str(read), f"{own[0]['case']}: {reason[:140]}"])
    return out
