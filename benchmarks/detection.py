"""Detection on real images, each patient measured by a model that never saw it: one command prints the table.

    python benchmarks/detection.py [--train] [--only WORDS] [--data FOLDER] [--rows FILE] [--work FOLDER]

Rows are kept in benchmarks/results/detection.jsonl: what is filled is printed, and ``--train`` makes what is missing,
task by task (folds × minutes of one core each, once more for the model that ships). Hot lesions on PET need no
training. Where a set gives no patients (brain tumour), its ``fold`` keeps neighbouring slices together: slices of one
patient may still lie on both sides, and the figures flatter.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "recipes"), str(ROOT / "benchmarks")]

import make  # noqa: E402
from real_data import add_data  # noqa: E402

import hexscope as hx  # noqa: E402
from hexscope.core.image import Image, Mask  # noqa: E402
from hexscope.detect.score import hits  # noqa: E402
from hexscope.evaluate.detection import evaluate_detector  # noqa: E402
from hexscope.io.cases import read_cases  # noqa: E402
from hexscope.models.shelf import Model  # noqa: E402
from hexscope.trust.statistics import mean_interval  # noqa: E402

ROWS = ROOT / "benchmarks" / "results" / "detection.jsonl"
#: Images timed for what one costs, after some that warm up.
_TIMED, _WARM = 20, 3

ANCHORS = {
    "brain-tumour": "a sketch in 5 min, one 70/30 split: CPM .94, AP50 .77, mAP50 .68; classical .84 / .61 in 88 s",
    "blood-cells": "published YOLO about .90-.92 mAP50; a sketch .895 in 2.5 min",
    "nuclei-boxes": "a classical sketch F1 .64",
    "breast-lesion-boxes": "published .73 on larger mixed sets",
}
AIMS = {
    "brain-tumour": "CPM >= .95, AP50 >= .82; above network alone and filters alone",
    "blood-cells": "mAP50 >= .91",
    "nuclei-boxes": "F1 >= .80",
    "breast-lesion-boxes": "AP50 >= .65",
}


@dataclass(frozen=True)
class Task:
    """One line: a recipe and what differs from it, and the figures that are printed."""

    title: str
    recipe: str
    figures: tuple[str, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """A recipe as it is lies where ``recipes/make.py`` puts it, so that it is trained once for both."""
        return self.title.replace(" ", "-") if self.changes else self.recipe


_ONE_FOLD = {"folds": None}
#: In order of worth; a single fold in little time first.
TASKS = (
    Task("brain-tumour 2 min, one fold", "brain-tumour", ("cpm", "ap50", "map50"), {"minutes": 2.0, **_ONE_FOLD}),
    Task("blood-cells 2 min, one fold", "blood-cells", ("map50", "ap50", "f1_50"), {"minutes": 2.0, **_ONE_FOLD}),
    Task("brain-tumour 5 min, one fold", "brain-tumour", ("cpm", "ap50", "map50"), {"minutes": 5.0, **_ONE_FOLD}),
    Task("brain-tumour", "brain-tumour", ("cpm", "ap50", "map50")),
    Task("blood-cells", "blood-cells", ("map50", "ap50", "f1_50")),
    Task("nuclei-boxes", "nuclei-boxes", ("f1_50", "ap50")),
    Task("breast-lesion-boxes", "breast-lesion-boxes", ("ap50", "cpm")),
)
PET = "hot lesions on PET, sarcoma crops"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    add_data(options)
    options.add_argument("--train", action="store_true", help="make what is missing")
    options.add_argument("--only", default="", help="only tasks whose title holds this")
    options.add_argument("--rows", type=Path, default=ROWS)
    options.add_argument("--work", type=Path, default=ROOT / "build" / "models", help="where trainings lie")
    chosen = options.parse_args()
    if chosen.train:
        fill(chosen)
    for line in table(read_rows(chosen.rows), chosen.only):
        print(line)


# ---- filling ------------------------------------------------------------------------------------------------


def fill(chosen: argparse.Namespace) -> None:
    """Make what is missing, one after another."""
    done = {row["task"] for row in read_rows(chosen.rows)}
    for task in TASKS:
        recipe = make.read(task.recipe) | dict(task.changes)
        if chosen.only not in task.title or task.title in done:
            continue
        if not (chosen.data / recipe["set"]).is_dir():
            print(f"left out: {task.title}: the set {recipe['set']} is not here; pass --data or set HEXSCOPE_DATA")
            continue
        keep(chosen.rows, measured(task, recipe, chosen))
    if chosen.only in PET and PET not in done and (chosen.data / "pet-ct-mr-sarcoma").is_dir():
        keep(chosen.rows, hot_lesions(chosen.data / "pet-ct-mr-sarcoma"))


def keep(rows: Path, row: Mapping[str, Any]) -> None:
    rows.parent.mkdir(exist_ok=True)
    with rows.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def measured(task: Task, recipe: Mapping[str, Any], chosen: argparse.Namespace) -> dict[str, Any]:
    made = make.run(recipe, chosen.data, chosen.work / task.folder, resume=True)
    stages = made.plan.choices["stages"]
    return {
        "task": task.title,
        "minutes": recipe["minutes"],
        "folds": recipe.get("folds") or 0,
        "seed": recipe.get("seed", 0),
        "commit": commit(),
        "processor": made.plan.facts["processor"],
        "spent_s": make.spent_s(made),
        "stages": stages.value,
        "ways": stages.considered,
        "ms_an_image": cost_ms(made.model, recipe, chosen.data),
        "told": [line for line in made.told if "slower" in line],
        "metrics": {name: e.as_json() for name, e in made.validation.metrics.items()},
    }


def cost_ms(folder: Path, recipe: Mapping[str, Any], data: Path) -> float:
    """CPU milliseconds of one image through the finished model: preparing, network, trees, merging; not reading."""
    table = read_cases(data / recipe["set"] / "cases.csv", recipe.get("inputs"))
    few = table.cases[:: max(1, len(table.cases) // (_TIMED + _WARM))][: _TIMED + _WARM]
    model = Model.open(folder)
    part = type(table)(**{**vars(table), "cases": few, "refused": ()})
    result, _ = evaluate_detector(model, part, kinds=recipe["kinds"])
    return round(1000 * float(np.median([case.cpu_s for case in result.cases[_WARM:]])), 1)


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
    low, high = exact_interval(sum(found), len(found))
    sensitivity = {"mean": sum(found) / len(found), "low": low, "high": high, "n": len(found)}
    rate = mean_interval([float(v) for v in false], [case.group for case in rows]).as_json()
    return {
        "task": PET,
        "commit": commit(),
        "stages": "rule: SUV of at least 4, hills parted; no training",
        "ways": "",
        "ms_an_image": round(1000 * float(np.median(cpu)), 1),
        "metrics": {"sensitivity": sensitivity, "false_positives": rate},
    }


def exact_interval(hit: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share (doi:10.1093/biomet/26.4.404)."""
    from scipy import special

    doubt = (1 - confidence) / 2
    low = 0.0 if hit == 0 else float(special.betaincinv(hit, n - hit + 1, doubt))
    high = 1.0 if hit == n else float(special.betaincinv(hit + 1, n - hit, 1 - doubt))
    return round(low, 4), round(high, 4)


def commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def read_rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


# ---- the table ----------------------------------------------------------------------------------------------


def table(rows: Sequence[Mapping[str, Any]], only: str) -> Iterator[str]:
    of = {row["task"]: row for row in rows}
    yield "| task | figures: mean (95 % interval) n | stages | CPU-s of training | ms an image | aim | anchor |"
    yield "|---|---|---|---|---|---|---|"
    for task in TASKS:
        if only in task.title:
            yield line(task.title, of.get(task.title), task.figures, task.recipe)
    if only in PET:
        yield line(PET, of.get(PET), ("sensitivity", "false_positives"), "")
    for row in rows:
        if row.get("ways") and only in row["task"]:
            yield f"\n{row['task']}: {row['ways']}"


def line(title: str, row: Mapping[str, Any] | None, figures: Sequence[str], recipe: str) -> str:
    if row is None:
        return f"| {title} | not filled yet | | | | {AIMS.get(recipe, '')} | {ANCHORS.get(recipe, '')} |"
    held = [figure(name, row["metrics"][name]) for name in figures if name in row["metrics"]]
    cost = row.get("spent_s", "")
    ends = f"{AIMS.get(recipe, '')} | {ANCHORS.get(recipe, '')}"
    return f"| {title} | {'; '.join(held)} | {row['stages']} | {cost} | {row['ms_an_image']} | {ends} |"


def figure(name: str, e: Mapping[str, Any]) -> str:
    between = "" if e["low"] is None else f" ({e['low']:.3f} … {e['high']:.3f})"
    return f"{name} {e['mean']:.3f}{between} n={e['n']}"


if __name__ == "__main__":
    main()
