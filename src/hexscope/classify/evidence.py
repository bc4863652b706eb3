"""Why an answer: what of the image it rests on, and which labelled cases look alike. No gradient is needed, no torch.

Occlusion (Zeiler and Fergus 2014, doi:10.1007/978-3-319-10590-1_53): part after part of the image is replaced by the
mean of what surrounds it, and what the class loses is noted there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hexscope.classify.nearest import Alike, Gallery
from hexscope.core.image import Image
from hexscope.errors import UsageError
from hexscope.models.contract import Inputs
from hexscope.models.prepare import prepare, restore
from hexscope.models.scores import answered, look, parts_of, views
from hexscope.models.shelf import Model

Floats = NDArray[np.float32]

#: Windows along each axis, by number of axes; neighbours share half.
_WINDOWS = {2: 12, 3: 7}


def evidence(images: Inputs, model: Model, name: str | None = None) -> Image:
    """How much each part of the image speaks for the class ``name`` (None: the likeliest), on the image's own grid.

    The values are the loss of log-odds where a window about the pixel is hidden: above 0 it spoke for the class, below
    0 against it. Windows are a sixth of each side: small things are not placed more finely than that. Members that look
    at hand-made features are held as they are. UsageError for a class that the model does not know.
    """
    recipe, classifier = parts_of(model.card)
    classes = model.card.classes
    if name is not None and name not in classes:
        raise UsageError(f"model {model.card.name} does not know {name}; its classes: {', '.join(classes)}")
    if len(classifier.members) == classifier.trees:
        raise UsageError(f"model {model.card.name} rests on hand-made features alone: no place speaks for a class")
    prepared = prepare(images, recipe)
    graph = len(classifier.members) - classifier.trees
    weights, bias = np.array(classifier.weights[:graph]), np.array(classifier.bias)

    def log_odds(array: Floats) -> NDArray[np.float64]:
        answers, _ = answered(model.network, list(views(array, recipe, mirror=False)))
        pooled = classifier.pooled(answers)[: graph * len(classes)].reshape(graph, -1)
        logits = weights @ pooled + bias
        if not classifier.exclusive:
            return np.asarray(logits)
        p = classifier.probabilities(logits).clip(1e-9, 1 - 1e-9)
        return np.asarray(np.log(p / (1 - p)))

    whole = log_odds(prepared.array)
    chosen = int(whole.argmax()) if name is None else classes.index(name)
    lost = np.zeros(prepared.array.shape[1:], np.float64)
    counts = np.zeros_like(lost)
    for window in _windows(prepared.array.shape[1:], recipe.dims):
        drop = whole[chosen] - log_odds(_hidden(prepared.array, window))[chosen]
        share = _tent([s.stop - s.start for s in window])
        lost[window] += drop * share
        counts[window] += share
    values = restore((lost / counts).astype(np.float32)[None], prepared)[0]
    first = images if isinstance(images, Image) else images[recipe.channels[0].name]
    step = f"evidence: loss of log-odds of {classes[chosen]} by occlusion, model {model.card.name}"
    return Image.from_array(values, prepared.source, steps=(*first.steps, step), name=first.name)


def _windows(shape: tuple[int, ...], dims: int) -> list[tuple[slice, ...]]:
    """Windows that cover ``shape``; slices of a volume before a network for planes are hidden one at a time."""
    lead = len(shape) - dims
    sides = []
    for axis, n in enumerate(shape):
        count = n if axis < lead else min(_WINDOWS[dims], n)
        half = 0.5 if axis < lead else 1.0
        middles = (np.arange(count) + 0.5) * n / count
        ends = [(max(0, int(m - half * n / count)), min(n, int(np.ceil(m + half * n / count)))) for m in middles]
        sides.append([slice(a, b) for a, b in ends])
    return list(product(*sides))


def _tent(sides: Sequence[int]) -> NDArray[np.float64]:
    """What a window says counts most at its middle, so that no seams show."""
    out = np.ones(())
    for n in sides:
        out = np.multiply.outer(out, np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)).astype(np.float64))
    return np.asarray(out)


def _hidden(array: Floats, window: tuple[slice, ...]) -> Floats:
    """``array`` (planes, *spatial) with the mean of the window's surroundings in the window."""
    out = array.copy()
    wide = tuple(slice(max(0, s.start - (s.stop - s.start) // 2), s.stop + (s.stop - s.start) // 2) for s in window)
    for plane in out:
        around, inside = plane[wide], plane[window]
        rest = around.size - inside.size
        plane[window] = (around.sum(dtype=np.float64) - inside.sum(dtype=np.float64)) / rest if rest else plane.mean()
    return out


def nearest(images: Inputs, model: Model, count: int = 5) -> list[Alike]:
    """The labelled cases that look most like this one, by the features that the model itself looks at.

    Names and labels only. UsageError for a model that keeps no such cases.
    """
    gallery = Gallery.read(model.folder)
    if gallery is None:
        raise UsageError(f"model {model.card.name} keeps no labelled cases to compare with")
    return gallery.nearest(look(model.card, model.network, images).likeness, count)
