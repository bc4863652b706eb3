"""Scores of the tree member, whose graph lies beside the network's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.classify.handmade import handmade
from hexscope.errors import FormatError
from hexscope.models.trees import TreeGraph

Floats = NDArray[np.float32]

_LEAST = 1e-4


def scores_of(answers: Mapping[str, NDArray[Any]], exclusive: bool) -> Floats:
    """(rows, classes): the mean log-probabilities of ensembles, or of one ensemble a class its log-odds.

    answers  probabilities (rows, width) by ensemble; where classes do not exclude each other, names end with the class
    """
    if exclusive:
        logs = [np.log(np.clip(p, _LEAST, 1)) for p in answers.values()]
        return np.asarray(np.mean(logs, axis=0), np.float32)
    of: dict[int, list[NDArray[Any]]] = {}
    for name, p in answers.items():
        yes = np.clip(p[:, 1], _LEAST, 1 - _LEAST)
        of.setdefault(int(name.rpartition("class")[2]), []).append(np.log(yes / (1 - yes)))
    return np.stack([np.mean(of[k], axis=0) for k in sorted(of)], axis=1).astype(np.float32)


def tree_scores(graph: TreeGraph, views: Sequence[Floats], exclusive: bool) -> Floats:
    """(classes,) of one case from its views. FormatError where the trees ask for features of another kind."""
    found = handmade(views)
    lacking = [name for name in graph.features if name not in found]
    if lacking:
        raise FormatError(f"the model's trees ask for features that are not taken any more: {', '.join(lacking[:3])}")
    table = np.array([[found[name] for name in graph.features]], np.float32)
    return np.asarray(scores_of(graph.run(table), exclusive)[0])
