"""Make a shipped model from its recipe: one command, the same model each time on one machine.

    python recipes/make.py NAME… [--data FOLDER] [--work FOLDER] [--out FOLDER] [--resume]

NAME is a file of this folder without its .toml, or "all". The whole training lands in WORK/NAME, and what ships (card,
plan, weights) in OUT/NAME; --resume goes on with one that was cut off, or ships one that is done. ``hexscope data get
SET`` fetches a set for those who do not have it. --gate makes the input gate of a model that ships anew, in seconds and
without training.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hexscope.io.case import CaseTable
from hexscope.io.cases import read_cases
from hexscope.models.card import ModelCard
from hexscope.models.shelf import CARD, WEIGHTS, import_model
from hexscope.train.beside import seen, write_gate
from hexscope.train.order import Order, Papers, Trained
from hexscope.train.session import train
from hexscope.train.splits import every_fifth

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("HEXSCOPE_DATA", HERE.parents[1] / "shared" / "data"))
SHIPPED = HERE.parent / "src" / "hexscope" / "models" / "shipped"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the sets")
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "models", help="where trainings lie")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the models that ship go")
    parser.add_argument("--resume", action="store_true", help="go on with, or ship, what WORK holds")
    parser.add_argument("--gate", action="store_true", help="only make the input gate of what OUT holds")
    chosen = parser.parse_args()
    known = sorted(path.stem for path in HERE.glob("*.toml"))
    for name in known if chosen.names == ["all"] else chosen.names:
        if name not in known:
            parser.error(f"no recipe {name}; there are {', '.join(known)}")
        if chosen.gate:
            print(name, *regate(read(name), chosen.data, chosen.out / name))
            continue
        made = run(read(name), chosen.data, chosen.work / name, resume=chosen.resume)
        ship(made, chosen.out / name)
        print(name, made.validation.as_json(), f"{spent_s(made)} CPU-s")


def read(name: str) -> dict[str, Any]:
    """The recipe called ``name``."""
    return tomllib.loads((HERE / f"{name}.toml").read_text(encoding="utf-8"))


def table_of(recipe: Mapping[str, Any], data: Path) -> CaseTable:
    """The cases that a recipe names."""
    classes = {int(value): name for value, name in recipe.get("classes", {}).items()}
    return read_cases(data / recipe["set"] / "cases.csv", recipe.get("inputs"), classes=classes or None)


def regate(recipe: Mapping[str, Any], data: Path, model: Path) -> tuple[str, ...]:
    """Write the input gate of a model that a recipe has made. Gives what a person should know."""
    return write_gate(model, seen(model, table_of(recipe, data), recipe["kinds"]))


def run(recipe: Mapping[str, Any], data: Path, work: Path, *, resume: bool = False) -> Trained:
    """Train by a recipe."""
    table = table_of(recipe, data)
    order = Order(
        name=recipe["name"],
        minutes=recipe["minutes"],
        seed=recipe.get("seed", 0),
        folds=recipe.get("folds"),
        division=every_fifth(table) if recipe.get("division") == "every fifth" else None,
        kinds=recipe["kinds"],
        overrides={key: str(value) for key, value in recipe.get("set_choices", {}).items()},
        papers=Papers(**recipe["papers"]),
        resume=resume,
        progress=tell,
    )
    return train(recipe["task"], table, work, order)


def spent_s(made: Trained) -> float:
    """CPU seconds of all trainings of a recipe, folds included."""
    cards = (made.model / CARD, *made.model.glob(f"training/fold*/{CARD}"))
    return round(sum(float(ModelCard.from_toml(card).training["spent_s"]) for card in cards), 1)


def tell(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
    """A line for each look of a training."""
    if figures:
        print(f"{stage} {done} of {total}: {dict(figures)}", flush=True)


def ship(made: Trained, out: Path) -> None:
    """Put what ships in place of what shipped before: where 8 bits were kept, those weights alone."""
    beside = out.with_name(f".{out.name}")
    shutil.rmtree(beside, ignore_errors=True)
    import_model(made.model, beside)
    small, plain = (beside / name for name in WEIGHTS)
    if small.is_file():
        plain.unlink()
    shutil.rmtree(out, ignore_errors=True)
    beside.rename(out)


if __name__ == "__main__":
    main()
