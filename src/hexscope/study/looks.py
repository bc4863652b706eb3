"""Does a picture look like what its header says? Asked of models whose classes are modalities and what they show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hexscope.classify import classify
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.errors import HexscopeError
from hexscope.modality import ALL
from hexscope.models.card import ModelCard
from hexscope.models.shelf import Model
from hexscope.study.result import Case

_CODES = frozenset(modality.code for modality in ALL)
_SILENT = "OT"
_SIDE_PX = 256
#: What eight patients of a class can promise: more would need more of each, and nothing would ever be excluded.
_COVERAGE = 0.85


def recognises(card: ModelCard) -> bool:
    """Does the model tell what an image is? It takes any, and each class begins with the code of a modality."""
    takes_any = card.task == "classify" and len(card.inputs) == 1 and card.inputs[0].modality == _SILENT
    return takes_any and all(name.split()[0] in _CODES for name in card.classes)


def compared(case: Case, model: Model) -> Case:
    """The case, and a word where the header is silent or says another modality than the picture's.

    Nothing is told where the model cannot tell, nor where the picture is strange to it: it knows few parts of the body.
    """
    plane = None if case.image is None else _plane(case.image)
    if case.image is None or plane is None:
        return case
    try:
        said = classify(plane, model, coverage=_COVERAGE)
    except (HexscopeError, MemoryError):
        return case  # the gate refused it: of such an image the model knows nothing
    likely, header = max(said.probabilities, key=said.probabilities.__getitem__), case.image.modality
    sure = said.set == (likely,) and not any(w.startswith("input gate") for w in said.warnings)
    if not sure or likely.split()[0] == header:
        return case
    states = "does not say what it is" if header == _SILENT else f"says {header}"
    told = (
        f"model {model.card.name}: the header {states}; the picture looks like {likely} (score "
        f"{said.probabilities[likely]:.2f}). Look at it, and declare what it is where the header is wrong"
    )
    return replace(case, problems=(*case.problems, told))


def plain(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A plane as the pictures that such a model learns from (recipes/body_part.py): 8 bits from the 1st to the 99th
    percentile, the longer side `_SIDE_PX` at most."""
    from PIL import Image as Picture

    low, high = np.percentile(plane, [1, 99])
    grey = np.clip((plane - low) / max(float(high - low), 1e-6) * 255, 0, 255).astype(np.uint8)
    made = Picture.fromarray(grey)
    made.thumbnail((_SIDE_PX, _SIDE_PX))
    return np.asarray(made)


def _plane(image: Image) -> Image | None:
    """The middle plane as a plain picture, without what the header says; None where there is no one plane."""
    array = np.asarray(image.array, np.float32)
    if image.quantity is Quantity.RGB:
        array = array.mean(axis=-1)
    if array.ndim == 3:
        array = array[len(array) // 2]
    if array.ndim != 2:
        return None
    return Image.from_array(plain(array), name=image.name)
