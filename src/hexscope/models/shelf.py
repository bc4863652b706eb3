"""Where models lie and how a name finds one: shipped with Hexscope, in $HEXSCOPE_MODELS, or a folder that is named.

A model folder holds ``card.toml`` and ``weights.onnx`` (and ``weights.int8.onnx`` where that gave the same answers in
validation), and may hold its plan, its training, its report, and ``gate.json``, by which it knows what it was made
for.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from hexscope.errors import FormatError, HexscopeError, InputError, NoModelError, UsageError
from hexscope.models.apply import Prediction, predict
from hexscope.models.card import ModelCard
from hexscope.models.contract import Inputs
from hexscope.models.gatekeeper import GATE, read_gate, warnings
from hexscope.models.runtime import Network
from hexscope.models.trees import TreeGraph
from hexscope.trust.gate import Gate

CARD = "card.toml"
#: Weights by preference: quantised ones are only there where validation showed no loss.
WEIGHTS = ("weights.int8.onnx", "weights.onnx")
#: Trees over features, where the card names them.
TREES = "classifier.onnx"
#: What of a model folder travels when it is imported, and how large a file may be. Checkpoints stay behind.
_TRAVELS = (CARD, "plan.json", "report.html", GATE, "classifier.onnx", "calibration.json", "nearest.npz", *WEIGHTS)
_LARGEST_BYTES = 2 << 30
_SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True, eq=False)
class Model:
    """A card and the folder it lies in; network and input gate are opened when they are first needed and kept.

    forced  what its gate would refuse is told as a warning only
    """

    card: ModelCard
    folder: Path
    forced: bool = False

    @classmethod
    def open(cls, folder: Path) -> Model:
        """The model in ``folder``. FormatError names what its card lacks, InputError a folder without one."""
        if not (folder / CARD).is_file():
            raise InputError(f"{folder} is no model folder: it holds no {CARD}")
        return cls(ModelCard.from_toml(folder / CARD), folder)

    @property
    def weights(self) -> Path:
        """The file of weights that is used. NoModelError where there is none."""
        for name in WEIGHTS:
            if (self.folder / name).is_file():
                return self.folder / name
        raise NoModelError(f"model {self.card.name} has no weights: {self.folder} holds none of {', '.join(WEIGHTS)}")

    @cached_property
    def network(self) -> Network:
        return Network(self.weights)

    @cached_property
    def trees(self) -> TreeGraph:
        """The trees of a classifier that lies beside the network. InputError where there is none."""
        return TreeGraph(self.folder / TREES)

    @cached_property
    def gate(self) -> Gate | None:
        return read_gate(self.folder)

    def admit(self, images: Inputs) -> tuple[str, ...]:
        """What to beware of with this case, by the input gate. RefusedError where it is far from all that the model was
        trained on, unless ``forced``."""
        return warnings(self.gate, self.card, images, force=self.forced)

    def predict(self, images: Inputs) -> Prediction:
        """The answer on one case: ``images`` by input name, or the image of its only input. See `admit`."""
        if self.card.task != "segment":
            raise NoModelError(f"model {self.card.name} is made to {self.card.task}, not to segment")
        beware = self.admit(images)
        made = predict(self.card, self.network, images)
        if not beware:
            return made
        mask = replace(made.mask, steps=(*made.mask.steps, *(f"warning: {w}" for w in beware)))
        return replace(made, mask=mask, warnings=(*beware, *made.warnings))


@dataclass(frozen=True)
class Shelf:
    """The models that were found, shipped ones first, and what stood in the way of others."""

    models: tuple[Model, ...]
    broken: tuple[str, ...] = ()


def user_folder() -> Path:
    """Where a user's own models lie: the first of $HEXSCOPE_MODELS, else in the user's data folder."""
    return _user_folders()[0]


def _user_folders() -> list[Path]:
    wish = [Path(p) for p in os.environ.get("HEXSCOPE_MODELS", "").split(os.pathsep) if p]
    if wish:
        return wish
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return [base / "hexscope" / "models"]


def _folders() -> Iterator[Path]:
    for shelf in (_SHIPPED, *_user_folders()):
        if shelf.is_dir():
            yield from sorted(p.parent for p in shelf.glob(f"*/{CARD}"))


def shelf() -> Shelf:
    """Every model that can be found. A broken card is told and never hides the others."""
    models, broken = [], []
    for folder in _folders():
        try:
            models.append(Model.open(folder))
        except HexscopeError as error:
            broken.append(str(error))
    return Shelf(tuple(models), tuple(broken))


def find_model(name: str | Path) -> Model:
    """The model of that folder, or of that name on the shelf. NoModelError lists those that are there."""
    folder = Path(name)
    if (folder / CARD).is_file():
        return Model.open(folder)
    if folder.is_file() and folder.name == CARD:
        return Model.open(folder.parent)
    for place in _folders():
        if place.name == str(name):
            return Model.open(place)
    found = shelf().models
    for model in found:
        if model.card.name == str(name):
            return model
    names = ", ".join(m.card.name for m in found) or "none"
    raise NoModelError(f"{name} is no model folder and no model of that name is known; known are: {names}")


def import_model(folder: Path, out: Path) -> Model:
    """Copy a model folder to ``out`` after looking at it: a whole card, weights that run, files of a sane size.

    Only the card, plan, report and weights travel. FormatError or InputError say what is wrong; nothing is left then.
    """
    if (folder / "plans.json").is_file() and (folder / "dataset.json").is_file():
        raise UsageError(
            f"{folder} is an nnU-Net results folder; its weights need torch and its own code to become a graph. Export "
            "it to ONNX there, and write a card beside it (CONTRIBUTING.md, 'Add a model')"
        )
    model = Model.open(folder)
    _require_sane(model)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is there already and not empty; name a new folder")
    beside = out.with_name(f".{secrets.token_hex(6)}")
    try:
        beside.mkdir(parents=True)
        for name in _TRAVELS:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, beside / name)
        if out.exists():
            out.rmdir()
        os.replace(beside, out)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Model.open(out)


def _require_sane(model: Model) -> None:
    for name in _TRAVELS:
        path = model.folder / name
        if path.is_symlink():
            raise FormatError(f"{path} is a link; a model folder holds its files itself")
        if path.is_file() and path.stat().st_size > _LARGEST_BYTES:
            raise FormatError(f"{path} is {path.stat().st_size / 2**30:.1f} GB; weights are smaller")
    if model.card.recipe is None:
        raise FormatError(f"the card {model.folder / CARD} has no recipe: it does not say what its network sees")
    read_gate(model.folder)
    model.network.require_fit(model.card.recipe.planes, model.card.recipe.dims, model.card.outputs)
