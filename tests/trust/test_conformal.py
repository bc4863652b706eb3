"""Promises on synthetic exchangeable patients: kept within theory, refused where they cannot be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hexscope.errors import UsageError
from hexscope.trust.conformal import chance, conformity, label_sets, sensitivity_threshold

Patients = tuple[list[list[float]], list[int]]


def patients(rng: np.random.Generator, n: int, single: bool = False, miss: float = 0.02) -> Patients:
    """Patients with 1 to 5 lesions whose scores depend on the patient: lesions are not exchangeable, patients are."""
    counts = np.ones(n, dtype=int) if single else rng.integers(1, 6, n)
    scores, missed = [], []
    for count in counts:
        own = 1 / (1 + np.exp(-rng.normal(1.5 + rng.normal(), 1.0, count)))
        seen = rng.random(count) >= miss
        scores.append(own[seen].tolist())
        missed.append(int(count - seen.sum()))
    return scores, missed


def found(of: Patients, score: float) -> float:
    shares = [sum(s >= score for s in own) / (len(own) + lost) for own, lost in zip(*of, strict=True)]
    return float(np.mean(shares))


@pytest.mark.parametrize("target", [0.8, 0.9])
def test_on_average_the_share_found_is_the_target_and_little_more(target: float) -> None:
    n, rng = 60, np.random.default_rng(1)
    shares = []
    for _ in range(300):
        held = sensitivity_threshold(*patients(rng, n), target)
        assert held.score is not None
        shares.append(found(patients(rng, 200), held.score))
    noise = 3 * float(np.std(shares)) / math.sqrt(len(shares))
    assert target - noise <= np.mean(shares) <= target + 2 / (n + 1) + noise


@pytest.mark.parametrize("single", [True, False], ids=["one lesion a patient", "several"])
def test_with_confidence_few_calibrations_fail(single: bool) -> None:
    n, target, confidence, rng = 80, 0.8, 0.9, np.random.default_rng(2)
    truth = patients(rng, 3000, single)  # they tell the true share to about one hundredth
    fails, mean = 0, []
    for _ in range(300):
        held = sensitivity_threshold(*patients(rng, n, single), target, confidence)
        assert held.score is not None
        share = found(truth, held.score)
        fails += share < target - 0.01
        mean.append(share)
    assert fails / 300 <= (1 - confidence) + 3 * math.sqrt(0.09 / 300)
    assert np.mean(mean) > target + 0.02  # the stronger form costs something


def test_shuffled_scores_break_the_promise() -> None:
    """The tests above can fail: calibrated on other patients than those it is used on, the promise is broken."""
    rng = np.random.default_rng(3)
    easy = sensitivity_threshold(*patients(rng, 60), 0.9)
    hard, missed = patients(rng, 400)
    assert easy.score is not None
    assert found(([[s * 0.6 for s in own] for own in hard], missed), easy.score) < 0.8


def test_too_few_patients_are_told_how_many_would_do() -> None:
    eight = sensitivity_threshold([[0.9]] * 8, [0] * 8, 0.9)
    assert (eight.feasible, eight.score, eight.n) == (False, None, 8)
    assert "needs at least 9 patients" in eight.reason
    assert eight.reachable == pytest.approx(8 / 9, abs=2e-4)
    assert sensitivity_threshold([[0.9]] * 9, [0] * 9, 0.9).score == 0.9
    surely = sensitivity_threshold([[0.9]] * 18, [0] * 18, 0.9, 0.9)
    assert "needs at least 22 patients" in surely.reason  # 0.9 ** 22 < 0.1 < 0.9 ** 21
    assert sensitivity_threshold([[0.9]] * 22, [0] * 22, 0.9, 0.9).feasible
    assert not sensitivity_threshold([[0.9]] * 21, [0] * 21, 0.9, 0.9).feasible


def test_a_target_beyond_what_is_ever_found_is_refused() -> None:
    scores, missed = [[0.5, 0.6, 0.7, 0.8]] * 500, [1] * 500  # one of five is never hit
    held = sensitivity_threshold(scores, missed, 0.9)
    assert not held.feasible and "0.800 is found" in held.reason
    assert held.reachable == pytest.approx(0.8, abs=0.003)
    assert sensitivity_threshold(scores, missed, 0.79).feasible


def test_nothing_to_find_and_figures_outside_are_refused() -> None:
    assert not sensitivity_threshold([[], []], [0, 0], 0.9).feasible
    assert not sensitivity_threshold([[], []], [1, 2], 0.9).feasible
    with pytest.raises(UsageError, match="target"):
        sensitivity_threshold([[0.5]], [0], 1.0)
    with pytest.raises(UsageError, match="confidence"):
        sensitivity_threshold([[0.5]], [0], 0.5, 0.0)
    with pytest.raises(UsageError, match="finite"):
        sensitivity_threshold([[math.nan]], [0], 0.5)


def test_patients_without_lesions_do_not_sweeten_the_promise() -> None:
    with_lesions = sensitivity_threshold([[0.2], [0.9]] * 20, [0] * 40, 0.6)
    diluted = sensitivity_threshold([[0.2], [0.9]] * 20 + [[]] * 400, [0] * 440, 0.6)
    assert (with_lesions.score, with_lesions.n) == (diluted.score, diluted.n)


def test_the_cost_is_counted_at_the_threshold() -> None:
    held = sensitivity_threshold(
        [[0.5 + i / 100] for i in range(40)], [0] * 40, 0.9, false_scores=[0.1, 0.53, 0.6], images=10
    )
    assert held.score is not None and 0.5 < held.score < 0.6
    assert held.false_positives == pytest.approx(sum(s >= held.score for s in (0.1, 0.53, 0.6)) / 10)


lesions = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=10, max_size=60)


@settings(max_examples=80, deadline=None)
@given(lesions, st.floats(0.05, 0.85), st.floats(0.05, 0.85))
def test_a_higher_target_never_raises_the_threshold(scores: list[list[float]], a: float, b: float) -> None:
    low, high = sorted((a, b))
    one, other = (sensitivity_threshold(scores, [0] * len(scores), t) for t in (low, high))
    assert one.feasible  # 10 patients do for 0.85
    if other.score is not None and one.score is not None:
        assert other.score <= one.score
    sure = sensitivity_threshold(scores, [0] * len(scores), low, 0.9)
    if sure.score is not None and one.score is not None:
        assert sure.score <= one.score


@settings(max_examples=80, deadline=None)
@given(lesions, st.floats(0.05, 0.85))
def test_the_threshold_is_the_highest_that_holds(scores: list[list[float]], target: float) -> None:
    n = len(scores)
    held = sensitivity_threshold(scores, [0] * n, target)
    assert held.score is not None

    def risk(score: float) -> float:
        return 1 - found((scores, [0] * n), score)

    above = [s for own in scores for s in own if s > held.score]
    assert (n * risk(held.score) + 1) / (n + 1) <= 1 - target + 1e-6
    if above:
        assert (n * risk(min(above)) + 1) / (n + 1) > 1 - target - 1e-6


@pytest.mark.parametrize("lost", [0, 3, 9])
def test_the_exact_form_is_the_binomial(lost: int) -> None:
    assert chance(lost / 100, 100, 0.1, True) == pytest.approx(stats.binom.cdf(lost, 100, 0.1))
    assert chance(lost / 100, 100, 0.1, False) >= chance(lost / 100, 100, 0.1, True)
    assert chance(0.1, 100, 0.1, True) == 1


# ---- classes ------------------------------------------------------------------------------------------------


def images(rng: np.random.Generator, n: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three classes, the third hard; patients of one to three images that share a difficulty."""
    group = np.repeat(np.arange(n), rng.integers(1, 4, n))
    truth = rng.integers(0, 3, n)[group]
    logits = rng.normal(0, 1, (len(group), 3)) + rng.normal(0, spread, (n, 3))[group]
    logits[np.arange(len(group)), truth] += np.array([3.0, 2.5, 1.0])[truth]
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True), truth, group


def covered(sets: np.ndarray, truth: np.ndarray, group: np.ndarray) -> float:
    """Share of a patient's images that are covered, mean over patients."""
    hit = sets[np.arange(len(truth)), truth]
    return float(np.mean([hit[group == g].mean() for g in np.unique(group)]))


@pytest.mark.parametrize("score", ["probability", "cumulative"])
def test_sets_cover_as_promised(score: str) -> None:
    rng, n, shares = np.random.default_rng(4), 80, []
    for _ in range(200):
        sets = label_sets(*images(rng, n), 0.9, by_class=False, score=score)
        p, truth, group = images(rng, 150)
        shares.append(covered(sets.of(p), truth, group))
    noise = 3 * np.std(shares) / math.sqrt(200)
    assert 0.9 - noise <= np.mean(shares) <= 0.9 + 2 / (n + 1) + noise


def test_by_class_the_worst_class_is_covered_too() -> None:
    rng = np.random.default_rng(5)
    worst: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(100):
        data, new = images(rng, 150), images(rng, 150)
        for by_class, shares in worst.items():
            sets = label_sets(*data, 0.9, by_class=by_class).of(new[0])
            hard = new[1] == 2
            shares.append(covered(sets[hard], new[1][hard], new[2][hard]))
    assert np.mean(worst[True]) >= 0.89
    assert np.mean(worst[False]) < 0.85  # what the class-conditional form is for


def test_a_class_of_few_patients_is_never_excluded_and_said_so() -> None:
    p, truth, group = images(np.random.default_rng(6), 100)
    keep = (truth != 1) | (group < np.unique(group[truth == 1])[4])  # four patients of class 1
    rule = label_sets(p[keep], truth[keep], group[keep], 0.9)
    assert rule.thresholds[1] == -math.inf and rule.of(p)[:, 1].all()
    assert len(rule.reasons) == 1 and "class 1" in rule.reasons[0] and "at least 9 patients" in rule.reasons[0]
    assert rule.as_data()["thresholds"] == [rule.thresholds[0], None, rule.thresholds[2]]


def test_conformity_ranks_as_probabilities_do() -> None:
    p = np.array([[0.2, 0.5, 0.3]])
    assert conformity(p, "cumulative")[0] == pytest.approx([-0.9, -0.25, -0.65])
    with pytest.raises(UsageError, match="column a class"):
        conformity(p[0], "probability")
