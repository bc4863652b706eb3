"""The recipes of the models that ship: whole, of known sets, with their papers."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from hexscope.core.quantity import Quantity
from hexscope.io.datasets import find_set

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
KEYS = {"set", "task", "name", "minutes", "kinds", "papers"}
MORE = {"division", "folds", "seed", "inputs", "classes", "set_choices"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_a_recipe_is_whole(path: Path) -> None:
    recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    assert set(recipe) >= KEYS and set(recipe) <= KEYS | MORE
    if recipe["task"] != "classify":  # those are always measured by folds
        assert ("folds" in recipe) != (recipe.get("division") == "every fifth")
    assert set(recipe["papers"]) == {"trained_on", "licence", "limits", "anatomy"} and all(recipe["papers"].values())
    if recipe["set"] != "body-part":  # made of several sets, each with a licence of its own
        known = find_set(recipe["set"])
        assert recipe["papers"]["licence"].split()[0] == known.licence.split()[0], "weights follow their data"
    for kind in recipe["kinds"].values():
        if ":" in kind:
            Quantity.named(kind.partition(":")[2])
    assert recipe["set"] != "mr-brain-labels", "evaluation only"


def test_the_set_of_body_parts_is_made_of_sets_that_may_be_learnt_from() -> None:
    script = (ROOT / "recipes" / "body_part.py").read_text(encoding="utf-8")
    named = re.findall(r'Source\("[^"]+", "([^"]+)"', script)
    assert len(named) == 9 and all(find_set(name) for name in named)
    assert not {"mr-brain-labels", "fusion-pairs"} & set(named), "evaluation only"


def test_there_are_recipes() -> None:
    names = [tomllib.loads(p.read_text(encoding="utf-8"))["name"] for p in RECIPES]
    assert len(names) == len(set(names)) >= 5
