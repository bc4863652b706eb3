"""ModelCard: what a model is, what it wants, what it was measured on, and where its limits are."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hexscope.core.quantity import Quantity, require_quantity
from hexscope.errors import FormatError, QuantityError

TASKS = ("segment", "detect", "classify")


@dataclass(frozen=True)
class ModelCard:
    """The card of one model, read from TOML. A card that lacks a field is refused: no model without its papers.

    name, task    what it is called, and one of `TASKS`
    modality, quantity  the input contract; an image that does not keep it is refused by name
    classes       names of what it tells apart, in the order of their values
    trained_on, licence  the data and the terms of the weights
    metrics       name -> (mean, low, high, n) on patients it was never trained on
    limits        in plain words, what it must not be used for
    """

    name: str
    task: str
    modality: str
    quantity: Quantity
    classes: tuple[str, ...]
    trained_on: str
    licence: str
    limits: str
    metrics: Mapping[str, tuple[float, float, float, int]] = field(default_factory=dict)

    def check(self, modality: str, quantity: Quantity) -> None:
        """Raise QuantityError unless an image of this kind is what the model was made for."""
        if modality != self.modality:
            raise QuantityError(f"model {self.name} is made for {self.modality}; this image is {modality}")
        require_quantity(quantity, self.quantity, f"model {self.name}")

    @classmethod
    def from_toml(cls, path: Path) -> ModelCard:
        """Read a card; FormatError names the field that is missing or wrong."""
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
            metrics = {k: _metric(path, k, v) for k, v in data.get("metrics", {}).items()}
            card = cls(
                **{k: str(data[k]) for k in ("name", "task", "modality", "trained_on", "licence", "limits")},
                quantity=Quantity.named(data["quantity"]),
                classes=tuple(data["classes"]),
                metrics=metrics,
            )
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise FormatError(f"{path} is not TOML: {error}") from error
        except KeyError as error:
            raise FormatError(f"the card {path} lacks the field {error}") from error
        if card.task not in TASKS:
            raise FormatError(f"the card {path} names task {card.task!r}; known are {', '.join(TASKS)}")
        return card


def _metric(path: Path, name: str, value: Mapping[str, Any]) -> tuple[float, float, float, int]:
    if set(value) != {"mean", "low", "high", "n"}:
        raise FormatError(f"metric {name} of the card {path} needs mean, low, high and n; it has {sorted(value)}")
    return float(value["mean"]), float(value["low"]), float(value["high"]), int(value["n"])
