"""Train a detector: check, divide by patient, learn, find on patients left out, choose the parts that pay, promise."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hexscope.detect.froc import Matched, Sheet, match
from hexscope.detect.lesions import CALIBRATION
from hexscope.errors import RefusedError
from hexscope.evaluate.detection import evaluate_detector, evaluation_of
from hexscope.evaluate.result import CaseResult, Evaluation
from hexscope.io.case import Case, CaseTable, Refusal
from hexscope.models.shelf import WEIGHTS, Model
from hexscope.train.checks import Checked, check
from hexscope.train.detect_network import Network, make_network
from hexscope.train.folder import PER_CASE, require_free, write_card, write_json, write_rows
from hexscope.train.order import Order, Trained, divided
from hexscope.train.splits import Division
from hexscope.trust.promise import HeldOut

INT8 = WEIGHTS[0]
#: Largest loss of AP at IoU .5 with which the graph in 8 bits is kept.
_TOLERATED = 0.003
Measured = tuple[Evaluation, tuple[Sheet, ...]]


def detect(table: CaseTable, out: Path, order: Order) -> Trained:
    """Make a detector at ``out``. Raises what `hexscope.train.session.train` raises."""
    require_free(out, order.resume)
    since = time.process_time()
    checked = check(table, "detect", kinds=order.kinds, progress=order.tell("check"))
    parts = divided(checked, order)
    if order.folds is None:
        made = make_network(checked, parts[0], order, out)
        made, (result, sheets) = _smaller(made, checked, parts[0], order)
        how = parts[0].how
    else:
        result, sheets = _cross_validated(checked, parts, order, out)
        everyone = Division(checked.table.cases, (), f"all {len(checked.table.cases)} cases")
        made = make_network(checked, everyone, order, out)
        how = f"{parts[0].how.partition(' of ')[2]}: measured by models that never saw the patient; this one saw all"
    _finish(made, result, sheets, how, out)
    told = (*(f"{r.case}: {r.reason}" for r in checked.refused), *checked.told, *made.told)
    return Trained(out, made.plan, result, time.process_time() - since, told)


# ---- measuring ----------------------------------------------------------------------------------------------


def _measure(made: Network, checked: Checked, cases: Sequence[Case], order: Order) -> Measured:
    """The exported model on ``cases``, by the same way as on the command line."""
    if not cases:
        raise RefusedError("no patient is left to measure on: a model without figures is not made")
    table = replace(checked.table, cases=tuple(cases), refused=())
    return evaluate_detector(Model.open(made.folder), table, seed=order.seed, progress=order.tell("measure"))


def _smaller(made: Network, checked: Checked, division: Division, order: Order) -> tuple[Network, Measured]:
    """Measure the model, then in whole numbers of 8 bits, and keep those where validation shows no loss."""
    from hexscope.train.quantise import save_int8

    plain = _measure(made, checked, division.validation, order)
    assert made.card.recipe is not None
    save_int8(made.net, made.learnt, made.card.recipe.tile, made.folder / INT8)
    small = _measure(made, checked, division.validation, order)
    a, b = (part[0].metrics["ap50"].mean if "ap50" in part[0].metrics else 0.0 for part in (plain, small))
    kept = b >= a - _TOLERATED and len(small[0].failed) <= len(plain[0].failed)
    if not kept:
        (made.folder / INT8).unlink()
    word = f"{'kept' if kept else 'left out'}: ap50 {b:.4f}, and {a:.4f} without"
    card = replace(made.card, training={**made.card.training, "int8": word})
    return replace(made, card=card), small if kept else plain


def _cross_validated(checked: Checked, parts: Sequence[Division], order: Order, out: Path) -> Measured:
    results: list[CaseResult] = []
    failed: list[Refusal] = []
    sheets: list[Sheet] = []
    classes: tuple[str, ...] = ()
    for number, division in enumerate(parts):
        made = make_network(checked, division, order, out / "training" / f"fold{number}")
        part, found = _measure(made, checked, division.validation, order)
        results += part.cases
        failed += part.failed
        sheets += found
        classes = made.card.classes
    return evaluation_of(sheets, results, failed, set(classes), classes, order.seed), tuple(sheets)


def _finish(made: Network, result: Evaluation, sheets: Sequence[Sheet], how: str, out: Path) -> None:
    """The card with its figures and operating point, what a promise needs, and the table of cases."""
    metrics = {name: (e.mean, e.low, e.high, e.n) for name, e in result.metrics.items()}
    near = match(sheets, "centre")
    assert made.card.detector is not None
    detector = replace(made.card.detector, score=_operating(near))
    write_card(out, replace(made.card, metrics=metrics, split=how, detector=detector))
    write_json(out / CALIBRATION, held_out(near, detector.hit).as_data())
    write_rows(out / PER_CASE, [case.as_json() for case in result.cases])
    for cases in out.glob("training/**/cases"):
        shutil.rmtree(cases, ignore_errors=True)


def _operating(near: Matched) -> float:
    """The score at which 2 TP / (found + true) is largest on patients that were left out."""
    if not len(near.scores):
        return 0.0
    hit, seen = np.cumsum(near.hits), np.arange(1, len(near.hits) + 1)
    best = int(np.argmax(2 * hit / (seen + len(near.here))))
    return float(f"{near.scores[best] - 5e-4:.3f}")


def held_out(near: Matched, hit: str) -> HeldOut:
    """Scores of everything found and missed on patients left out, in plain numbers."""
    false = ~near.hits
    return HeldOut(
        group=tuple(int(v) for v in near.groups),
        lesion_image=tuple(int(v) for v in near.here),
        lesion_score=tuple(float(v) for v in near.reached),
        lesion_size=tuple(float(v) for v in near.sizes),
        false_image=tuple(int(v) for v in near.at[false]),
        false_score=tuple(float(v) for v in near.scores[false]),
        size_unit="px",
        hit=hit,
    )
