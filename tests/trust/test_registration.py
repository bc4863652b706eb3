"""The certificate judges numbers: each piece of evidence counts, in the right direction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hexscope.trust.registration import LIMITS, Evidence, certify

GOOD = Evidence(
    score=0.15, elsewhere=0.5, mirrored=0.6, rival_mm=0.0, halves_mm=1.5, inverse_mm=0.8, overlap=0.98,
    rotation_deg=8.0, shift_mm=12.0, voxel_mm=1.5,
)  # fmt: skip
BAD = {
    "score": 0.001, "elsewhere": 1.05, "mirrored": 1.2, "rival_mm": 40.0, "halves_mm": 15.0, "inverse_mm": 20.0,
    "overlap": 0.2, "rotation_deg": 100.0,
}  # fmt: skip


def test_good_evidence_is_accepted_and_kept() -> None:
    verdict = certify(GOOD)
    assert verdict.verdict == "accept" and verdict.score == 1.0
    assert dict(verdict.evidence)["halves_mm"] == 1.5 and "moved_mm" not in dict(verdict.evidence)
    assert verdict.reasons


@pytest.mark.parametrize("name", sorted(BAD))
def test_each_piece_alone_can_reject(name: str) -> None:
    verdict = certify(replace(GOOD, **{name: BAD[name]}))
    assert verdict.verdict == "reject" and verdict.score == 0.0
    assert len(verdict.reasons) == 1


def test_every_limit_is_tried_above() -> None:
    assert {limit.name for limit in LIMITS} == set(BAD)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_trust_falls_from_good_to_bad(limit) -> None:
    values = [limit.good + (limit.bad - limit.good) * part for part in (-0.5, 0.0, 0.25, 0.75, 1.0, 1.5)]
    trusts = [limit.trust(replace(GOOD, **{limit.name: v})) for v in values]
    assert trusts == pytest.approx([1.0, 1.0, 0.75, 0.25, 0.0, 0.0])


def test_doubts_add_up_to_a_review_then_a_rejection() -> None:
    one = replace(GOOD, halves_mm=5.5)
    two = replace(one, elsewhere=0.94)
    assert [certify(e).verdict for e in (one, two)] == ["review", "reject"]


def test_lengths_are_judged_by_the_voxel() -> None:
    off = replace(GOOD, halves_mm=6.0, inverse_mm=5.0)
    assert certify(off).verdict == "review"
    assert certify(replace(off, voxel_mm=5.0)).verdict == "accept"


def test_images_in_place() -> None:
    weak = replace(GOOD, halves_mm=6.5)
    assert certify(replace(GOOD, moved_mm=0.5)).verdict == "accept"
    assert certify(replace(weak, moved_mm=0.5)).verdict == "accept"
    assert certify(replace(GOOD, moved_mm=5.0)).verdict == "review"
    assert certify(replace(GOOD, moved_mm=12.0)).verdict == "reject"
    assert certify(replace(weak, moved_mm=12.0)).verdict == "review"
    assert certify(replace(GOOD, elsewhere=1.1, moved_mm=0.5)).verdict == "review"
    assert "12.0 mm" in certify(replace(GOOD, moved_mm=12.0)).reasons[0]
