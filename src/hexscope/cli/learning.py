"""Commands about models: models, train, plan, data get; and their arguments."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

import hexscope as hx
from hexscope.cli.console import Console
from hexscope.cli.evaluating import add_cases, figure
from hexscope.model_verbs import models_matrix, public_sets

Command = argparse.ArgumentParser


def add_commands(command: Callable[..., Command], t: Callable[[str], str]) -> None:
    sub = command("models", models, "models that are here, with their cards; or bring one in")
    sub.add_argument("action", choices=("import",), nargs="?")
    sub.add_argument("folder", metavar="FOLDER", nargs="?", help=t("a model folder to bring in"))
    sub.add_argument("-o", "--out", metavar="DIR", help=t("where the model goes"))
    sub.add_argument("--matrix", action="store_true", help=t("task by modality: what works, on what it was measured"))
    _add_train(command("train", train, "make a model from labelled cases, with its plan, card and report"), t)
    sub = command("plan", plan, "how a model was made, choice by choice with reasons; or what differs between two")
    sub.add_argument("model", metavar="MODEL")
    sub.add_argument("other", metavar="OTHER", nargs="?")
    sub = command("data", data, "fetch a public set: checked, unpacked, with a table of cases; or list the sets")
    sub.add_argument("action", choices=("get", "list"))
    sub.add_argument("name", metavar="SET", nargs="?")
    sub.add_argument("-o", "--out", metavar="DIR", help=t("a new folder for the set"))
    sub.add_argument(
        "--source", metavar="FOLDER|URL", help=t("a place that holds the same files, instead of the public one")
    )


def _add_train(sub: Command, t: Callable[[str], str]) -> None:
    sub.add_argument("task", choices=("segment", "detect", "classify"))
    add_cases(sub, t)
    sub.add_argument("--name", required=True, help=t("what the model is called"))
    sub.add_argument("-o", "--out", metavar="DIR", help=t("the model's folder; without it, your own shelf"))
    sub.add_argument("--minutes", type=float, default=10.0, metavar="M", help=t("CPU minutes of training; 10"))
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--folds", type=int, metavar="K", help=t("measure every patient: K trainings more"))
    sub.add_argument("--inputs", type=listed, metavar="A,B", help=t("columns that are channels, in this order"))
    sub.add_argument("--classes", type=classes, metavar="VALUE=NAME,…", help=t("what label values mean, e.g. 1=head"))
    sub.add_argument(
        "--set",
        dest="overrides",
        action="append",
        type=assignment,
        metavar="CHOICE=VALUE",
        help=t("your own value for a choice of the plan"),
    )
    sub.add_argument("--resume", action="store_true", help=t("go on where an interrupted training stopped"))
    sub.add_argument("--trained-on", default="", help=t("for the card: what the cases are"))
    sub.add_argument("--licence", default="", help=t("for the card: the terms of the weights"))
    sub.add_argument("--limits", default="", help=t("for the card: what it must not be used for"))


def listed(text: str) -> list[str]:
    """``a,b,c``."""
    return [part.strip() for part in text.split(",") if part.strip()]


def classes(text: str) -> dict[int, str]:
    """``1=head,2=neck``."""
    pairs = [assignment(part) for part in listed(text)]
    if not all(value.isdecimal() for value, _ in pairs):
        raise argparse.ArgumentTypeError(f"label values are whole numbers; got {text!r}")
    return {int(value): name for value, name in pairs}


def add_input(sub: argparse.ArgumentParser, t: Callable[[str], str]) -> None:
    """The option ``--input NAME=PATH``, for every command that runs a model."""
    sub.add_argument(
        "--input",
        dest="inputs",
        action="append",
        type=assignment,
        metavar="NAME=PATH",
        help=t("an input of a model that takes several"),
    )


def assignment(text: str) -> tuple[str, str]:
    """``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"write it as NAME=VALUE; got {text!r}")
    return name, value


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
    head = ("model", "task", "input", "classes", "measured", "licence", "limits")
    rows = (
        [c["name"], c["task"], _inputs(c), ", ".join(c["classes"]), headline(c["metrics"]), c["licence"], c["limits"]]
        for c in cards
    )
    console.result(cards, console.table(head, rows))
    return 0


def _import(options: Namespace, console: Console) -> int:
    if options.folder is None or options.out is None:
        raise hx.UsageError("bring a model in with: hexscope models import FOLDER -o DIR")
    model = hx.import_model(options.folder, options.out)
    card = {**model.card.as_data(), "folder": str(model.folder)}
    console.result(card, [f"{card['name']}: {card['folder']}", headline(card["metrics"])])
    return 0


def _matrix(console: Console) -> int:
    rows = models_matrix()
    head = ("task", "modality", "by", "what", "measured", "measured on")
    keys = ("task", "modality", "by", "what", "metrics", "measured_on")
    lines = [[headline(row[k]) if k == "metrics" else row[k] for k in keys] for row in rows]
    console.result(rows, console.table(head, lines))
    return 0


def _inputs(card: Mapping[str, Any]) -> str:
    channels = card.get("recipe", {}).get("channels") or [card]
    return " + ".join(f"{c['modality']}:{c['quantity']}" for c in channels)


#: The figure that stands for a model in a list, the first that it has.
_HEADLINES = ("auc", "dice_where_present", "map50", "ap50", "f1_50", "dice")


def headline(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """``dice 0.91 (0.88 … 0.94) n=12``: one figure of a model; the JSON has all."""
    name = next((name for name in (*_HEADLINES, *metrics) if name in metrics), None)
    return "" if name is None else f"{name} {figure(metrics[name])}"


# ---- training -----------------------------------------------------------------------------------------------

#: What a stage of training is called on the screen.
_STAGES = {
    "check": "checking cases",
    "prepare": "preparing cases",
    "train": "training",
    "measure": "measuring cases",
}


def train(options: Namespace, console: Console) -> int:
    papers = {k: v for k in ("trained_on", "licence", "limits") if (v := getattr(options, k))}
    made = hx.train(
        options.task,
        options.table,
        name=options.name,
        out=options.out,
        inputs=options.inputs,
        allow_missing=options.allow_missing,
        kinds=options.kinds,
        classes=options.classes,
        minutes=options.minutes,
        seed=options.seed,
        folds=options.folds,
        overrides=dict(options.overrides or ()),
        resume=options.resume,
        papers=papers,
        progress=_Teller(console),
    )
    validation = made.validation.as_json()
    value = {
        "model": str(made.model),
        "plan": made.plan.as_data(),
        "validation": validation,
        "cpu_s": round(made.cpu_s, 1),
        "told": list(made.told),
    }
    for line in made.told:
        console.say("note: {text}", text=line)
    rows = [(k, figure(v)) for k, v in validation.items() if isinstance(v, dict)]
    figures_of_it = console.table(("metric", "mean (95 % interval)"), rows)
    console.result(value, [*made.plan.lines(), "", *figures_of_it, str(made.model)])
    return 0


class _Teller:
    """A bar for each stage of a training; what the validation gives is told beside it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = ""
        self._count: Callable[[int, int], Any] = lambda done, total: None

    def __call__(self, stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        if stage != self._stage:
            self._stage, self._count = stage, self._console.counter(_STAGES.get(stage, stage))
        self._count(done, total)
        if set(figures) - {"loss"}:  # a look at the validation cases, not every step
            shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            self._console.say("{done} of {total}: {figures}", done=done, total=total, figures=shown)


# ---- plans and data -------------------------------------------------------------------------------------


def plan(options: Namespace, console: Console) -> int:
    if options.other is None:
        made = hx.plan(options.model)
        console.result(made.as_data(), made.lines())
        return 0
    rows = hx.compare_plans(options.model, options.other)
    head = ("choice", "first", "second", "because")
    lines = console.table(head, ([r["name"], r["a"], r["b"], ", ".join(r["because"])] for r in rows))
    console.result(rows, lines if rows else [])
    if not rows:
        console.say("the two plans are alike")
    return 0


def data(options: Namespace, console: Console) -> int:
    if options.action == "list":
        rows = [entry.as_json() for entry in public_sets()]
        keys = ("name", "title", "licence", "direct")
        console.result(rows, console.table(("set", "title", "licence", "direct"), ([r[k] for k in keys] for r in rows)))
        return 0
    if options.name is None or options.out is None:
        raise hx.UsageError("fetch a set with: hexscope data get SET -o DIR; hexscope data list names them")
    got = hx.data_get(options.name, options.out, source=options.source, progress=console.counter)
    value = got.as_json()
    head = [f"{value['out']}: {len(value['files'])} files, {value['cases'] or 0} cases", value["licence"]]
    console.result(value, [*head, *value["notes"]])
    return 0
