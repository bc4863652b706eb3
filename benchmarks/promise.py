"""The promise, tried: on random halves of held-out patients, is what the one half promises kept on the other?

    python benchmarks/promise.py [--work FOLDER …] [--splits 200]

Reads the ``calibration.json`` of every model folder in the --work folders (and of those that ship), which holds scores
on patients that the model never saw, and adds two synthetic detectors and a synthetic classifier, marked so. For each
target it prints the mean share found over the splits, each patient counting once (with the noise of that mean), what
theory allows, how often one split fell short, the price, and in how many splits the promise was refused: those count
as refused and as nothing else.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filled import by_patient

from hexscope.classify.held_out import HeldOutClasses
from hexscope.errors import HexscopeError
from hexscope.trust.conformal import label_sets
from hexscope.trust.promise import HeldOut, promise

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "src" / "hexscope" / "models" / "shipped"
TARGETS = (0.8, 0.9, 0.95)
CONFIDENCE = 0.9


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, nargs="*", default=[ROOT / "build" / "models"], help="folders of models")
    options.add_argument("--splits", type=int, default=200)
    chosen = options.parse_args()
    held = dict(found([*chosen.work, SHIPPED]))
    lesions = {**synthetic(), **{k: v for k, v in held.items() if isinstance(v, HeldOut)}}
    classes = {**synthetic_classes(), **{k: v for k, v in held.items() if isinstance(v, HeldOutClasses)}}
    print(f"Lesions found; {chosen.splits} halves; theory: between the target and the target + 2 / (n + 1) on average")
    for line in lesion_table(lesions, chosen.splits):
        print(line)
    print(f"\nSets of classes, each class by itself; {chosen.splits} halves")
    for line in class_table(classes, chosen.splits):
        print(line)


def found(folders: Sequence[Path]) -> Iterator[tuple[str, HeldOut | HeldOutClasses]]:
    for path in sorted(p for folder in folders for p in folder.glob("*/calibration.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            kind = HeldOut if data.get("kind") == "lesions" else HeldOutClasses
            yield path.parent.name, kind.from_data(data)
        except (OSError, ValueError, HexscopeError) as error:
            print(f"left out: {path.parent.name}: {error}")


def halves(groups: Sequence[int], splits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices of what to calibrate on and to measure on, whole patients."""
    owner, rng = np.asarray(groups), np.random.default_rng(0)
    names = np.unique(owner)
    for _ in range(splits):
        first = np.isin(owner, rng.permutation(names)[: len(names) // 2])
        yield np.flatnonzero(first), np.flatnonzero(~first)


def spread(values: Sequence[float]) -> str:
    noise = float(np.std(values)) / math.sqrt(max(len(values), 1))
    return f"{np.mean(values):.3f} ± {noise:.3f}"


# ---- lesions ------------------------------------------------------------------------------------------------


def lesion_table(held: dict[str, HeldOut], splits: int) -> Iterator[str]:
    heads = (
        "detector",
        "patients, lesions",
        "target",
        "form",
        "n",
        "share found",
        "allowed up to",
        "splits short of it",
    )
    yield f"| {' | '.join(heads)} | false positives an image | refused |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, figures in held.items():
        for target in TARGETS:
            for confidence in (None, CONFIDENCE):
                yield lesion_row(name, figures, target, confidence, splits)


def lesion_row(name: str, held: HeldOut, target: float, confidence: float | None, splits: int) -> str:
    shares, false, refused, n = [], [], 0, 0
    for first, second in halves(held.group, splits):
        made = promise(held.where(first.tolist()), target, confidence)
        n = max(n, made.threshold.n)
        if made.threshold.score is None:
            refused += 1
            continue
        kept = kept_at(held.where(second.tolist()), made.threshold.score)
        shares.append(kept[0])
        false.append(kept[1])
    form = "on average" if confidence is None else f"confidence {confidence:g}"
    lead = f"| {name} | {held.patients}, {len(held.lesion_score)} | {target:g} | {form} | {n} "
    if not shares:
        return f"{lead}| – | – | – | – | {refused}/{splits} |"
    short = np.mean(np.array(shares) < target)
    limit = f"{min(target + 2 / (n + 1), 1):.3f}" if confidence is None else f"short in {1 - confidence:.0%}"
    return f"{lead}| {spread(shares)} | {limit} | {short:.2f} | {np.mean(false):.2f} | {refused}/{splits} |"


def kept_at(held: HeldOut, score: float) -> tuple[float, float]:
    """Share of a patient's lesions found, mean over patients, and false positives an image."""
    of: dict[int, list[bool]] = {}
    for image, own in zip(held.lesion_image, held.lesion_score, strict=True):
        of.setdefault(held.group[image], []).append(own >= score)
    false = sum(s >= score for s in held.false_score) / max(len(held.group), 1)
    return float(np.mean([np.mean(hits) for hits in of.values()])), false


def synthetic() -> dict[str, HeldOut]:
    """Patients whose lesions share a difficulty, so that lesions are not exchangeable and patients are."""
    out = {}
    for patients in (300, 40):
        rng = np.random.default_rng(patients)
        image = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
        ease = rng.normal(1.5, 1, patients)[image]
        score = 1 / (1 + np.exp(-(ease + rng.normal(size=len(image)))))
        score[rng.random(len(image)) < 0.01] = -math.inf
        false = rng.integers(0, patients, 4 * patients)
        out[f"synthetic, {patients} patients"] = HeldOut(
            tuple(range(patients)),
            tuple(image.tolist()),
            tuple(score.tolist()),
            tuple(rng.uniform(5, 40, len(image)).tolist()),
            tuple(false.tolist()),
            tuple((rng.random(len(false)) ** 3).tolist()),
            "mm",
            "as drawn",
        )
    return out


# ---- classes ------------------------------------------------------------------------------------------------


def class_table(held: dict[str, HeldOutClasses], splits: int) -> Iterator[str]:
    heads = ("classifier", "patients, images", "target", "covered", "worst class", "classes a set", "cannot tell")
    yield f"| {' | '.join(heads)} | a class could not be excluded |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, figures in held.items():
        if not figures.exclusive:
            yield f"| {name} | – | classes do not exclude each other: not in this table | | | | | |"
            continue
        for target in TARGETS:
            yield class_row(name, figures, target, splits)


def class_row(name: str, held: HeldOutClasses, target: float, splits: int) -> str:
    p, truth, groups = held.probabilities, held.asked.argmax(axis=1), held.groups
    rows: dict[str, list[Any]] = {"covered": [], "worst": [], "size": [], "unsure": [], "vacuous": []}
    for first, second in halves(groups.tolist(), splits):
        rule = label_sets(p[first], truth[first], groups[first].tolist(), target)
        sets = rule.of(p[second])
        hit = sets[np.arange(len(second)), truth[second]]
        held_by = [truth[second] == c for c in range(p.shape[1])]
        rows["covered"].append(by_patient(hit, groups[second]))
        rows["worst"].append(np.array([by_patient(hit[of], groups[second][of]) for of in held_by]))
        rows["size"].append(sets.sum(axis=1).mean())
        rows["unsure"].append((sets.sum(axis=1) != 1).mean())
        rows["vacuous"].append(len(rule.reasons) > 0)
    worst = float(np.nanmean(np.array(rows["worst"]), axis=0).min())
    return (
        f"| {name} | {len(np.unique(groups))}, {len(p)} | {target:g} | {spread(rows['covered'])} | {worst:.3f} | "
        f"{np.mean(rows['size']):.2f} | {np.mean(rows['unsure']):.2f} | {np.mean(rows['vacuous']):.2f} |"
    )


def synthetic_classes() -> dict[str, HeldOutClasses]:
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(300), rng.integers(1, 3, 300))
    truth = rng.integers(0, 3, 300)[group]
    logits = rng.normal(size=(len(group), 3)) + rng.normal(size=(300, 3))[group]
    logits[np.arange(len(group)), truth] += np.array([3.0, 2.5, 1.5])[truth]
    p = np.exp(logits)
    asked = np.eye(3, dtype=bool)[truth]
    held = HeldOutClasses(p / p.sum(axis=1, keepdims=True), asked, group, True)
    return {"synthetic, 300 patients": held}


if __name__ == "__main__":
    main()
