"""The network: one U-Net for 2-D and 3-D whose body works at half resolution, with a light head at full resolution.

A space-to-depth stem puts each block of 2 x 2 (x 2) pixels into one, so that the costly layers see 4 to 8 times fewer
pixels; the head brings the answer back to every pixel and looks at the image once more to place the border. Skips
are added, not joined: half the arithmetic of the decoder. The layout follows U-Net (doi:10.1007/978-3-319-24574-4_28)
with strided convolutions, batch normalisation and no dropout.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class NetShape:
    """What a network of this family is built from; plain numbers, so that a checkpoint and a plan can hold it.

    planes, outputs  planes of the input and of the answer
    stem      pixels of each axis that the stem joins into one
    strides   by level below the first: how much it shrinks each axis
    kernels   by level, the first included: side of its convolutions on each axis
    widths    by level: channels
    head      channels at full resolution; 0: the answer stays at the resolution of the stem
    bias      what each plane of the answer begins with; empty: by chance, as usual
    """

    planes: int
    outputs: int
    stem: Sizes
    strides: tuple[Sizes, ...]
    kernels: tuple[Sizes, ...]
    widths: Sizes
    head: int
    bias: tuple[float, ...] = ()

    def build(self) -> UNet:
        return UNet(self)

    def __post_init__(self) -> None:
        assert len(self.kernels) == len(self.widths) == len(self.strides) + 1

    @property
    def dims(self) -> int:
        return len(self.stem)

    @property
    def multiple(self) -> Sizes:
        """Sides of the input must be multiples of this."""
        out = list(self.stem)
        for stride in self.strides:
            out = [a * b for a, b in zip(out, stride, strict=True)]
        return tuple(out)


class Layer(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Sizes, stride: Sizes | int = 1) -> None:
        super().__init__()
        dims = len(kernel)
        pad = tuple(k // 2 for k in kernel)
        self.conv = getattr(nn, f"Conv{dims}d")(inputs, outputs, kernel, stride, pad, bias=False)
        self.norm = getattr(nn, f"BatchNorm{dims}d")(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.norm(self.conv(x)))


class Grow(nn.Module):
    """A 1 x 1 convolution whose channels are laid out as the finer pixels: a transposed convolution, but faster."""

    def __init__(self, inputs: int, outputs: int, factor: Sizes) -> None:
        super().__init__()
        self.factor = factor
        self.shares = getattr(nn, f"Conv{len(factor)}d")(inputs, outputs * _product(factor), 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return depth_to_space(self.shares(x), self.factor)


class Answering(nn.Module, ABC):
    """Logits (batch, outputs, *spatial) of an image (batch, planes, *spatial): a body at the resolution of the stem,
    and what is made of its features; with a head, at full resolution, where the image is looked at once more."""

    def __init__(self, shape: Any, features: int) -> None:
        super().__init__()
        self.shape = shape
        fine = (3,) * len(shape.stem)
        conv = getattr(nn, f"Conv{len(fine)}d")
        if shape.head:
            self.fine = Grow(features, shape.head, shape.stem)
            self.look = conv(shape.planes, shape.head, fine, padding=1)
            self.place = Layer(shape.head, shape.head, fine)
            self.answer = conv(shape.head, shape.outputs, 1)
        else:
            self.answer = conv(features, shape.outputs, fine, padding=1)
        if shape.bias:
            self.answer.bias.data.copy_(torch.tensor(shape.bias))

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if self.shape.head:
            y = torch.relu_(self.fine(y) + self.look(x))
            y = y + self.place(y)
        logits: Tensor = self.answer(y)
        return logits

    @abstractmethod
    def body(self, x: Tensor) -> Tensor:
        """Features at the resolution of the stem."""


class UNet(Answering):
    """The network from scratch."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__(shape, shape.widths[0])
        widths, kernels = shape.widths, shape.kernels
        stem = shape.planes * _product(shape.stem)
        self.down = nn.ModuleList([_two(stem, widths[0], kernels[0], 1)])
        self.grow, self.up = nn.ModuleList(), nn.ModuleList()
        for level, stride in enumerate(shape.strides, start=1):
            self.down.append(_two(widths[level - 1], widths[level], kernels[level], stride))
            self.grow.append(Grow(widths[level], widths[level - 1], stride))
            self.up.append(_two(widths[level - 1], widths[level - 1], kernels[level - 1], 1))

    def body(self, x: Tensor) -> Tensor:
        y = space_to_depth(x, self.shape.stem)
        seen = []
        for down in self.down:
            y = down(y)
            seen.append(y)
        for level in reversed(range(len(self.grow))):
            y = self.up[level](self.grow[level](y) + seen[level])
        return y


def _two(inputs: int, outputs: int, kernel: Sizes, stride: Sizes | int) -> nn.Sequential:
    return nn.Sequential(Layer(inputs, outputs, kernel, stride), Layer(outputs, outputs, kernel))


def space_to_depth(x: Tensor, factor: Sizes) -> Tensor:
    """(batch, c, *spatial) to (batch, c * product of factor, *smaller), channels last in memory.

    Channel ``c * product + offset``: the blocks of one plane stay together, so that one plain convolution of side
    ``factor * kernel`` is the same (see `hexscope.train.export`).
    """
    n = len(factor)
    shape: list[int] = []
    for size, f in zip(x.shape[2:], factor, strict=True):
        shape += [size // f, f]
    blocks = x.reshape(x.shape[0], x.shape[1], *shape)
    coarse, fine = [2 + 2 * i for i in range(n)], [3 + 2 * i for i in range(n)]
    last = blocks.permute(0, *coarse, 1, *fine).reshape(x.shape[0], *shape[::2], -1)
    return last.permute(0, n + 1, *range(1, n + 1))


def depth_to_space(x: Tensor, factor: Sizes) -> Tensor:
    """(batch, product of factor * c, *spatial) to (batch, c, *larger), channels last in memory.

    Channel ``offset * c_out + c``: the channels of one fine pixel stay together.
    """
    n = len(factor)
    channels = x.shape[1] // _product(factor)
    blocks = x.permute(0, *range(2, n + 2), 1).reshape(x.shape[0], *x.shape[2:], *factor, channels)
    order = [axis for i in range(n) for axis in (1 + i, 1 + n + i)]
    larger = [size * f for size, f in zip(x.shape[2:], factor, strict=True)]
    last = blocks.permute(0, *order, 2 * n + 1).reshape(x.shape[0], *larger, channels)
    return last.permute(0, n + 1, *range(1, n + 1))


def _product(values: Sequence[int]) -> int:
    out = 1
    for value in values:
        out *= value
    return out
