"""The tree member: boosted trees over hand-made features, one ensemble for each division, their mean in use."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hexscope.classify.handmade import handmade
from hexscope.classify.trees import scores_of
from hexscope.train.classify_members import Floats, Member, Part, Shown
from hexscope.train.trees import Trees, grown


def tree_member(shown: Shown, asked: Floats, parts: Sequence[Part], exclusive: bool, seed: int) -> Member:
    """Trees learnt on each part's first rows, which score its second."""
    since = time.process_time()
    rows = [handmade([v.astype(np.float32) for v in shown.views[shown.owner == k]]) for k in range(shown.cases)]
    names = tuple(rows[0])
    table = np.array([[row[name] for name in names] for row in rows], np.float32)
    scores = np.full(asked.shape, np.nan, np.float32)
    every: dict[str, Trees] = {}
    for number, (fitted, held) in enumerate(parts):
        own = _ensembles(table[fitted], asked[fitted], names, exclusive, seed + number)
        scores[held] = scores_of({name: trees(table[held]) for name, trees in own.items()}, exclusive)
        every |= {f"division{number}_{name}": trees for name, trees in own.items()}
    return Member("trees", scores, None, time.process_time() - since, every)


def _ensembles(table: Floats, asked: Floats, names: tuple[str, ...], exclusive: bool, seed: int) -> Mapping[str, Trees]:
    """One ensemble for classes that exclude each other, else one a class."""
    if exclusive:
        return {"all": grown(table, asked.argmax(axis=1), names, classes=asked.shape[1], rounds=_ROUNDS, seed=seed)}
    each: NDArray[np.int64] = asked.astype(np.int64)
    return {
        f"class{k}": grown(table, each[:, k], names, classes=2, rounds=_ROUNDS, seed=seed) for k in range(each.shape[1])
    }


#: Trees an ensemble and class: little to learn from, and a mean over the divisions besides.
_ROUNDS = 80
