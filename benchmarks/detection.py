"""Detection on real images, each patient measured by a model that never saw it: one command prints the table.

    python benchmarks/detection.py [--fill] [--only WORDS] [--data FOLDER] [--rows FILE] [--work FOLDER]

Rows are kept in benchmarks/results/detection.jsonl: what is filled is printed, and ``--fill`` makes what is missing,
task by task (folds × minutes of one core each, once more for the model that ships). Hot lesions on PET need no
training; the model that outlines nuclei is read as a detector, on the images that it was not trained on. Where a set
gives no patients (brain tumour), its ``fold`` keeps neighbouring slices together, mended for near copies: slices of one
patient may still lie on both sides, and the figures flatter.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from filled import ROOT, Row, Task, asked, figure, fill, read, slower

import hexscope as hx
from hexscope.core.image import Image, Mask
from hexscope.core.results import Finding
from hexscope.detect.score import hits
from hexscope.evaluate.detection import evaluate_detector
from hexscope.io.cases import read_cases
from hexscope.models.runtime import ENGINES
from hexscope.models.shelf import Model
from hexscope.train.splits import every_fifth
from hexscope.trust.statistics import mean_interval

sys.path.insert(0, str(ROOT / "recipes"))
import make

#: Images timed for what one costs, after some that warm up.
_TIMED, _WARM = 20, 3

ANCHORS = {
    "brain-tumour": "measured here earlier, one 70/30 split, 5 min: CPM .94, AP50 .77, mAP50 .68",
    "blood-cells": "published YOLO about .90-.92 mAP50; measured here earlier: .895 in 2.5 min",
    "nuclei-boxes": "filters and trees, measured here earlier: F1 .64",
    "breast-lesion-boxes": "published .73 on larger mixed sets",
}
AIMS = {
    "brain-tumour": "CPM >= .95, AP50 >= .82; above network alone and filters alone",
    "blood-cells": "mAP50 >= .91",
    "nuclei-boxes": "F1 >= .80",
    "breast-lesion-boxes": "AP50 >= .65",
}


#: In order of worth.
TASKS = (
    Task("brain-tumour", "brain-tumour", ("cpm", "ap50", "map50")),
    Task("blood-cells", "blood-cells", ("map50", "ap50", "f1_50")),
    Task("nuclei-boxes", "nuclei-boxes", ("f1_50", "ap50")),
    Task("breast-lesion-boxes", "breast-lesion-boxes", ("ap50", "cpm")),
)


def main() -> None:
    chosen = asked(__doc__, "detection")
    for task in TASKS if chosen.fill else ():
        recipe = make.read(task.recipe) | dict(task.changes)
        if chosen.only in task.title:
            fill(chosen.rows, task.title, chosen.data / recipe["set"], partial(measured, task, recipe, chosen))
    for ready in READY if chosen.fill else ():
        if chosen.only in ready.title:
            fill(chosen.rows, ready.title, chosen.data / ready.set, partial(ready.measure, chosen.data / ready.set))
    for line in table(read(chosen.rows), chosen.only):
        print(line)


# ---- measuring ----------------------------------------------------------------------------------------------


def measured(task: Task, recipe: Mapping[str, Any], chosen: argparse.Namespace) -> dict[str, Any]:
    made = make.run(recipe, chosen.data, chosen.work / task.folder, resume=True)
    stages = made.plan.choices["stages"]
    return {
        "minutes": recipe["minutes"],
        "folds": recipe.get("folds") or 0,
        "seed": recipe.get("seed", 0),
        "processor": made.plan.facts["processor"],
        "spent_s": make.spent_s(made),
        "stages": stages.value,
        "ways": stages.considered,
        **{f"ms_{engine}": cost_ms(made.model, recipe, chosen.data, engine) for engine in ENGINES},
        "told": slower(made.told),
        "metrics": {name: e.as_json() for name, e in made.validation.metrics.items()},
    }


def cost_ms(folder: Path, recipe: Mapping[str, Any], data: Path, engine: str) -> float | None:
    """CPU milliseconds of one of many images through the finished model: preparing, network, trees, merging; not
    reading. None where the engine is not installed."""
    if find_spec(engine) is None:
        return None
    os.environ["HEXSCOPE_ENGINE"] = engine
    table = read_cases(data / recipe["set"] / "cases.csv", recipe.get("inputs"))
    few = table.cases[:: max(1, len(table.cases) // (_TIMED + _WARM))][: _TIMED + _WARM]
    model = Model.open(folder)
    part = type(table)(**{**vars(table), "cases": few, "refused": ()})
    result, _ = evaluate_detector(model, part, kinds=recipe["kinds"])
    del os.environ["HEXSCOPE_ENGINE"]
    return round(1000 * float(np.median([case.cpu_s for case in result.cases[_WARM:]])), 1)


def outlined(folder: Path) -> dict[str, Any]:
    """The model that ships and outlines nuclei, read as a detector: boxes of its objects on the fifth it never saw."""
    recipe = make.read("nuclei")
    table = make.table_of(recipe, folder.parent)
    part = replace(table, cases=every_fifth(table).validation, refused=())
    result, _ = evaluate_detector(Model.open(make.SHIPPED / "nuclei"), part, kinds=recipe["kinds"])
    return {
        "stages": "objects of what it outlined; 10 CPU-min of training",
        "ways": "",
        "ms_an_image": round(1000 * float(np.median([case.cpu_s for case in result.cases])), 1),
        "metrics": {name: e.as_json() for name, e in result.metrics.items()},
    }


def hot_lesions(folder: Path) -> dict[str, Any]:
    """The rule for PET on the sarcoma crops: found or not, and candidates that lie in no lesion."""
    found, false, cpu = [], [], []
    rows = read_cases(folder / "cases.csv", ["pet"]).cases
    for case in rows:
        image = hx.read(case.inputs["pet"], kind="PT:SUVbw")
        truth = hx.read_mask(case.masks["pet"])
        assert isinstance(image, Image) and isinstance(truth, Mask)
        since = time.process_time()
        struck = hits(hx.detect(image), truth)
        cpu.append(time.process_time() - since)
        found += list(struck.found.values())
        false.append(struck.false_positives)
    rate = mean_interval([float(v) for v in false], [case.group for case in rows]).as_json()
    return _of_the_rule(found, rate, float(np.median(cpu)))


def whole_body(folder: Path) -> dict[str, Any]:
    """The rule for PET on one whole body: both tumours, and every candidate that is none, with where it lies."""
    image, truth = hx.read(folder / "PET"), hx.read_mask(next((folder / "SEG").iterdir()))
    assert isinstance(image, Image) and isinstance(truth, Mask)
    since = time.process_time()
    struck = hits(hx.detect(image), truth)
    spent = time.process_time() - since
    rate = {"mean": struck.false_positives, "low": None, "high": None, "n": 1}
    return _of_the_rule(list(struck.found.values()), rate, spent) | {"false": [_place(f, image) for f in struck.false]}


def _of_the_rule(found: Sequence[bool], false: Row, spent_s: float) -> dict[str, Any]:
    low, high = exact_interval(sum(found), len(found))
    sensitivity = {"mean": sum(found) / len(found), "low": low, "high": high, "n": len(found)}
    return {
        "stages": "rule: SUV of at least 4, hills parted; no training",
        "ways": "",
        "ms_an_image": round(1000 * spent_s, 1),
        "metrics": {"sensitivity": sensitivity, "false_positives": false},
    }


def _place(finding: Finding, image: Image) -> str:
    """Where a candidate lies, in words that need no atlas."""
    assert finding.center_lps_mm is not None
    x, _, z = finding.center_lps_mm
    shape = np.array(image.grid.shape)
    ends = [image.grid.to_world(np.where([True, False, False], k, shape // 2))[2] for k in (0, shape[0] - 1)]
    side = f"{abs(x):.0f} mm {'left' if x > 0 else 'right'}"
    below = f"{max(ends) - z:.0f} mm below the upper end"
    return f"{side}, {below}: {finding.volume_ml:.1f} ml, SUV up to {finding.measures['suv_max']:.1f}"


def exact_interval(hit: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share (doi:10.1093/biomet/26.4.404)."""
    from scipy import special

    doubt = (1 - confidence) / 2
    low = 0.0 if hit == 0 else float(special.betaincinv(hit, n - hit + 1, doubt))
    high = 1.0 if hit == n else float(special.betaincinv(hit + 1, n - hit, 1 - doubt))
    return round(low, 4), round(high, 4)


# ---- the table ----------------------------------------------------------------------------------------------


def table(of: Mapping[str, Row], only: str) -> Iterator[str]:
    yield "| task | figures: mean (95 % interval) n | stages | CPU-s of training | ms an image | aim | anchor |"
    yield "|---|---|---|---|---|---|---|"
    for task in TASKS:
        if only in task.title:
            yield line(task.title, of.get(task.title), task.figures, task.recipe)
    for ready in READY:
        if only in ready.title:
            yield line(ready.title, of.get(ready.title), ready.figures, ready.beside)
    for row in of.values():
        if row.get("ways") and only in row["task"]:
            yield f"\n{row['task']}: {row['ways']}"
        if row.get("false") and only in row["task"]:
            yield f"\n{row['task']}, no tumour: {'; '.join(row['false'])}"


def line(title: str, row: Mapping[str, Any] | None, figures: Sequence[str], recipe: str) -> str:
    if row is None:
        return f"| {title} | not filled yet | | | | {AIMS.get(recipe, '')} | {ANCHORS.get(recipe, '')} |"
    held = [figure(name, row["metrics"][name]) for name in figures if name in row["metrics"]]
    cost = row.get("spent_s", "")
    ends = f"{AIMS.get(recipe, '')} | {ANCHORS.get(recipe, '')}"
    spent = "; ".join(f"{row[f'ms_{e}']} {e}" for e in ENGINES if row.get(f"ms_{e}")) or row["ms_an_image"]
    return f"| {title} | {'; '.join(held)} | {row['stages']} | {cost} | {spent} | {ends} |"


@dataclass(frozen=True)
class Ready:
    """A line that needs no training here: the set, what measures it, and the recipe whose aim stands beside."""

    title: str
    set: str
    measure: Callable[[Path], dict[str, Any]]
    figures: Sequence[str] = ("sensitivity", "false_positives")
    beside: str = ""


READY = (
    Ready("nuclei, the model that outlines them", "path-nuclei", outlined, ("f1_50", "ap50"), "nuclei-boxes"),
    Ready("hot lesions on PET, sarcoma crops", "pet-ct-mr-sarcoma", hot_lesions),
    Ready("hot lesions on PET, one whole body", "pet-headneck-dicom", whole_body),
)


if __name__ == "__main__":
    main()
