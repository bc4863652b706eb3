"""Losses: on hard masks their Dice is the metric's, and what is not known is not asked."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hexscope.segment.score import dice  # noqa: E402
from hexscope.train.augment import one_hot  # noqa: E402
from hexscope.train.losses import LOSSES, classes_loss, instances_loss, overlapping_loss, soft_dice  # noqa: E402

SHAPE = (5, 7, 11)


def labels(seed: int, classes: int = 3, batch: int = 1) -> torch.Tensor:
    chance = np.random.default_rng(seed)
    return torch.from_numpy(chance.integers(0, classes, (batch, *SHAPE)).astype(np.uint8))


def ones(batch: int = 1) -> torch.Tensor:
    return torch.ones(batch, 1, *SHAPE)


@pytest.mark.parametrize("seed", range(4))
def test_the_dice_of_the_loss_is_the_metric_on_hard_masks(seed: int) -> None:
    said, true = labels(seed), labels(seed + 100)
    ours = soft_dice(one_hot(said, 3)[:, 1:], one_hot(true, 3)[:, 1:], ones(), smooth=0.0)
    for number in (1, 2):
        metric = dice(said[0].numpy() == number, true[0].numpy() == number)
        assert float(ours[number - 1]) == pytest.approx(metric, abs=1e-6)


@pytest.mark.parametrize("target", ["classes", "overlapping"])
def test_a_perfect_answer_costs_nothing(target: str) -> None:
    shares = one_hot(labels(1), 3)
    logits = (shares - 0.5) * 60
    assert float(LOSSES[target](logits, shares, ones())) == pytest.approx(0.0, abs=1e-3)
    assert float(LOSSES[target](-logits, shares, ones())) > 1.0


def test_unknown_pixels_are_not_asked() -> None:
    known = (torch.rand(1, 1, *SHAPE, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    shares = one_hot(labels(2), 3) * known
    logits = torch.randn(1, 3, *SHAPE)
    other = torch.where(known > 0, logits, logits + 10 * torch.randn_like(logits))
    assert float(classes_loss(logits, shares, known)) == pytest.approx(
        float(classes_loss(other, shares, known)), rel=1e-5
    )
    first = float(overlapping_loss(logits, shares, known))
    assert first == pytest.approx(float(overlapping_loss(other, shares, known)), rel=1e-5)
    two = float(instances_loss(logits[:, :2], shares[:, :2], known))
    assert two == pytest.approx(float(instances_loss(other[:, :2], shares[:, :2], known)), rel=1e-5)


def test_a_class_that_was_not_outlined_may_be_said_or_not() -> None:
    """Case 1 has no outlines of class 2: its pixels lie under background, and either answer is as good."""
    shares = one_hot(labels(3, 2, batch=2), 3)
    labelled = torch.tensor([[True, True, True], [True, True, False]])
    logits = (shares - 0.5) * 20
    background = (shares[1, 0] > 0).float() * 40
    says_two = logits.clone()
    says_two[1, 2] += background
    plain = float(classes_loss(logits, shares, ones(2), labelled))
    assert plain == pytest.approx(float(classes_loss(says_two, shares, ones(2), labelled)), abs=1e-4)
    assert float(classes_loss(says_two, shares, ones(2))) > plain + 0.5
    changed = logits.clone()
    changed[1, 2] = 7.0
    assert float(overlapping_loss(changed, shares, ones(2), labelled)) == pytest.approx(
        float(overlapping_loss(logits, shares, ones(2), labelled)), rel=1e-6
    )


def test_gradients_are_finite_at_the_ends() -> None:
    logits = torch.full((1, 3, *SHAPE), 80.0)
    logits[:, 1] = -80.0
    logits.requires_grad_()
    classes_loss(logits, one_hot(labels(4), 3), ones(), torch.tensor([[True, False, True]])).backward()
    assert torch.isfinite(logits.grad).all()
