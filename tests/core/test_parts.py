"""Quantity, patches, cards and the fault table."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hexscope
from hexscope.core.faults import FAULTS, Fault
from hexscope.core.patches import stitch, tiles
from hexscope.core.quantity import Quantity, require_quantity
from hexscope.errors import FormatError, QuantityError, UsageError
from hexscope.models.card import ModelCard

CARD = """
name = "liver-v1"
task = "segment"
modality = "CT"
quantity = "HU"
classes = ["liver"]
trained_on = "30 cases of our own"
licence = "Apache-2.0"
limits = "adults, portal venous phase"
[metrics.dice]
mean = 0.91
low = 0.88
high = 0.94
n = 12
"""


def test_quantity_is_its_name() -> None:
    assert Quantity.named("suvBW") is Quantity.SUVBW and Quantity.HU == "HU"
    with pytest.raises(UsageError, match="SUVbw"):
        Quantity.named("SUV")
    with pytest.raises(QuantityError, match="expects SUVbw, this image is Bq/ml"):
        require_quantity(Quantity.BQML, Quantity.SUVBW, "detect")


@given(st.lists(st.integers(1, 23), min_size=2, max_size=3), st.integers(3, 9), st.integers(0, 2))
def test_stitch_of_tiles_is_the_whole(shape: list[int], size: int, overlap: int) -> None:
    whole = np.arange(np.prod(shape)).reshape(shape).astype(np.float64)
    regions = list(tiles(shape, [size] * len(shape), overlap))
    assert np.allclose(stitch(((r, whole[r]) for r in regions), shape, np.float64), whole)
    assert all(s.stop - s.start == min(size, n) for r in regions for s, n in zip(r, shape, strict=True))


def test_stitch_wants_every_pixel() -> None:
    with pytest.raises(UsageError, match="cover"):
        stitch([((slice(0, 2), slice(0, 3)), np.ones((2, 3)))], (3, 3))
    with pytest.raises(UsageError, match="overlap"):
        list(tiles((5, 7), (3, 3), 3))


def test_a_card_keeps_its_contract(tmp_path: Path) -> None:
    file = tmp_path / "card.toml"
    file.write_text(CARD)
    card = ModelCard.from_toml(file)
    assert card.metrics["dice"] == (0.91, 0.88, 0.94, 12)
    card.check("CT", Quantity.HU)
    with pytest.raises(QuantityError, match="liver-v1 expects HU, this image is arbitrary"):
        card.check("CT", Quantity.ARBITRARY)
    with pytest.raises(QuantityError, match="made for CT"):
        card.check("MR", Quantity.ARBITRARY)


@pytest.mark.parametrize("field", ["licence", "limits", "trained_on", "quantity", "classes"])
def test_no_model_without_its_papers(tmp_path: Path, field: str) -> None:
    file = tmp_path / "card.toml"
    file.write_text("\n".join(line for line in CARD.splitlines() if not line.startswith(field)))
    with pytest.raises(FormatError, match=field):
        ModelCard.from_toml(file)


def test_every_fault_has_a_remedy_in_both_languages() -> None:
    for code, kind in FAULTS.items():
        assert re.fullmatch(r"(file|series|geometry|value|registration)\.[a-z_]+", code)
        assert kind.remedy.endswith(".") and re.search(r"[一-鿿]", kind.remedy_zh), code


def test_an_unknown_code_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        Fault("geometry.invented", "x")


def test_every_code_used_is_in_the_table() -> None:
    """Codes are strings in many files; each must be a row of the one table."""
    pattern = re.compile(r'"((?:file|series|geometry|value|registration)\.[a-z_]+)"')
    for path in Path(hexscope.__file__).parent.rglob("*.py"):
        for code in pattern.findall(path.read_text(encoding="utf-8")):
            assert code in FAULTS, f"{path.name} uses {code}"
