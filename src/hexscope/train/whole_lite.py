"""The network of `hexscope.train.lite` that looks at a whole picture and says one thing about it, fine-tuned.

Of each resolution of its encoder, the mean and the deviation of every channel; then one linear layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hexscope.train.export import Writer
from hexscope.train.frozen import mean_and_deviation
from hexscope.train.lite import SEEN, Encoder

Sizes = tuple[int, ...]

#: The finest resolution says nothing that the next does not.
_FIRST = 1
_DROPPED = 0.2
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class WholeLiteShape:
    """What such a network is built from.

    planes    1 (grey) or 3 (colours)
    enlarged  how many times larger pictures are made first: small ones would shrink to a pixel
    """

    planes: int
    outputs: int
    frame: Sizes
    enlarged: int = 1

    @property
    def dims(self) -> int:
        return 2

    @property
    def multiple(self) -> Sizes:
        return self.frame

    def build(self) -> WholeLite:
        return WholeLite(self)


class WholeLite(nn.Module):
    """Logits (batch, outputs) of a picture (batch, planes, *frame)."""

    def __init__(self, shape: WholeLiteShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape.planes)
        self.encoder.begin_with_photographs()
        seen = 2 * sum(SEEN[_FIRST:])
        self.level = nn.BatchNorm1d(seen, affine=False)
        self.answer = nn.Linear(seen, shape.outputs)
        nn.init.zeros_(self.answer.weight)

    def forward(self, x: Tensor) -> Tensor:
        if self.shape.enlarged > 1:
            x = F.interpolate(x, scale_factor=self.shape.enlarged, mode="bilinear", align_corners=False)
        parts = []
        for y in self.encoder(x)[_FIRST:]:
            flat = y.flatten(2).float()
            parts += [flat.mean(2), (flat.var(2, correction=0) + _LEAST_VARIANCE).sqrt()]
        level = self.level(torch.cat(parts, 1))
        out: Tensor = self.answer(F.dropout(level, _DROPPED, self.training))
        return out

    def write(self, writer: Writer, image: str) -> str:
        """Nodes from ``image`` (n, planes, *frame) to logits (n, outputs)."""
        times = self.shape.enlarged
        if times > 1:
            scales = writer.exact(np.array([1, 1, times, times], np.float32))
            image = writer.node("Resize", [image, "", scales], mode="linear")
        parts = [part for y in self.encoder.write(writer, image)[_FIRST:] for part in mean_and_deviation(writer, y)]
        weight, bias = (p.detach().to("cpu", torch.float32).numpy() for p in (self.answer.weight, self.answer.bias))
        middle, variance = (np.asarray(b) for b in (self.level.running_mean, self.level.running_var))
        scaled = (weight / np.sqrt(variance + self.level.eps)).astype(np.float32)
        return writer.linear(writer.node("Concat", parts, axis=1), scaled.T, bias - scaled @ middle)
