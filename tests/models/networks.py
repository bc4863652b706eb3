"""Tiny networks with known answers, as ONNX files, and cards for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hexscope.core.quantity import Quantity
from hexscope.models.card import ModelCard
from hexscope.models.recipe import Channel, Normalise, Recipe, Target

#: Numbers as they stand, so that a test can say what the network answers.
PLAIN = Normalise(per_image=False, clip=(-1e6, 1e6), mean=(0.0,), std=(1.0,))


def write_network(path: Path, kernel: NDArray[np.float32], bias: NDArray[np.float32], *, halves: bool = False) -> Path:
    """One convolution (outputs, planes, *sides) that keeps the size; ``halves`` stores its weights as float16."""
    dims = kernel.ndim - 2
    stored = kernel.astype(np.float16) if halves else kernel
    nodes = [helper.make_node("Cast", ["stored"], ["kernel"], to=TensorProto.FLOAT)] if halves else []
    pads = [side // 2 for side in kernel.shape[2:]] * 2
    nodes.append(helper.make_node("Conv", ["image", "kernel", "bias"], ["logits"], pads=pads))
    weights = [numpy_helper.from_array(stored, "stored" if halves else "kernel"), numpy_helper.from_array(bias, "bias")]
    sides = [f"side{axis}" for axis in range(dims)]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, kernel.shape[1], *sides])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, kernel.shape[0], *sides])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def threshold_network(path: Path, dims: int, thresholds: tuple[float, ...], *, steep: float = 1.0) -> Path:
    """Class k where the value is nearest to ``thresholds[k]`` (logits −steep/2·(v − t)², less what all share)."""
    centres = np.array(thresholds, np.float32)
    kernel = (steep * centres).reshape(-1, 1, *[1] * dims)
    return write_network(path, kernel.astype(np.float32), (-steep * centres**2 / 2).astype(np.float32))


def card_for(
    dims: int = 3,
    *,
    channels: tuple[Channel, ...] | None = None,
    classes: tuple[str, ...] = ("low", "high"),
    values: tuple[int, ...] = (),
    target: Target = "classes",
    tile: int = 8,
    overlap: int = 2,
    **more: object,
) -> ModelCard:
    """A card whose network sees the numbers as they stand (CT in HU, unless ``channels`` say otherwise)."""
    channels = channels or (Channel("image", "CT", Quantity.HU, PLAIN),)
    recipe = Recipe(channels, dims, (2,) * dims, (tile,) * dims, (overlap,) * dims, target=target, **more)  # type: ignore[arg-type]
    return ModelCard(
        "tiny", "segment", channels[0].modality, channels[0].quantity, classes, "nothing", "Apache-2.0",
        "a test", {"dice": (0.9, 0.8, 0.95, 7)}, values, recipe=recipe,
    )  # fmt: skip


def write_model(
    folder: Path, card: ModelCard, thresholds: tuple[float, ...] = (0.0, 10.0, 20.0), *, steep: float = 1.0
) -> Path:
    """A model folder with a threshold network."""
    assert card.recipe is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.toml").write_text(card.to_toml(), encoding="utf-8")
    threshold_network(folder / "weights.onnx", card.recipe.dims, thresholds, steep=steep)
    return folder
