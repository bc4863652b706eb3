"""Every feature that is computed has the reference value of the IBSI's digital phantom, within its tolerance."""

from __future__ import annotations

import pytest

from tests.radiomics.ibsi_phantom import computed, references

REFERENCES = list(references())


@pytest.fixture(scope="module")
def values() -> dict[str, float]:
    return computed()


@pytest.mark.parametrize(
    ("name", "code", "value", "tolerance"), REFERENCES, ids=[f"{n}-{c}" for n, c, *_ in REFERENCES]
)
def test_reference_value(name: str, code: str, value: float, tolerance: float, values: dict[str, float]) -> None:
    assert values[name] == pytest.approx(value, abs=tolerance * (1 + 1e-9), rel=0), f"{name} ({code})"


def test_every_feature_has_its_reference(values: dict[str, float]) -> None:
    assert set(values) == {name for name, *_ in REFERENCES}
    assert len(values) == 482 and len({code for _, code, *_ in REFERENCES}) >= 165
