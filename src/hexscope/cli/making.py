"""Commands that make one thing from another: convert, quantify, resample, segment, detect."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import hexscope as hx
from hexscope.cli.console import Console

#: What several images of one command are called in their output folder, by task.
_CASE_SUFFIX = {"segment": ".nii.gz", "detect": ".json"}


def _image(path: str, options: Namespace | None = None) -> hx.Image:
    """Read an image with the reading options of the command; a mask is refused."""
    thing = hx.read(path) if options is None else hx.read(path, **_reading(options))
    if isinstance(thing, hx.Mask):
        raise hx.UsageError(f"{path} is a mask; an image is needed here")
    return thing


def _reading(options: Namespace) -> dict[str, Any]:
    return {"spacing_mm": options.spacing_mm, "kind": options.kind_of_image, "even": options.even}


def convert(options: Namespace, console: Console) -> int:
    made = hx.convert(options.image, options.out, like=options.like, **_reading(options))
    console.result({"out": options.out, "steps": list(made.steps)}, [options.out, *made.steps])
    return 0


def quantify(options: Namespace, console: Console) -> int:
    image = hx.quantify(_image(options.image, options), options.quantity)
    hx.save(image, options.out)
    array = image.array
    ledger = list(image.facts.get("ledger", ()))
    value = {
        "out": options.out,
        "quantity": image.quantity.value,
        "min": float(array.min()),
        "max": float(array.max()),
        "mean": float(array.mean(dtype=np.float64)),
        "ledger": ledger,
    }
    lines = [f"{image.quantity.value}: {value['min']:.5g} ... {value['max']:.5g}, mean {value['mean']:.5g}"]
    lines += console.table(
        ("factor", "value", "unit", "field"),
        ([e[k] for k in ("name", "value", "unit", "tag")] for e in ledger),
    )
    console.result(value, lines)
    return 0


def resample(options: Namespace, console: Console) -> int:
    thing = hx.read(options.image, **_reading(options))
    target = hx.read(options.to)
    through = None if options.through is None else hx.read_transform(options.through)
    source = target if isinstance(target, hx.Image) and isinstance(thing, hx.Mask) else None
    hx.save(hx.resample(thing, target.grid, through=through, how=options.how), options.out, source=source)
    console.result({"out": options.out}, options.out)
    return 0


# ---- tasks on one or several images -------------------------------------------------------------------------


def segment(options: Namespace, console: Console) -> int:
    def one(path: str, out: str) -> dict[str, Any]:
        image = _image(path, options)
        mask = hx.segment(image, options.what)
        hx.save(mask, out, source=image if out.lower().endswith(".dcm") else None)
        labels = [m.as_json() for m in hx.measure(mask)]
        rows = [{k: row.get(k) for k in ("value", "name", "volume_ml", "area_px")} for row in labels]
        warnings = [s.removeprefix("warning: ") for s in mask.steps if s.startswith("warning: ")]
        return {"out": out, "labels": rows, "model": None, "warnings": warnings}

    return _cases(options, console, "segment", one)


def detect(options: Namespace, console: Console) -> int:
    more: dict[str, Any] = {"threshold": options.threshold}
    if options.suv is not None:
        more["suv"] = options.suv
    if options.liver is not None:
        more["liver"] = liver(options.liver)

    def one(path: str, out: str) -> dict[str, Any]:
        findings = hx.detect(_image(path, options), **more)
        hx.save(findings, out)
        return {"out": out, **findings.as_json()}

    return _cases(options, console, "detect", one)


def liver(text: str) -> hx.Mask | hx.Sphere:
    """``x,y,z,r`` is a sphere (LPS mm); anything else is the path of a mask."""
    parts = text.split(",")
    if len(parts) != 4:
        return hx.read_mask(text)
    try:
        x, y, z, radius = (float(p) for p in parts)
    except ValueError as error:
        raise hx.UsageError(f"a sphere is x,y,z,r in LPS mm; got {text!r}") from error
    return hx.Sphere((x, y, z), radius)


def _cases(options: Namespace, console: Console, task: str, one: Callable[[str, str], dict[str, Any]]) -> int:
    """One image gives one result and OUT is its file; several give a list and OUT is a folder."""
    if len(options.images) == 1:
        value = one(options.images[0], options.out)
        console.result(value, _summary(value, console))
        return 0
    folder = Path(options.out)
    names = _case_names(options.images)

    def case(index: int) -> dict[str, Any]:
        out = str(folder / (names[index] + _CASE_SUFFIX[task]))
        return {"case": names[index], **one(options.images[index], out)}

    return _each(names, case, console)


def _case_names(images: list[str]) -> list[str]:
    """A file name for each image; equal ones are numbered."""
    stems = [Path(i.replace("#", "-")).name.removesuffix(".gz").rsplit(".", 1)[0] or "case" for i in images]
    return [s if stems.count(s) == 1 else f"{s}-{n}" for n, s in enumerate(stems, start=1)]


def _each(names: list[str], one: Callable[[int], dict[str, Any]], console: Console) -> int:
    """Run every case; a failure is told and the others finish. Exit code 3 where any failed."""
    values = []
    failed = 0
    for index, name in enumerate(names):
        console.say("case {n} of {total}: {name}", n=index + 1, total=len(names), name=name)
        try:
            values.append(one(index))
        except hx.HexscopeError as error:
            failed += 1
            values.append({"case": name, "error": {"code": error.code, "message": str(error)}})
            console.say("failed: {name}: {why}", name=name, why=error)
    console.result(values, [f"{v['case']}  {v.get('out', 'failed')}" for v in values])
    return 3 if failed else 0


def _summary(value: dict[str, Any], console: Console) -> list[str]:
    lines = [value["out"], *value.get("warnings", [])]
    for row in value.get("labels", []):
        volume = "" if row["volume_ml"] is None else f"  {row['volume_ml']:.4g} ml"
        lines.append(f"{row['value']} {row['name']}  {row['area_px']} px{volume}")
    for number, f in enumerate(value.get("findings", []), start=1):
        place = f.get("center_lps_mm") or f.get("center_px")
        volume = "" if f["volume_ml"] is None else f"  {f['volume_ml']:.3g} ml"
        lines.append(f"candidate {number}  score {f['score']:.2f}  at {place}{volume}")
    return lines
