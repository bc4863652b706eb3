"""Who is trained on and who is measured: divisions by patient, the same for the same seed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hexscope.errors import InputError, RefusedError, UsageError
from hexscope.io.case import Case, CaseTable

#: Folds when nothing else is said.
DEFAULT_FOLDS = 5
#: Strata of size within a class: small, middle, large.
_SIZES = 3
_TRAIN = ("train", "training")
_VALIDATION = ("val", "valid", "validation")
_TEST = ("test", "testing")


@dataclass(frozen=True)
class Division:
    """Cases to train on and cases to measure on; no patient is in both.

    how  what divided them, in words for the plan
    """

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    how: str


def divisions(
    table: CaseTable, *, folds: int | None = None, seed: int = 0, sizes: Mapping[str, float] | None = None
) -> tuple[Division, ...]:
    """One division, or ``folds`` of them of which each patient is measured once.

    The table's own word comes first: its column ``split``, else ``fold`` (the first fold is then measured). Else
    patients are dealt into folds by the seed, each fold with its share of every label, kind and size. Cases of
    ``split`` test take no part.

    folds  how many; None: the one division that the table names, or the first of five folds
    sizes  how much each case holds of what is sought (any unit), by case name

    Raises RefusedError where a patient would be on both sides, UsageError where there are fewer patients than folds.
    """
    require_no_leak(table)
    cases = not_test(table.cases)
    sides = {_side(c) for c in cases}
    if folds is None and sides == {"train", "validation"}:
        train = tuple(c for c in cases if _side(c) == "train")
        rest = tuple(c for c in cases if _side(c) == "validation")
        return (Division(train, rest, "the table's column split"),)
    number, how = _fold_numbers(cases, folds, seed, sizes or {})
    out = []
    for fold in sorted(set(number.values())):
        train = tuple(c for c in cases if number[c.case] != fold)
        out.append(Division(train, tuple(c for c in cases if number[c.case] == fold), f"fold {fold} of {how}"))
    return tuple(out) if folds is not None else (out[0],)


def not_test(cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases that are not kept for a test."""
    return tuple(c for c in cases if _side(c) != "test")


def _fold_numbers(
    cases: Sequence[Case], folds: int | None, seed: int, sizes: Mapping[str, float]
) -> tuple[dict[str, int], str]:
    said = {case.case: case.fold for case in cases if case.fold is not None}
    different = len(set(said.values()))
    if len(said) == len(cases) and different > 1 and folds in (None, different):
        return said, "the table's column fold"
    groups = len({case.group for case in cases})
    k = min(DEFAULT_FOLDS, groups) if folds is None else folds
    if k < 2 or k > groups:
        raise UsageError(
            f"{groups} patients cannot be divided into {k} folds; pass --folds between 2 and {groups}"
            if groups > 1
            else "there is one patient: nobody is left to measure on. Add cases of other patients"
        )
    return deal(cases, k, seed, sizes), f"{k}, by patient, seed {seed}"


def deal(cases: Sequence[Case], folds: int, seed: int, sizes: Mapping[str, float] | None = None) -> dict[str, int]:
    """A fold (from 0) for every case by name: whole patients, each stratum spread evenly, by the seed alone.

    A patient goes to the fold that has least of his stratum, then to the smallest; the order of rows does not matter.
    """
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda c: c.case):
        groups[case.group].append(case)
    stratum = _strata(groups, sizes or {})
    names = sorted(groups)
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    shuffled.sort(key=lambda name: (stratum[name], -len(groups[name])))  # stable: chance decides within
    held: Counter[tuple[str, int]] = Counter()
    size = [0] * folds
    out = {}
    for name in shuffled:
        fold = min(range(folds), key=lambda f: (held[stratum[name], f], size[f], f))
        held[stratum[name], fold] += len(groups[name])
        size[fold] += len(groups[name])
        out.update({case.case: fold for case in groups[name]})
    return out


def _strata(groups: Mapping[str, Sequence[Case]], sizes: Mapping[str, float]) -> dict[str, str]:
    """A word a patient: label and kind of the first case, and which third of its size it belongs to."""
    coarse = {name: f"{cases[0].label or ''}/{cases[0].kind or ''}" for name, cases in groups.items()}
    held = {name: _size(cases, sizes) for name, cases in groups.items()}
    peers: dict[str, list[float]] = defaultdict(list)
    for name in groups:
        peers[coarse[name]].append(held[name])
    ranked = {word: np.sort(values) for word, values in peers.items()}
    third = {n: int(np.searchsorted(ranked[coarse[n]], held[n])) * _SIZES // len(ranked[coarse[n]]) for n in groups}
    return {name: f"{coarse[name]}/{third[name]}" for name in groups}


def _size(cases: Sequence[Case], sizes: Mapping[str, float]) -> float:
    return float(np.mean([sizes.get(case.case, 0.0) for case in cases]))


def every_fifth(table: CaseTable) -> Division:
    """``sorted(cases)[::5]`` is measured, the others train: the rule of the published benchmarks here.

    Raises RefusedError where that would part a patient.
    """
    ordered = sorted(table.cases, key=lambda c: c.case)
    chosen = {case.case for case in ordered[::5]}
    train = tuple(c for c in ordered if c.case not in chosen)
    rest = tuple(c for c in ordered if c.case in chosen)
    both = {c.group for c in train} & {c.group for c in rest}
    if both:
        raise RefusedError(f"every fifth case of {table.source} parts patients {_some(both)}; use folds by patient")
    return Division(train, rest, "every fifth case in sorted order")


# ---- leaks ------------------------------------------------------------------------------------------------


def require_no_leak(table: CaseTable) -> None:
    """Raise RefusedError where the table's own columns put a patient on both sides."""
    for column in ("split", "fold"):
        seen: dict[str, set[str]] = defaultdict(set)
        for case in table.cases:
            value = _side(case) if column == "split" else case.fold
            seen[case.group].add(str(value))
        both = {group for group, values in seen.items() if len(values) > 1}
        if both:
            raise RefusedError(
                f"{table.source.name} puts patients on both sides of column {column}: {_some(both)}. "
                "A model measured on patients it was trained on is worth nothing; give each patient one value"
            )


def _some(names: set[str]) -> str:
    shown = sorted(names)[:5]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _side(case: Case) -> str | None:
    if case.split is None:
        return None
    word = case.split.strip().lower()
    for side, words in (("train", _TRAIN), ("validation", _VALIDATION), ("test", _TEST)):
        if word in words:
            return side
    raise InputError(f"case {case.case} has split {case.split!r}; use train, val or test")
