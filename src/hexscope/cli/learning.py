"""Commands about models: models, train, plan, evaluate, data get; and their arguments."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

import hexscope as hx
from hexscope.cli.console import Console
from hexscope.verbs import models_matrix

Command = argparse.ArgumentParser


def add_commands(command: Callable[..., Command], t: Callable[[str], str]) -> None:
    sub = command("models", models, "models that are here, with their cards; or bring one in")
    sub.add_argument("action", choices=("import",), nargs="?")
    sub.add_argument("folder", metavar="FOLDER", nargs="?", help=t("a model folder to bring in"))
    sub.add_argument("-o", "--out", metavar="DIR", help=t("where the model goes"))
    sub.add_argument("--matrix", action="store_true", help=t("task by modality: what works, on what it was measured"))


# ---- models -------------------------------------------------------------------------------------------------


def models(options: Namespace, console: Console) -> int:
    if options.action == "import":
        return _import(options, console)
    if options.matrix:
        return _matrix(console)
    shelf = hx.models()
    for why in shelf.broken:
        console.say("failed: {name}: {why}", name="card.toml", why=why)
    cards = [{**model.card.as_data(), "folder": str(model.folder)} for model in shelf.models]
    head = ("model", "task", "input", "classes", "metrics", "licence", "limits")
    rows = (
        [c["name"], c["task"], _inputs(c), ", ".join(c["classes"]), figures(c["metrics"]), c["licence"], c["limits"]]
        for c in cards
    )
    console.result(cards, console.table(head, rows))
    return 0


def _import(options: Namespace, console: Console) -> int:
    if options.folder is None or options.out is None:
        raise hx.UsageError("bring a model in with: hexscope models import FOLDER -o DIR")
    model = hx.import_model(options.folder, options.out)
    card = {**model.card.as_data(), "folder": str(model.folder)}
    console.result(card, [f"{card['name']}: {card['folder']}", figures(card["metrics"])])
    return 0


def _matrix(console: Console) -> int:
    rows = models_matrix()
    head = ("task", "modality", "by", "what", "metrics", "measured on")
    keys = ("task", "modality", "by", "what", "metrics", "measured_on")
    lines = [[figures(row[k]) if k == "metrics" else row[k] for k in keys] for row in rows]
    console.result(rows, console.table(head, lines))
    return 0


def _inputs(card: Mapping[str, Any]) -> str:
    channels = card.get("recipe", {}).get("channels") or [card]
    return " + ".join(f"{c['modality']}:{c['quantity']}" for c in channels)


def figures(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """``dice 0.91 (0.88 … 0.94) n=12`` for each metric."""
    return "; ".join(f"{k} {figure(v)}" for k, v in metrics.items())


def figure(value: Mapping[str, float]) -> str:
    return f"{value['mean']:.3g} ({value['low']:.3g} … {value['high']:.3g}) n={value['n']}"
