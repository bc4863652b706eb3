"""The network and its graph: the same numbers with and without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from hexscope.models.runtime import Network  # noqa: E402
from hexscope.train.export import graph_of, save_onnx  # noqa: E402
from hexscope.train.nets import NetShape, UNet, depth_to_space, space_to_depth  # noqa: E402

SHAPES = {
    "volume": NetShape(1, 3, (2, 2, 2), ((2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 3, (8, 16, 24), 8),
    "thick slices, two inputs": NetShape(
        2, 4, (1, 2, 2), ((1, 2, 2), (2, 2, 2)), ((1, 3, 3), (3, 3, 3), (3, 3, 3)), (8, 16, 16), 8
    ),
    "colour picture": NetShape(3, 2, (2, 2), ((2, 2), (2, 2), (2, 2)), ((3, 3),) * 4, (8, 8, 16, 16), 8),
}


def trained(shape: NetShape) -> UNet:
    """As if trained: statistics and scales unlike those of a fresh network, weights that fp16 holds."""
    torch.manual_seed(1)
    net = UNet(shape)
    for module in net.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_()
    return net.eval()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_the_graph_gives_the_networks_numbers(shape: NetShape, tmp_path: Path) -> None:
    net = trained(shape)
    sides = [m * (2 + axis) for axis, m in enumerate(shape.multiple)]
    image = torch.randn(1, shape.planes, *sides, generator=torch.Generator().manual_seed(2))
    save_onnx(net, tmp_path / "weights.onnx")
    network = Network(tmp_path / "weights.onnx")
    network.require_fit(shape.planes, shape.dims, shape.outputs)
    found = network.engine_for(image[0].numpy(), 1).run(image[0].numpy())
    with torch.no_grad():
        wanted = net(image)[0].numpy()
    assert found.shape == wanted.shape == (shape.outputs, *sides)
    assert np.abs(found - wanted).max() < 4e-3 * np.abs(wanted).max()


def test_the_graph_is_plain_and_small() -> None:
    shape = SHAPES["volume"]
    graph = graph_of(trained(shape)).graph
    assert {node.op_type for node in graph.node} == {"Cast", "Conv", "ConvTranspose", "Add", "Relu"}
    assert all(w.data_type == onnx.TensorProto.FLOAT16 for w in graph.initializer)


def test_the_multiple_is_the_least_side() -> None:
    shape = SHAPES["thick slices, two inputs"]
    assert shape.multiple == (2, 8, 8)
    with torch.no_grad():
        assert trained(shape)(torch.zeros(1, 2, 2, 8, 16)).shape == (1, 4, 2, 8, 16)


@pytest.mark.parametrize("factor", [(2, 2), (1, 2, 2), (2, 1, 2)])
def test_blocks_go_into_channels_and_back(factor: tuple[int, ...]) -> None:
    x = torch.randn(2, 3, *[4 * f for f in factor])
    coarse = space_to_depth(x, factor)
    product = int(np.prod(factor))
    assert coarse.shape[:2] == (2, 3 * product)
    apart = coarse.unflatten(1, (3, product)).transpose(1, 2).flatten(1, 2)  # plane by plane to offset by offset
    assert torch.equal(depth_to_space(apart, factor), x)
