"""Commands that make one thing from another: convert, quantify, resample, segment; and cases one by one."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hexscope as hx
from hexscope.cli.console import Console
from hexscope.model_verbs import kinds_by_input, open_model

#: What several images of one command are called in their output folder, by task.
_CASE_SUFFIX = {"segment": ".nii.gz", "detect": ".json"}


def image_of(path: str, options: Namespace | None = None) -> hx.Image:
    """Read an image with the reading options of the command; a mask is refused."""
    thing = hx.read(path) if options is None else hx.read(path, **_reading(options))
    if isinstance(thing, hx.Mask):
        raise hx.UsageError(f"{path} is a mask; an image is needed here")
    return thing


def _reading(options: Namespace) -> dict[str, Any]:
    return {"spacing_mm": options.spacing_mm, "kind": options.kind_of_image, "even": options.even}


def source_of(image: hx.Image, out: str) -> hx.Image | None:
    """The image that a DICOM SEG refers to, where ``out`` is one."""
    return image if out.lower().endswith(".dcm") else None


def convert(options: Namespace, console: Console) -> int:
    made = hx.convert(options.image, options.out, like=options.like, **_reading(options))
    console.result({"out": options.out, "steps": list(made.steps)}, [options.out, *made.steps])
    return 0


def quantify(options: Namespace, console: Console) -> int:
    image = hx.quantify(image_of(options.image, options), options.quantity)
    hx.save(image, options.out)
    array = image.array
    ledger = list(image.facts.get("ledger", ()))
    value = {
        "out": options.out,
        "quantity": image.quantity.value,
        "min": float(array.min()),
        "max": float(array.max()),
        "mean": float(array.mean(dtype="float64")),
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
    return cases(options, console, "segment", _by_rule(options) if options.model is None else _by_model(options))


def _by_rule(options: Namespace) -> Callable[[str, str], dict[str, Any]]:
    if options.inputs or options.uncertainty or options.force:
        raise hx.UsageError("--input, --uncertainty and --force go with a model: add --model NAME or FOLDER")

    def one(path: str, out: str) -> dict[str, Any]:
        image = image_of(path, options)
        mask = hx.segment(image, options.what)
        hx.save(mask, out, source=source_of(image, out))
        warnings = [s.removeprefix("warning: ") for s in mask.steps if s.startswith("warning: ")]
        return {"out": out, "labels": _sizes(mask), "model": None, "warnings": warnings}

    return one


def _by_model(options: Namespace) -> Callable[[str, str], dict[str, Any]]:
    if options.what is not None:
        raise hx.UsageError("a model segments what it was trained for; leave --what out")
    model = open_model(options.model, force=options.force)
    read = images_for(options, [channel.name for channel in model.card.inputs])
    many = len(options.images) > 1

    def one(path: str, out: str) -> dict[str, Any]:
        images = read(path)
        made = hx.predict(images, model)
        source = next(iter(images.values()))
        hx.save(made.mask, out, source=source_of(source, out))
        value = {"out": out, "labels": _sizes(made.mask), "model": model.card.name, "warnings": list(made.warnings)}
        told = {"expected_dice": made.expected_dice, "engine": made.engine}
        if not options.uncertainty:
            return {**value, **told}
        unsure = str(Path(options.uncertainty) / Path(out).name if many else options.uncertainty)
        hx.save(made.uncertainty, unsure)
        return {**value, **told, "uncertainty": unsure}

    return one


def images_for(options: Namespace, wanted: Sequence[str]) -> Callable[[str], dict[str, hx.Image]]:
    """What reads the images of a case by the names of the inputs ``wanted``, given the path of the input left unnamed.

    ``options.images`` become those paths, one a case.
    """
    named = dict(options.inputs or ())
    first = next((name for name in wanted if name not in named), wanted[0])
    options.images = _model_cases(options.images, named, first)
    kinds = kinds_by_input(options.kind_of_image, wanted)

    def read(path: str) -> dict[str, hx.Image]:
        files = {**named, first: path}
        ordered = [name for name in wanted if name in files] + [name for name in files if name not in wanted]
        return {
            name: image_of(files[name], Namespace(**{**vars(options), "kind_of_image": kinds.get(name)}))
            for name in ordered
        }

    return read


def _model_cases(images: list[str], named: dict[str, str], first: str) -> list[str]:
    """The paths of the first input, one a case. Inputs that are named belong to one case."""
    if named and (len(images) > 1 or (images and first in named)):
        raise hx.UsageError("--input names the images of one case; give one IMAGE at most, for the input left unnamed")
    return images or ([named[first]] if first in named else [])


def _sizes(mask: hx.Mask) -> list[dict[str, Any]]:
    """Value, name and size of every label; of a picture its diameter and circumference too."""
    if mask.grid.ndim == 2:
        keys = ("value", "name", "volume_ml", "area_px", "area_mm2", "diameter_mm", "circumference_mm")
        return [{key: row.get(key) for key in keys} for row in (m.as_json() for m in hx.measure(mask))]
    counts, volume = mask.counts(), mask.grid.voxel_volume_ml
    return [
        {
            "value": label.value,
            "name": label.name,
            "volume_ml": None if volume is None else round(counts[label.value] * volume, 5),
            "area_px": counts[label.value],
        }
        for label in mask
    ]


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


def cases(options: Namespace, console: Console, task: str, one: Callable[[str, str], dict[str, Any]]) -> int:
    """One image gives one result and OUT is its file; several give a list and OUT is a folder."""
    if not options.images:
        raise hx.UsageError(f"{task} needs an IMAGE (or, with --model, every input by --input NAME=PATH)")
    if len(options.images) == 1:
        value = one(options.images[0], options.out)
        console.result(value, _summary(value, console))
        return 0
    folder = Path(options.out)
    names = case_names(options.images)

    def case(index: int) -> dict[str, Any]:
        out = str(folder / (names[index] + _CASE_SUFFIX[task]))
        return {"case": names[index], **one(options.images[index], out)}

    return each_case(names, case, console, lambda value: value["out"])


def case_names(images: list[str]) -> list[str]:
    """A file name for each image; equal ones are numbered."""
    stems = [Path(i.replace("#", "-")).name.removesuffix(".gz").rsplit(".", 1)[0] or "case" for i in images]
    return [s if stems.count(s) == 1 else f"{s}-{n}" for n, s in enumerate(stems, start=1)]


def each_case(
    names: list[str],
    one: Callable[[int], dict[str, Any]],
    console: Console,
    told: Callable[[dict[str, Any]], str],
) -> int:
    """Run every case; a failure is told and the others finish. Exit code 3 where any failed.

    told  the line of a case that succeeded
    """
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
    console.result(values, [f"{v['case']}  {'failed' if 'error' in v else told(v)}" for v in values])
    return 3 if failed else 0


def _summary(value: dict[str, Any], console: Console) -> list[str]:
    lines = [value["out"], *value.get("warnings", [])]
    for row in value.get("labels", []):
        volume = "" if row["volume_ml"] is None else f"  {row['volume_ml']:.4g} ml"
        lines.append(f"{row['value']} {row['name']}  {row['area_px']} px{volume}")
    for number, f in enumerate(value.get("findings", []), start=1):
        place = f.get("center_lps_mm") or f.get("center_px")
        volume = "" if f["volume_ml"] is None else f"  {f['volume_ml']:.3g} ml"
        lines.append(f"candidate {number}  {f['class']}  score {f['score']:.2f}  at {place}{volume}")
    if value.get("promise"):
        lines.append(f"promise: {value['promise']['sentence']}")
    return lines
