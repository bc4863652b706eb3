"""The input gate of a model, made from the images that it was trained and measured on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hexscope.errors import HexscopeError
from hexscope.io.case import CaseTable
from hexscope.io.cases import open_images
from hexscope.io.files import atomic_write
from hexscope.models.card import ModelCard
from hexscope.models.fingerprint import fingerprint
from hexscope.models.gatekeeper import GATE
from hexscope.models.shelf import CARD
from hexscope.train.splits import not_test
from hexscope.trust.gate import gate


def write_gate(folder: Path, table: CaseTable, kinds: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Write ``gate.json`` into a model folder; no training is needed. Gives what a person should know.

    table  what the model was trained and measured on; cases of split test take no part, nor do those that cannot be
           opened. Cases with folds in the table are measured by those of other folds, else by those of other patients
    kinds  modality and quantity by input, see `hexscope.io.cases.open_images`; the table's own where not given
    """
    recipe = ModelCard.from_toml(folder / CARD).recipe
    if recipe is None:
        return ("no input gate was made: the card names no network",)
    names = [channel.name for channel in recipe.channels]
    rows, used = [], []
    for case in not_test(table.cases):
        try:
            images = open_images(case, {**table.kinds, **(kinds or {})})
            rows.append(fingerprint({name: images[name] for name in names if name in images}, recipe))
            used.append(case)
        except HexscopeError:
            continue  # the check of the cases has told it
    folds = [case.fold for case in used if case.fold is not None]
    try:
        made = gate(rows, [case.group for case in used], folds if len(folds) == len(used) else None)
    except HexscopeError as error:
        (folder / GATE).unlink(missing_ok=True)
        return (f"no input gate was made: {error}",)
    text = json.dumps(made.as_data(), separators=(",", ":"))
    atomic_write(folder / GATE, lambda path: path.write_text(text + "\n", encoding="utf-8"))
    return (made.silent,) if made.silent else ()
