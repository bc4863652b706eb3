"""Trees say the same in the library that grew them and in the graph that ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hexscope.errors import FormatError
from hexscope.models.trees import TreeGraph

pytest.importorskip("lightgbm")
pytest.importorskip("onnx")

from hexscope.train.trees import grown, save_trees


def _table(rows: int = 300) -> np.ndarray:
    chance = np.random.default_rng(3)
    table = chance.normal(size=(rows, 4)).astype(np.float32)
    table[:, 3] = chance.integers(0, 3, rows)  # whole numbers lie on the edges of branches
    return table


@pytest.mark.parametrize("classes", [None, 2, 3])
def test_graph_says_what_the_trees_say(tmp_path: Path, classes: int | None) -> None:
    table = _table()
    target = table[:, 0] + table[:, 3] if classes is None else (table[:, 0] > 0).astype(int) + (classes - 2)
    if classes == 3:
        target[table[:, 1] > 1] = 0
    trees = grown(table, target, ("a", "b", "c", "d"), classes=classes, rounds=15)
    save_trees(tmp_path / "trees.onnx", {"answer": trees})
    graph = TreeGraph(tmp_path / "trees.onnx")
    fresh = _table(50)
    said = graph.run(fresh)["answer"]
    wanted = trees(fresh).reshape(len(fresh), -1)
    assert graph.features == ("a", "b", "c", "d")
    assert said.shape == wanted.shape
    np.testing.assert_allclose(said, wanted, atol=2e-5)
    assert trees.gains[0] > trees.gains[2], "the column that decides is not the one that gained"


def test_other_columns_are_refused(tmp_path: Path) -> None:
    table = _table()
    trees = grown(table, table[:, 0], ("a", "b", "c", "d"), classes=None, rounds=3)
    save_trees(tmp_path / "trees.onnx", {"answer": trees})
    with pytest.raises(FormatError, match="wants 4 features; got 3"):
        TreeGraph(tmp_path / "trees.onnx").run(table[:, :3])
