"""A classifier on labelled cases: every figure with its interval by patient, every case with what was said of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hexscope.classify import classify
from hexscope.classify.score import auc, balanced_accuracy, interval, mean_auc
from hexscope.core.results import Scores
from hexscope.errors import HexscopeError, InputError, UsageError
from hexscope.evaluate.drift import drift
from hexscope.evaluate.result import CaseResult, Evaluation
from hexscope.io.case import Case, CaseTable, Refusal
from hexscope.io.cases import open_images
from hexscope.models.shelf import Model
from hexscope.trust.calibration import expected_error

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Said:
    """What was said of one case, and what is true: probabilities, truth and the set, (classes,) each.

    shown  classes that could not be excluded; None: no set was asked for
    """

    case: str
    group: str
    probabilities: Floats
    asked: Bools
    shown: Bools | None = None
    cpu_s: float = 0.0


def asked_of(case: Case, classes: Sequence[str]) -> Bools:
    """Which classes hold, (classes,)."""
    return np.array([name in case.marks for name in classes], bool)


def evaluation_of(
    said: Sequence[Said],
    classes: Sequence[str],
    exclusive: bool,
    failed: Sequence[Refusal] = (),
    notes: Sequence[str] = (),
) -> Evaluation:
    """Figures over all cases. AUC, balanced accuracy and calibration error are of all cases together, with an interval
    drawn by patient; the others are means over cases."""
    results = [_result(one, classes, exclusive) for one in said]
    plain = Evaluation.of(results, failed, notes)
    if not said:
        return plain
    together = _together(said, classes, exclusive)
    groups = [one.group for one in said]
    metrics = {name: e for name, figure in together.items() if (e := interval(figure, groups)).mean == e.mean}
    return Evaluation({**metrics, **plain.metrics}, plain.cases, plain.failed, plain.notes)


def _result(one: Said, classes: Sequence[str], exclusive: bool) -> CaseResult:
    p, asked = one.probabilities, one.asked
    likely = np.clip(np.where(asked, p, 1 - p), 1e-7, 1)
    figures: dict[str, float | None] = {}
    if exclusive:
        figures["p_true"] = float(p[asked].max(initial=0.0))
        figures["accuracy"] = float(asked[int(p.argmax())])
        figures["log_loss"] = -float(np.log(max(float(p[asked].max(initial=0.0)), 1e-7)))
    else:
        figures["p_true"] = float(likely.mean())
        figures["accuracy"] = float(((p > 0.5) == asked).mean())
        figures["log_loss"] = -float(np.log(likely).sum())
    figures["brier"] = float(((p - asked) ** 2).sum())
    if one.shown is not None:
        figures["covered"] = float(bool(one.shown[asked].all()))
        figures["abstained"] = float(one.shown.sum() != 1) if exclusive else None
    facts = {f"p/{name}": float(value) for name, value in zip(classes, p, strict=True)}
    facts |= {f"is/{name}": float(value) for name, value in zip(classes, asked, strict=True)}
    return CaseResult(one.case, one.group, figures, facts, one.cpu_s)


def _together(
    said: Sequence[Said], classes: Sequence[str], exclusive: bool
) -> Mapping[str, Callable[[NDArray[np.intp]], float]]:
    """Figures that only many cases have, each as a function of the indices of cases."""
    p, asked = np.stack([s.probabilities for s in said]), np.stack([s.asked for s in said])
    out: dict[str, Callable[[NDArray[np.intp]], float]] = {"auc": lambda i: mean_auc(p[i], asked[i])}
    if exclusive:
        truth = asked.argmax(axis=1)
        out["balanced_accuracy"] = lambda i: balanced_accuracy(p[i], truth[i])
        out["ece"] = lambda i: expected_error(p[i], truth[i])
    if len(classes) > 2 or not exclusive:
        for k, name in enumerate(classes):
            out[f"auc/{name}"] = _one(p[:, k], asked[:, k])
    return out


def _one(p: Floats, asked: Bools) -> Callable[[NDArray[np.intp]], float]:
    return lambda i: auc(p[i], asked[i])


def evaluate_classifier(
    model: Model,
    table: CaseTable,
    *,
    kinds: Mapping[str, str] | None = None,
    coverage: float | None = 0.9,
    progress: Callable[[int, int], object] | None = None,
) -> Evaluation:
    """The model on every labelled case of ``table``, by the same way as on the command line.

    A case that fails is told and the others go on; so is it where the scores of all do not look like those of the cases
    that the model was calibrated on. UsageError where the table bears labels that the model does not
    know.
    """
    table.require("label")
    model = replace(model, forced=True)  # labelled cases are measured, however strange
    classes = model.card.classes
    strange = sorted({mark for case in table.cases for mark in case.marks} - set(classes))
    if strange:
        raise UsageError(
            f"{table.source} bears labels that model {model.card.name} does not know: {', '.join(strange)}; it knows "
            f"{', '.join(classes)}"
        )
    classifier = model.card.classifier
    exclusive = classifier is None or classifier.exclusive
    said, failed = [], []
    answers: dict[str, Scores] = {}
    for number, case in enumerate(table.cases, start=1):
        since = time.process_time()
        try:
            if not case.has("label"):
                raise InputError("it has no label; fill the column to measure on it")
            images = open_images(case, {**table.kinds, **(kinds or {})})
            given = {channel.name: images[channel.name] for channel in model.card.inputs if channel.name in images}
            scores = classify(given, model, coverage=coverage)
        except HexscopeError as error:
            failed.append(Refusal(case.case, str(error)))
            continue
        finally:
            if progress is not None:
                progress(number, len(table.cases))
        answers.setdefault(case.group, scores)
        p = np.array([scores.probabilities[name] for name in classes])
        shown = None if scores.set is None else np.array([name in scores.set for name in classes])
        said.append(Said(case.case, case.group, p, asked_of(case, classes), shown, time.process_time() - since))
    return evaluation_of(said, classes, exclusive, failed, _strange(model, list(answers.values())))


def _strange(model: Model, answers: Sequence[Scores]) -> list[str]:
    """What tells that patients differ from those of the calibration; in an order by chance, for a table may be sorted
    by class."""
    order = np.random.default_rng(0).permutation(len(answers))
    made = drift(model, [answers[k] for k in order])
    return [made.sentence] if made is not None and made.alarm else []
