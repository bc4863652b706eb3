"""Which stages of a detector pay: each way is tried on patients that its network never saw, and the trees of the
ways that judge are grown without the patients that they are tried on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.detect.candidates import Candidates, of_filters, of_network, together
from hexscope.detect.evidence import evidence
from hexscope.detect.froc import Boxes, Sheet, match
from hexscope.detect.judge import FIT, HALF, SHARES, Judged, merged, of_peaks
from hexscope.detect.region import region_of
from hexscope.errors import HexscopeError
from hexscope.io.case import Case, Refusal
from hexscope.io.case_boxes import open_objects
from hexscope.io.cases import open_images
from hexscope.models.boxes import given, overlap, seen
from hexscope.models.detector import Detector, Region
from hexscope.models.peaks import maps, peaks
from hexscope.models.prepare import Prepared, prepare
from hexscope.models.shelf import TREES, Model
from hexscope.train.checks import Checked
from hexscope.train.plan import Choice
from hexscope.train.trees import Trees, grown, save_trees

Floats = NDArray[np.floating[Any]]

#: A candidate is of the object that it overlaps by so much; how well it fits is learnt beside.
_OF_OBJECT = 0.3
#: Judged candidates are merged from a smaller overlap on, for there are many of each object; but from no smaller one
#: than that of objects that lie side by side, and this beyond it.
_SAME, _MOST_SAME, _BEYOND = 0.35, 0.6, 0.1
#: Gain of the mean of AP50 and CPM from which a costlier way is taken.
_WORTH = 0.005
#: The worst that the mirror image must gain in AP at IoU .5 to be looked at as well.
_MIRROR_WORTH = 0.01
_SPEAKING = 6
#: Modalities whose background is dark and empty.
_WITH_BACKGROUND = ("MR", "CT", "PT")
#: Fewer objects than this teach trees nothing.
_LEAST_OBJECTS = 30
#: Trees grown: as many as there are images to learn from, within these.
_ROUNDS = (30, 150)


@dataclass(frozen=True, eq=False)
class Table:
    """Candidates of one case with their features, how much each overlaps an object (0..1), and its class from 1."""

    found: Candidates
    features: Floats
    names: tuple[str, ...]
    overlaps: Floats
    kinds: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Trial:
    """One case that the network did not learn from: what every way has to work on. ``tables`` by way."""

    case: str
    group: str
    fold: int
    truth: Boxes
    prepared: Prepared
    own: Judged
    tables: Mapping[str, Table]


#: The ways, from the cheapest: the network alone; trees over its candidates; over these and the filters'; and, to
#: compare, filters and trees without any network.
ALONE, JUDGED, BOTH, FILTERS = "network", "network + trees", "network + filters + trees", "filters + trees"


@dataclass(frozen=True, eq=False)
class Way:
    """A way with what it gave: figures by name, and the sheets of every case."""

    name: str
    figures: Mapping[str, float]
    sheets: tuple[Sheet, ...]

    @property
    def worth(self) -> float:
        return (self.figures["ap50"] + self.figures["cpm"]) / 2


def region_for(modality: str) -> Region:
    """Where objects may lie, by what the modality shows beyond the patient."""
    return "body" if modality in _WITH_BACKGROUND else "whole"


def sizes_of(checked: Checked, cases: Sequence[Case], model: Model) -> tuple[float, ...]:
    """Widths that the filters look for, pixels of what the network sees: from 10 to 90 % of the objects."""
    assert model.card.recipe is not None
    widths = []
    for case in cases[:: max(1, len(cases) // 40)]:
        images = open_images(case, checked.table.kinds)
        given_images = {c.name: images[c.name] for c in model.card.inputs}
        prepared = prepare(given_images, model.card.recipe)
        first = given_images[model.card.inputs[0].name]
        boxes = seen(open_objects(case, checked.table, checked.target, first).boxes, prepared)
        dims = prepared.grid.ndim
        widths += (boxes[:, dims:] - boxes[:, :dims]).mean(axis=1).tolist()
    if not widths:
        return (16.0,)
    return tuple(sorted({round(float(np.percentile(widths, share)), 1) for share in (10, 30, 50, 70, 90)}))


def trials(
    model: Model, checked: Checked, cases: Sequence[Case], fold: int, detector: Detector
) -> Iterator[Trial | Refusal]:
    """Every case as all ways see it."""
    for case in cases:
        try:
            yield _trial(model, checked, case, fold, detector)
        except HexscopeError as error:
            yield Refusal(case.case, str(error))


def _trial(model: Model, checked: Checked, case: Case, fold: int, detector: Detector) -> Trial:
    card = model.card
    assert card.recipe is not None
    images = open_images(case, checked.table.kinds)
    inputs = {c.name: images[c.name] for c in card.inputs}
    prepared = prepare(inputs, card.recipe)
    objects = open_objects(case, checked.table, checked.target, inputs[card.inputs[0].name])
    dims = prepared.grid.ndim
    truth = Boxes.of(objects.boxes, [card.classes.index(name) for name in objects.names], dims=dims)
    planes, _ = maps(model.network, prepared, card.recipe, mirror=detector.mirror)
    region = region_of(prepared.array[0], detector.region)
    network = of_network(planes, prepared.grid.shape)
    filters = of_filters(prepared.array, region, detector.sizes)
    ways = {JUDGED: (network, planes), BOTH: (together([network, filters]), planes), FILTERS: (filters, None)}
    at = seen(truth.boxes, prepared)
    tables = {}
    for name, (found, said) in ways.items():
        features, names = evidence(found, prepared.array, region, said, card.classes)
        pairs = overlap(found.boxes.astype(np.float64), at) if len(at) else np.zeros((len(found), 1))
        best = pairs.max(axis=1, initial=0.0)
        own = truth.kinds[pairs.argmax(axis=1)] + 1 if len(at) else np.zeros(len(found), np.intp)
        tables[name] = Table(found, features, names, best, np.where(best >= _OF_OBJECT, own, 0))
    alone = of_peaks(peaks(planes, prepared.grid.shape, same=detector.same))
    bare = replace(prepared, array=np.zeros((0,) * prepared.array.ndim, np.float32))
    return Trial(case.case, case.group, fold, truth, bare, alone, tables)


# ---- ways ---------------------------------------------------------------------------------------------------


def compared(held: Sequence[Trial], classes: int, seed: int) -> list[Way]:
    """Every way on every case; its trees were grown on the other folds."""
    ways = [_way(ALONE, held, [trial.own for trial in held])]
    folds = sorted({trial.fold for trial in held})
    if len(folds) < 2 or sum(len(t.truth.boxes) for t in held) < _LEAST_OBJECTS:
        return ways
    for name in (JUDGED, BOTH, FILTERS):
        answers: dict[str, Judged] = {}
        same = same_for(held)
        for fold in folds:
            trees = ensembles([t.tables[name] for t in held if t.fold != fold], classes, seed)
            answers |= {t.case: judged(t.tables[name], trees, same) for t in held if t.fold == fold}
        ways.append(_way(name, held, [answers[t.case] for t in held]))
    return ways


def same_for(held: Sequence[Trial]) -> float:
    """The overlap from which two candidates are of one object: more than nearly all pairs of true objects have."""
    nearest = [0.0]
    for trial in held:
        pairs = overlap(trial.truth.boxes, trial.truth.boxes)
        np.fill_diagonal(pairs, 0.0)
        nearest += pairs.max(axis=1, initial=0.0).tolist()
    return round(float(np.clip(np.percentile(nearest, 99) + _BEYOND, _SAME, _MOST_SAME)), 2)


def ensembles(tables: Sequence[Table], classes: int, seed: int) -> dict[str, Trees]:
    """Trees for the class of a candidate (0: none), and for whether its box fits."""
    rows = np.concatenate([t.features for t in tables])
    kinds = np.concatenate([t.kinds for t in tables])
    fits = np.concatenate([t.overlaps for t in tables]) >= HALF
    names = tables[0].names
    rounds = int(np.clip(len(tables), *_ROUNDS))
    shares = grown(rows, kinds, names, classes=classes + 1, rounds=rounds, seed=seed)
    return {SHARES: shares, FIT: grown(rows, fits.astype(np.intp), names, classes=2, rounds=rounds, seed=seed)}


def judged(table: Table, trees: Mapping[str, Trees], same: float) -> Judged:
    """What trees make of a case, as `hexscope.detect.lesions.judged` does with their graph."""
    if not len(table.found):
        return merged(table.found, np.zeros((0, 1)), np.zeros(0), same)
    return merged(table.found, trees[SHARES](table.features), trees[FIT](table.features)[:, 1], same)


def _way(name: str, held: Sequence[Trial], answers: Sequence[Judged]) -> Way:
    sheets = tuple(_sheet(trial, answer) for trial, answer in zip(held, answers, strict=True))
    near, close = match(sheets, "centre"), match(sheets, "iou", 0.5)
    figures = {"ap50": float(close.average_precision()[0]), "cpm": float(near.cpm()[0])}
    return Way(name, {**figures, "reach_50": float(close.reach()[0])}, sheets)


def _sheet(trial: Trial, answer: Judged) -> Sheet:
    dims = trial.prepared.grid.ndim
    kinds = answer.shares.argmax(axis=1) if len(answer.shares) else np.zeros(0, np.intp)
    boxes = given(np.asarray(answer.boxes, np.float64), trial.prepared)
    return Sheet(trial.case, trial.group, Boxes.of(boxes, kinds, answer.scores, dims), trial.truth)


def chosen(ways: Sequence[Way]) -> tuple[Way, Choice]:
    """The way that pays, with the reason. Filters alone stand beside for comparison: each model has a network."""
    best = ways[0]
    for way in ways[1:]:
        if way.name != FILTERS and way.worth > best.worth + _WORTH:
            best = way
    said = "; ".join(f"{w.name}: AP50 {w.figures['ap50']:.3f}, CPM {w.figures['cpm']:.3f}" for w in ways)
    why = "the best on patients left out, where a costlier way must gain something"
    if len(ways) == 1:
        why = "trees learn from patients that the network did not see: --folds gives them"
    return best, Choice(best.name, why, said)


def mirrored(plain: Sequence[Sheet], other: Sequence[Sheet], flips: Sequence[int], dims: int) -> Choice:
    """Is the mirror image along the last axis worth a second look?"""
    a, b = (float(match(s, "iou", 0.5).average_precision()[0]) for s in (plain, other))
    said = f"AP50 {b:.3f} with it, {a:.3f} without"
    if dims - 1 not in flips:
        return Choice(False, "a mirror image is another image here", said)
    return Choice(b >= a + _MIRROR_WORTH, "it doubles the time of the network and must gain something", said)


def finished(name: str, held: Sequence[Trial], detector: Detector, classes: int, seed: int, folder: Path) -> Detector:
    """The stages of the final model; its trees learn from all held-out candidates."""
    if name == ALONE:
        return detector
    trees = ensembles([t.tables[name] for t in held], classes, seed)
    save_trees(folder / TREES, trees)
    gains = trees[SHARES].gains + trees[FIT].gains
    order = np.argsort(-gains)[:_SPEAKING]
    speaks = tuple(trees[SHARES].features[i] for i in order)
    source: Any = "network" if name == JUDGED else "both"
    return replace(detector, candidates=source, judged=True, same=same_for(held), speaks=speaks)
