"""The input gate of a model folder: what it knows of its training images, and whether a case may pass."""

from __future__ import annotations

import json
from pathlib import Path

from hexscope.errors import FormatError, RefusedError
from hexscope.models.card import ModelCard
from hexscope.models.contract import Inputs
from hexscope.models.fingerprint import fingerprint
from hexscope.trust.gate import Gate, GateVerdict

#: Numbers of the training images, beside the card.
GATE = "gate.json"


def read_gate(folder: Path) -> Gate | None:
    """The gate in a model folder; None where it has none. FormatError where it is broken."""
    path = folder / GATE
    if not path.is_file():
        return None
    try:
        return Gate.from_data(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} cannot be read: {error}") from error
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def judge(gate: Gate, card: ModelCard, images: Inputs) -> GateVerdict | None:
    """What the gate says of one case; None for a card without a network. Raises what preparing raises."""
    return None if card.recipe is None else gate.judge(fingerprint(images, card.recipe))


def warnings(gate: Gate | None, card: ModelCard, images: Inputs, *, force: bool) -> tuple[str, ...]:
    """What to beware of with this case. RefusedError where it is far from all that the model was trained on."""
    said = None if gate is None or gate.silent else judge(gate, card, images)
    if said is None or said.verdict == "pass":
        return ()
    if said.verdict == "refuse" and not force:
        raise RefusedError(
            f"model {card.name}: {said.sentence}. Look at the input; pass force=True (--force) only if you know that "
            "the model may see it"
        )
    return (f"input gate: {said.sentence}",)
