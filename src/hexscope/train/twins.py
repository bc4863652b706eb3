"""Held-out images once more, as another machine might have made them: what members of a stack are weighed on besides.

Cases that are held out come from the same machines as those that were learnt from. There a member looks best that reads
what is theirs alone; elsewhere it fails. So the weights are also of cases turned, resized, re-windowed and blurred, by
the very changes under which networks learn (Taori 2020, doi:10.48550/arXiv.2007.00644, on why held-out is not enough).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from hexscope.train.augment import Changes, matrices, moved, recoloured
from hexscope.train.classify_members import Indices, Part, Shown
from hexscope.train.whole_net import Framed

_BATCH = 64
#: Cases that get a twin at most: a stack has few weights.
_MOST = 1500


def with_twins(
    shown: Shown, parts: Sequence[Part], changes: Changes, room: float, seed: int
) -> tuple[Shown, tuple[Part, ...], Indices]:
    """``shown`` with changed twins of held-out cases behind it, held out where their cases are, and whose they are.

    room  part of a side by which the middle of what is shown may wander
    """
    held = np.unique(np.concatenate([out for _, out in parts]))
    of = held[:: -(-len(held) // _MOST)]
    inside = np.isin(shown.owner, of)
    number = np.zeros(shown.cases, np.intp)
    number[of] = shown.cases + np.arange(len(of))
    views = np.concatenate([shown.views, _changed(shown.views[inside], changes, room, seed)])
    owner = np.concatenate([shown.owner, number[shown.owner[inside]]])
    more = tuple((fitted, np.concatenate([out, number[out[np.isin(out, of)]]])) for fitted, out in parts)
    return replace(shown, views=views, owner=owner, cases=shown.cases + len(of)), more, of


def _changed(views: NDArray[np.float16], changes: Changes, room: float, seed: int) -> NDArray[np.float16]:
    chance = torch.Generator().manual_seed(seed)
    frame = views.shape[2:]
    cutter = Framed(frame, room)
    out = np.empty_like(views)
    for start in range(0, len(views), _BATCH):
        images = torch.from_numpy(views[start : start + _BATCH].astype(np.float32))
        linear = matrices(changes, (1.0,) * len(frame), len(images), chance)
        nothing = torch.zeros((len(images), 1), dtype=torch.uint8)
        image, _, _ = moved(images, nothing, linear, cutter.shift(len(images), chance), frame, 1)
        out[start : start + _BATCH] = recoloured(image, changes, chance).numpy()
    return out
