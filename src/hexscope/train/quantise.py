"""The graph in whole numbers of 8 bits: half the size and less time, kept only where nothing is lost."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hexscope.io.files import atomic_write
from hexscope.train.export import graph_of
from hexscope.train.nets import Answering
from hexscope.train.pool import Example

#: Largest loss of mean Dice (or F1 of objects) in validation with which the quantised graph is kept.
TOLERATED_LOSS = 0.002
#: Cases that show which range each layer's numbers have.
_CALIBRATED_ON = 8


def save_int8(net: Answering, examples: Sequence[Example], most: tuple[int, ...], path: Path) -> None:
    """Write ``net`` quantised, ranges taken from ``examples`` (parts of at most ``most`` pixels a side).

    Static, weights by channel, activations by tensor; the first and last layers stay as they are, where
    8 bits would cost the border its place.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    model = graph_of(net, np.float32)
    kept = [node.name for node in model.graph.node if "logits" in node.output or "image" in node.input]

    def write(beside: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / "plain.onnx"
            onnx.save(model, str(plain))
            quantize_static(
                plain,
                beside,
                _Reader(examples, net.shape.multiple, most),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=kept,
                op_types_to_quantize=["Conv", "ConvTranspose", "Add"],
                extra_options={"ActivationSymmetric": False},
            )

    atomic_write(path, write)


class _Reader:
    """What onnxruntime asks for: one input after another, then None."""

    def __init__(self, examples: Sequence[Example], multiple: Sequence[int], most: Sequence[int]) -> None:
        step = max(1, len(examples) // _CALIBRATED_ON)
        self._left = [_part(example, multiple, most) for example in examples[::step]]

    def get_next(self) -> dict[str, Any] | None:
        return {"image": self._left.pop()} if self._left else None


def _part(example: Example, multiple: Sequence[int], most: Sequence[int]) -> Any:
    sides = example.image.shape[1:]
    wanted = [min(m, -(-n // k) * k) for n, m, k in zip(sides, most, multiple, strict=True)]
    part = example.image[(slice(None), *(slice(0, w) for w in wanted))].astype(np.float32)
    pads = [(0, w - n) for w, n in zip(wanted, part.shape[1:], strict=True)]
    return np.pad(part, [(0, 0), *pads], mode="edge")[None]
