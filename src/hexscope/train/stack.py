"""What the members say together: which stay, their weights, the calibration, and what is told of held-out cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.classify.held_out import HeldOutClasses
from hexscope.classify.score import mean_auc
from hexscope.evaluate.classification import Said
from hexscope.models.classifier import Classifier
from hexscope.train.classify_members import Floats, Indices, Member, Part
from hexscope.train.stacking import crossed, fitted, kept, log_loss
from hexscope.trust.calibration import Calibrator, calibrated, fit

#: Share of cases whose true class is in the set, in the figures of a training.
COVERAGE = 0.9
_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Stack:
    """Members that stay, how they are weighed, and what they say of the held-out cases as they are.

    rows           numbers of the held-out cases; ``folds`` the fold of each
    probabilities  (rows, classes): weights and calibration behind each row were fitted on other folds
    told           a row a member that was tried: log_loss, auc, gain, cpu_s
    """

    members: tuple[Member, ...]
    classifier: Classifier
    calibrator: Calibrator
    rows: NDArray[np.intp]
    folds: NDArray[np.intp]
    groups: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    told: tuple[dict[str, Any], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(member.name for member in self.members)

    def said(self, cases: Sequence[tuple[str, str]], asked: Floats) -> list[Said]:
        """Every held-out case with its set of classes, from the other folds' scores."""
        true = asked.astype(bool)
        shown = np.zeros(true.shape, bool)
        for fold in np.unique(self.folds):
            inside = self.folds == fold
            rest = HeldOutClasses(
                self.probabilities[~inside], true[~inside], self.groups[~inside], self.classifier.exclusive
            )
            shown[inside] = rest.not_excluded(self.probabilities[inside], COVERAGE)[0]
        rows = zip(cases, self.probabilities, true, shown, strict=True)
        return [Said(case, group, p, t, s) for (case, group), p, t, s in rows]


def stacked(
    members: Sequence[Member],
    asked: Floats,
    parts: Sequence[Part],
    groups: Sequence[str],
    exclusive: bool,
    prior: str,
    twins: Indices,
) -> Stack:
    """Weigh, drop what is not worth its time, calibrate.

    twins  numbers of the cases that the last of all cases repeat, changed (see `hexscope.train.twins`): weights are of
           these and their twins, the calibration and every figure of the cases as they are
    """
    rows = np.concatenate([held for _, held in parts])
    numbers = np.unique(np.array(groups), return_inverse=True)[1]
    folds = _folds(parts, numbers)
    scores = np.stack([member.scores[rows] for member in members], axis=1).astype(np.float64)
    truth = asked[rows].astype(np.float64)
    real = rows < len(asked) - len(twins)
    learn = ~real | np.isin(rows, twins) if len(twins) else real
    chosen, gains = kept(scores, truth, folds, exclusive, prior, learn)
    alone = [crossed(scores[:, [k]], truth, folds, exclusive, "cases", learn) for k in range(len(members))]
    told = tuple(_told(m, alone[k], truth, real, exclusive, gains[k]) for k, m in enumerate(members))
    held = scores[:, chosen]
    weights = fitted(held[learn], truth[learn], exclusive, prior)
    stay = tuple(members[k] for k in chosen)
    classifier = Classifier(
        tuple(m.name for m in stay),
        tuple(weights.members.tolist()),
        tuple(weights.bias.tolist()),
        exclusive,
        trees=stay[-1].write is None,
    )
    raw = classifier.probabilities(crossed(held, truth, folds, exclusive, prior, learn)[real])
    calibrator, probabilities = _calibrated(raw, truth[real], folds[real], numbers[rows[real]], exclusive, prior)
    who = numbers[rows[real]].astype(np.int64)
    return Stack(stay, classifier, calibrator, rows[real], folds[real], who, probabilities, told)


def _calibrated(
    raw: NDArray[np.float64], truth: NDArray[np.float64], folds: NDArray[np.intp], groups: NDArray[np.intp],
    exclusive: bool, prior: str,
) -> tuple[Calibrator, NDArray[np.float64]]:  # fmt: skip
    """The calibrator for use, and the probabilities of each fold by one that was fitted on the others."""
    if not exclusive or prior != "cases":
        return Calibrator(), raw
    right = truth.argmax(axis=1)
    calibrator = calibrated(raw, right, groups.tolist())
    out = raw.copy()
    for fold in np.unique(folds):
        inside = folds == fold
        out[inside] = fit(calibrator.kind, raw[~inside], right[~inside])(raw[inside])
    return calibrator, out


def _folds(parts: Sequence[Part], groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """The division of each held-out row; of one division, folds by patient."""
    if len(parts) > 1:
        return np.concatenate([np.full(len(held), k, np.intp) for k, (_, held) in enumerate(parts)])
    own = np.unique(groups[parts[0][1]], return_inverse=True)[1]
    dealt = np.random.default_rng(0).permutation(int(own.max()) + 1) % _FOLDS
    return np.asarray(dealt[own], np.intp)


def _told(
    member: Member, logits: NDArray[np.float64], truth: NDArray[np.float64], real: NDArray[np.bool_],
    exclusive: bool, gain: float,
) -> dict[str, Any]:  # fmt: skip
    own = Classifier((member.name,), (1.0,), (0.0,) * truth.shape[1], exclusive).probabilities(logits[real])
    told = {
        "member": member.name,
        "log_loss": log_loss(logits[real], truth[real], exclusive),
        "auc": mean_auc(own, truth[real].astype(bool)),
        "gain": gain,
        "cpu_s": member.cpu_s,
    }
    return told if real.all() else told | {"changed": log_loss(logits[~real], truth[~real], exclusive)}
