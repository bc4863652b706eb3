"""ModelCard: what a model is, what it wants, what it was measured on, and where its limits are."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hexscope.core.quantity import Quantity, require_quantity
from hexscope.errors import FormatError, QuantityError
from hexscope.models.classifier import Classifier
from hexscope.models.detector import Detector, planes
from hexscope.models.recipe import Channel, Recipe
from hexscope.models.toml import dump

TASKS = ("segment", "detect", "classify")
_WORDS = ("name", "task", "modality", "trained_on", "licence", "limits")

Metric = tuple[float, float, float, int]


@dataclass(frozen=True)
class ModelCard:
    """The card of one model, read from TOML. A card that lacks a field is refused: no model without its papers.

    name, task    what it is called, and one of `TASKS`
    modality, quantity  the input contract (of the first input, where there are several); an image that does not keep
                  it is refused by name
    classes       names of what it tells apart, in the order of their values
    trained_on, licence  the data and the terms of the weights
    limits        in plain words, what it must not be used for
    metrics       name -> (mean, low, high, n) on patients it was never trained on
    values        label values of the classes in the masks it gives; 1, 2, … where the card does not say
    split         how those patients were set apart
    fingerprint   what the training data were like (counts, spacings, ranges), in plain figures
    recipe        how an image becomes what the network sees; None: a card without a network
    detector      how its stages find objects; None: it detects nothing
    classifier    how the scores of its members become probabilities; None: it classifies nothing
    training      how it was made: seed, iterations, CPU seconds, version
    anatomy       words for the part of the body it is made for; `study` uses it unasked only where the image says one
    warn_below    an expected Dice (see `hexscope.models.apply`) below this is told as a warning; None: never
    """

    name: str
    task: str
    modality: str
    quantity: Quantity
    classes: tuple[str, ...]
    trained_on: str
    licence: str
    limits: str
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    values: tuple[int, ...] = ()
    split: str = ""
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    warn_below: float | None = None
    anatomy: tuple[str, ...] = ()
    classifier: Classifier | None = None
    detector: Detector | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", self.values or tuple(range(1, len(self.classes) + 1)))

    @property
    def inputs(self) -> tuple[Channel, ...]:
        """What it wants, one entry an input; the answer lies on the grid of the first."""
        return self.recipe.channels if self.recipe else (Channel("image", self.modality, self.quantity),)

    @property
    def outputs(self) -> int:
        """Planes (of a classifier: numbers) of its network's answer: see `hexscope.models.recipe.Target`."""
        if self.classifier is not None:
            return self.classifier.outputs
        if self.detector is not None and self.recipe is not None:
            return planes(len(self.classes), self.recipe.dims)
        target, dims = ("classes", 0) if self.recipe is None else (self.recipe.target, self.recipe.dims)
        return {"classes": len(self.classes) + 1, "overlapping": len(self.classes), "instances": 1 + dims}[target]

    def check(self, modality: str, quantity: Quantity) -> None:
        """Raise QuantityError unless an image of this kind is what the model was made for."""
        if modality != self.modality:
            raise QuantityError(f"model {self.name} is made for {self.modality}; this image is {modality}")
        require_quantity(quantity, self.quantity, f"model {self.name}")

    def as_data(self) -> dict[str, Any]:
        """As plain data: the card as TOML or JSON. What is empty is left out."""
        out: dict[str, Any] = {key: getattr(self, key) for key in _WORDS}
        out |= {"quantity": self.quantity.value, "classes": list(self.classes), "values": list(self.values)}
        out |= {key: value for key in ("split", "warn_below") if (value := getattr(self, key)) not in ("", None)}
        if self.anatomy:
            out["anatomy"] = list(self.anatomy)
        out["metrics"] = {k: dict(zip(("mean", "low", "high", "n"), v, strict=True)) for k, v in self.metrics.items()}
        out |= {key: dict(value) for key in ("fingerprint", "training") if (value := getattr(self, key))}
        if self.recipe is not None:
            out["recipe"] = self.recipe.as_data()
        if self.detector is not None:
            out["detector"] = self.detector.as_data()
        if self.classifier is not None:
            out["classifier"] = self.classifier.as_data()
        return out

    def to_toml(self) -> str:
        """The text of the card, as ``from_toml`` reads it."""
        return dump(self.as_data())

    @classmethod
    def from_toml(cls, path: Path) -> ModelCard:
        """Read a card; FormatError names the field that is missing or wrong."""
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
            card = cls.from_data(data, path)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise FormatError(f"{path} is not TOML: {error}") from error
        except OSError as error:
            raise FormatError(f"the card {path} cannot be read ({error.strerror})") from error
        except KeyError as error:
            raise FormatError(f"the card {path} lacks the field {error}") from error
        except (TypeError, ValueError, FormatError) as error:
            raise FormatError(f"the card {path} is broken: {error}") from error
        return card

    @classmethod
    def from_data(cls, data: Mapping[str, Any], where: Path) -> ModelCard:
        """From what ``as_data`` gave. KeyError or FormatError where a field is missing or wrong."""
        card = cls(
            **{k: str(data[k]) for k in _WORDS},
            quantity=Quantity.named(data["quantity"]),
            classes=tuple(data["classes"]),
            metrics={k: _metric(where, k, v) for k, v in data.get("metrics", {}).items()},
            values=tuple(int(v) for v in data.get("values", ())),
            split=str(data.get("split", "")),
            fingerprint=data.get("fingerprint", {}),
            recipe=Recipe.from_data(data["recipe"]) if "recipe" in data else None,
            detector=Detector.from_data(data["detector"]) if "detector" in data else None,
            classifier=Classifier.from_data(data["classifier"]) if "classifier" in data else None,
            training=data.get("training", {}),
            warn_below=data.get("warn_below"),
            anatomy=tuple(data.get("anatomy", ())),
        )
        card._require_sense()
        return card

    def _require_sense(self) -> None:
        if self.task not in TASKS:
            raise FormatError(f"it names task {self.task!r}; known are {', '.join(TASKS)}")
        if not self.classes or len(self.values) != len(self.classes) or min(self.values) < 1:
            raise FormatError(f"it names classes {self.classes} with values {self.values}; each needs one above 0")
        if (self.classifier is None) == (self.recipe is not None and self.recipe.target == "scores"):
            raise FormatError("a recipe with the target scores and a classifier come together")
        if self.classifier is not None and len(self.classifier.bias) != len(self.classes):
            raise FormatError(f"its classifier has {len(self.classifier.bias)} biases for {len(self.classes)} classes")
        first = self.inputs[0]
        if (first.modality, first.quantity) != (self.modality, self.quantity):
            raise FormatError(
                f"it says {self.modality} in {self.quantity.value} and its recipe says {first.modality} in "
                f"{first.quantity.value}"
            )


def _metric(path: Path, name: str, value: Mapping[str, Any]) -> Metric:
    if set(value) != {"mean", "low", "high", "n"}:
        raise FormatError(f"metric {name} of the card {path} needs mean, low, high and n; it has {sorted(value)}")
    return float(value["mean"]), float(value["low"]), float(value["high"]), int(value["n"])
