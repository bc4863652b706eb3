"""Divisions by patient: nobody on both sides, every stratum everywhere, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexscope.errors import InputError, RefusedError, UsageError
from hexscope.io.case import Case, CaseTable
from hexscope.train.splits import deal, divisions, every_fifth


def case(name: str, group: str = "", **more: object) -> Case:
    return Case(name, group or name, {"image": Path("x")}, **more)  # type: ignore[arg-type]


def table(*cases: Case) -> CaseTable:
    return CaseTable(Path("cases.csv"), cases, ("image",), ("mask",))


@st.composite
def patients(draw: st.DrawFn) -> list[Case]:
    groups = draw(st.lists(st.integers(1, 4), min_size=4, max_size=30))
    return [
        case(f"{g}-{i}", f"p{g}", label=draw(st.sampled_from(["ill", "well"])))
        for g, n in enumerate(groups)
        for i in range(n)
    ]


@given(patients(), st.integers(2, 4), st.integers(0, 99))
def test_folds_part_no_patient_and_miss_nobody(cases: list[Case], folds: int, seed: int) -> None:
    parts = divisions(table(*cases), folds=folds, seed=seed)
    assert len(parts) == folds
    measured = Counter(c.case for part in parts for c in part.validation)
    assert measured == Counter(c.case for c in cases)
    for part in parts:
        assert part.train and part.validation
        assert not {c.group for c in part.train} & {c.group for c in part.validation}
        assert len(part.train) + len(part.validation) == len(cases)


@given(patients(), st.integers(0, 99), st.randoms())
def test_the_order_of_rows_does_not_matter(cases: list[Case], seed: int, chance: object) -> None:
    shuffled = list(cases)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert deal(cases, 3, seed) == deal(shuffled, 3, seed)


def test_another_seed_divides_otherwise() -> None:
    cases = [case(f"c{i:02}") for i in range(40)]
    assert deal(cases, 5, 0) != deal(cases, 5, 1)


def test_strata_are_spread_evenly() -> None:
    cases = [
        case(f"c{i:02}", label="ill" if i % 4 == 0 else "well", kind="he" if i < 20 else "grey") for i in range(40)
    ]
    fold = deal(cases, 5, 3, {c.case: float(i * i % 17) for i, c in enumerate(cases)})
    assert set(Counter(fold.values()).values()) <= {7, 8, 9}
    for word in ("ill", "well"):
        held = Counter(fold[c.case] for c in cases if c.label == word)
        assert max(held.values()) - min(held[f] for f in range(5)) <= 2
    big = Counter(deal(cases, 2, 0, {c.case: float(i >= 20) for i, c in enumerate(cases)})[c.case] for c in cases[20:])
    assert abs(big[0] - big[1]) <= 2


def test_the_tables_own_word_comes_first() -> None:
    cases = [case("a", split="train"), case("b", split="Validation"), case("c", split="test"), case("d", split="train")]
    (division,) = divisions(table(*cases))
    assert [c.case for c in division.train] == ["a", "d"] and [c.case for c in division.validation] == ["b"]
    folds = divisions(table(*cases), folds=3)
    assert {c.case for f in folds for c in f.validation} == {"a", "b", "d"}  # test takes no part
    with pytest.raises(InputError, match="split 'tset'"):
        divisions(table(case("a", split="tset"), case("b")))


def test_the_column_fold() -> None:
    cases = [case(f"c{i}", fold=i % 3) for i in range(9)]
    parts = divisions(table(*cases), folds=3)
    assert [[c.case for c in p.validation] for p in parts] == [
        ["c0", "c3", "c6"],
        ["c1", "c4", "c7"],
        ["c2", "c5", "c8"],
    ]
    assert "column fold" in parts[0].how and len(divisions(table(*cases))) == 1
    assert "by patient, seed 0" in divisions(table(*cases), folds=4)[0].how


def test_too_few_patients() -> None:
    with pytest.raises(UsageError, match="2 patients cannot be divided into 5"):
        divisions(table(case("a"), case("b"), case("c", "a")), folds=5)
    with pytest.raises(UsageError, match="one patient"):
        divisions(table(case("a", "p"), case("b", "p")))
    assert len(divisions(table(case("a"), case("b")))[0].validation) == 1


def test_every_fifth() -> None:
    cases = [case(f"c{i}") for i in (5, 3, 1, 0, 2, 4)]
    division = every_fifth(table(*cases))
    assert [c.case for c in division.validation] == ["c0", "c5"] and len(division.train) == 4
    with pytest.raises(RefusedError, match="parts patients p"):
        every_fifth(table(case("a", "p"), case("b", "p")))
