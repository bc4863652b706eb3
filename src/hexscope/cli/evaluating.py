"""The command evaluate: a model on labelled cases, or a way to fuse on pairs; every metric with its interval."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

import hexscope as hx
from hexscope.cli.console import Console
from hexscope.model_verbs import open_model

Command = argparse.ArgumentParser

#: In place of a model: the task that has none.
_FUSE = "fuse"


def add_evaluate(sub: Command, t: Callable[[str], str]) -> None:
    sub.add_argument("model", metavar="MODEL", help=t("name of a model, or a model folder; or fuse"))
    add_cases(sub, t)
    sub.add_argument("--per-case", action="store_true", help=t("also every case by itself"))
    sub.add_argument("--how", default="detail", metavar="HOW", help=t("of fuse: the way that is scored"))


def add_cases(sub: Command, t: Callable[[str], str]) -> None:
    """The table of cases, and what is said of its images."""
    sub.add_argument("table", metavar="CASES.csv", help=t("table of labelled cases: CSV, dataset.json, COCO, a folder"))
    sub.add_argument(
        "--as",
        dest="kinds",
        metavar="[INPUT=]MODALITY[:QUANTITY],…",
        help=t("what images are that do not say, e.g. MR, or pet=PT:SUVbw,ct=CT:HU"),
    )
    sub.add_argument("--allow-missing", action="store_true", help=t("take cases of which an input is blank"))


def evaluate(options: Namespace, console: Console) -> int:
    return _fusion(options, console) if options.model == _FUSE else _model(options, console)


def _model(options: Namespace, console: Console) -> int:
    model = open_model(options.model)
    value = hx.evaluate(
        model,
        options.table,
        kinds=options.kinds,
        per_case=options.per_case,
        allow_missing=options.allow_missing,
        progress=console.counter("measuring cases"),
    )
    rows = [(k, figure(v)) for k, v in value.items() if isinstance(v, dict)]
    lines = console.table(("metric", "mean (95 % interval)"), rows)
    lines += _per_case(value.get("cases", []), console)
    for failed in value.get("failed", []):
        console.say("failed: {name}: {why}", name=failed["case"], why=failed["reason"])
    console.result(value, [*lines, *value.get("notes", [])])
    return 3 if value.get("failed") else 0


def _per_case(cases: list[dict[str, Any]], console: Console) -> list[str]:
    if not cases:
        return []
    keys = list(dict.fromkeys(key for case in cases for key in case))
    return ["", *console.table(keys, ([_number(case.get(key)) for key in keys] for case in cases))]


def _number(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _fusion(options: Namespace, console: Console) -> int:
    """Beside the two copies, always: a figure that a mere copy beats says nothing of fusion."""
    value = hx.evaluate_fusion(options.table, how=options.how)
    for case, why in value["failed"].items():
        console.say("failed: {name}: {why}", name=case, why=why)
    copies = value["copies"]
    metrics = [name for name in value if name not in ("copies", "failed")]
    rows = [[m, *("" if row.get(m) is None else figure(row[m]) for row in (value, *copies.values()))] for m in metrics]
    console.result(value, console.table(["metric", options.how, *copies], rows))
    return 3 if value["failed"] else 0


def figure(value: Mapping[str, float]) -> str:
    """``0.91 (0.88 … 0.94) n=12``."""
    if value["low"] is None:  # one patient: nothing can be said of others
        return f"{value['mean']:.3g} n={value['n']}"
    return f"{value['mean']:.3g} ({value['low']:.3g} … {value['high']:.3g}) n={value['n']}"
