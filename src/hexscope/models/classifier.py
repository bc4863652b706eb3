"""How the answer of a classifier's network becomes probabilities: members, their weights, and what is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import FormatError, UsageError

Floats = NDArray[np.float64]

#: How the scores of several views of one image become one: their mean, or the mean of each class's highest quarter.
Pool = Literal["mean", "top"]
POOLS: tuple[Pool, ...] = ("mean", "top")
_TOP = 0.25


@dataclass(frozen=True)
class Classifier:
    """Members whose scores are weighed into one logit a class.

    The network answers a view with ``members x classes`` scores, member by member, and then ``likeness`` numbers that
    are alike where images look alike.

    members    names in the order of the scores; with ``trees``, hand-made features are the last
    weights    one a member, none below 0
    bias       one a class
    exclusive  exactly one class holds; else each holds or not by itself
    mirror     the mirror image along the last axis is a view too
    pool       how views of one image become one, see ``Pool``
    trees      the last member is no part of the network: trees over hand-made features, in a graph of their own
    likeness   how many numbers say what an image looks like; 0: none
    """

    members: tuple[str, ...]
    weights: tuple[float, ...]
    bias: tuple[float, ...]
    exclusive: bool = True
    mirror: bool = False
    pool: Pool = "mean"
    trees: bool = False
    likeness: int = 0

    def __post_init__(self) -> None:
        if not self.members or len(self.weights) != len(self.members) or min(self.weights) < 0:
            raise UsageError(f"each member needs a weight, none below 0; got {self.members} with {self.weights}")
        if self.pool not in POOLS or self.likeness < 0:
            raise UsageError(f"pool is one of {', '.join(POOLS)} and likeness a number; got {self.pool!r}")

    @property
    def outputs(self) -> int:
        """Numbers that the network answers a view with."""
        return (len(self.members) - self.trees) * len(self.bias) + self.likeness

    def pooled(self, views: NDArray[Any]) -> Floats:
        """What the views (views, numbers) say together: (numbers,)."""
        values = np.asarray(views, dtype=np.float64)
        if self.pool == "mean" or len(values) < 2:
            return np.asarray(values.mean(axis=0))
        count = max(1, round(_TOP * len(values)))
        return np.asarray(np.sort(values, axis=0)[-count:].mean(axis=0))

    def logits(self, scores: NDArray[Any]) -> Floats:
        """(…, classes) of the members' ``scores`` (…, members, classes)."""
        weighed = np.asarray(scores, np.float64) * np.array(self.weights)[:, None]
        return np.asarray(weighed.sum(axis=-2) + np.array(self.bias))

    def probabilities(self, logits: NDArray[Any], temperature: float = 1.0) -> Floats:
        """(…, classes): they sum to 1 where classes exclude each other, else each lies between 0 and 1."""
        x = np.asarray(logits, dtype=np.float64) / temperature
        if not self.exclusive:
            return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))
        x = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.asarray(x / x.sum(axis=-1, keepdims=True))

    def as_data(self) -> dict[str, Any]:
        """As plain data for TOML or JSON."""
        return {
            "members": list(self.members),
            "weights": [float(f"{w:.6g}") for w in self.weights],
            "bias": [float(f"{b:.6g}") for b in self.bias],
            "exclusive": self.exclusive,
            "mirror": self.mirror,
            "pool": self.pool,
            "trees": self.trees,
            "likeness": self.likeness,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Classifier:
        """From what ``as_data`` gave. FormatError names the field that is missing or wrong."""
        try:
            return cls(
                members=tuple(str(m) for m in data["members"]),
                weights=tuple(float(w) for w in data["weights"]),
                bias=tuple(float(b) for b in data["bias"]),
                exclusive=bool(data.get("exclusive", True)),
                mirror=bool(data.get("mirror", False)),
                pool=data.get("pool", "mean"),
                trees=bool(data.get("trees", False)),
                likeness=int(data.get("likeness", 0)),
            )
        except KeyError as error:
            raise FormatError(f"the classifier lacks the field {error}") from error
        except (TypeError, ValueError, UsageError) as error:
            raise FormatError(f"the classifier is broken: {error}") from error
