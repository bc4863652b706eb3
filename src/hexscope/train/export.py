"""A trained network as a plain ONNX graph: convolutions, transposed convolutions, additions and ReLU, nothing else.

Batch normalisation is folded into the convolution before it; the space-to-depth stem and the convolution after it are
one convolution of larger stride; a 1 x 1 convolution and its rearrangement are one transposed convolution. Such a graph
runs in any engine and can be quantised. Weights are stored as fp16 and widened when a session opens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hexscope.io.files import atomic_write
from hexscope.train.nets import Answering, Grow, Layer, UNet

Floats = NDArray[np.float32]

OPSET = 17
IR_VERSION = 8


class Written(Protocol):
    """A network that knows how it is written: see `hexscope.train.lite.Lite`."""

    def write(self, writer: Writer, image: str) -> str: ...


def save_onnx(net: Answering, path: Path) -> None:
    """Write the graph of ``net``: input "image" (1, planes, *spatial), output "logits" (1, outputs, *spatial)."""
    import onnx

    model = graph_of(net)
    onnx.checker.check_model(model)
    atomic_write(path, lambda beside: onnx.save(model, str(beside)))


def graph_of(net: Answering, stored: type[np.floating[Any]] = np.float16) -> Any:
    """The ONNX model of ``net``, its weights stored as fp16 or fp32."""
    from onnx import TensorProto, helper

    writer = Writer(stored)
    shape = net.shape
    y = _unet(net, writer) if isinstance(net, UNet) else cast(Written, net).write(writer, "image")
    if shape.head:
        y = writer.node("Add", [writer.grow(y, net.fine), writer.convolution("image", net.look)])
        y = writer.node("Relu", [y])
        y = writer.node("Add", [y, writer.layer(y, net.place)])
    writer.convolution(y, net.answer, "logits")
    sides = [f"side{i}" for i in range(shape.dims)]
    answered = sides if shape.head else [f"{side}_of_answer" for side in sides]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, shape.planes, *sides])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, shape.outputs, *answered])
    graph = helper.make_graph(writer.nodes, "hexscope", [image], [logits], writer.weights)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="hexscope"
    )


def _unet(net: UNet, writer: Writer) -> str:
    parts: Any = net  # a list of modules tells nobody what is in it
    seen: list[str] = []
    y = "image"
    for level, pair in enumerate(parts.down):
        first, second = pair
        y = writer.stem(first, net.shape.stem, net.shape.planes) if level == 0 else writer.layer(y, first)
        y = writer.layer(y, second)
        seen.append(y)
    for level in reversed(range(len(parts.grow))):
        y = writer.node("Add", [writer.grow(y, parts.grow[level]), seen[level]])
        for layer in parts.up[level]:
            y = writer.layer(y, layer)
    return y


class Writer:
    """Collects nodes and weights; each method gives the name of what it added.

    stored  fp32, fp16, or int8 with a scale for each output of a layer: half the size of fp16, read as fp32 again
    """

    def __init__(self, stored: type[np.number[Any]]) -> None:
        self.stored = stored
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.known: dict[int, str] = {}

    def once(self, key: object, write: Callable[[], str]) -> str:
        """What ``write`` gives, written at the first call for this very object."""
        if id(key) not in self.known:
            self.known[id(key)] = write()
        return self.known[id(key)]

    def node(self, kind: str, inputs: Sequence[str], name: str = "", **settings: Any) -> str:
        from onnx import helper

        name = name or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **settings))
        return name

    def weight(self, array: Floats) -> str:
        """An array; one stored smaller is widened by nodes that engines compute once, when they open the graph."""
        if self.stored is np.int8 and array.ndim > 1:
            scale = np.abs(array).max(axis=tuple(range(1, array.ndim)), keepdims=True) / 127 + np.float32(1e-12)
            return self.node("Mul", [self._kept(np.round(array / scale), np.int8), self.exact(scale)])
        return self._kept(array, np.float32 if self.stored is np.float32 else np.float16)

    def _kept(self, array: Floats, stored: type[np.number[Any]]) -> str:
        from onnx import TensorProto, numpy_helper

        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype=stored), name))
        return name if stored is np.float32 else self.node("Cast", [name], to=TensorProto.FLOAT)

    def exact(self, array: NDArray[Any]) -> str:
        """An array as it is: single precision where it is not of whole numbers."""
        from onnx import numpy_helper

        name = f"w{len(self.weights)}"
        kept = array if np.issubdtype(array.dtype, np.integer) else array.astype(np.float32)
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(kept), name))
        return name

    def number(self, value: float) -> str:
        return self.exact(np.array(value, np.float32))

    def linear(self, x: str, weight: Floats, bias: Floats) -> str:
        """``x`` (n, inputs) @ ``weight`` (inputs, outputs) + ``bias``."""
        return self.node("Gemm", [x, self.weight(np.ascontiguousarray(weight.T)), self.exact(bias)], transB=1)

    def part(self, x: str, axis: int, start: int, stop: int) -> str:
        """From ``start`` to before ``stop`` along an axis."""
        at = [self.exact(np.array([v], np.int64)) for v in (start, stop, axis)]
        return self.node("Slice", [x, *at])

    def stem(self, layer: Layer, factor: Sequence[int], planes: int) -> str:
        """Space-to-depth and the convolution after it, as one: kernel and stride ``factor`` times as large."""
        weight, bias = folded(layer)
        dims, kernel = len(factor), weight.shape[2:]
        wide = weight.reshape(len(weight), planes, *factor, *kernel)
        order = [axis for i in range(dims) for axis in (2 + dims + i, 2 + i)]
        sides = [k * f for k, f in zip(kernel, factor, strict=True)]
        wide = wide.transpose(0, 1, *order).reshape(len(weight), planes, *sides)
        pads = [f * (k // 2) for k, f in zip(kernel, factor, strict=True)]
        names = ["image", self.weight(wide), self.weight(bias)]
        return self.node("Relu", [self.node("Conv", names, strides=list(factor), pads=pads * 2)])

    def layer(self, x: str, layer: Layer) -> str:
        weight, bias = folded(layer)
        strides, pads = list(layer.conv.stride), list(layer.conv.padding) * 2
        names = [x, self.weight(weight), self.weight(bias)]
        return self.node("Relu", [self.node("Conv", names, strides=strides, pads=pads)])

    def convolution(self, x: str, conv: nn.Module, name: str = "") -> str:
        weight, bias = _array(conv.weight), _array(conv.bias)
        pads = [k // 2 for k in weight.shape[2:]] * 2
        return self.node("Conv", [x, self.weight(weight), self.weight(bias)], name, pads=pads)

    def grow(self, x: str, grow: Grow) -> str:
        weight = _array(grow.shares.weight)
        inputs = weight.shape[1]
        outputs = len(weight) // int(np.prod(grow.factor))
        wide = weight.reshape(-1, outputs, inputs).transpose(2, 1, 0).reshape(inputs, outputs, *grow.factor)
        return self.node("ConvTranspose", [x, self.weight(wide)], strides=list(grow.factor))


def folded(layer: Any) -> tuple[Floats, Floats]:
    """Weight and bias of the one convolution that does what ``layer`` does before its ReLU."""
    norm = layer.norm
    scale = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
    weight = _array(layer.conv.weight)
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), _array(norm.bias) - _array(norm.running_mean) * scale


def _array(tensor: Any) -> Floats:
    out: Floats = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
    return out
