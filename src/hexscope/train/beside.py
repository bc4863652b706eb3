"""What is written beside a new model from the images that it was trained and measured on: its input gate, and what a
label can be guessed from without it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hexscope.errors import HexscopeError
from hexscope.io.case import Case, CaseTable
from hexscope.io.cases import open_images
from hexscope.io.files import atomic_write
from hexscope.models.card import ModelCard
from hexscope.models.fingerprint import fingerprint
from hexscope.models.gatekeeper import GATE
from hexscope.models.shelf import CARD
from hexscope.train.folder import write_card
from hexscope.train.shortcut import shortcut
from hexscope.train.splits import not_test
from hexscope.trust.gate import gate


@dataclass(frozen=True)
class Seen:
    """The cases that a model was trained and measured on, and the fingerprint of each."""

    cases: tuple[Case, ...]
    rows: tuple[Mapping[str, float], ...]

    @property
    def folds(self) -> list[int] | None:
        """The table's own, where every case has one."""
        folds = [case.fold for case in self.cases if case.fold is not None]
        return folds if len(folds) == len(self.cases) else None


def seen(folder: Path, table: CaseTable, kinds: Mapping[str, str] | None = None) -> Seen:
    """Look at every case of ``table`` as the model in ``folder`` does, less those kept for a test and those that cannot
    be opened (the check before training has told of them).

    kinds  modality and quantity by input, see `hexscope.io.cases.open_images`; the table's own where not given
    """
    recipe = ModelCard.from_toml(folder / CARD).recipe
    cases: list[Case] = []
    rows: list[Mapping[str, float]] = []
    for case in not_test(table.cases) if recipe is not None else ():
        assert recipe is not None
        try:
            images = open_images(case, {**table.kinds, **(kinds or {})})
            rows.append(fingerprint({c.name: images[c.name] for c in recipe.channels if c.name in images}, recipe))
        except HexscopeError:
            continue
        cases.append(case)
    return Seen(tuple(cases), tuple(rows))


def write_gate(folder: Path, known: Seen) -> tuple[str, ...]:
    """Write ``gate.json`` into a model folder; no training is needed. Gives what a person should know.

    Cases with folds in the table are measured by those of other folds, else by those of other patients.
    """
    try:
        made = gate(known.rows, [case.group for case in known.cases], known.folds)
    except HexscopeError as error:
        (folder / GATE).unlink(missing_ok=True)
        return (f"no input gate was made: {error}",)
    text = json.dumps(made.as_data(), separators=(",", ":"))
    atomic_write(folder / GATE, lambda path: path.write_text(text + "\n", encoding="utf-8"))
    return (made.silent,) if made.silent else ()


def write_shortcut(folder: Path, known: Seen) -> tuple[str, ...]:
    """Put beside a classifier's own AUC, in its card, what trivial numbers reach. Gives the sentence."""
    card = ModelCard.from_toml(folder / CARD)
    asked = np.array([[name in case.marks for name in card.classes] for case in known.cases], bool)
    found = shortcut(known.rows, asked, [case.group for case in known.cases], known.folds)
    if found is None:
        return ()
    figure = (found.auc.mean, found.auc.low, found.auc.high, found.auc.n)
    training: dict[str, Any] = {**card.training, "shortcut": found.sentence}
    write_card(folder, replace(card, metrics={**card.metrics, "auc_shortcut": figure}, training=training))
    return (found.sentence,)
