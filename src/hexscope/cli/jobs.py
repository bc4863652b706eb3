"""Commands that do a whole job: study, phantom, demo."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import hexscope as hx
from hexscope.cli.console import Console
from hexscope.cli.making import liver


def study(options: Namespace, console: Console) -> int:
    result = hx.study(
        options.folder,
        options.out,
        resume=options.resume,
        one_patient=options.one_patient,
        liver=None if options.liver is None else liver(options.liver),
        models=options.models or (),
        kinds=dict(options.kinds or ()),
        listener=console,
        language=console.language,
    )
    value = result.as_json()
    console.result(value, _study_lines(value, console))
    if not value["series"]:
        console.say("no image was found in {folder}", folder=options.folder)
        return 3
    return 0


def _study_lines(value: dict[str, Any], console: Console) -> list[str]:
    head = ("series", "modality", "verdict", "role", "quantity")
    rows = [
        [s.get("description") or s["series"], s["modality"], s["verdict"], s["role"], s["quantity"]]
        for s in value["series"]
    ]
    lines = console.table(head, rows)
    for r in value["registrations"]:
        lines.append(
            f"{r['moving']} -> {r['fixed']}: {r['certificate']['verdict']}; {'; '.join(r['certificate']['reasons'])}"
        )
    lines.append(f"candidates: {len(value['findings'])}   refused: {len(value['refused'])}")
    lines.append(value["report"])
    return lines


def phantom(options: Namespace, console: Console) -> int:
    faults = options.faults if options.faults in ("all", "none") else options.faults.split(",")
    made = hx.phantom(options.out, seed=options.seed, faults=faults)
    files = [str(f) for f in made.files]
    console.say("synthetic: no patient was ever scanned for this")
    console.result({"files": files, "truth": str(made.truth)}, [f"{len(files)} files", str(made.truth)])
    return 0


def demo(options: Namespace, console: Console) -> int:
    value = hx.demo(options.out, seed=options.seed, listener=console, language=console.language)
    console.result(value, [*_study_lines(dict(value), console), "", *value["comparison"]["lines"]])
    return 0 if value["comparison"]["passed"] else 3
