"""What every model that ships must keep: a whole card, figures with interval and n, a gate, a recipe, small weights."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import hexscope
from hexscope.models.gatekeeper import GATE
from hexscope.models.shelf import CARD, WEIGHTS, Model

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = Path(hexscope.__file__).parent / "models" / "shipped"
FOLDERS = sorted(path.parent for path in SHIPPED.glob(f"*/{CARD}"))
_LARGEST_BYTES = 3_000_000


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name)
def model(request: pytest.FixtureRequest) -> Model:
    return Model.open(request.param)


class CardTests:
    """The contract of a model on the shelf."""

    def test_the_card_is_whole(self, model: Model) -> None:
        card = model.card
        for word in (card.name, card.trained_on, card.licence, card.limits, card.split):
            assert word.strip()
        assert card.recipe is not None and card.fingerprint["cases"] > 0 and card.training["hexscope"]
        assert len(card.classes) == len(card.values) and len(set(card.classes)) == len(card.classes)

    def test_figures_have_their_interval_and_n(self, model: Model) -> None:
        assert model.card.metrics
        for mean, low, high, n in model.card.metrics.values():
            assert n >= 1 and (n < 2 or low is None or low <= mean <= high)

    def test_weights_are_small_and_one_file(self, model: Model) -> None:
        held = [name for name in WEIGHTS if (model.folder / name).is_file()]
        assert held == [model.weights.name]
        assert model.weights.stat().st_size < _LARGEST_BYTES

    def test_the_network_answers_as_the_card_says(self, model: Model) -> None:
        card = model.card
        assert card.recipe is not None
        session = onnxruntime.InferenceSession(str(model.weights), providers=["CPUExecutionProvider"])
        tile = card.recipe.frame or card.recipe.tile
        seen = np.random.default_rng(0).normal(0, 1, (1, card.recipe.planes, *tile)).astype(np.float32)
        (answer,) = session.run(None, {session.get_inputs()[0].name: seen})
        assert answer.shape[:2] == (1, card.outputs) and np.isfinite(answer).all()

    def test_it_has_a_recipe_and_a_plan(self, model: Model) -> None:
        recipe = tomllib.loads((ROOT / "recipes" / f"{model.folder.name}.toml").read_text(encoding="utf-8"))
        assert (recipe["name"], recipe["task"]) == (model.card.name, model.card.task)
        assert recipe["papers"]["licence"] == model.card.licence
        assert (model.folder / "plan.json").is_file() and (model.folder / GATE).is_file()

    def test_notice_names_the_terms(self, model: Model) -> None:
        notice = " ".join((ROOT / "NOTICE").read_text(encoding="utf-8").split())
        assert model.folder.name in notice


class TestShippedModels(CardTests):
    def test_there_are_some_with_names_of_their_own(self) -> None:
        names = [Model.open(folder).card.name for folder in FOLDERS]
        assert len(names) >= 5 and len(set(names)) == len(names)
