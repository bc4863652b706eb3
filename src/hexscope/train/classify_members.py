"""Members of a classifier: each scores cases that it did not learn from, and writes itself into the model's graph."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hexscope.models.runtime import threads
from hexscope.train.export import IR_VERSION, OPSET, Writer
from hexscope.train.linear_heads import Head, ridge
from hexscope.train.trees import Trees

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]
#: Rows to learn from, and rows held out.
Part = tuple[Indices, Indices]

_BATCH = 16
#: Numbers that say what an image looks like.
LIKENESS = 24
#: Cases from which those numbers are learnt.
_ENOUGH = 1000


@dataclass(frozen=True, eq=False)
class Shown:
    """What is shown of all cases: views (views, planes, *frame) float16, and the case that each belongs to.

    mirror  each view's mirror image is looked at too
    """

    views: NDArray[np.float16]
    owner: Indices
    cases: int
    mirror: bool

    def by_case(self, values: Floats) -> Floats:
        """The mean of rows (views, numbers) over each case's views: (cases, numbers)."""
        out = np.zeros((self.cases, values.shape[1]), np.float32)
        np.add.at(out, self.owner, values)
        out /= np.bincount(self.owner, minlength=self.cases)[:, None].astype(np.float32)
        return out


class Sight(Protocol):
    """Nodes that turn an image into features."""

    def write(self, writer: Writer, image: str, planes: int) -> str: ...

    def counts(self, planes: int) -> Floats:
        """What each feature counts beside the others, (features,); or one number for all."""
        ...


@dataclass(frozen=True, eq=False)
class Member:
    """One way to classify, learnt.

    scores  (cases, classes) of cases that were held out; NaN elsewhere
    write   adds nodes from "image" to scores (n, classes); None: it is no part of the network's graph
    cpu_s   what learning took
    trees   ensembles by name, of a member that has a graph of its own
    """

    name: str
    scores: Floats
    write: Callable[[Writer], str] | None
    cpu_s: float
    trees: Mapping[str, Trees] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Features:
    """Features of all cases (cases, numbers), and what they are computed by."""

    sight: Sight
    values: Floats
    planes: int

    def write(self, writer: Writer) -> str:
        """The node of the features; written once into a graph, however many ask."""
        return writer.once(self, lambda: self.sight.write(writer, "image", self.planes))


def features(sight: Sight, shown: Shown) -> Features:
    """``sight`` of every case, computed by the very graph that ships."""
    planes = shown.views.shape[1]
    writer = Writer(np.int8)
    values = seen_by(graph(writer, sight.write(writer, "image", planes), shown.views.shape[1:]), shown)
    return Features(sight, values, planes)


def linear_member(name: str, found: Features, asked: Floats, parts: Sequence[Part], since: float) -> Member:
    """A ridge regression on features; ``since``: CPU seconds of this process when they were begun."""
    learnt = ridge(found.values, 2 * asked - 1, parts, found.sight.counts(found.planes))
    head = learnt.head
    return Member(
        name,
        learnt.scores,
        lambda writer: writer.linear(found.write(writer), head.weight, head.bias),
        time.process_time() - since,
    )


def likeness(values: Floats) -> Head:
    """The directions in which features vary most, each to a deviation of 1: near one another where images are alike."""
    x = values[:: -(-len(values) // _ENOUGH)]
    middle, deviation = x.mean(axis=0), x.std(axis=0)
    deviation += 1e-3 * float(deviation.mean()) + 1e-8
    _, lengths, axes = np.linalg.svd((x - middle) / deviation, full_matrices=False)
    count = min(LIKENESS, int((lengths > 1e-3 * lengths[0]).sum()))
    weight = (axes[:count] / deviation).T / (lengths[:count] / np.sqrt(len(x)))
    return Head(weight.astype(np.float32), (-middle @ weight).astype(np.float32))


# ---- graphs -------------------------------------------------------------------------------------------------


def graph(writer: Writer, answer: str, sides: Sequence[int], numbers: int | str = "numbers") -> Any:
    """The ONNX model from "image" (n, planes, *frame) to ``answer`` (n, numbers); ``sides``: planes and frame."""
    from onnx import TensorProto, helper

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *sides])
    out = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", numbers])
    writer.node("Identity", [answer], "scores")
    made = helper.make_graph(writer.nodes, "hexscope", [image], [out], writer.weights)
    return helper.make_model(
        made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="hexscope"
    )


def seen_by(model: Any, shown: Shown) -> Floats:
    """What a graph answers about every case, the mean over its views and their mirror images: (cases, numbers)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    out = []
    for start in range(0, len(shown.views), _BATCH):
        batch = shown.views[start : start + _BATCH].astype(np.float32)
        (answer,) = session.run(None, {"image": batch})
        if shown.mirror:
            (other,) = session.run(None, {"image": np.ascontiguousarray(batch[..., ::-1])})
            answer = (answer + other) / 2
        out.append(answer)
    return shown.by_case(np.concatenate(out))
