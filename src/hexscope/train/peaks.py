"""What a detection network is asked: a hill of heat over each object's middle, the sides of its box, and their fit.

Heat after CenterNet (doi:10.48550/arXiv.1904.07850), sides by generalised IoU (doi:10.1109/CVPR.2019.00075), the fit
as the IoU that the box will have (doi:10.1007/978-3-030-01264-9_48). The planes are those of `hexscope.models.peaks`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

#: Width of a hill of heat, in sides of its box; at least `_LEAST_SIGMA` pixels of the answer.
_SIGMA = 0.135
_LEAST_SIGMA = 0.75
#: Where a hill is higher than this, the sides of its box are asked.
_ASKED = 0.2
#: Weight of the sides, of belonging and of the fit beside the heat.
_SIDES, _BELONGS, _FIT = 2.0, 0.5, 0.5
#: Sides are learnt as logarithms, held within these.
_LOG_SIDES = (-2.0, 8.0)


@dataclass(frozen=True)
class Asked:
    """What the planes should be, for one image; pixels are those of the answer, sides in pixels of the patch.

    heat     (classes, *out) 0..1, 1 at the middle of each object
    weight   (*out) how much the sides are asked
    sides    (2 * dims, *out) distances to the least and the greatest edges of the object asked there
    belongs  (*out) 1 within any box
    """

    heat: Tensor
    weight: Tensor
    sides: Tensor
    belongs: Tensor


def asked(boxes: Tensor, classes: int, out: tuple[int, ...], stride: Tensor) -> Asked:
    """What ``boxes`` (objects, 2 * dims + 1; see `hexscope.train.augment.moved_boxes`) ask of planes ``out``."""
    dims = len(out)
    boxes = boxes[boxes[:, -1] >= 0]
    places = [(torch.arange(n, device=boxes.device) + 0.5) * float(s) for n, s in zip(out, stride, strict=True)]
    if not len(boxes):
        empty = boxes.new_zeros(out)
        return Asked(empty.expand(classes, *out), empty, empty.expand(2 * dims, *out), empty)
    low, high, kind = boxes[:, :dims], boxes[:, dims:-1], boxes[:, -1].long()
    hill, inside = boxes.new_ones(len(boxes), *(1,) * dims), boxes.new_ones(len(boxes), *(1,) * dims)
    for axis, place in enumerate(places):
        a, b, step = low[:, axis, None], high[:, axis, None], float(stride[axis])
        top = ((((a + b) / 2) / step).floor().clamp(0, out[axis] - 1) + 0.5) * step
        sigma = ((b - a) * _SIGMA).clamp_min(_LEAST_SIGMA * step)
        along = (-1, *(out[axis] if i == axis else 1 for i in range(dims)))
        hill = hill * torch.exp(-0.5 * ((place - top) / sigma) ** 2).view(along)
        inside = inside * ((place >= a) & (place <= b)).float().view(along)
    heat = torch.stack([_highest(hill[kind == k], out) for k in range(classes)])
    weight, owner = hill.max(0)
    sides = [place.view(_along(axis, dims)) - low[:, axis][owner] for axis, place in enumerate(places)]
    sides += [high[:, axis][owner] - place.view(_along(axis, dims)) for axis, place in enumerate(places)]
    return Asked(heat, weight * (weight > _ASKED), torch.stack(sides), inside.amax(0))


def _along(axis: int, dims: int) -> tuple[int, ...]:
    return tuple(-1 if i == axis else 1 for i in range(dims))


def _highest(hills: Tensor, out: tuple[int, ...]) -> Tensor:
    return hills.amax(0) if len(hills) else hills.new_zeros(out)


def peaks_loss(logits: Tensor, target: Tensor, known: Tensor, labelled: Tensor | None = None) -> Tensor:
    """``logits`` (batch, classes + 2 + 2 * dims, *out); ``target`` (batch, objects, 2 * dims + 1) boxes in pixels of
    the patch; ``known`` (batch, dims) its sides."""
    dims = logits.ndim - 2
    classes = logits.shape[1] - 2 - 2 * dims
    out = tuple(logits.shape[2:])
    stride = known[0] / torch.tensor(out)
    parts = [asked(boxes, classes, out, stride) for boxes in target]
    heat, weight, sides, belongs = (torch.stack([getattr(p, k) for p in parts]) for k in vars(parts[0]))
    overlap, general = overlaps(logits[:, classes + 2 :].clamp(*_LOG_SIDES).exp(), sides)
    total = weight.sum().clamp_min(1.0)
    loss = focal(logits[:, :classes], heat) + _SIDES * ((1 - general) * weight).sum() / total
    fit = F.binary_cross_entropy_with_logits(logits[:, classes + 1], overlap.detach(), weight=weight, reduction="sum")
    return loss + _FIT * fit / total + _BELONGS * _covered(logits[:, classes], belongs)


def focal(logits: Tensor, heat: Tensor) -> Tensor:
    """Few pixels are a middle and those beside one are forgiven: focal loss on hills, by the number of middles."""
    share = logits.sigmoid()
    middle = (heat >= 1 - 1e-4).float()
    found = -middle * (1 - share).square() * F.logsigmoid(logits)
    false = -(1 - middle) * (1 - heat) ** 4 * share.square() * F.logsigmoid(-logits)
    return (found + false).sum() / middle.sum().clamp_min(1.0)


def overlaps(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes about one point, given by their distances (batch, 2 * dims, *out) from it."""
    dims = ours.shape[1] // 2
    theirs = theirs.clamp_min(0)
    pairs = [(k, k + dims) for k in range(dims)]
    least, most = torch.minimum(ours, theirs), torch.maximum(ours, theirs)
    shared, hull, own, other = (_volume(x, pairs) for x in (least, most, ours, theirs))
    union = own + other - shared
    iou = shared / union.clamp_min(1e-6)
    return iou, iou - (hull - union) / hull.clamp_min(1e-6)


def _volume(sides: Tensor, pairs: list[tuple[int, int]]) -> Tensor:
    out = torch.ones_like(sides[:, 0])
    for a, b in pairs:
        out = out * (sides[:, a] + sides[:, b])
    return out


def _covered(logits: Tensor, belongs: Tensor) -> Tensor:
    share = logits.sigmoid()
    dice = (2 * (share * belongs).sum() + 1) / (share.sum() + belongs.sum() + 1)
    return F.binary_cross_entropy_with_logits(logits, belongs) + 1 - dice
