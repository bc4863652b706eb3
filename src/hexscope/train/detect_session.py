"""Train a detector: check, divide by patient, learn, find on patients left out, choose the parts that pay, promise."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hexscope.detect.froc import Matched, Sheet, match
from hexscope.detect.lesions import CALIBRATION, WORST
from hexscope.errors import RefusedError
from hexscope.evaluate.detection import evaluate_detector, evaluation_of, result_of
from hexscope.evaluate.result import Evaluation
from hexscope.io.case import Case, CaseTable, Refusal
from hexscope.models.detector import Detector
from hexscope.models.shelf import WEIGHTS, Model
from hexscope.train.checks import Checked, check
from hexscope.train.detect_network import make_network
from hexscope.train.detect_stages import (
    ALONE,
    Trial,
    Way,
    chosen,
    compared,
    finished,
    mirrored,
    region_for,
    sizes_of,
    trials,
)  # fmt: skip
from hexscope.train.folder import PER_CASE, require_free, write_card, write_json, write_rows
from hexscope.train.lesson import Made, everyone
from hexscope.train.order import Order, Trained, divided
from hexscope.train.plan import PLAN, Choice, Plan
from hexscope.train.splits import Division
from hexscope.trust.promise import HeldOut

INT8 = WEIGHTS[0]
#: Misses that the report shows.
_SHOWN = 6
#: Largest loss of AP at IoU .5 with which the graph in 8 bits is kept.
_TOLERATED = 0.003
Measured = tuple[Evaluation, tuple[Sheet, ...]]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What patients left out taught: the stages, why, the figures, and what the trees of the final model learn from."""

    detector: Detector
    choices: Mapping[str, Choice]
    result: Evaluation
    sheets: tuple[Sheet, ...]
    way: str = ALONE
    held: tuple[Trial, ...] = ()
    small: bool = False


def detect(table: CaseTable, out: Path, order: Order) -> Trained:
    """Make a detector at ``out``. Raises what `hexscope.train.session.train` raises."""
    require_free(out, order.resume)
    since = time.process_time()
    checked = check(table, "detect", kinds=order.kinds, progress=order.tell("check"))
    parts = divided(checked, order)
    if order.folds is None:
        made = make_network(checked, parts[0], order, out)
        outcome = _single(made, checked, parts[0], order)
        how = parts[0].how
    else:
        outcome = _cross_validated(checked, parts, order, out)
        all_of_them, how = everyone(checked.table, parts)
        made = make_network(checked, all_of_them, order, out)
        if outcome.small:
            _shrink(made)
    plan = _finish(made, outcome, how, out, order)
    told = (*(f"{r.case}: {r.reason}" for r in checked.refused), *checked.told, *made.told)
    return Trained(out, plan, outcome.result, time.process_time() - since, told)


# ---- measuring ----------------------------------------------------------------------------------------------


def _measure(
    made: Made, checked: Checked, cases: Sequence[Case], order: Order, detector: Detector | None = None
) -> Measured:
    """The exported model on ``cases``, by the same way as on the command line."""
    if not cases:
        raise RefusedError("no patient is left to measure on: a model without figures is not made")
    model = Model.open(made.folder)
    if detector is not None:
        model = Model(replace(model.card, detector=detector), made.folder)
    table = replace(checked.table, cases=tuple(cases), refused=())
    return evaluate_detector(model, table, seed=order.seed, progress=order.tell("measure"))


def _smaller(made: Made, checked: Checked, division: Division, order: Order) -> tuple[Choice, Measured]:
    """Measure the model, then in whole numbers of 8 bits, and keep those where validation shows no loss."""
    plain = _measure(made, checked, division.validation, order)
    _shrink(made)
    small = _measure(made, checked, division.validation, order)
    a, b = (_short(part[0])["ap50"] for part in (plain, small))
    kept = b >= a - _TOLERATED and len(small[0].failed) <= len(plain[0].failed)
    if not kept:
        (made.folder / INT8).unlink()
    why = "half the size and a third of the time, kept where nothing is lost"
    return Choice(kept, why, f"AP50 {b:.4f} with it, {a:.4f} without"), small if kept else plain


def _shrink(made: Made) -> None:
    from hexscope.train.quantise import save_int8

    assert made.card.recipe is not None
    save_int8(made.net, made.learnt, made.card.recipe.tile, made.folder / INT8)


def _single(made: Made, checked: Checked, division: Division, order: Order) -> Outcome:
    """One division: the network alone. Trees would need patients whom it did not see and who are not measured."""
    word, (result, sheets) = _smaller(made, checked, division, order)
    mirror, (result, sheets) = _mirrored(made, checked, division, order, (result, sheets))
    choices = {"eight_bits": word, "mirror": mirror, "stages": chosen([Way(ALONE, _short(result), sheets)])[1]}
    return Outcome(Detector(mirror=mirror.value), choices, result, sheets)


def _short(result: Evaluation) -> dict[str, float]:
    return {name: result.metrics[name].mean if name in result.metrics else 0.0 for name in ("ap50", "cpm")}


def _mirrored(
    made: Made, checked: Checked, division: Division, order: Order, plain: Measured
) -> tuple[Choice, Measured]:
    """Is a second look at the mirror image worth its time? Measured on the patients left out."""
    other = _measure(made, checked, division.validation, order, Detector(mirror=True))
    choice = mirrored(plain[1], other[1], made.plan["flips"], made.card.recipe.dims if made.card.recipe else 2)
    return choice, other if choice.value else plain


def _cross_validated(checked: Checked, parts: Sequence[Division], order: Order, out: Path) -> Outcome:
    """One network a fold; then every way to use them, on the patients that they did not see."""
    held: list[Trial] = []
    failed: list[Refusal] = []
    choices: dict[str, Choice] = {}
    detector = Detector()
    classes: tuple[str, ...] = ()
    for number, division in enumerate(parts):
        made = make_network(checked, division, order, out / "training" / f"fold{number}")
        model = Model.open(made.folder)
        classes = model.card.classes
        if not choices:
            choices["eight_bits"], plain = _smaller(made, checked, division, order)
            choices["mirror"], _ = _mirrored(made, checked, division, order, plain)
            region, widths = region_for(model.card.modality), sizes_of(checked, division.train, model)
            detector = Detector(region=region, mirror=choices["mirror"].value, sizes=widths)
        elif choices["eight_bits"].value:
            _shrink(made)
        for trial in trials(Model.open(made.folder), checked, division.validation, number, detector):
            held.append(trial) if isinstance(trial, Trial) else failed.append(trial)
    ways = compared(held, len(classes), order.seed)
    best, choices["stages"] = chosen(ways)
    results = [result_of(sheet) for sheet in best.sheets]
    result = evaluation_of(best.sheets, results, failed, set(classes), classes, order.seed)
    small = bool(choices["eight_bits"].value)
    return Outcome(detector, choices, result, best.sheets, best.name, tuple(held), small)


def _finish(made: Made, outcome: Outcome, how: str, out: Path, order: Order) -> Plan:
    """The card with its stages and figures, what a promise needs, and the table of cases."""
    result = outcome.result
    near = match(outcome.sheets, "centre")
    detector = replace(outcome.detector, score=_operating(near))
    detector = finished(outcome.way, outcome.held, detector, len(made.card.classes), order.seed, out)
    metrics = {name: (e.mean, e.low, e.high, e.n) for name, e in result.metrics.items()}
    write_card(out, replace(made.card, metrics=metrics, split=how, detector=detector))
    write_json(out / CALIBRATION, held_out(near, detector.hit).as_data())
    write_rows(out / PER_CASE, [case.as_json() for case in result.cases])
    write_json(out / WORST, _worst(outcome.sheets))
    plan = replace(made.plan, choices={**made.plan.choices, **outcome.choices})
    write_json(out / PLAN, plan.as_data())
    for cases in out.glob("training/**/cases"):
        shutil.rmtree(cases, ignore_errors=True)
    return plan


def _worst(sheets: Sequence[Sheet]) -> list[dict[str, Any]]:
    """The images with most objects missed, then with most false ones before the first true one."""
    missed, before = {}, {}
    for sheet in sheets:
        figures = result_of(sheet).figures
        missed[sheet.case] = 1.0 - (1.0 if figures["found_iou50"] is None else figures["found_iou50"])
        before[sheet.case] = figures["false_before_first"] or 0.0
    out = []
    for sheet in sorted(sheets, key=lambda s: (-missed[s.case], -before[s.case]))[:_SHOWN]:
        n = max(1, len(sheet.truth.boxes))
        share, false = round(100 * missed[sheet.case]), round(before[sheet.case])
        out.append(
            {
                "case": sheet.case,
                "truth": np.round(sheet.truth.boxes, 2).tolist(),
                "found": np.round(sheet.found.boxes[:n], 2).tolist(),
                "en": f"{share} % of its objects missed at IoU .5; {false} false before the first true one",
                "zh": f"IoU 0.5 下漏检 {share}%；首个命中前误报 {false} 个",
            }
        )
    return out


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
