"""Segmentation learnt on a plain CPU: Dice, objects and millimetres against CPU minutes of training.

    python benchmarks/segmentation.py [--train] [--only WORD] [--data FOLDER] [--work FOLDER] [--rows FILE]

Each line is a recipe of ``recipes/``, some with other minutes or inputs. --train makes what is missing, in order of
worth; it may be killed at any moment and goes on where it was. Each finished line is kept as a row of
``results/segmentation.jsonl`` (task, minutes, seed, commit, figures by case); without --train only the table of what
is there is printed. Everything is measured by the exported model on patients it never saw; the intervals are bootstraps
over patients. Set OMP_NUM_THREADS=1: CPU minutes are those of one core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from real_data import add_data

from hexscope.io.cases import read_cases
from hexscope.trust.statistics import mean_interval, paired_interval

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "recipes"))
import make  # noqa: E402

ROWS = Path(__file__).parent / "results" / "segmentation.jsonl"

#: Anchors: published, or measured earlier on this split with a loop of 120 lines (its 1.4 M weights, head 8).
ANCHORS = {
    "hippocampus 1.5": "nnU-Net on a GPU .89-.895; a 120-line loop here .872-.877",
    "hippocampus 5": "nnU-Net on a GPU .89-.895, on a CPU .003 after 8.6 min; a 120-line loop here .886",
    "hippocampus 10": "nnU-Net on a GPU .89-.895; a 120-line loop .890 on another split",
    "hippocampus 20": "nnU-Net on a GPU .89-.895",
    "fetal-head 10": "best published Dice .98, circumference error 1.7-2 mm, on larger sets",
    "breast-lesion 4": "published .77 on larger mixed sets",
}
TARGETS = {
    "hippocampus 1.5": ">= .862",
    "hippocampus 5": ">= .885",
    "hippocampus 10": ">= .892",
    "hippocampus 20": ">= .895",
    "fetal-head 10": "Dice >= .97, error <= 2.5 mm",
    "nuclei 10": "F1 >= .80",
    "breast-lesion 4": "Dice >= .70 after 10",
}


@dataclass(frozen=True)
class Task:
    """One line: a recipe and what differs from it, the figures that are printed, the cases that count (a stratum)."""

    title: str
    recipe: str
    figures: tuple[str, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)
    kind: str | None = None

    @property
    def folder(self) -> str:
        """A recipe as it is lies where ``recipes/make.py`` puts it, so that it is trained once for both."""
        return self.title.replace(" ", "-") if self.changes else self.recipe


_VOLUME = ("dice", "surface_dice_1mm", "hd95_mm")


def _alone(name: str) -> Task:
    return Task(f"sarcoma {name}", "sarcoma", ("dice",), {"inputs": [name]})


SARCOMA = (Task("sarcoma ct+pet+mr", "sarcoma", ("dice",)), _alone("pet"), _alone("mr"), _alone("ct"))
#: In order of worth.
TASKS = (
    Task("hippocampus 1.5", "hippocampus", _VOLUME, {"minutes": 1.5}),
    Task("hippocampus 5", "hippocampus", _VOLUME, {"minutes": 5.0}),
    Task("fetal-head 10", "fetal-head", ("dice", "circumference_error_mm", "hd95_mm")),
    Task("nuclei 10", "nuclei", ("f1_50", "panoptic_quality", "aji"), kind="he"),
    *SARCOMA,
    Task("hippocampus 10", "hippocampus", _VOLUME, {"minutes": 10.0}),
    Task("breast-lesion 4", "breast-lesion", ("dice_where_present", "left_empty", "dice")),
    Task("hippocampus 20", "hippocampus", _VOLUME),
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    add_data(options)
    options.add_argument("--train", action="store_true", help="make what is missing")
    options.add_argument("--only", default="", help="only tasks whose title holds this")
    options.add_argument("--rows", type=Path, default=ROWS)
    options.add_argument("--work", type=Path, default=ROOT / "build" / "models", help="where trainings lie")
    chosen = options.parse_args()
    tasks = [task for task in TASKS if chosen.only in task.title]
    if chosen.train:
        fill(tasks, chosen)
    for line in table(tasks, read_rows(chosen.rows)):
        print(line)


# ---- training -----------------------------------------------------------------------------------------------


def fill(tasks: Sequence[Task], chosen: argparse.Namespace) -> None:
    """Make what is missing, one after another."""
    for task in tasks:
        recipe = make.read(task.recipe) | dict(task.changes)
        if not (chosen.data / recipe["set"]).is_dir():
            print(f"left out: {task.title}: the set {recipe['set']} is not here; pass --data or set HEXSCOPE_DATA")
        elif task.title not in {row["task"] for row in read_rows(chosen.rows)}:
            row = measured(task, recipe, chosen)
            chosen.rows.parent.mkdir(exist_ok=True)
            with chosen.rows.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")


def measured(task: Task, recipe: Mapping[str, Any], chosen: argparse.Namespace) -> dict[str, Any]:
    made = make.run(recipe, chosen.data, chosen.work / task.folder, resume=True)
    kinds = {c.case: c.kind for c in read_cases(chosen.data / recipe["set"] / "cases.csv", recipe.get("inputs")).cases}
    wanted = {*task.figures, "dice"}
    rows = [
        {"case": c.case, "group": c.group, "kind": kinds[c.case]}
        | {k: None if v is None else round(v, 5) for k, v in c.figures.items() if k in wanted}
        for c in made.validation.cases
    ]
    return {
        "task": task.title,
        "minutes": recipe["minutes"],
        "folds": recipe.get("folds", 0),
        "seed": recipe.get("seed", 0),
        "commit": commit(),
        "processor": made.plan.facts["processor"],
        "iterations": made.plan["iterations"],
        "spent_s": make.spent_s(made),
        "told": [line for line in made.told if "slower" in line],
        "cases": rows,
    }


def commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def read_rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


# ---- the table ----------------------------------------------------------------------------------------------


def table(tasks: Sequence[Task], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    of = {row["task"]: row for row in rows}
    yield "| task, CPU minutes | figures: mean (95 % interval) n | CPU-s of training | aim | anchor |"
    yield "|---|---|---|---|---|"
    for task in tasks:
        row = of.get(task.title, {"cases": []})
        cases = [c for c in row["cases"] if task.kind in (None, c["kind"])]
        shown = "; ".join(filter(None, (figure(name, cases) for name in task.figures))) or "not filled yet"
        cost = row.get("spent_s", "")
        yield f"| {task.title} | {shown} | {cost} | {TARGETS.get(task.title, '')} | {ANCHORS.get(task.title, '')} |"
    yield ""
    yield from sarcoma_differences(of)


def figure(name: str, cases: Sequence[Mapping[str, Any]]) -> str:
    held = [(c[name], c["group"]) for c in cases if c.get(name) is not None]
    if not held:
        return ""
    e = mean_interval([v for v, _ in held], [g for _, g in held])
    return f"{name} {e.mean:.3f} ({e.low:.3f} … {e.high:.3f}) n={e.n}"


def sarcoma_differences(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Dice of all three inputs less that of each alone, patient by patient. Each is on the grid of its first input."""
    dice = {
        task.title: {c["case"]: c["dice"] for c in rows.get(task.title, {"cases": []})["cases"]} for task in SARCOMA
    }
    whole = dice[SARCOMA[0].title]
    for task in SARCOMA[1:]:
        both = sorted(set(whole) & set(dice[task.title]))
        what = f"sarcoma: ct+pet+mr less {task.title.split()[-1]} alone"
        if len(both) < 3:
            yield f"{what}: not filled yet"
            continue
        e = paired_interval([whole[c] for c in both], [dice[task.title][c] for c in both], both)
        yield f"{what}: Dice {e.mean:+.3f} ({e.low:+.3f} … {e.high:+.3f}) n={e.n} patients"


if __name__ == "__main__":
    main()
