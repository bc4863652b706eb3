"""A small network that looks at a whole image and says one thing about it, from scratch; and how it is written as ONNX.

Pairs of convolutions, each pair but the first halving the image; then the mean and the maximum of every channel, and
one linear layer. Batch normalisation, no dropout but before the last layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hexscope.train.export import Writer
from hexscope.train.nets import Layer
from hexscope.train.pool import Example

Sizes = tuple[int, ...]

_DROPPED = 0.3


@dataclass(frozen=True)
class WholeShape:
    """What such a network is built from.

    strides  by level: how much it shrinks each axis; ``widths`` its channels
    """

    planes: int
    outputs: int
    frame: Sizes
    strides: tuple[Sizes, ...]
    widths: Sizes

    @property
    def dims(self) -> int:
        return len(self.frame)

    @property
    def multiple(self) -> Sizes:
        return self.frame

    def build(self) -> WholeNet:
        return WholeNet(self)


class WholeNet(nn.Module):
    """Logits (batch, outputs) of an image (batch, planes, *frame)."""

    def __init__(self, shape: WholeShape) -> None:
        super().__init__()
        self.shape = shape
        three = (3,) * shape.dims
        layers: list[Layer] = []
        inputs = shape.planes
        for stride, width in zip(shape.strides, shape.widths, strict=True):
            layers += [Layer(inputs, width, three, stride), Layer(width, width, three)]
            inputs = width
        self.body = nn.Sequential(*layers)
        self.answer = nn.Linear(2 * inputs, shape.outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x).flatten(2)
        seen = torch.cat([y.mean(2), y.amax(2)], 1)
        out: Tensor = self.answer(F.dropout(seen, _DROPPED, self.training))
        return out

    def write(self, writer: Writer, image: str) -> str:
        """Nodes from ``image`` (n, planes, *frame) to logits (n, outputs)."""
        x = image
        for layer in self.body:
            assert isinstance(layer, Layer)
            x = writer.layer(x, layer)
        parts = [
            writer.node("Flatten", [writer.node(kind, [x])], axis=1) for kind in ("GlobalAveragePool", "GlobalMaxPool")
        ]
        seen = writer.node("Concat", parts, axis=1)
        weight, bias = (p.detach().to("cpu", torch.float32).numpy() for p in (self.answer.weight, self.answer.bias))
        return writer.linear(seen, weight.T, bias)


@dataclass(frozen=True)
class Framed:
    """Shows whole images: what `hexscope.train.pool.Cutter` is where patches are cut.

    room  part of a side by which the middle of what is shown may wander
    """

    patch: Sizes
    room: float

    def batch(
        self, examples: Sequence[Example], chance: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Images (batch, planes, *patch), labels (batch, classes), shifts (batch, axes) in pixels, and None."""
        images = torch.from_numpy(np.stack([e.image for e in examples]).astype(np.float32))
        labels = torch.from_numpy(np.stack([e.labels for e in examples]))
        return images, labels, self.shift(len(examples), chance), None

    def shift(self, count: int, chance: torch.Generator) -> Tensor:
        """(count, axes) pixels by which what is shown wanders."""
        draw = torch.rand((count, len(self.patch)), generator=chance) * 2 - 1
        return draw * self.room * torch.tensor(self.patch, dtype=torch.float32)
