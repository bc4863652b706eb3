"""A look at the network on its way: Dice on cases that it does not learn from, and how sure it may call itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hexscope.train.augment import UNKNOWN, one_hot
from hexscope.train.loop import Course, channels_last
from hexscope.train.pool import Example

T = TypeVar("T")

#: Cases of a look.
_CASES = 8
#: Temperatures tried; 1 leaves the logits as they are.
_TEMPERATURES = tuple(float(t) for t in np.geomspace(0.5, 4.0, 25))


def few(cases: Sequence[T]) -> list[T]:
    """Up to ``_CASES`` of them, evenly spread."""
    at = np.unique(np.linspace(0, len(cases) - 1, min(_CASES, len(cases))).round().astype(int))
    return [cases[i] for i in at]


@dataclass(frozen=True)
class Looker:
    """Looks at some examples; of large ones at a part no larger than ``most``.

    These figures steer nothing: they make the curve. The card's figures come from the exported model.
    """

    examples: Sequence[Example]
    course: Course
    most: tuple[int, ...]

    def __call__(self, net: nn.Module) -> Mapping[str, float]:
        """Mean Dice over the structures that the cases hold."""
        values = []
        for logits, labels in self._answers(net):
            said, true = _decided(logits, labels)
            both, all_ = (said * true).sum(-1), (said + true).sum(-1)
            values += (2 * both / all_)[all_ > 0].tolist()
        return {"dice": round(float(np.mean(values)), 4) if values else 0.0}

    def temperature(self, net: nn.Module) -> float:
        """What the logits are best divided by: least cross-entropy (doi:10.48550/arXiv.1706.04599)."""
        pairs = list(self._answers(net))
        if not pairs:
            return 1.0
        cost = [sum(_entropy(logits / t, labels) for logits, labels in pairs) for t in _TEMPERATURES]
        return round(_TEMPERATURES[int(np.argmin(cost))], 3)

    @torch.no_grad()
    def _answers(self, net: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits (planes, pixels) and labels (pixels) or (planes, pixels) of what is known of each case."""
        net.eval()
        course = self.course
        for example in self.examples:
            where = self._part(example)
            image = torch.from_numpy(np.array(example.image[(slice(None), *where)], np.float32))[None]
            sides = image.shape[2:]
            pads = [p for n, m in zip(sides[::-1], course.shape.multiple[::-1], strict=True) for p in (0, -n % m)]
            image = F.pad(image, pads, mode="replicate").to(course.device)
            image = image.contiguous(memory_format=channels_last(course.shape.dims))
            with torch.autocast(course.device, torch.bfloat16, enabled=course.precision == "bf16"):
                logits = net(image)
            logits = logits[(0, slice(None), *(slice(0, n) for n in sides))].float().cpu().flatten(1)
            lead = (slice(None),) * (example.labels.ndim - len(sides))
            labels = torch.from_numpy(np.array(example.labels[(*lead, *where)])).flatten(len(lead))
            known = (labels if labels.ndim == 1 else labels[0]) != UNKNOWN
            if course.target == "instances":  # of directions there is no right or wrong
                logits, labels = logits[:1], labels[:1]
            yield logits[:, known], labels[..., known]
        net.train()

    def _part(self, example: Example) -> tuple[slice, ...]:
        sides = example.image.shape[1:]
        middle = example.aims[0][len(example.aims[0]) // 2] if example.aims else [n // 2 for n in sides]
        low = [int(np.clip(c - m // 2, 0, max(n - m, 0))) for c, n, m in zip(middle, sides, self.most, strict=True)]
        return tuple(slice(a, a + m) for a, m in zip(low, self.most, strict=True))


def _decided(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """What is said and what is true, (structures, pixels) of 0 and 1."""
    if labels.ndim == 2:  # shares of each plane
        return (logits > 0).float(), (labels > 127).float()
    said = one_hot(logits.argmax(0)[None], len(logits))[0, 1:]
    return said, one_hot(labels[None], len(logits))[0, 1:]


def _entropy(logits: Tensor, labels: Tensor) -> float:
    if labels.ndim == 2:
        return float(F.binary_cross_entropy_with_logits(logits, labels.float() / 254))
    return float(F.cross_entropy(logits.T, labels.long()))
