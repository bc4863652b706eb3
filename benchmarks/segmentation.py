"""Segmentation learnt on a plain CPU: Dice, objects and millimetres against CPU minutes of training.

    python benchmarks/segmentation.py [--fill] [--only WORD] [--data FOLDER] [--work FOLDER] [--rows FILE]

Each line is a recipe of ``recipes/``, some with other minutes or inputs. --fill makes what is missing, in order of
worth; it may be killed at any moment and goes on where it was. Each finished line is kept as a row of
``results/segmentation.jsonl`` (task, minutes, seed, commit, figures by case); without --fill only the table of what
is there is printed. Everything is measured by the exported model on patients it never saw; the intervals are bootstraps
over patients. Set OMP_NUM_THREADS=1: CPU minutes are those of one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from filled import ROOT, Row, Task, asked, figure, fill, read, slower

from hexscope.io.cases import read_cases
from hexscope.trust.statistics import mean_interval, paired_interval

sys.path.insert(0, str(ROOT / "recipes"))
import make

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


_VOLUME = ("dice", "surface_dice_1mm", "hd95_mm")


def _alone(name: str) -> Task:
    return Task(f"sarcoma {name}", "sarcoma", ("dice",), {"inputs": [name]})


def _scratch(title: str, recipe: str, figures: tuple[str, ...], kind: str | None = None) -> tuple[Task, Task]:
    """A recipe as it is, and with a network that begins with chance instead of photographs."""
    begun = {"set_choices": {"encoder": "scratch"}}
    return Task(title, recipe, figures, kind=kind), Task(f"{title}, from scratch", recipe, figures, begun, kind)


SARCOMA = (Task("sarcoma ct+pet+mr", "sarcoma", ("dice",)), _alone("pet"), _alone("mr"), _alone("ct"))
#: In order of worth.
TASKS = (
    Task("hippocampus 1.5", "hippocampus", _VOLUME, {"minutes": 1.5}),
    Task("hippocampus 5", "hippocampus", _VOLUME),
    *_scratch("fetal-head 10", "fetal-head", ("dice", "circumference_error_mm", "hd95_mm")),
    *_scratch("nuclei 10", "nuclei", ("f1_50", "panoptic_quality", "aji"), "he"),
    *SARCOMA,
    Task("hippocampus 10", "hippocampus", _VOLUME, {"minutes": 10.0}),
    *_scratch("breast-lesion 4", "breast-lesion", ("dice_where_present", "left_empty", "dice")),
    Task("hippocampus 20", "hippocampus", _VOLUME, {"minutes": 20.0}),
)


def main() -> None:
    chosen = asked(__doc__, "segmentation")
    tasks = [task for task in TASKS if chosen.only in task.title]
    for task in tasks if chosen.fill else ():
        recipe = make.read(task.recipe) | dict(task.changes)
        fill(chosen.rows, task.title, chosen.data / recipe["set"], partial(measured, task, recipe, chosen))
    for line in table(tasks, read(chosen.rows)):
        print(line)


# ---- training -----------------------------------------------------------------------------------------------


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
        "minutes": recipe["minutes"],
        "folds": recipe.get("folds", 0),
        "seed": recipe.get("seed", 0),
        "processor": made.plan.facts["processor"],
        "iterations": made.plan["iterations"],
        "spent_s": make.spent_s(made),
        "told": slower(made.told),
        "cases": rows,
    }


# ---- the table ----------------------------------------------------------------------------------------------


def table(tasks: Sequence[Task], of: Mapping[str, Row]) -> Iterator[str]:
    yield "| task, CPU minutes | figures: mean (95 % interval) n | CPU-s of training | aim | anchor |"
    yield "|---|---|---|---|---|"
    for task in tasks:
        row = of.get(task.title, {"cases": []})
        cases = [c for c in row["cases"] if task.kind in (None, c["kind"])]
        shown = "; ".join(filter(None, (rated(name, cases) for name in task.figures))) or "not filled yet"
        cost = row.get("spent_s", "")
        yield f"| {task.title} | {shown} | {cost} | {TARGETS.get(task.title, '')} | {ANCHORS.get(task.title, '')} |"
    yield ""
    yield from sarcoma_differences(of)


def rated(name: str, cases: Sequence[Row]) -> str:
    """The mean of a figure over the cases that have it, by patient."""
    held = [(c[name], c["group"]) for c in cases if c.get(name) is not None]
    return figure(name, mean_interval([v for v, _ in held], [g for _, g in held]).as_json()) if held else ""


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
