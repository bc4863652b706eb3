"""Classification learnt on a plain CPU: accuracy, AUC and calibration on patients the model never saw.

    python benchmarks/classification.py [--fill] [--only WORD] [--data FOLDER] [--work FOLDER] [--rows FILE]

Each line is a recipe of ``recipes/``; PneumoniaMNIST is unpacked from its npz and measured on its official test images,
which take no part in any choice. --fill makes what is missing; it may be killed at any moment and goes on where it
was. Each finished training is kept as a row of ``results/classification.jsonl`` with the scores of every case, from
which the table is made anew: figures with intervals by patient, and how well sets of classes keep their promise on 200
random halves by patient. A seed deals the patients into folds where the table names none. Set OMP_NUM_THREADS=1 and
HEXSCOPE_THREADS=1: CPU minutes are those of one core.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filled import ROOT, Row, asked, by_patient, fill, read

import hexscope as hx
from hexscope.classify.score import interval, mean_auc
from hexscope.evaluate.classification import evaluate_classifier
from hexscope.io.cases import read_cases
from hexscope.models.shelf import Model
from hexscope.study.looks import plain
from hexscope.trust.calibration import expected_error
from hexscope.trust.conformal import label_sets
from hexscope.trust.statistics import mean_interval

sys.path.insert(0, str(ROOT / "recipes"))
import make

ANCHORS = {
    "PneumoniaMNIST": "ResNet-18 .854 / .944; AutoKeras .878 / .947; Google AutoML .946 / .991 (published)",
    "chest X-ray": "frozen features + ridge, measured here earlier: .833 / .910",
    "brain tumour": "mean of four, measured here earlier on easier blocks: .913 / .980",
    "breast ultrasound": "frozen features + ridge, measured here earlier: .848 / .953",
}
TARGETS = {
    "PneumoniaMNIST": ">= .94 / .985",
    "chest X-ray": "AUC >= .92",
    "brain tumour": ">= .94 / .985",
    "breast ultrasound": ">= .87 / .96",
}
#: PneumoniaMNIST (doi:10.1038/s41597-022-01721-8). Its classes are 3 to 1, which no clinic has: an equal prior.
PNEUMONIA: Mapping[str, Any] = {
    "set": "pneumonia-mnist", "task": "classify", "name": "pneumonia-mnist", "minutes": 9.0, "folds": 3,
    "kinds": {"image": "XR"}, "set_choices": {"prior": "equal"}, "papers": {},
}  # fmt: skip
_SPLITS, _TARGETS = 200, (0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Training:
    """One training: the recipe, or its name in ``recipes/``, and the seed."""

    title: str
    recipe: str | Mapping[str, Any]
    seed: int = 0
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.title} {self.seed}"

    def read(self) -> dict[str, Any]:
        recipe = make.read(self.recipe) if isinstance(self.recipe, str) else dict(self.recipe)
        return {**recipe, "seed": self.seed, **self.changes}


TASKS = (
    *(Training("breast ultrasound", "breast-lesion-class", seed) for seed in range(3)),
    Training("brain tumour", "brain-tumour-class"),
    *(Training("chest X-ray", "pneumonia", seed) for seed in range(3)),
    *(Training("PneumoniaMNIST", PNEUMONIA, seed) for seed in range(3)),
)


def main() -> None:
    chosen = asked(__doc__, "classification")
    tasks = [task for task in TASKS if chosen.only in task.title]
    for task in tasks if chosen.fill else ():
        recipe, data = task.read(), chosen.data
        if recipe["set"] == "pneumonia-mnist":
            data = chosen.work / "data"
            unpack(chosen.data / "xray-chest" / "pneumoniamnist.npz", data / recipe["set"])
        work = chosen.work / task.key.replace(" ", "-")
        fill(chosen.rows, task.key, data / recipe["set"], partial(measured, recipe, data, work))
    for line in table(tasks, read(chosen.rows)):
        print(line)
    if chosen.only in "body part":
        print(*strangers(chosen.data / "mr-brain-labels"), sep="\n")


# ---- training -----------------------------------------------------------------------------------------------


def measured(recipe: Mapping[str, Any], data: Path, work: Path) -> dict[str, Any]:
    made = make.run(recipe, data, work, resume=True)
    result = made.validation
    if recipe["set"] == "pneumonia-mnist":
        whole = read_cases(data / recipe["set"] / "test.csv")
        result = evaluate_classifier(Model.open(made.model), whole, kinds=recipe["kinds"])
    classes = Model.open(made.model).card.classes
    cases = [
        {
            "case": c.case,
            "group": c.group,
            "p": [round(float(c.facts[f"p/{name}"] or 0), 5) for name in classes],
            "is": int(np.argmax([c.facts[f"is/{name}"] or 0 for name in classes])),
        }
        for c in result.cases
    ]
    return {
        "minutes": recipe["minutes"],
        "processor": made.plan.facts["processor"],
        "cpu_s": round(made.cpu_s, 1),
        "worth": made.plan.choices["worth"].why,
        "kept": list(made.plan["worth"]),
        "told": [*made.told, *result.notes],
        "cases": cases,
    }


def unpack(archive: Path, folder: Path) -> None:
    """PneumoniaMNIST as pictures: cases.csv of its training and validation images, test.csv of its test images."""
    if (folder / "test.csv").is_file() or not archive.is_file():
        return
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, str]]] = {"cases": [], "test": []}
    with np.load(archive) as data:
        for part in ("train", "val", "test"):
            for k, (image, label) in enumerate(zip(data[f"{part}_images"], data[f"{part}_labels"][:, 0], strict=True)):
                name = f"{part}-{k:04d}"
                Image.fromarray(image).save(folder / f"{name}.png")
                row = {"case": name, "image": f"{name}.png", "label": ("normal", "pneumonia")[int(label)]}
                rows["test" if part == "test" else "cases"].append(row)
    for name, held in rows.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(held[0]))
            writer.writeheader()
            writer.writerows(held)


def strangers(folder: Path) -> Iterator[str]:
    """What the model of body parts that ships says of brain slices of a collection that it never saw."""
    from hexscope.core.geometry import Grid
    from hexscope.core.image import Image

    likely = told = count = 0
    for path in sorted(folder.glob("*_image.nii.gz")):
        volume = hx.read(path)
        assert isinstance(volume, Image)
        for share in np.linspace(0.35, 0.65, 5):
            plane = plain(volume.array[int(share * len(volume.array))].astype(np.float32))
            said = hx.classify(Image.from_array(plane, Grid(plane.shape, None), modality="OT"), "body-part")
            likely += max(said.probabilities, key=said.probabilities.__getitem__) == "MR brain"
            told += not said.abstains
            count += 1
    if count:
        yield f"\nbody part, slices of {folder.name}, unseen: brain likeliest in {likely} of {count}, told in {told}"


# ---- the table ----------------------------------------------------------------------------------------------


def table(tasks: Sequence[Training], of: Mapping[str, Row]) -> Iterator[str]:
    yield "| set | accuracy | AUC | ECE (of a perfect one, by chance) | CPU-s | aim: accuracy / AUC | anchor |"
    yield "|---|---|---|---|---|---|---|"
    for title in dict.fromkeys(task.title for task in tasks):
        held = [of[task.key] for task in tasks if task.title == title and task.key in of]
        shown = " | ".join(figures(held)) if held else "not filled yet | | | "
        seeds = f", mean of {len(held)} seeds" if len(held) > 1 else ""
        yield f"| {title}{seeds} | {shown} | {TARGETS[title]} | {ANCHORS[title]} |"
    yield ""
    for task in tasks:
        if task.key in of:
            row = of[task.key]
            yield f"{task.key}: kept {', '.join(row['kept'])}. {row['worth']}. {'; '.join(row['told'])}"
    yield ""
    yield "| sets of classes on 200 halves by patient | target | mean coverage (sd) | worst class | mean size |"
    yield "|---|---|---|---|---|"
    for task in tasks:
        if task.key in of:
            yield from coverage_rows(task.key, of[task.key]["cases"])


def figures(rows: Sequence[Row]) -> list[str]:
    """Accuracy, AUC and calibration error of one training with intervals by patient; of several, their means."""
    each = [arrays(row["cases"]) for row in rows]
    cost = f"{np.mean([row['cpu_s'] for row in rows]):.0f}"
    right = [(p.argmax(axis=1) == truth).astype(float) for p, truth, _ in each]
    areas = [mean_auc(p, np.eye(p.shape[1], dtype=bool)[truth]) for p, truth, _ in each]
    errors = [expected_error(p, truth) for p, truth, _ in each]
    lucky = np.mean([by_chance(p) for p, _, _ in each])
    if len(rows) > 1:
        spread = [f"{np.mean(v):.3f} (sd {np.std(v):.3f})" for v in ([r.mean() for r in right], areas, errors)]
        return [*spread[:2], f"{spread[2]} ({lucky:.3f})", cost]
    p, truth, groups = each[0]
    asked = np.eye(p.shape[1], dtype=bool)[truth]
    a = mean_interval(right[0].tolist(), groups)
    b = interval(lambda i: mean_auc(p[i], asked[i]), groups)
    told = [f"{e.mean:.3f} ({e.low:.3f} … {e.high:.3f}) n={e.n}" for e in (a, b)]
    return [*told, f"{errors[0]:.3f} ({lucky:.3f})", cost]


def by_chance(p: Any) -> float:
    """The calibration error that probabilities show on so few cases though every one of them is true."""
    chance = np.random.default_rng(0)
    drawn = [(p.cumsum(axis=1) > chance.random((len(p), 1))).argmax(axis=1) for _ in range(_SPLITS)]
    return float(np.mean([expected_error(p, truth) for truth in drawn]))


def arrays(cases: Sequence[Mapping[str, Any]]) -> tuple[Any, Any, list[str]]:
    return np.array([c["p"] for c in cases]), np.array([c["is"] for c in cases]), [c["group"] for c in cases]


def coverage_rows(title: str, cases: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How often the true class is in the set, where one half of the patients promises for the other.

    Each patient is one draw, however many images, as the promise has it.
    """
    p, truth, groups = arrays(cases)
    names = np.unique(groups, return_inverse=True)[1]
    chance = np.random.default_rng(0)
    for target in _TARGETS:
        covered, worst, sizes = [], [], []
        for _ in range(_SPLITS):
            half = (chance.permutation(names.max() + 1) * 2 < names.max() + 1)[names]
            sets = label_sets(p[half], truth[half], names[half].tolist(), target).of(p[~half])
            inside = sets[np.arange(len(sets)), truth[~half]]
            held = [truth[~half] == c for c in range(p.shape[1])]
            covered.append(by_patient(inside, names[~half]))
            worst.append([by_patient(inside[of], names[~half][of]) for of in held])
            sizes.append(sets.sum(axis=1).mean())
        least = np.mean(worst, axis=0).min()
        shown = f"{np.mean(covered):.3f} ({np.std(covered):.3f}) | {least:.3f} | {np.mean(sizes):.2f}"
        yield f"| {title} | {target} | {shown} |"


if __name__ == "__main__":
    main()
