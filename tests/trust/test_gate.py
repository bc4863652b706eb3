"""The input gate on rows of numbers: alarms at its rate, strange rows named, few patients told."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from hexscope.errors import FormatError, UsageError
from hexscope.trust.gate import Gate, gate

NAMES = ("size_y", "spacing_y", "value_50", "detail_0", "detail_1", "texture_1_3", "cell_00")


def rows(rng: np.random.Generator, n: int, images: int = 1) -> tuple[list[dict[str, float]], list[int]]:
    """Two kinds of image, one of them rare; details go together; the size never differs."""
    out, groups = [], []
    for patient in range(n):
        own = rng.normal(size=len(NAMES)) * 0.3
        rare = patient % 8 == 0
        for _ in range(images):
            values = own + rng.normal(size=len(NAMES)) * 0.1
            values[4] = values[3] + rng.normal() * 0.05
            values[2] += 5.0 * rare
            out.append(dict(zip(NAMES, values, strict=True)) | {"size_y": 8.0})
            groups.append(patient)
    return out, groups


@pytest.mark.parametrize("images", [1, 3])
def test_new_patients_raise_alarms_at_the_stated_rate(images: int) -> None:
    rng, alarms = np.random.default_rng(0), []
    for _ in range(6):
        made = gate(*rows(rng, 60, images))
        alarms += [made.judge(row).verdict != "pass" for row in rows(rng, 60)[0]]
    assert np.mean(alarms) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(alarms))


@pytest.mark.parametrize(
    ("change", "feature", "direction"),
    [({"size_y": 10.0}, "size_y", "higher"), ({"spacing_y": -6.0}, "spacing_y", "lower")],
)
def test_what_is_far_off_is_refused_and_named(change: dict[str, float], feature: str, direction: str) -> None:
    rng = np.random.default_rng(1)
    made = gate(*rows(rng, 80))
    said = made.judge(rows(rng, 1)[0][0] | change)
    assert (said.verdict, said.feature, said.direction) == ("refuse", feature, direction)
    assert said.p == pytest.approx(1 / 81)
    assert feature in said.sentence and "80 training images" in said.sentence and "5%" in said.sentence
    assert json.loads(json.dumps(said.as_json()))["feature"] == feature


def test_what_goes_together_as_never_before_is_told() -> None:
    """Neither number is unusual; that they differ is."""
    rng = np.random.default_rng(2)
    made = gate(*rows(rng, 200))
    base = dict.fromkeys(NAMES, 0.0) | {"size_y": 8.0}
    assert made.judge(base).verdict == "pass"
    said = made.judge(base | {"detail_0": 0.5, "detail_1": -0.5})
    assert said.verdict != "pass" and said.direction == "unlike" and "sharpness" in said.sentence


def test_a_rare_kind_of_image_is_known_and_one_between_is_not() -> None:
    rng = np.random.default_rng(3)
    made = gate(*rows(rng, 160))
    base = dict.fromkeys(NAMES, 0.0) | {"size_y": 8.0}
    assert made.judge(base | {"value_50": 5.0}).verdict == "pass"
    assert made.judge(base | {"value_50": 2.5}).verdict != "pass"


def test_few_patients_cannot_keep_the_rate_and_say_so() -> None:
    rng = np.random.default_rng(4)
    few, enough = gate(*rows(rng, 18)), gate(*rows(rng, 19))
    assert "needs 19" in few.silent and not enough.silent
    assert few.judge(rows(rng, 1)[0][0] | {"size_y": 20.0}).verdict == "pass"
    with pytest.raises(UsageError, match="two patients"):
        gate(*rows(rng, 1))


def test_missing_numbers_say_nothing() -> None:
    rng = np.random.default_rng(5)
    numbers, groups = rows(rng, 40)
    for row in numbers[::3]:
        del row["spacing_y"]
    made = gate(numbers, groups)
    base = dict.fromkeys(NAMES, 0.0) | {"size_y": 8.0}
    assert made.judge({k: v for k, v in base.items() if k != "spacing_y"}).verdict == "pass"
    assert made.judge(base | {"spacing_y": 9.0}).verdict == "refuse"


def test_folds_of_the_table_part_what_is_alike() -> None:
    """Twins in other groups make a gate too strict, unless the table's folds keep them together."""
    rng = np.random.default_rng(6)
    numbers, _ = rows(rng, 60)
    twins = [{k: v + 1e-3 for k, v in row.items()} for row in numbers]
    both, groups = numbers + twins, list(range(120))
    folds = [i % 5 for i in range(60)] * 2
    new = rows(rng, 200)[0]
    strict, fair = (np.mean([made.judge(r).verdict != "pass" for r in new]) for made in
                    (gate(both, groups), gate(both, groups, folds)))  # fmt: skip
    assert strict > 0.3 and fair < 0.1


def test_it_survives_being_written() -> None:
    rng = np.random.default_rng(7)
    made = gate(*rows(rng, 50, 2))
    again = Gate.from_data(json.loads(json.dumps(made.as_data())))
    for row in rows(rng, 10)[0]:
        assert again.judge(row) == made.judge(row)
    data = made.as_data()
    with pytest.raises(FormatError, match="lacks the field 'rows'"):
        Gate.from_data({k: v for k, v in data.items() if k != "rows"})
    with pytest.raises(FormatError, match="'aura'"):
        Gate.from_data(data | {"names": ["aura", *data["names"][1:]]})
    with pytest.raises(FormatError, match="numbers for"):
        Gate.from_data(data | {"group": [0]})
