"""The plan: reasons, overrides, and that a changed fact changes only what rests on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hexscope.errors import FormatError, UsageError
from hexscope.train.choices import RULES
from hexscope.train.plan import Choice, Plan, differences, make_plan

#: As of a set of small MR volumes.
MR: dict[str, Any] = {
    "target": "classes",
    "cases": 166,
    "dims": 3,
    "placed": True,
    "shape": [51.0, 36.0, 35.0],
    "spacing_mm": (1.0, 1.0, 1.0),
    "modality": "MR",
    "channels": [{"quantity": "arbitrary"}],
    "classes": ["anterior", "posterior"],
    "object_px": None,
    "sides": [],
    "spacing_varies": 1.0,
    "shows_both_sides": False,
    "thinnest": 6.0,
    "smallest_share": 0.03,
    "largest_extent": (25.0, 20.0, 18.0),
    "photographs": True,
    "device": "cpu",
    "bf16": True,
    "memory_gb": 16.0,
    "minutes": 5.0,
    "seconds_per_iteration": 0.13,
}
US = MR | {
    "dims": 2,
    "placed": False,
    "shape": [540.0, 800.0],
    "spacing_mm": None,
    "modality": "US",
    "classes": ["head"],
    "thinnest": 120.0,
    "largest_extent": (300.0, 400.0),
}
CHANGES: dict[str, list[Any]] = {
    "cases": [8, 40, 1000],
    "placed": [False],
    "shape": [[20.0, 90.0, 80.0], [200.0, 300.0, 310.0]],
    "spacing_mm": [(3.0, 0.7, 0.5), (2.0, 2.0, 2.0), None],
    "modality": ["CT", "SM", "XR"],
    "channels": [[{"quantity": "HU"}], [{"quantity": "SUVbw"}, {"quantity": "arbitrary"}]],
    "classes": [["left kidney"], [f"c{i}" for i in range(30)]],
    "sides": [["left kidney"]],
    "shows_both_sides": [True],
    "spacing_varies": [2.0],
    "thinnest": [2.0, 60.0],
    "smallest_share": [0.0001],
    "largest_extent": [(90.0, 80.0, 100.0)],
    "photographs": [False],
    "device": ["cuda"],
    "bf16": [False],
    "memory_gb": [0.01],
    "minutes": [20.0],
    "seconds_per_iteration": [1.5],
}


def rests_on(plan: Plan, name: str, fact: str) -> bool:
    """Does the choice look at the fact, itself or through another choice?"""
    needs = plan.rests_on[name]
    return fact in needs or any(rests_on(plan, n, fact) for n in needs if n in plan.choices)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(CHANGES)), st.data())
def test_a_changed_fact_changes_only_what_rests_on_it(fact: str, data: st.DataObject) -> None:
    before = make_plan(RULES, MR)
    after = make_plan(RULES, MR | {fact: data.draw(st.sampled_from(CHANGES[fact]))})
    for name in before.choices:
        if not rests_on(before, name, fact):
            assert before.choices[name] == after.choices[name]
    for row in differences(before, after):
        assert row["because"], f"{row['name']} differs and nothing says why"


@pytest.mark.parametrize("fact", sorted(CHANGES))
def test_every_fact_matters_to_something(fact: str) -> None:
    for base in (MR, US, MR | {"shape": [200.0, 210.0, 220.0], "largest_extent": (90.0, 80.0, 100.0)}):
        plans = [make_plan(RULES, base | {fact: value}) for value in CHANGES[fact]]
        if any(differences(make_plan(RULES, base), plan) for plan in plans):
            return
    pytest.fail(f"{fact} changes nothing")


def test_every_choice_has_a_reason_and_the_same_facts_give_the_same_plan() -> None:
    plan = make_plan(RULES, US)
    assert all(choice.why for choice in plan.choices.values())
    assert plan == make_plan(RULES, dict(US))


@pytest.mark.parametrize(
    "facts",
    [
        MR,
        US,
        MR | {"spacing_mm": (3.0, 0.7, 0.5), "shape": [20.0, 190.0, 180.0]},
        MR | {"spacing_mm": (5.0, 0.7, 0.7), "shape": [5.0, 11.0, 7.0]},
        US | {"shape": [20.0, 3000.0], "thinnest": 1.0},
    ],
)
def test_a_patch_fits_the_network(facts: dict[str, Any]) -> None:
    plan = make_plan(RULES, facts)
    for axis, side in enumerate(plan["patch"]):
        shrunk = plan["stem"][axis]
        for stride in plan["strides"]:
            shrunk *= stride[axis]
        assert side % shrunk == 0
    assert len(plan["kernels"]) == len(plan["widths"]) == len(plan["strides"]) + 1


def test_few_pictures_begin_with_photographs() -> None:
    assert make_plan(RULES, US)["encoder"] == "photographs"
    assert len(make_plan(RULES, US)["widths"]) == 4
    for other in (MR, US | {"photographs": False}, US | {"cases": 5000}, US | {"channels": [{"quantity": "HU"}] * 2}):
        assert make_plan(RULES, other)["encoder"] == "scratch"
    assert make_plan(RULES, US, {"encoder": "scratch"})["strides"] != make_plan(RULES, US)["strides"]


def test_sides_forbid_mirror_images() -> None:
    assert make_plan(RULES, MR)["flips"] == (2,)
    assert make_plan(RULES, MR | {"sides": ["left hippocampus"]})["flips"] == ()
    assert make_plan(RULES, MR | {"shows_both_sides": True})["flips"] == ()
    assert make_plan(RULES, US)["flips"] == (1,)
    assert make_plan(RULES, US | {"modality": "SM"})["flips"] == (0, 1)


def test_thin_things_are_looked_at_finely() -> None:
    def pixels(thinnest: float) -> int:
        return int(make_plan(RULES, US | {"thinnest": thinnest})["seen"][0])

    assert pixels(8.0) > pixels(120.0)
    big = MR | {"shape": [55.0, 150.0, 160.0], "spacing_mm": (3.3, 1.0, 1.0), "largest_extent": (25.0, 80.0, 80.0)}
    assert make_plan(RULES, big | {"thinnest": 30.0})["spacing"] > make_plan(RULES, big | {"thinnest": 4.0})["spacing"]


def test_tiny_things_are_aimed_at() -> None:
    large = MR | {"shape": [200.0, 200.0, 200.0]}
    assert make_plan(RULES, MR)["foreground"] == 0.0
    assert make_plan(RULES, large)["foreground"] < make_plan(RULES, large | {"smallest_share": 1e-4})["foreground"]


# ---- overriding and comparing -------------------------------------------------------------------------------


def test_what_is_set_is_kept_and_what_rests_on_it_follows() -> None:
    plan = make_plan(RULES, MR, {"width": "48", "flips": "[]", "precision": "fp32"})
    assert plan["width"] == 48 and plan["widths"][0] == 48
    assert plan["flips"] == () and plan["precision"] == "fp32"
    assert plan.overridden == ("width", "flips", "precision")
    assert "32" in plan.choices["width"].considered


@pytest.mark.parametrize("given_", [{"depth": "3"}, {"width": "wide"}, {"patch": "no"}])
def test_what_cannot_be_set_is_refused(given_: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=next(iter(given_))):
        make_plan(RULES, MR, given_)


def test_a_plan_reads_back_as_written(tmp_path: Path) -> None:
    plan = make_plan(RULES, US, {"batch": "8"})
    (tmp_path / "plan.json").write_text(json.dumps(plan.as_data()))
    again = Plan.read(tmp_path)
    assert again.choices == plan.choices and again.overridden == ("batch",)
    assert not differences(plan, again)
    text = "\n".join(again.lines())
    assert "batch = 8 (given)" in text and all(name in text for name in plan.choices)


def test_no_plan_or_a_broken_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not made by hexscope train"):
        Plan.read(tmp_path)
    for text in ("{", '{"facts": {}}'):
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(FormatError):
            Plan.read(tmp_path)


def test_plans_that_differ_say_in_what_and_why() -> None:
    rows = differences(make_plan(RULES, MR), make_plan(RULES, MR | {"cases": 8}))
    assert {row["name"] for row in rows} == {"weight_decay"}
    assert rows[0]["because"] == ["cases"] and "8 cases" in rows[0]["why_b"]


def test_a_rule_sees_only_what_it_names() -> None:
    def first(a: int) -> Choice:
        return Choice(a + 1, "one more")

    def second(first: int) -> Choice:
        return Choice(first * 2, "twice")

    plan = make_plan((first, second), {"a": 1, "b": 2})
    assert plan["second"] == 4 and plan.rests_on == {"first": ("a",), "second": ("first",)}
