"""Commands that only look: info, audit, guide, measure, features."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import hexscope as hx
from hexscope.cli.console import Console


def info(options: Namespace, console: Console) -> int:
    found = hx.info(options.path, progress=console.counter("reading headers"))
    rows = [series.as_json(number) for number, series in enumerate(found.series, start=1)]
    head = ("#", "modality", "kind", "shape", "spacing mm", "quantity", "files", "faults", "description")
    console.result(rows, console.table(head, (_info_row(r) for r in rows)))
    strays = [item for item in found.others if item.verdict == "refused"]
    for item in strays:
        console.say("refused: {where}: {why}", where=item.where, why="; ".join(f.detail for f in item.faults))
    if not rows:
        console.say("no image was found in {n} files", n=len(found.others))
        return 3
    return 0


def _info_row(row: dict[str, Any]) -> list[Any]:
    spacing = row["spacing_mm"]
    return [
        row["number"],
        row["modality"],
        row["kind"],
        "x".join(str(n) for n in row["shape"]),
        "-" if spacing is None else " ".join(f"{s:.3g}" for s in spacing),
        row["quantity"],
        len(row["files"]),
        ",".join(row["faults"]),
        row["description"],
    ]


def audit(options: Namespace, console: Console) -> int:
    items = hx.audit(options.path, progress=console.counter("reading headers"))
    verdicts = ("ok", "repaired", "refused", "ignored")
    summary = {v: sum(i.verdict == v for i in items) for v in verdicts}
    value = {"items": [i.as_json() for i in items], "summary": summary}
    rows = [(i.verdict, i.where, ", ".join(f.code for f in i.faults), _details(i)) for i in items]
    lines = console.table(("verdict", "item", "faults", "detail"), rows)
    console.result(value, [*lines, "", "  ".join(f"{v}: {n}" for v, n in summary.items())])
    usable = summary["ok"] + summary["repaired"]
    return 3 if summary["refused"] and not usable else 0


def _details(item: Any) -> str:
    return "; ".join(f.detail for f in item.faults)


def guide(options: Namespace, console: Console) -> int:
    text = hx.guide(options.modality, console.language)
    console.result({"modality": options.modality, "language": console.language, "text": text}, text)
    return 0


def measure(options: Namespace, console: Console) -> int:
    image = None if options.on is None else hx.read(options.on, spacing_mm=options.spacing_mm)
    if isinstance(image, hx.Mask):
        raise hx.UsageError(f"{options.on} is a mask; --on wants an image")
    mask = hx.read_mask(options.mask, on=image)
    if options.spacing_mm is not None and mask.grid.spacing_mm is None:
        mask = mask.calibrated(options.spacing_mm)
    rows = [m.as_json() for m in hx.measure(mask, image)]
    head = ("label", "volume ml", "area px", "diameter mm", "mean", "max")
    keys = ("name", "volume_ml", "area_px", "diameter_mm", "mean", "max")
    console.result(rows, console.table(head, ([_number(r.get(k)) for k in keys] for r in rows)))
    return 0


def features(options: Namespace, console: Console) -> int:
    reading = {"spacing_mm": options.spacing_mm, "kind": options.kind_of_image, "even": options.even}
    image = hx.read(options.image, **reading)
    if isinstance(image, hx.Mask):
        raise hx.UsageError(f"{options.image} is a mask; the image comes first, then the mask")
    mask = hx.read_mask(options.mask, on=image)
    if options.spacing_mm is not None and mask.grid.spacing_mm is None:
        mask = mask.calibrated(options.spacing_mm)
    asked = {"resample_mm": options.resample_mm, "range": options.range, "outlier_sd": options.outlier_sd}
    asked |= {"bins": options.bins, "bin_width": options.bin_width, "aggregations": options.by and tuple(options.by)}
    settings = hx.FeatureSettings(**{name: value for name, value in asked.items() if value is not None})
    found = hx.features(image, mask, label=options.label, families=options.family, settings=settings)
    for step in (*found.steps, *(f"{family} {why}" for family, why in found.left_out.items())):
        console.say("note: {text}", text=step)
    value = found.as_json()
    console.result(value, console.table(("feature", "value"), ((k, _number(v)) for k, v in value.items())))
    return 0


def label(text: str) -> int | str:
    """The value of a label, or its name."""
    return int(text) if text.isdigit() else text


def _number(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
