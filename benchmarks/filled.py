"""What the benchmarks share whose tables fill over days: options, rows (a line of JSON each), figures."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from real_data import add_data

ROOT = Path(__file__).resolve().parents[1]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """One line: a recipe of ``recipes/``, what differs from it, the figures that are printed, the kind that counts."""

    title: str
    recipe: str
    figures: tuple[str, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    kind: str | None = None

    @property
    def folder(self) -> str:
        """A recipe as it is lies where ``recipes/make.py`` puts it, so that it is trained once for both."""
        return self.title.replace(" ", "-") if self.changes else self.recipe


def asked(doc: str | None, name: str) -> argparse.Namespace:
    """The options of a benchmark whose rows lie in ``results/NAME.jsonl``."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(options)
    options.add_argument("--fill", action="store_true", help="make what is missing")
    options.add_argument("--only", default="", help="only lines whose title holds this")
    options.add_argument("--rows", type=Path, default=ROOT / "benchmarks" / "results" / f"{name}.jsonl")
    options.add_argument("--work", type=Path, default=ROOT / "build" / "models", help="where trainings lie")
    return options.parse_args()


def fill(rows: Path, title: str, folder: Path, measure: Callable[[], Row]) -> None:
    """Measure a line that is missing and keep it at once; said and left out where its data are absent."""
    if title in read(rows):
        return
    if not folder.is_dir():
        print(f"left out: {title}: the set {folder.name} is not here; pass --data or set HEXSCOPE_DATA")
        return
    row = {"task": title, "commit": _commit(), **measure()}
    rows.parent.mkdir(exist_ok=True)
    with rows.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def read(rows: Path) -> dict[str, dict[str, Any]]:
    """The rows that are kept, by title; of two the later one."""
    if not rows.is_file():
        return {}
    kept = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {row["task"]: row for row in kept}


def figure(name: str, e: Mapping[str, Any]) -> str:
    """``{mean, low, high, n}`` for a table."""
    between = "" if e["low"] is None else f" ({e['low']:.3f} … {e['high']:.3f})"
    return f"{name} {e['mean']:.3f}{between} n={e['n']}".strip()


def by_patient(values: Any, who: Any) -> float:
    """The mean over patients (``who``: their numbers) of each one's mean."""
    count = np.bincount(who)
    return float((np.bincount(who, values)[count > 0] / count[count > 0]).mean())


def slower(told: Sequence[str]) -> list[str]:
    """Of what a training told, that the machine was slower than its plan took it for."""
    return [line for line in told if "slower" in line]


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
