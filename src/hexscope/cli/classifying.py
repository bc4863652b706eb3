"""The command classify: probabilities, the classes that cannot be excluded, and why."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hexscope as hx
from hexscope.cli.console import Console
from hexscope.cli.learning import add_input
from hexscope.cli.making import case_names, each_case, images_for
from hexscope.model_verbs import drift, open_model


def add_classify(sub: argparse.ArgumentParser, t: Callable[[str], str]) -> None:
    sub.add_argument("--model", metavar="M", required=True, help=t("name of a model, or a model folder"))
    add_input(sub, t)
    sub.add_argument(
        "-o", "--out", metavar="OUT", help=t("also write the scores: .json, of several images a folder of them")
    )
    sub.add_argument(
        "--coverage", type=float, default=0.9, metavar="C", help=t("share of cases whose class is in the set; 0.9")
    )
    sub.add_argument(
        "--evidence", metavar="OUT", help=t("also write what of the image the answer rests on, on the image's own grid")
    )
    sub.add_argument("--of", metavar="CLASS", help=t("the class whose evidence is asked; else the likeliest"))
    sub.add_argument("--nearest", type=int, default=0, metavar="N", help=t("also name the N labelled cases most alike"))


def classify(options: Namespace, console: Console) -> int:
    model = open_model(options.model, force=options.force)
    read = images_for(options, [channel.name for channel in model.card.inputs])
    if not options.images:
        raise hx.UsageError("classify needs an IMAGE (or every input by --input NAME=PATH)")
    if not 0 < options.coverage < 1:
        raise hx.UsageError(f"--coverage lies between 0 and 1; got {options.coverage:g}")
    if len(options.images) == 1:
        value = _one(options, model, read(options.images[0]), options.out, options.evidence)
        console.result(value, _lines(value, console))
        return 0
    names = case_names(options.images)
    batch: list[hx.Scores] = []

    def case(index: int) -> dict[str, Any]:
        out = None if options.out is None else str(Path(options.out) / f"{names[index]}.json")
        shown = None if options.evidence is None else str(Path(options.evidence) / f"{names[index]}.nii.gz")
        value = _one(options, model, read(options.images[index]), out, shown)
        batch.append(hx.Scores(value["scores"]))
        beware = drift(model, batch)
        return {"case": names[index], **value, "warnings": [*value["warnings"], *([beware] if beware else [])]}

    return each_case(names, case, console, _told)


def _one(
    options: Namespace, model: Any, images: dict[str, hx.Image], out: str | None, shown: str | None
) -> dict[str, Any]:
    scores = hx.classify(images, model, coverage=options.coverage)
    value: dict[str, Any] = {"model": model.card.name, **scores.as_json()}
    if options.nearest:
        value["nearest"] = [vars(one) for one in hx.nearest(images, model, options.nearest)]
    if shown is not None:
        hx.save(hx.evidence(images, model, options.of), shown)
        value["evidence"] = shown
    if out is not None:
        hx.save(scores, out)
        value["out"] = out
    return value


def _lines(value: dict[str, Any], console: Console) -> list[str]:
    rows = sorted(value["scores"].items(), key=lambda pair: -pair[1])
    lines = console.table(("class", "score"), ((name, f"{p:.3f}") for name, p in rows))
    lines += [_told(value), *value["warnings"]]
    lines += [f"{one['case']}  {one['label']}  {one['likeness']:.2f}" for one in value.get("nearest", ())]
    return [*lines, *(value[key] for key in ("evidence", "out") if key in value)]


def _told(value: dict[str, Any]) -> str:
    """The set in one line."""
    if value["set"] is None:
        return ""
    inside = "{" + ", ".join(value["set"]) + "}"
    verdict = "cannot tell: " if value["abstains"] else ""
    return f"{verdict}{inside} ({100 * value['coverage']:g} %)"
