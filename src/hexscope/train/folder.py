"""The files of a model folder as training writes them: each beside its place, then renamed."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hexscope.errors import UsageError
from hexscope.io.files import atomic_write
from hexscope.models.card import ModelCard
from hexscope.models.shelf import CARD
from hexscope.train.splits import Division

#: Who was trained on, and every measured case with its figures.
SPLIT = "training/split.csv"
PER_CASE = "training/per_case.csv"


def require_free(out: Path, resume: bool) -> None:
    """Clear the way for a new training; UsageError where a finished model lies in ``out``."""
    if (out / CARD).is_file() and not resume:
        raise UsageError(f"{out} holds a model already; name a new folder, or pass --resume")
    if not resume:
        shutil.rmtree(out / "training", ignore_errors=True)


def write_card(out: Path, card: ModelCard) -> None:
    """The card, in place of the one that is there."""
    atomic_write(out / CARD, lambda path: path.write_text(card.to_toml(), encoding="utf-8"))


def write_json(path: Path, data: Any) -> None:
    """Plain data as JSON."""
    text = json.dumps(data, indent=1, ensure_ascii=False)
    atomic_write(path, lambda beside: beside.write_text(text + "\n", encoding="utf-8"))


def write_split(out: Path, division: Division) -> None:
    """Every case with its patient and its side."""
    rows = [{"case": c.case, "group": c.group, "split": "train"} for c in division.train]
    rows += [{"case": c.case, "group": c.group, "split": "validation"} for c in division.validation]
    write_rows(out / SPLIT, rows)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as CSV; a column for every key that some row has."""
    names = list(dict.fromkeys(name for row in rows for name in row))

    def write(beside: Path) -> None:
        with beside.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(rows)

    if rows:
        atomic_write(path, write)
