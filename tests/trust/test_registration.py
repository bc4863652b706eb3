"""The certificate judges numbers: each piece of evidence counts, in the right direction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hexscope.trust.registration import LIMITS, WEIGHTS, Evidence, arguments, belief, certify, probability

GOOD = Evidence(
    score=0.15, elsewhere=0.5, mirrored=0.6, rival_mm=0.0, halves_mm=0.4, inverse_mm=0.3, edge_mm=0.3,
    edge_halves_mm=0.4, home=0.7, overlap=0.98, rotation_deg=8.0, shift_mm=12.0, voxel_mm=1.5, size_mm=150.0,
    body_mm=150.0,
)  # fmt: skip
#: Each piece gone as wrong as it goes.
WRONG = {
    "score": 0.001, "elsewhere": 1.05, "mirrored": 1.2, "rival_mm": 40.0, "halves_mm": 15.0, "inverse_mm": 20.0,
    "edge_mm": 20.0, "edge_halves_mm": 20.0, "home": 0.0, "overlap": 0.2, "rotation_deg": 100.0, "body_mm": 40.0,
    "folded": 0.01, "swelling": 1.5, "start": 0.0,
}  # fmt: skip
ALL_WRONG = replace(GOOD, **WRONG)


def test_good_evidence_is_accepted_and_kept() -> None:
    verdict = certify(GOOD)
    assert verdict.verdict == "accept" and verdict.score > 0.97
    assert dict(verdict.evidence)["halves_mm"] == 0.4
    assert not {"moved_mm", "folded", "swelling", "start"} & set(dict(verdict.evidence))
    assert len(verdict.reasons) == len(verdict.reasons_zh) == 1


def test_all_wrong_is_rejected_and_every_reason_told() -> None:
    verdict = certify(ALL_WRONG)
    assert verdict.verdict == "reject" and verdict.score < 0.02
    assert len(verdict.reasons) == len(LIMITS)


@pytest.mark.parametrize("name", sorted({n.name for n in LIMITS if n.floor < 1} - {"spread_mm"}))
def test_each_piece_alone_prevents_acceptance(name: str) -> None:
    verdict = certify(replace(GOOD, **{name: WRONG[name]}))
    assert verdict.verdict != "accept"
    assert len(verdict.reasons) == 1


#: Those that can be set by themselves: the spread follows from four others.
SET = [limit for limit in LIMITS if limit.name != "spread_mm"]


def test_every_limit_is_tried_above() -> None:
    assert {limit.name for limit in LIMITS} == {*WRONG, "spread_mm"}


@pytest.mark.parametrize("limit", SET, ids=lambda limit: limit.name)
def test_reasons_are_told_past_the_good_bound_only(limit) -> None:
    worse = 1 if limit.bad > limit.good else -1
    for step, told in ((0.0, False), (1e-5, True)):
        evidence = replace(GOOD, **{limit.name: limit.good + worse * step})
        assert (limit.reason(evidence)[0] in certify(evidence).reasons) is told


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("edge_mm", 0.1, 3.0), ("edge_halves_mm", 0.1, 3.0), ("halves_mm", 0.1, 3.0), ("inverse_mm", 0.1, 3.0),
        ("home", 0.9, 0.1), ("size_mm", 300.0, 40.0),
    ],
)  # fmt: skip
def test_no_argument_speaks_the_wrong_way(name: str, better: float, worse: float) -> None:
    high, low = (probability(replace(GOOD, **{name: value})) for value in (better, worse))
    assert high >= low
    weighed = [
        a - b for a, b in zip(*(arguments(replace(GOOD, **{name: v})).values() for v in (better, worse)), strict=True)
    ]
    assert all(difference >= 0 for difference in weighed) and any(difference > 0 for difference in weighed)


def test_weights_are_of_the_arguments_and_none_is_negative() -> None:
    assert set(WEIGHTS) == set(arguments(GOOD)) and min(WEIGHTS.values()) >= 0


@pytest.mark.parametrize("limit", SET, ids=lambda limit: limit.name)
def test_belief_falls_from_good_to_bad(limit) -> None:
    values = [limit.good + (limit.bad - limit.good) * part for part in (-0.5, 0.0, 0.5, 1.0, 1.5)]
    found = [limit.belief(replace(GOOD, **{limit.name: v})) for v in values]
    assert found == pytest.approx([1.0, 1.0, (1 + limit.floor) / 2, limit.floor, limit.floor])


def test_opinions_far_apart_are_believed_less() -> None:
    names = ("halves_mm", "inverse_mm", "edge_mm", "edge_halves_mm")
    apart = [belief(replace(GOOD, **dict.fromkeys(names, mm))) for mm in (2.0, 3.75, 6.0)]
    assert apart == pytest.approx([1.0, 0.6, 0.2])


def test_two_persons_may_fit_mirrored_but_are_never_accepted_so() -> None:
    mirrored = replace(GOOD, mirrored=1.1)
    assert certify(mirrored).verdict == "reject"
    assert certify(replace(mirrored, body_mm=None)).verdict == "review"


def test_numbers_beyond_all_bounds_are_held() -> None:
    wild = replace(GOOD, edge_mm=1e9, halves_mm=float("inf"), home=2.0, size_mm=0.0)
    assert 0.0 <= probability(wild) <= 1.0


def test_images_in_place() -> None:
    weak = replace(GOOD, halves_mm=2.5, edge_mm=2.5, edge_halves_mm=3.5, inverse_mm=2.0, home=0.2)
    assert certify(weak).verdict == "review"
    assert certify(replace(GOOD, moved_mm=0.5)).verdict == "accept"
    assert certify(replace(weak, moved_mm=0.5)).verdict == "accept"
    assert certify(replace(GOOD, moved_mm=5.0)).verdict == "review"
    assert certify(replace(GOOD, moved_mm=12.0)).verdict == "reject"
    assert certify(replace(weak, moved_mm=12.0)).verdict == "review"
    assert certify(replace(ALL_WRONG, moved_mm=0.5)).verdict == "review"
    assert "12.0 mm" in certify(replace(GOOD, moved_mm=12.0)).reasons[0]
