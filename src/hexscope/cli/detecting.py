"""The command detect: hot lesions on PET by rule, or what a trained model finds."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import hexscope as hx
from hexscope.cli.console import Console
from hexscope.cli.learning import add_input
from hexscope.cli.making import cases, image_of, images_for, liver, source_of
from hexscope.model_verbs import drift, open_model

#: Options that go with a model, and those that go with the rule.
_OF_MODEL = ("inputs", "sensitivity", "confidence", "score", "within", "force")
_OF_RULE = ("suv", "liver", "threshold")


def add_detect(sub: argparse.ArgumentParser, t: Callable[[str], str]) -> None:
    sub.add_argument("--model", metavar="M", help=t("name of a model, or a model folder"))
    add_input(sub, t)
    sub.add_argument(
        "--sensitivity",
        type=float,
        metavar="S",
        help=t("share of the lesions to be found, kept as a promise: e.g. 0.9"),
    )
    sub.add_argument(
        "--confidence", type=float, metavar="C", help=t("of the promise, for this very calibration: e.g. 0.9")
    )
    sub.add_argument("--score", type=float, help=t("only findings of at least this score; 0 shows all"))
    sub.add_argument("--within", metavar="MASK", help=t("only findings whose middle lies in this mask"))
    sub.add_argument("--threshold", help="fixed, 41%%, background, liver")
    sub.add_argument("--suv", type=float, help=t("SUV of the fixed threshold"))
    sub.add_argument("--liver", metavar="MASK|X,Y,Z,R", help=t("liver mask, or a sphere: centre in LPS mm and radius"))


def detect(options: Namespace, console: Console) -> int:
    unfit = _OF_MODEL if options.model is None else _OF_RULE
    given = [f"--{name.replace('inputs', 'input')}" for name in unfit if getattr(options, name) is not None]
    if given and options.model is None:
        raise hx.UsageError(f"{', '.join(given)} goes with a model: add --model NAME or FOLDER")
    if given:
        raise hx.UsageError(f"{', '.join(given)} goes with the rule for PET; leave it out with --model")
    return cases(options, console, "detect", _by_rule(options) if options.model is None else _by_model(options))


def _by_rule(options: Namespace) -> Callable[[str, str], dict[str, Any]]:
    more: dict[str, Any] = {"threshold": options.threshold or "fixed"}
    if options.suv is not None:
        more["suv"] = options.suv
    if options.liver is not None:
        more["liver"] = liver(options.liver)

    def one(path: str, out: str) -> dict[str, Any]:
        image = image_of(path, options)
        findings = hx.detect(image, **more)
        hx.save(findings, out, source=source_of(image, out))
        return {"out": out, **findings.as_json()}

    return one


def _by_model(options: Namespace) -> Callable[[str, str], dict[str, Any]]:
    model = open_model(options.model, force=options.force)
    read = images_for(options, [channel.name for channel in model.card.inputs])
    within = None if options.within is None else hx.read_mask(options.within)
    asked = {name: getattr(options, name) for name in ("sensitivity", "confidence", "score")}
    batch: list[hx.Findings] = []

    def one(path: str, out: str) -> dict[str, Any]:
        images = read(path)
        findings = hx.detect(images, model=model, within=within, **asked)
        batch.append(findings)
        beware = drift(model, batch) if within is None else ""
        findings = replace(findings, warnings=(*findings.warnings, *([beware] if beware else [])))
        hx.save(findings, out, source=source_of(next(iter(images.values())), out))
        return {"out": out, "model": model.card.name, **findings.as_json()}

    return one
