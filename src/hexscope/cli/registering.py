"""The commands register and certify, and their arguments."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import hexscope as hx
from hexscope.cli.console import Console


def add_register(sub: argparse.ArgumentParser, t: Callable[[str], str]) -> None:
    sub.add_argument("--kind", choices=("rigid", "similarity", "affine", "deformable"), default="rigid")
    sub.add_argument("--speed", choices=("fast", "accurate"), default="fast", help=t("of a deformable registration"))
    sub.add_argument("--fixed-mask", metavar="MASK", help=t("where FIXED counts"))
    sub.add_argument("--moving-mask", metavar="MASK", help=t("where MOVING counts"))
    sub.add_argument(
        "--moved", metavar="OUT", help=t("also write the moving image on the fixed grid; with --table, a folder")
    )
    sub.add_argument(
        "--table",
        metavar="PAIRS.csv",
        help=t("many pairs: columns case, fixed, moving, of choice kind, fixed_mask, moving_mask; OUT is a folder"),
    )
    sub.add_argument("--seed", type=int, default=0)


def add_certify(sub: argparse.ArgumentParser, t: Callable[[str], str]) -> None:
    sub.add_argument("--through", metavar="T", help=t("the transform that is judged, from any tool; else the headers"))
    sub.add_argument("-o", "--out", metavar="OUT", help=t("also write the transform with its certificate"))


def register(options: Namespace, console: Console) -> int:
    how: dict[str, Any] = {"kind": options.kind, "seed": options.seed, "speed": options.speed}
    if options.table is not None:
        return _table(options, how, console)
    if options.fixed is None or options.moving is None:
        raise hx.UsageError("register needs FIXED and MOVING, or --table PAIRS.csv")
    fixed, moving = _image(options.fixed, options.spacing_mm), _image(options.moving, options.spacing_mm)
    masks: dict[str, Any] = {
        name: hx.read_mask(path) for name, path in vars(options).items() if name.endswith("_mask") and path
    }
    started = process_time()
    transform = hx.register(fixed, moving, **how, **masks, progress=console.say)
    seconds = process_time() - started
    hx.save(transform, options.out, source=(fixed, moving))
    if options.moved is not None:
        hx.save(hx.resample(moving, fixed.grid, through=transform), options.moved)
    _tell(transform, {"out": options.out}, seconds, console)
    return 0


def certify(options: Namespace, console: Console) -> int:
    fixed, moving = _image(options.fixed, options.spacing_mm), _image(options.moving, options.spacing_mm)
    through = None if options.through is None else hx.read_transform(options.through)
    started = process_time()
    judged = hx.certify(fixed, moving, through=through)
    seconds = process_time() - started
    if options.out is not None:
        hx.save(judged, options.out, source=(fixed, moving))
    _tell(judged, {"out": options.out}, seconds, console)
    return 0


def _image(path: str, spacing_mm: tuple[float, ...] | None) -> hx.Image:
    """An image; ``spacing_mm`` counts where its file gives none."""
    thing = hx.read(path)
    if isinstance(thing, hx.Mask):
        raise hx.UsageError(f"{path} is a mask; an image is needed here")
    if spacing_mm is not None and thing.grid.spacing is None:
        thing = hx.read(path, spacing_mm=spacing_mm)
        assert isinstance(thing, hx.Image)
    return thing


def _tell(transform: hx.Transform, value: dict[str, Any], seconds: float, console: Console) -> None:
    value = {**value, **transform.as_json(), "cpu_s": round(seconds, 3)}
    certificate = value["certificate"]
    lines = [f"{value['out'] or ''}  {value['kind']}  {certificate['verdict']} ({certificate['score']:.2f})".strip()]
    console.result(value, [*lines, *certificate["reasons_zh" if console.language == "zh" else "reasons"]])


def _table(options: Namespace, how: dict[str, Any], console: Console) -> int:
    if options.fixed is not None:
        raise hx.UsageError("register takes FIXED and MOVING or --table, not both")
    if options.fixed_mask or options.moving_mask or options.spacing_mm:
        raise hx.UsageError("with --table, masks are columns of the table (fixed_mask, moving_mask)")
    moved = None if options.moved is None else Path(options.moved)
    rows = hx.register_table(options.table, options.out, moved=moved, tell=console.say, **how)
    console.result(rows, [_line(row) for row in rows])
    return 3 if any("error" in row for row in rows) else 0


def _line(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['case']}  failed: {row['error']['message']}"
    return f"{row['case']}  {row['out']}  {row['certificate']['verdict']} ({row['certificate']['score']:.2f})"
