"""Gradient-boosted trees: grown by LightGBM (doi:10.5555/3294996.3295074), written as an ONNX graph of tree ensembles.

Prediction then needs onnxruntime alone (`hexscope.models.trees`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import UsageError
from hexscope.io.files import atomic_write

Floats = NDArray[np.floating[Any]]

_OPSET, _ML_OPSET, _IR_VERSION = 17, 3, 8
#: Few leaves and strong shrinkage: candidates of one image are alike, so there is less to learn from than rows.
_SETTINGS: Mapping[str, Any] = {
    "learning_rate": 0.07,
    "num_leaves": 15,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "min_data_in_leaf": 15,
    "lambda_l2": 2.0,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True, eq=False)
class Trees:
    """Grown trees: ``classes`` of which exactly one holds, or None for a number.

    features  names of the columns that they look at
    gains     by column: how much it lowered the loss, all together 1
    """

    booster: Any
    classes: int | None
    features: tuple[str, ...]
    gains: Floats

    def __call__(self, table: Floats) -> Floats:
        """Probabilities (rows, classes), or numbers (rows,)."""
        out = np.asarray(self.booster.predict(table), dtype=np.float64)
        return np.stack([1 - out, out], axis=1) if self.classes == 2 else out


def require_trees() -> None:
    """UsageError where LightGBM is not installed."""
    if find_spec("lightgbm") is None:
        raise UsageError("growing trees needs lightgbm, which is not installed: pip install 'hexscope[train]'")


def grown(
    table: Floats,
    target: NDArray[Any],
    features: Sequence[str],
    *,
    classes: int | None,
    rounds: int = 120,
    seed: int = 0,
    weights: Floats | None = None,
) -> Trees:
    """Trees that tell ``target`` (class numbers, or numbers where ``classes`` is None) from rows of ``table``."""
    require_trees()
    import lightgbm

    kind: dict[str, Any] = {"objective": "regression"}
    if classes is not None:
        kind = {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}
    data = lightgbm.Dataset(np.array(table, np.float32), np.array(target), weight=weights, free_raw_data=True)
    booster = lightgbm.train({**_SETTINGS, **kind, "seed": seed}, data, num_boost_round=rounds)
    gains = np.asarray(booster.feature_importance("gain"), dtype=np.float64)
    return Trees(booster, classes, tuple(features), gains / max(gains.sum(), 1e-12))


def save_trees(path: Path, ensembles: Mapping[str, Trees]) -> None:
    """Write all ``ensembles`` over the same columns as one graph: input "features" (rows, columns), one output each."""
    import onnx
    from onnx import TensorProto, helper

    nodes: list[Any] = []
    outputs = []
    for name, trees in ensembles.items():
        width = 1 if trees.classes is None else trees.classes
        nodes += list(_nodes(name, trees))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width]))
    columns = len(next(iter(ensembles.values())).features)
    table = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", columns])
    graph = helper.make_graph(nodes, "hexscope trees", [table], outputs)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="hexscope")
    named = ",".join(next(iter(ensembles.values())).features)
    helper.set_model_props(model, {"features": named})
    onnx.checker.check_model(model)
    atomic_write(path, lambda beside: onnx.save(model, str(beside)))


def _nodes(name: str, trees: Trees) -> Iterator[Any]:
    """An ensemble that gives raw sums, and what makes probabilities of them."""
    from onnx import helper

    dumped = trees.booster.dump_model()
    each = dumped["num_tree_per_iteration"]
    table = _Table()
    for number, tree in enumerate(dumped["tree_info"]):
        table.add(number, tree["tree_structure"], number % each)
    raw = f"{name}_raw"
    yield helper.make_node(
        "TreeEnsembleRegressor", ["features"], [raw], domain="ai.onnx.ml", n_targets=each, **table.attributes
    )
    if trees.classes is None:
        yield helper.make_node("Identity", [raw], [name])
    elif trees.classes == 2:
        yield helper.make_node("Neg", [raw], [f"{raw}_no"])
        yield helper.make_node("Concat", [f"{raw}_no", raw], [f"{raw}_two"], axis=1)
        yield helper.make_node("Sigmoid", [f"{raw}_two"], [name])
    else:
        yield helper.make_node("Softmax", [raw], [name], axis=1)


class _Table:
    """Trees as the flat lists of the ONNX operator."""

    def __init__(self) -> None:
        keys = ("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes")
        more = ("nodes_truenodeids", "nodes_falsenodeids", "target_treeids", "target_nodeids", "target_ids")
        self.attributes: dict[str, list[Any]] = {key: [] for key in (*keys, *more, "target_weights")}
        self._next = 0

    def add(self, tree: int, root: Mapping[str, Any], target: int) -> None:
        self._next = 0
        self._node(tree, root, target)

    def _node(self, tree: int, node: Mapping[str, Any], target: int) -> int:
        own, self._next = self._next, self._next + 1
        a = self.attributes
        row = len(a["nodes_nodeids"])
        leaf = "split_feature" not in node
        for key, value in (("treeids", tree), ("nodeids", own), ("truenodeids", 0), ("falsenodeids", 0)):
            a[f"nodes_{key}"].append(value)
        a["nodes_modes"].append("LEAF" if leaf else "BRANCH_LEQ")
        a["nodes_featureids"].append(0 if leaf else node["split_feature"])
        a["nodes_values"].append(0.0 if leaf else _edge(node["threshold"]))
        if leaf:
            for key, value in (("treeids", tree), ("nodeids", own), ("ids", target), ("weights", node["leaf_value"])):
                a[f"target_{key}"].append(value)
        else:
            a["nodes_truenodeids"][row] = self._node(tree, node["left_child"], target)
            a["nodes_falsenodeids"][row] = self._node(tree, node["right_child"], target)
        return own


def _edge(threshold: float) -> float:
    """The largest 32-bit number not above ``threshold``: a 32-bit feature then falls on the same side."""
    edge = np.float32(threshold)
    return float(np.nextafter(edge, np.float32(-np.inf)) if edge > threshold else edge)
