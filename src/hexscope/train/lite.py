"""A network that has seen photographs: the first part of EfficientNet-lite0 with its ImageNet weights, fine-tuned.

For pictures (2-D, one or three planes) of which few are labelled: edges, textures and parts need not be learnt again.
The encoder is cut where the resolution is a sixteenth; a light decoder adds its way back, as that of
`hexscope.train.nets.UNet`, whose interface this is. Weights and layout are those of `hexscope.train.frozen`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hexscope.train.export import Writer, folded
from hexscope.train.frozen import CONTRAST, EPSILON, STAGES, Frozen
from hexscope.train.nets import Answering, Grow, Layer, Sizes

#: For the card.
BEGAN_WITH = "its first weights are those of EfficientNet-lite0, learnt on ImageNet (Apache-2.0)"
#: Stages whose answers are taken, the last of each resolution: a half, a quarter, an eighth, a sixteenth.
_TAKEN = (0, 1, 2, 4)
#: Channels of those answers.
SEEN = tuple(STAGES[k][3] for k in _TAKEN)
_STEM, _WIDER = 32, 6
#: The stem and so many stages stay as they are: edges are edges, and at high resolution learning is costliest.
_KEPT = 2


@dataclass(frozen=True)
class LiteShape:
    """What a network of this family is built from; plain numbers, so that a checkpoint and a plan can hold it.

    planes   1 (grey) or 3 (colours)
    widths   channels of the decoder, from its finest level to a sixteenth: 4 levels bring the answer to half of the
             resolution, 3 to a quarter
    head     channels at full resolution; 0: the answer stays at that of the decoder
    bias     what each plane of the answer begins with; empty: by chance, as usual
    """

    planes: int
    outputs: int
    widths: Sizes
    head: int
    bias: tuple[float, ...] = ()

    def build(self) -> Lite:
        return Lite(self)

    def __post_init__(self) -> None:
        assert self.planes in (1, 3)
        assert 1 <= len(self.widths) <= len(SEEN)

    @property
    def dims(self) -> int:
        return 2

    @property
    def stem(self) -> Sizes:
        """Pixels of the image to one of the decoder's finest level, by axis."""
        return (1 << (1 + len(SEEN) - len(self.widths)),) * 2

    @property
    def multiple(self) -> Sizes:
        """Sides of the input must be multiples of this."""
        return (1 << len(SEEN),) * 2


class Unit(nn.Module):
    """Convolution, scale and shift and, where ``clipped``, ReLU up to 6.

    Scale and shift are those of a batch normalisation whose statistics stay as they are: with them in the weights of
    the convolution, nothing but it is computed.
    """

    def __init__(
        self, inputs: int, outputs: int, side: int = 1, stride: int = 1, groups: int = 1, clipped: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=EPSILON)
        self.clipped = clipped

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = self.conv, self.norm
        scale = norm.weight * torch.rsqrt(cast(Tensor, norm.running_var) + norm.eps)
        weight = conv.weight * scale.view(-1, 1, 1, 1)
        bias = norm.bias - cast(Tensor, norm.running_mean) * scale
        if conv.groups > 1 and x.device.type == "cpu":
            convolved = cast(Callable[..., Tensor], Depthwise.apply)
            y = convolved(x, weight.to(x.dtype), bias.to(x.dtype), conv.stride[0])
        else:
            y = F.conv2d(x, weight, bias, conv.stride, conv.padding, groups=conv.groups)
        return F.relu6(y, inplace=True) if self.clipped else y

    def write(self, writer: Writer, x: str) -> str:
        weight, bias = folded(self)
        names = [x, writer.weight(weight), writer.weight(bias)]
        side, stride = self.conv.kernel_size[0] // 2, list(self.conv.stride)
        y = writer.node("Conv", names, strides=stride, pads=[side] * 4, group=self.conv.groups)
        return writer.node("Clip", [y, writer.number(0.0), writer.number(6.0)]) if self.clipped else y


class Depthwise(torch.autograd.Function):
    """A convolution of each channel for itself, with a backward pass that a processor does 5 to 20 times faster.

    The gradient of the image is a convolution with the mirrored kernel, with zeros between where the stride is 2; that
    of a wide kernel is computed in single precision, for which the library has fast code.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (x, weight), grad = ctx.saved_tensors, gradients[0]
        stride, pad = ctx.stride, weight.shape[-1] // 2
        grad = grad.contiguous(memory_format=torch.channels_last)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            spread = grad
            if stride > 1:
                spread = torch.zeros_like(x)
                spread[:, :, ::stride, ::stride] = grad
            of_x = F.conv2d(spread, weight.flip(2, 3), None, 1, pad, groups=len(weight))
        if ctx.needs_input_grad[1]:
            kind = torch.float32 if weight.shape[-1] > 3 else grad.dtype
            settings = ([stride] * 2, [pad] * 2, [1, 1], False, [0, 0], len(weight), [False, True, False])
            back = torch.ops.aten.convolution_backward
            of_weight = back(grad.to(kind), x.to(kind), weight.to(kind), None, *settings)[1].to(weight.dtype)
        return of_x, of_weight, grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None, None


class Block(nn.Module):
    """Widen, look around channel by channel, narrow; added to what came where it has its shape."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int) -> None:
        super().__init__()
        wide = inputs if inputs == _STEM else inputs * _WIDER
        parts = [Unit(inputs, wide)] if wide != inputs else []
        parts += [Unit(wide, wide, side, stride, wide), Unit(wide, outputs, clipped=False)]
        self.parts = nn.Sequential(*parts)
        self.joined = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.parts(x)
        return x + y if self.joined else y

    def write(self, writer: Writer, x: str) -> str:
        y = x
        for unit in self.parts:
            y = cast(Unit, unit).write(writer, y)
        return writer.node("Add", [x, y]) if self.joined else y


class Encoder(nn.Module):
    """Features of an image (batch, 1 or 3 planes, rows, columns) at a half to a sixteenth of its resolution."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.stem = Unit(planes, _STEM, 3, 2)
        stages: list[nn.Sequential] = []
        inputs = _STEM
        for count, side, stride, width in STAGES[: _TAKEN[-1] + 1]:
            blocks = [Block(inputs if k == 0 else width, width, side, stride if k == 0 else 1) for k in range(count)]
            stages.append(nn.Sequential(*blocks))
            inputs = width
        self.stages = nn.ModuleList(stages)
        for part in (self.stem, *stages[:_KEPT]):
            part.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(batch, channels, rows, columns) by resolution, the finest first; channels are those of `SEEN`."""
        out = []
        with torch.no_grad():
            y = self.stem(x)
            for stage in self.stages[:_KEPT]:
                y = stage(y)
                out.append(y)
        for number, stage in enumerate(self.stages[_KEPT:], start=_KEPT):
            y = stage(y)
            if number in _TAKEN:
                out.append(y)
        return out

    def write(self, writer: Writer, image: str) -> list[str]:
        """Nodes from ``image`` to what ``forward`` gives."""
        y, out = self.stem.write(writer, image), []
        for number, stage in enumerate(self.stages):
            for block in cast(nn.Sequential, stage):
                y = cast(Block, block).write(writer, y)
            if number in _TAKEN:
                out.append(y)
        return out

    def begin_with_photographs(self) -> None:
        """Take the weights of the package. ImportError where it is not installed."""
        weights = Frozen.load((1 << 16,)).weights
        colours = weights["_conv_stem.weight"] * np.float32(CONTRAST)
        first = colours if self.stem.conv.in_channels == 3 else colours.sum(axis=1, keepdims=True)
        _take(self.stem, weights, first, "_bn0")
        blocks = [block for stage in self.stages for block in cast(nn.Sequential, stage)]
        for number, block in enumerate(blocks):
            units = list(cast(nn.Sequential, block.parts))
            names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")][-len(units) :]
            for unit, (conv, norm) in zip(units, names, strict=True):
                at = f"_blocks.{number}"
                _take(cast(Unit, unit), weights, weights[f"{at}.{conv}.weight"], f"{at}.{norm}")


def _take(unit: Unit, weights: Any, kernel: Any, norm: str) -> None:
    own = {"conv.weight": kernel}
    own |= {f"norm.{k}": weights[f"{norm}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")}
    unit.load_state_dict({name: torch.from_numpy(value) for name, value in own.items()}, strict=False)


class Lite(Answering):
    """The network that begins with photographs."""

    def __init__(self, shape: LiteShape) -> None:
        super().__init__(shape, shape.widths[0])
        self.encoder = Encoder(shape.planes)
        self.encoder.begin_with_photographs()
        widths, three = shape.widths, (3, 3)
        seen = SEEN[len(SEEN) - len(widths) :]
        self.top = nn.Sequential(Layer(seen[-1], widths[-1], three), Layer(widths[-1], widths[-1], three))
        self.side, self.grow, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths[:-1]):
            self.side.append(nn.Conv2d(seen[level], width, 1))
            self.grow.append(Grow(widths[level + 1], width, (2, 2)))
            self.up.append(nn.Sequential(Layer(width, width, three), Layer(width, width, three)))

    def body(self, x: Tensor) -> Tensor:
        seen = self.encoder(x)[len(SEEN) - len(self.shape.widths) :]
        y: Tensor = self.top(seen[-1])
        for level in reversed(range(len(self.grow))):
            y = self.up[level](torch.relu_(self.grow[level](y) + self.side[level](seen[level])))
        return y

    def write(self, writer: Writer, image: str) -> str:
        """Nodes from ``image`` to what ``body`` gives."""
        seen = self.encoder.write(writer, image)[len(SEEN) - len(self.shape.widths) :]
        parts: Any = self  # a list of modules tells nobody what is in it
        y = seen[-1]
        for layer in parts.top:
            y = writer.layer(y, layer)
        for level in reversed(range(len(parts.grow))):
            y = writer.node(
                "Add", [writer.grow(y, parts.grow[level]), writer.convolution(seen[level], parts.side[level])]
            )
            y = writer.node("Relu", [y])
            for layer in parts.up[level]:
                y = writer.layer(y, layer)
        return y
