"""What training lowers: cross-entropy plus (1 - Dice), over what is known only.

A target holds a share for each plane of the answer; where all are 0 nothing is known and nothing is asked. On hard
masks the Dice of the loss is the Dice of `hexscope.segment.score`. Soft Dice after doi:10.1109/3DV.2016.79.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hexscope.train.peaks import peaks_loss

#: Keeps the Dice of a class that a batch lacks at 1 when the network finds nothing of it either, in pixels.
_SMOOTH = 1.0
#: Weight of the directions of objects.
_DIRECTION = 4.0


def soft_dice(shares: Tensor, target: Tensor, known: Tensor, smooth: float = _SMOOTH) -> Tensor:
    """Dice of each plane over the whole batch: (planes,). All are (batch, planes or 1, *spatial)."""
    axes = (0, *range(2, shares.ndim))
    shares = shares * known
    both = (shares * target).sum(axes)
    return (2 * both + smooth) / (shares.sum(axes) + target.sum(axes) + smooth)


def classes_loss(logits: Tensor, target: Tensor, known: Tensor, labelled: Tensor | None = None) -> Tensor:
    """For classes of which exactly one holds; plane 0 is the background.

    target    (batch, planes, *spatial), sums to ``known`` (batch, 1, *spatial)
    labelled  (batch, planes) bool: which classes were outlined in each case at all; None: every one. Where a class was
              not, its pixels lie under "background": there the network may say either (doi:10.1016/j.media.2021.101979)
    """
    if labelled is not None:
        logits, target = _merged(logits, target, labelled)
    log_shares = logits.log_softmax(1)
    entropy = -(target * log_shares.clamp_min(-100.0)).sum() / known.sum().clamp_min(1.0)
    shares = log_shares.exp()[:, 1:]
    counted = known if labelled is None else known * _spread(labelled, logits)[:, 1:]
    return entropy + 1 - soft_dice(shares, target[:, 1:], counted).mean()


def _merged(logits: Tensor, target: Tensor, labelled: Tensor) -> tuple[Tensor, Tensor]:
    """Classes that were not outlined become part of the background, in what is said and in what is asked."""
    absent = ~_spread(labelled, logits)
    absent[:, :1] = False
    whole = absent.clone()
    whole[:, :1] = True
    union = logits.masked_fill(~whole, -torch.inf).logsumexp(1, keepdim=True)
    merged = torch.cat([union, logits[:, 1:].masked_fill(absent[:, 1:], -1e4)], 1)
    asked = target.masked_fill(absent, 0.0)
    asked[:, :1] += (target * absent).sum(1, keepdim=True)
    return merged, asked


def overlapping_loss(logits: Tensor, target: Tensor, known: Tensor, labelled: Tensor | None = None) -> Tensor:
    """For structures that may overlap: each plane is asked for itself, where it was outlined at all."""
    counted = known.expand_as(target) if labelled is None else known * _spread(labelled, logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight=counted, reduction="sum")
    return entropy / counted.sum().clamp_min(1.0) + 1 - soft_dice(logits.sigmoid(), target, counted).mean()


def instances_loss(logits: Tensor, target: Tensor, known: Tensor, labelled: Tensor | None = None) -> Tensor:
    """For objects: plane 0 is "part of an object", the others, within objects alone, the direction to its middle."""
    inside = overlapping_loss(logits[:, :1], target[:, :1], known)
    within = known * target[:, :1]
    away = F.binary_cross_entropy_with_logits(logits[:, 1:], target[:, 1:], weight=within, reduction="sum")
    rest = F.binary_cross_entropy(target[:, 1:], target[:, 1:], weight=within, reduction="sum")  # what none can lower
    return inside + _DIRECTION * (away - rest) / within.sum().clamp_min(1.0)


def _spread(labelled: Tensor, logits: Tensor) -> Tensor:
    return labelled.view(*labelled.shape, *[1] * (logits.ndim - 2))


def whole_loss(logits: Tensor, target: Tensor, known: Tensor, labelled: Tensor | None = None) -> Tensor:
    """For one class of a whole image: (batch, classes) both; target sums to 1."""
    return -(target * logits.log_softmax(1) * known).sum() / len(target)


def marks_loss(logits: Tensor, target: Tensor, known: Tensor, labelled: Tensor | None = None) -> Tensor:
    """For marks of a whole image, each of which holds or not: (batch, classes) both."""
    return F.binary_cross_entropy_with_logits(logits, target, weight=known, reduction="sum") / len(target)


LOSSES = {
    "classes": classes_loss,
    "overlapping": overlapping_loss,
    "instances": instances_loss,
    "peaks": peaks_loss,
    "whole": whole_loss,
    "marks": marks_loss,
}
