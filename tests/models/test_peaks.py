"""Boxes on grids, and what a detection network's planes name, on answers made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given as sampled
from hypothesis import settings
from hypothesis import strategies as st

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.errors import FormatError, GeometryError
from hexscope.models.boxes import given, inside, overlap, seen, suppressed, voted, world_box
from hexscope.models.card import ModelCard
from hexscope.models.detector import Detector, planes
from hexscope.models.peaks import Maps, peaks
from hexscope.models.prepare import prepare

pytest.importorskip("onnx")

from tests.models.networks import card_for


def test_overlap_by_hand() -> None:
    a = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
    b = np.array([[2.0, 0.0, 6.0, 4.0], [10.0, 10.0, 11.0, 12.0]])
    np.testing.assert_allclose(overlap(a, b), [[8 / 24, 0], [0, 0]])
    assert inside(np.array([[3.0, 1.0]]), b).tolist() == [[True, False]]


def test_suppressed_keeps_the_best_of_each_object() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30]], float)
    assert suppressed(boxes, np.array([0.5, 0.9, 0.1]), 0.5).tolist() == [1, 2]
    mean = voted(boxes[1:2], boxes, np.array([1.0, 3.0, 9.0]), 0.5)
    np.testing.assert_allclose(mean, [[0.75, 0, 10.75, 10]])


@settings(max_examples=20, deadline=None)
@sampled(st.integers(0, 10**6))
def test_boxes_go_to_the_network_and_back(seed: int) -> None:
    chance = np.random.default_rng(seed)
    turn = np.linalg.qr(chance.normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array([3.0, 0.7, 0.5])
    affine[:3, 3] = [-31.5, 17.25, 102.0]
    image = Image.from_array(np.zeros((5, 7, 11), np.int16), Grid((5, 7, 11), affine), modality="CT", quantity="HU")
    recipe = card_for(spacing_mm=(2.0, 1.0, 1.0)).recipe
    assert recipe is not None
    prepared = prepare(image, recipe)
    low = chance.uniform(0, 4, (6, 3))
    boxes = np.concatenate([low, low + chance.uniform(0.5, 5, (6, 3))], axis=1)
    there = seen(boxes, prepared)
    assert np.all(there[:, 3:] > there[:, :3])
    np.testing.assert_allclose(given(there, prepared), boxes, atol=1e-9)
    # the same place in the world: the middle of a box is that of the box that the network sees
    middle = (boxes[:, :3] + boxes[:, 3:]) / 2 - 0.5
    other = (there[:, :3] + there[:, 3:]) / 2 - 0.5
    np.testing.assert_allclose(image.grid.to_world(middle), prepared.grid.to_world(other), atol=1e-6)


def test_world_box_holds_all_corners(oblique_grid: Grid) -> None:
    box = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])
    least = np.array(world_box(box, oblique_grid))
    inner = oblique_grid.to_world(np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 8.0]]))
    assert np.all(least[:3] < inner.min(axis=0)) and np.all(inner.max(axis=0) < least[3:])


def _maps(objects: list[tuple[float, float, float, float, int]], classes: int = 2) -> Maps:
    """Sharp hills over the middles of objects, every place naming the object nearest to it; stride 4."""
    rows, columns = np.mgrid[0:12, 0:20]
    heat = np.full((classes, 12, 20), 1e-4, np.float32)
    boxes = np.zeros((4, 12, 20), np.float32)
    far = np.full((12, 20), np.inf)
    for y0, x0, y1, x1, kind in objects:
        distance = (rows * 4 + 2 - (y0 + y1) / 2) ** 2 + (columns * 4 + 2 - (x0 + x1) / 2) ** 2
        heat[kind] = np.maximum(heat[kind], 0.9 * np.exp(-distance / 40))
        nearer = distance < far
        far[nearer] = distance[nearer]
        boxes[:, nearer] = np.array([y0, x0, y1, x1])[:, None]
    return Maps(heat, heat.max(axis=0), np.full((12, 20), 0.8, np.float32), boxes, (4, 4))


def test_peaks_name_each_object_once() -> None:
    objects = [(4.0, 6.0, 18.0, 20.0, 1), (20.0, 40.0, 44.0, 70.0, 0)]
    found = peaks(_maps(objects), (48, 80))
    strong = found.scores > 0.3
    assert strong.sum() == 2
    kinds = found.heat.argmax(axis=1)[strong]
    wanted = [next(o for o in objects if o[4] == kind) for kind in kinds]
    np.testing.assert_allclose(found.boxes[strong], [o[:4] for o in wanted], atol=1e-3)


def test_nothing_hot_names_nothing() -> None:
    found = peaks(replace(_maps([]), heat=np.full((2, 12, 20), 1e-4, np.float32)), (48, 80))
    assert len(found.boxes) == 0 and len(found.scores) == 0


def test_a_card_keeps_its_detector(tmp_path: Path) -> None:
    detector = Detector("body", "both", judged=True, sizes=(8.0, 16.0), score=0.25, speaks=("fit",))
    card = replace(card_for(2, target="peaks"), task="detect", detector=detector)
    assert card.outputs == planes(2, 2) == 8
    path = tmp_path / "card.toml"
    path.write_text(card.to_toml(), encoding="utf-8")
    assert ModelCard.from_toml(path).detector == detector
    with pytest.raises(FormatError, match="detector"):
        Detector.from_data({"candidates": "chance"})


def test_a_volume_is_refused_by_a_network_for_pictures(oblique_ct: Image, tmp_path: Path) -> None:
    from hexscope.models.peaks import maps
    from hexscope.models.runtime import Network
    from tests.models.networks import write_network

    card = card_for(2, target="peaks")
    assert card.recipe is not None
    path = write_network(tmp_path / "w.onnx", np.zeros((8, 1, 3, 3), np.float32), np.zeros(8, np.float32))
    with pytest.raises(GeometryError, match="2 axes"):
        maps(Network(path), prepare(oblique_ct, card.recipe), card.recipe)
