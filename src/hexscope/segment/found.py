"""What a rule gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Image


@dataclass(frozen=True)
class Found:
    """Named structures (bool arrays on ``grid``, may overlap), how they were found, and what to beware of."""

    grid: Grid
    parts: Mapping[str, NDArray[np.bool_]]
    method: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Offer:
    """The structures that a modality's rules can find; ``find`` is given some of ``names``."""

    names: tuple[str, ...]
    find: Callable[[Image, Sequence[str]], Found]
