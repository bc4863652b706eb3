"""What prediction costs: process start to file, each further case, and the memory of a large CT.

    python benchmarks/prediction.py [--data FOLDER] [--size 400 512 512] [--skip-large]

The network is a U-Net of the shipped kind (body at half resolution, 1.2 million weights) with random weights, made
here: what it finds means nothing, what it costs does. CPU seconds (user and system) and peak resident memory are those
of the command line in a process of its own, as the system counts them; byte code is compiled once before.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from real_data import add_data

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.quantity import Quantity
from hexscope.models.card import ModelCard
from hexscope.models.recipe import Channel, Normalise, Recipe

WIDTHS = (32, 64, 128)
HEAD = 16
CLASSES = ("a", "b")


class Graph:
    """An ONNX graph under construction: every layer has random weights."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(0)

    def constant(self, array: NDArray[np.floating]) -> str:
        """Weights stored as float16, brought to float32 when they are loaded."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array.astype(np.float16), name))
        return self.node("Cast", [name], to=TensorProto.FLOAT)

    def node(self, kind: str, inputs: Sequence[str], **more: object) -> str:
        out = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **more))
        return out

    def conv(self, x: str, a: int, b: int, side: int = 3, stride: int = 1, *, relu: bool = True) -> str:
        kernel = self.rng.normal(0, (2 / (a * side**3)) ** 0.5, (b, a, side, side, side))
        pad = (side - stride + 1) // 2
        weights = [self.constant(kernel), self.constant(np.zeros(b))]
        x = self.node("Conv", [x, *weights], strides=[stride] * 3, pads=[pad] * 6)
        return self.node("Relu", [x]) if relu else x

    def grow(self, x: str, a: int, b: int) -> str:
        kernel = self.rng.normal(0, (2 / a) ** 0.5, (a, b, 2, 2, 2))
        return self.node("ConvTranspose", [x, self.constant(kernel)], strides=[2] * 3)


def write_unet(path: Path) -> None:
    """A space-to-depth stem as one convolution of six a side, three levels, a light head at full resolution."""
    g = Graph()
    x = g.conv("image", 1, WIDTHS[0], 6, 2)
    skips = [x := g.conv(x, WIDTHS[0], WIDTHS[0])]
    for a, b in itertools.pairwise(WIDTHS):
        skips.append(x := g.conv(g.conv(x, a, b, 4, 2), b, b))
    for a, b, skip in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], skips[-2::-1], strict=True):
        x = g.conv(g.conv(g.node("Add", [g.grow(x, a, b), skip]), b, b), b, b)
    x = g.node("Relu", [g.node("Add", [g.grow(x, WIDTHS[0], HEAD), g.conv("image", 1, HEAD, relu=False)])])
    g.nodes.append(helper.make_node("Identity", [g.conv(x, HEAD, len(CLASSES) + 1, relu=False)], ["logits"]))
    sides = ["z", "y", "x"]
    graph = helper.make_graph(
        g.nodes,
        "unet",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, *sides])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(CLASSES) + 1, *sides])],
        g.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def write_model(folder: Path, channel: Channel, spacing_mm: tuple[float, ...] | None, tile: int) -> Path:
    folder.mkdir()
    recipe = Recipe((channel,), 3, (8,) * 3, (tile,) * 3, (tile // 4,) * 3, spacing_mm=spacing_mm)
    card = ModelCard(
        folder.name, "segment", channel.modality, channel.quantity, CLASSES, "nothing: random weights", "Apache-2.0",
        "for timing only", recipe=recipe,
    )  # fmt: skip
    (folder / "card.toml").write_text(card.to_toml())
    write_unet(folder / "weights.onnx")
    return folder


def cost(*arguments: object, engine: str = "onnxruntime") -> tuple[float, float]:
    """CPU seconds and peak resident GB of one run of the command line."""
    words = [sys.executable, "-m", "hexscope", *(str(a) for a in arguments)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment.setdefault("PYTHONPYCACHEPREFIX", str(Path(tempfile.gettempdir()) / "hexscope-pyc"))
    environment["HEXSCOPE_ENGINE"] = engine
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        sys.exit(f"{' '.join(words[2:])} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def small(folder: Path, data: Path) -> None:
    """One small MR volume from process start to file, and twenty more."""
    scans = sorted((data / "mr-hippocampus" / "images").glob("*.nii.gz"))[:21]
    if not scans:
        print("| small volumes | left out: the set mr-hippocampus is not here |||")
        return
    model = write_model(folder / "small", Channel("image", "MR", Quantity.ARBITRARY), None, 64)
    one = ("segment", scans[0], "--model", model, "-o", folder / "one.nii.gz")
    cost(*one)  # compiles byte code
    alone = sorted(cost(*one) for _ in range(5))[2]
    every = cost("segment", *scans, "--model", model, "-o", folder / "many")
    print(
        f"| one small volume (mr-hippocampus), process start to file, median of 5 | {alone[0]:.2f} | {alone[1]:.2f} | |"
    )
    each = (every[0] - alone[0]) / (len(scans) - 1)
    print(f"| each further one (mean of {len(scans) - 1}) | {each:.3f} | {every[1]:.2f} | |")


def large(folder: Path, size: Sequence[int]) -> None:
    """A CT of noise in a body, native pixels and at 1.5 mm."""
    grid = Grid(tuple(size), np.array([[0, 0, 0.8, 0], [0, 0.8, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1.0]]))
    rng = np.random.default_rng(0)
    array = np.concatenate([rng.integers(-1000, 400, (1, *size[1:]), np.int16) for _ in range(size[0])])
    scan = folder / "ct.nii"
    hx.save(hx.Image.from_array(array, grid, modality="CT", quantity="HU"), scan)
    del array
    how = Normalise(False, (-1000.0, 1000.0), (-100.0,), (400.0,))
    for name, spacing in (("at 1.5 mm", (1.5, 1.5, 1.5)), ("every voxel", None)):
        model = write_model(folder / name.replace(" ", "-"), Channel("image", "CT", Quantity.HU, how), spacing, 96)
        for engine in ("onnxruntime", "openvino"):
            if find_spec(engine) is None:
                print(f"| {engine} | not installed |||")
                continue
            arguments = ("segment", scan, "--model", model, "-o", folder / "mask.nii.gz")
            seconds, peak = cost(*arguments, engine=engine)
            verdict = "under" if peak < 2.5 else "OVER"
            shape = "×".join(str(n) for n in size)
            print(f"| CT {shape}, {name}, {engine} | {seconds:.0f} | {peak:.2f} | {verdict} 2.5 GB |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser)
    parser.add_argument("--size", type=int, nargs=3, default=(400, 512, 512))
    parser.add_argument("--skip-large", action="store_true")
    options = parser.parse_args()
    print("| prediction | CPU-s | peak GB | |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        small(Path(folder), options.data)
        if not options.skip_large:
            large(Path(folder), options.size)


if __name__ == "__main__":
    main()
