"""Classify an image with a trained model: calibrated probabilities, the classes that cannot be excluded, or neither."""

from __future__ import annotations

import numpy as np

from hexscope.classify.held_out import HeldOutClasses
from hexscope.classify.trees import tree_scores
from hexscope.core.image import Image
from hexscope.core.results import Scores
from hexscope.models.contract import Inputs
from hexscope.models.scores import look, parts_of, views
from hexscope.models.shelf import Model

__all__ = ["classify"]


def classify(images: Inputs, model: Model, *, coverage: float | None = 0.9) -> Scores:
    """Class probabilities of one case, and the set of classes that cannot be excluded.

    images    the image of the model's only input, or images by input name
    coverage  share of such cases whose true class is in the set, each class by itself; None: no set

    Where the set does not hold exactly one class, ``abstains`` says so: the model cannot tell. Raises what preparing
    raises (QuantityError, GeometryError, UsageError); NoModelError for a model that does not classify.
    """
    recipe, classifier = parts_of(model.card)
    beware = model.admit(images)
    seen = look(model.card, model.network, images)
    scores = seen.scores
    if classifier.trees:
        shown_views = list(views(seen.prepared.array, recipe, mirror=False))
        scores = np.vstack([scores, tree_scores(model.trees, shown_views, classifier.exclusive)])
    raw = classifier.probabilities(classifier.logits(scores), recipe.temperature)
    held = HeldOutClasses.read(model.folder)
    p = raw if held is None else held.calibrator(raw[None])[0] if classifier.exclusive else raw
    warnings = [*beware, *(s.removeprefix("warning: ") for s in seen.prepared.steps if s.startswith("warning: "))]
    shown: tuple[str, ...] | None = None
    abstains = False
    if coverage is not None and held is None:
        warnings.append(f"model {model.card.name} keeps no held-out cases: no set of classes can be promised")
    elif coverage is not None and held is not None:
        kept, undecided, reasons = held.not_excluded(p[None], coverage)
        shown = tuple(name for name, inside in zip(model.card.classes, kept[0], strict=True) if inside)
        abstains = bool(undecided[0])
        warnings += reasons
    first = images if isinstance(images, Image) else images[recipe.channels[0].name]
    told = [s for s in seen.prepared.steps if not s.startswith("warning: ")]
    steps = (*first.steps, *told, f"classify: model {model.card.name} ({seen.engine})")
    named = {name: float(np.round(v, 6)) for name, v in zip(model.card.classes, p, strict=True)}
    return Scores(named, shown, abstains, steps, coverage if shown is not None else None, tuple(warnings))
