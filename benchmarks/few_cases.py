"""How many labelled images each way of learning needs: AUC on left-out patients by number of cases.

    python benchmarks/few_cases.py [--data FOLDER] [--minutes M] [--figure FILE.svg]

The chest X-rays, the breast ultrasound and the brain slices; members of `hexscope train classify` alone, each learnt on
so many cases of four folds and scored on the fifth, mean over folds. Network: a small one from scratch, M CPU minutes a
training (0: left out). Prints one table; --figure draws the chest X-rays. Set OMP_NUM_THREADS=1 and HEXSCOPE_THREADS=1.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from real_data import add_data

from hexscope.classify.handmade import handmade
from hexscope.classify.score import mean_auc
from hexscope.io.cases import read_cases
from hexscope.study.charts import curves
from hexscope.train import frozen
from hexscope.train.checks import check
from hexscope.train.classify_members import Part, features
from hexscope.train.classify_network import course_of, examples_of, network_member
from hexscope.train.classify_session import Work, begin
from hexscope.train.linear_heads import ridge
from hexscope.train.machine import Machine, seconds_per_iteration
from hexscope.train.order import Order
from hexscope.train.patch_kernels import PatchKernels
from hexscope.train.trees import grown

SETS = {"chest X-ray": ("xray-chest", "XR"), "breast ultrasound": ("us-breast", "US"),
        "brain tumour": ("mr-brain-tumour", "MR")}  # fmt: skip
COUNTS = (20, 40, 80, 160, 320, 480)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    add_data(options)
    options.add_argument("--minutes", type=float, default=0.0, help="CPU minutes of each network; 0: none")
    options.add_argument("--only", default="", help="only sets whose title holds this")
    options.add_argument("--figure", type=Path, help="draw the first set")
    chosen = options.parse_args()
    print("| set | way | " + " | ".join(f"{n} cases" for n in COUNTS) + " |")
    print("|---|---|" + "---|" * len(COUNTS))
    for title, (name, kind) in SETS.items():
        if chosen.only not in title or not (chosen.data / name).is_dir():
            continue
        table = read_cases(chosen.data / name / "cases.csv")
        checked = check(table, "classify", kinds={"image": kind})
        order = Order(
            name=name, kinds={"image": kind}, minutes=max(chosen.minutes, 0.1), overrides={"encoder": "scratch"}
        )
        work = begin(checked, order)
        found = dict(ways(work, chosen.minutes))
        for way, row in found.items():
            print(f"| {title} | {way} | " + " | ".join("" if v is None else f"{v:.3f}" for v in row) + " |", flush=True)
        if chosen.figure is not None:
            chosen.figure.write_text(drawn(found), encoding="utf-8")
            chosen.figure = None


def held_out_scores(values: Any, asked: Any, counts: Any, parts: Any) -> Any:
    """Of a ridge regression on each part's first rows, for its second."""
    return ridge(values, asked, parts, counts).scores


def ways(work: Work, minutes: float) -> Iterator[tuple[str, list[float | None]]]:
    """Each way of learning with its AUC at every number of cases; None where there are fewer."""
    several = {n: parts for n in COUNTS if (parts := fewer(work, n)) is not None}
    asked = 2 * work.asked - 1
    sights: dict[str, Any] = {"patch kernels": PatchKernels.draw([v.astype(np.float32) for v in work.shown.views], 0)}
    if frozen.available():
        sights = {"photograph features": frozen.Frozen.load(work.plan["frame"]), **sights}
    for way, sight in sights.items():
        values, counts = features(sight, work.shown).values, sight.counts(work.shown.views.shape[1])
        learnt = partial(held_out_scores, values, asked, counts)
        yield way, [rated(work, several.get(n), learnt) for n in COUNTS]
    rows = [
        handmade([v.astype(np.float32) for v in work.shown.views[work.shown.owner == k]]) for k in range(len(asked))
    ]
    names = tuple(rows[0])
    table = np.array([[row[name] for name in names] for row in rows], np.float32)
    yield "hand-made + trees", [rated(work, several.get(n), lambda p: trees(table, names, work, p)) for n in COUNTS]
    if minutes:
        yield (
            f"network, {minutes:g} min",
            [rated(work, several.get(n), lambda p: network(work, p, minutes)) for n in COUNTS],
        )


def fewer(work: Work, count: int) -> list[Part] | None:
    """The divisions with ``count`` cases to learn from, each class alike; None where a division has fewer."""
    truth = work.asked.argmax(axis=1)
    classes = work.asked.shape[1]
    out = []
    for number, (fitted, held) in enumerate(work.parts):
        order = np.random.default_rng(number).permutation(fitted)
        kept = np.concatenate([order[truth[order] == c][: -(-count // classes)] for c in range(classes)])
        if len(kept) < count:
            return None
        out.append((kept, held))
    return out


def rated(work: Work, parts: Sequence[Part] | None, scores: Any) -> float | None:
    """Mean AUC over the divisions."""
    if parts is None:
        return None
    said = scores(parts)
    return float(np.mean([mean_auc(said[held], work.asked[held].astype(bool)) for _, held in parts]))


def trees(table: Any, names: tuple[str, ...], work: Work, parts: Sequence[Part]) -> Any:
    out = np.full(work.asked.shape, np.nan)
    for number, (fitted, held) in enumerate(parts):
        truth = work.asked[fitted].argmax(axis=1)
        out[held] = grown(table[fitted], truth, names, classes=out.shape[1], rounds=80, seed=number)(table[held])
    return out


def network(work: Work, parts: Sequence[Part], minutes: float) -> Any:
    planes, classes = work.shown.views.shape[1], work.asked.shape[1]
    trial = course_of(work.plan, planes, classes, True, 0, iterations=1000)
    each = seconds_per_iteration(trial, examples_of(work.shown, work.asked, True), Machine.here())
    course = replace(trial, iterations=max(20, int(60 * minutes / each)), budget_s=60 * minutes)
    with tempfile.TemporaryDirectory() as folder:
        return network_member(course, work.shown, work.asked, parts, Path(folder), lambda *_: None).scores


def drawn(found: Mapping[str, Sequence[float | None]]) -> str:
    svg = curves([float(np.log2(n)) for n in COUNTS], found, "log2 of cases")
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)


if __name__ == "__main__":
    main()
