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
from hexscope.pair_verbs import rehearse_register


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
    sub.add_argument(
        "--group",
        nargs="+",
        metavar="IMAGE",
        help=t("all of these to FIXED or, without it, to their own mean; OUT is a folder"),
    )
    sub.add_argument("--seed", type=int, default=0)


def add_certify(sub: argparse.ArgumentParser, t: Callable[[str], str]) -> None:
    sub.add_argument("--through", metavar="T", help=t("the transform that is judged, from any tool; else the headers"))
    sub.add_argument("-o", "--out", metavar="OUT", help=t("also write the transform with its certificate"))


def register(options: Namespace, console: Console) -> int:
    how: dict[str, Any] = {"kind": options.kind, "seed": options.seed, "speed": options.speed}
    if options.table is not None:
        return _table(options, how, console)
    if options.group is not None:
        return _group(options, how, console)
    if options.fixed is None or options.moving is None:
        raise hx.UsageError("register needs FIXED and MOVING, --table PAIRS.csv, or --group IMAGE IMAGE ...")
    fixed, moving = _image(options.fixed, options.spacing_mm), _image(options.moving, options.spacing_mm)
    masks: dict[str, Any] = {
        name: hx.read_mask(path) for name, path in vars(options).items() if name.endswith("_mask") and path
    }
    rehearse_register((fixed, moving), options.out, options.moved, kind=options.kind)
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
    if options.fixed is not None or options.group is not None:
        raise hx.UsageError("register takes FIXED and MOVING, --table or --group, not two of them")
    if options.fixed_mask or options.moving_mask or options.spacing_mm:
        raise hx.UsageError("with --table, masks are columns of the table (fixed_mask, moving_mask)")
    moved = None if options.moved is None else Path(options.moved)
    rows = hx.register_table(options.table, options.out, moved=moved, tell=console.say, **how)
    console.result(rows, [_line(row) for row in rows])
    return 3 if any("error" in row for row in rows) else 0


def _group(options: Namespace, how: dict[str, Any], console: Console) -> int:
    if options.moving is not None or options.fixed_mask or options.moving_mask:
        raise hx.UsageError("a group takes no MOVING and no masks: register [FIXED] --group IMAGE IMAGE ... -o FOLDER")
    reference = None if options.fixed is None else _image(options.fixed, options.spacing_mm)
    images, rows = _of_group(options, console)
    started = process_time()
    group = hx.register_group(images, reference, progress=console.say, **how)
    seconds = process_time() - started
    folder = Path(options.out)
    mean = hx.save(group.mean, folder / "mean.nii.gz")
    good = (row for row in rows if "error" not in row)
    for row, image, transform in zip(good, images, group.transforms, strict=True):
        target = folder / f"{row['case']}{'.tfm' if transform.is_linear else '.h5'}"
        row.update(out=str(hx.save(transform, target)), **transform.as_json())
        if options.moved is not None:
            moved = hx.resample(image, group.mean.grid, through=transform)
            hx.save(moved, Path(options.moved) / f"{row['case']}.nii.gz")
    value = {"mean": str(mean), "images": rows, "cpu_s": round(seconds, 3)}
    console.result(value, [str(mean), *(_line(row) for row in rows)])
    return 3 if len(images) < len(rows) else 0


def _of_group(options: Namespace, console: Console) -> tuple[list[hx.Image], list[dict[str, Any]]]:
    """The images that can be read, and a row for each that was named: its case is the name of its result."""
    images: list[hx.Image] = []
    rows: list[dict[str, Any]] = []
    for number, path in enumerate(options.group, start=1):
        stem = Path(path).name.partition(".")[0].partition("#")[0]
        row: dict[str, Any] = {"case": f"{number}-{stem}", "image": path}
        try:
            images.append(_image(path, options.spacing_mm))
        except hx.HexscopeError as error:
            console.say("failed: {name}: {why}", name=path, why=error)
            row["error"] = {"code": getattr(error, "code", None), "message": str(error)}
        rows.append(row)
    return images, rows


def _line(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['case']}  failed: {row['error']['message']}"
    return f"{row['case']}  {row['out']}  {row['certificate']['verdict']} ({row['certificate']['score']:.2f})"
