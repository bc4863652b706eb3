"""The labelled cases that look most like an image: names and labels only, features as a small table of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import FormatError

#: Where a model folder keeps it.
NEAREST = "nearest.npz"
#: Numbers beyond so many deviations are cut off.
_REACH = 4.0


@dataclass(frozen=True)
class Alike:
    """A labelled case, and how much it looks like the image: 1 the same, 0 nothing in common."""

    case: str
    label: str
    likeness: float


@dataclass(frozen=True, eq=False)
class Gallery:
    """Labelled cases by what they look like: (cases, numbers) in 127ths of `_REACH` deviations."""

    cases: tuple[str, ...]
    labels: tuple[str, ...]
    table: NDArray[np.int8]

    def nearest(self, likeness: NDArray[np.floating], count: int = 5) -> list[Alike]:
        """The ``count`` cases most like an image of this ``likeness`` (numbers,), by the cosine of the angle."""
        table = self.table.astype(np.float64)
        one = np.clip(likeness / _REACH, -1, 1) * 127
        cosine = table @ one / (np.linalg.norm(table, axis=1) * np.linalg.norm(one) + 1e-9)
        order = np.argsort(-cosine, kind="stable")[:count]
        return [Alike(self.cases[k], self.labels[k], round(float(max(cosine[k], 0.0)), 4)) for k in order]

    @classmethod
    def of(cls, likeness: NDArray[np.floating], cases: Sequence[str], labels: Sequence[str]) -> Gallery:
        """From what the cases look like: ``likeness`` (cases, numbers) with a deviation of 1."""
        table = np.round(np.clip(likeness / _REACH, -1, 1) * 127).astype(np.int8)
        return cls(tuple(cases), tuple(labels), table)

    def write(self, path: Path) -> None:
        """As a file that ``read`` takes."""
        with path.open("wb") as stream:
            np.savez_compressed(
                stream, allow_pickle=False, table=self.table, cases=np.array(self.cases), labels=np.array(self.labels)
            )

    @classmethod
    def read(cls, folder: Path) -> Gallery | None:
        """That of a model folder; None where it keeps none."""
        path = folder / NEAREST
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as data:
                return cls(tuple(data["cases"].tolist()), tuple(data["labels"].tolist()), data["table"].astype(np.int8))
        except (OSError, ValueError, KeyError) as error:
            raise FormatError(f"{path} is broken: {error}") from error
