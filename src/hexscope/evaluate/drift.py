"""Do a model's answers to new images look like its answers to held-out patients? What it promises ends where not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hexscope.classify.held_out import HeldOutClasses
from hexscope.core.results import Findings, Scores
from hexscope.detect.lesions import held_out
from hexscope.models.shelf import Model
from hexscope.trust.shift import Shift, shift


def drift(model: Model, answers: Sequence[Findings] | Sequence[Scores]) -> Shift | None:
    """Compare answers to a batch, one a patient and in order of arrival, with those to the held-out patients.

    Of findings the best score counts, of scores the highest. None where the model keeps no held-out scores, or where
    findings come without a promise (nothing is then at stake).
    """
    if model.card.task == "detect":
        found = [answer for answer in answers if isinstance(answer, Findings) and answer.promise is not None]
        return _of_findings(model, found) if found else None
    held = HeldOutClasses.read(model.folder)
    scores = [max(answer.probabilities.values()) for answer in answers if isinstance(answer, Scores)]
    if held is None or not scores:
        return None
    first = np.unique(held.groups, return_index=True)[1]
    return shift(held.probabilities[first].max(axis=1).tolist(), scores)


def _of_findings(model: Model, found: Sequence[Findings]) -> Shift:
    held = held_out(model)
    least = max(float((answer.promise or {})["score"]) for answer in found)
    best = held.best_scores()
    first = {group: image for image, group in reversed(list(enumerate(held.group)))}
    old = [best[image] for image in first.values()]
    new = [max((item.score for item in answer), default=-math.inf) for answer in found]
    # below the promise's threshold nothing is shown, of the new ones: so the old are not looked at there either
    return shift(*([s if s >= least else -math.inf for s in scores] for scores in (old, new)))
