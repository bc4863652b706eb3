"""The state of a training on disk: whole or absent, and read without running anything that it holds."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hexscope.errors import FormatError
from hexscope.io.files import atomic_write

CHECKPOINT = "training/checkpoint.pt"
CURVE = "training/curve.csv"


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, text) beside the last checkpoint, then take its place."""
    atomic_write(folder / CHECKPOINT, lambda path: torch.save(dict(state), path))


def load(folder: Path, key: str) -> dict[str, Any] | None:
    """The last checkpoint of ``folder``; None where there is none, or where it is of another training (``key``).

    Tensors only: nothing in the file is run. FormatError where it is broken.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's errors for a broken file have no common root
        raise FormatError(f"{path} is broken ({error}); delete it to begin again") from error
    return state if state.get("key") == key else None


def save_curve(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """The validation curve as CSV, one row a look."""

    def write(path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    if rows:
        atomic_write(folder / CURVE, write)
