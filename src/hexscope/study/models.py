"""Models in a study: each is used where image and card say that it fits, or where the user asks for it by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hexscope.classify import classify
from hexscope.core.image import Image
from hexscope.core.measure import measure
from hexscope.detect.lesions import find, held_out
from hexscope.errors import HexscopeError, NoModelError, RefusedError
from hexscope.models.fit import misfit, takes
from hexscope.models.shelf import Model
from hexscope.study.looks import compared, recognises
from hexscope.study.result import Case, Classified, Outlined, problem
from hexscope.trust.promise import promise

#: Sensitivities that a study asks of a detector, the first that can be promised.
_TARGETS = (0.9, 0.8)


def ask_models(cases: Sequence[Case], models: Sequence[Model], asked: Sequence[str]) -> list[Case]:
    """What ``models`` find in the cases that they fit; one that is asked for by name is tried wherever its modality is.

    A model that fails is told among the problems of its case. Raises NoModelError for an unknown name.
    """
    names = {m.card.name for m in models} | {m.folder.name for m in models}
    unknown = [name for name in asked if name not in names]
    if unknown:
        raise NoModelError(f"no model is called {', '.join(unknown)}; known are: {', '.join(sorted(names)) or 'none'}")
    out = list(cases)
    for model in models:
        if recognises(model.card):
            out = [compared(case, model) for case in out]
            continue
        wanted = bool({model.card.name, model.folder.name} & set(asked))
        for at, case in enumerate(out):
            images = None if case.image is None else _inputs(model, case.image, out)
            if images is not None and case.image is not None and (wanted or misfit(model.card, case.image) is None):
                out[at] = _answered(case, model, images)
    return out


def _inputs(model: Model, first: Image, cases: Sequence[Case]) -> Mapping[str, Image] | None:
    """An image for every input: ``first``, and the only fitting one of the same frame of reference for each other."""
    channels = model.card.inputs
    if not takes(channels[0], first):
        return None
    images = {channels[0].name: first}
    for channel in channels[1:]:
        fitting = [c.image for c in cases if c.image is not None and takes(channel, c.image)]
        here = [image for image in fitting if image.grid.same_frame(first.grid)]
        if len(here) != 1:
            return None
        images[channel.name] = here[0]
    return images


def _answered(case: Case, model: Model, images: Mapping[str, Image]) -> Case:
    answer = {"detect": _detected, "classify": _classified}.get(model.card.task, _segmented)
    return answer(case, model, images)


def _detected(case: Case, model: Model, images: Mapping[str, Image]) -> Case:
    """A detector's findings, with the promise that can be made of them; where a rule or another model has found
    candidates already, theirs stand and this is told."""
    name = model.card.name
    if case.findings is not None:
        return replace(case, problems=(*case.problems, f"model {name}: not used, for candidates are there already"))
    try:
        return replace(case, findings=find(model, images, sensitivity=_promised(model)))
    except (HexscopeError, MemoryError) as error:
        return _told(case, model, error)


def _promised(model: Model) -> float | None:
    """The greatest of a few sensitivities that held-out patients let one promise; None: none."""
    try:
        held = held_out(model)
    except RefusedError:
        return None  # a model that segments keeps no such figures: its own score decides
    return next((target for target in _TARGETS if promise(held, target).threshold.feasible), None)


def _classified(case: Case, model: Model, images: Mapping[str, Image]) -> Case:
    """A classifier's scores with what cannot be excluded; what its gate found strange is told with them."""
    name = model.card.name
    try:
        return replace(case, classified=(*case.classified, Classified(name, classify(images, model))))
    except (HexscopeError, MemoryError) as error:
        return _told(case, model, error)


def _segmented(case: Case, model: Model, images: Mapping[str, Image]) -> Case:
    name = model.card.name
    try:
        made = model.predict(images)
        rows = tuple({**m.as_json(), "model": name} for m in measure(made.mask, _values(case.image)))
    except (HexscopeError, MemoryError) as error:
        return _told(case, model, error)
    told = tuple(f"model {name}: {warning}" for warning in made.warnings)
    outlined = Outlined(name, made.mask, made.expected_dice)
    return replace(
        case,
        outlined=(*case.outlined, outlined),
        measures=(*case.measures, *rows),
        problems=(*case.problems, *told),
    )


def _told(case: Case, model: Model, error: HexscopeError | MemoryError) -> Case:
    """The case with what stood in a model's way; what the input gate says bears the model's name already."""
    what = f"model {model.card.name}"
    said = str(error) if str(error).startswith(what) else problem(what, error)
    return replace(case, problems=(*case.problems, said))


def _values(image: Image | None) -> Image | None:
    """The image where its values can be measured: one number a pixel."""
    return image if image is not None and len(image.axes) == image.grid.ndim else None
