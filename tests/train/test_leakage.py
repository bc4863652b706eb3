"""Near copies are found and kept on one side; images of like framing are not taken for copies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.io.case import Case
from hexscope.io.cases import open_images, read_cases
from hexscope.train.leakage import mended, near_copies, picture


def image(seed: int, shape: tuple[int, ...] = (90, 130), frame: int = 0) -> Image:
    """Smooth texture of its own within a frame that all share."""
    rng = np.random.default_rng(seed)
    array = 120 + 6 * _smooth(rng, shape, 1.5) + 50 * _smooth(rng, shape, 7 if len(shape) == 2 else 4)
    array[..., : shape[-2] // 5, :] = frame
    return Image.from_array(array.clip(0, 255).astype(np.uint8), Grid(shape, None), modality="US")


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    array = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
    return np.asarray(array / array.std())


def still(of: Image, seed: int) -> Image:
    """The same scene a moment later: shifted, brighter, with speckle of its own."""
    rng = np.random.default_rng(seed)
    array = np.roll(of.array.astype(np.float32), (1, -1), axis=(-2, -1)) * 1.1 + 10 + rng.normal(0, 5, of.shape)
    return Image.from_array(array.clip(0, 255).astype(np.uint8), of.grid, modality="US")


def head(seed: int, wide: float) -> Image:
    """Two rims that are the same on both sides, about content of its own: as skulls of different patients are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:110j, -1:1:110j]
    far = np.hypot(y / 0.9, x / wide)
    rims = 150 * np.exp(-(((far - 0.85) / 0.06) ** 2))
    array = rims + (70 + 18 * _smooth(rng, far.shape, 1.5) + 20 * _smooth(rng, far.shape, 9)) * (far < 0.75)
    return Image.from_array(array.clip(0, 255).astype(np.uint8), Grid(array.shape, None), modality="MR")


def cases(n: int) -> list[Case]:
    return [Case(f"c{i}", f"p{i}", {"image": Path(f"c{i}.png")}) for i in range(n)]


@pytest.mark.parametrize("shape", [(90, 130), (23, 40, 52)])
def test_stills_are_found_and_others_are_not(shape: tuple[int, ...]) -> None:
    scenes = [image(i, shape) for i in range(20)]
    pictures = [picture(one) for one in (*scenes, still(scenes[3], 100), still(scenes[7], 101))]
    assert {(a, b) for a, b, _ in near_copies(pictures)} == {(3, 20), (7, 21)}


def test_heads_of_like_shape_are_not_copies() -> None:
    scenes = [head(i, 0.5 + 0.06 * (i // 4)) for i in range(20)]
    pictures = [picture(one) for one in (*scenes, still(scenes[6], 100))]
    assert [(a, b) for a, b, _ in near_copies(pictures)] == [(6, 20)]


def test_a_copy_of_an_image_that_is_its_own_mirror_image_is_found() -> None:
    scenes = [image(i, (90, 64)) for i in range(20)]
    both = [
        Image.from_array(np.hstack([one.array, one.array[:, ::-1]]), Grid((90, 128), None), modality="US")
        for one in scenes
    ]
    pictures = [picture(one) for one in (*both, both[5])]
    assert [(a, b) for a, b, _ in near_copies(pictures)] == [(5, 20)]


def test_small_images_and_few_are_left_alone() -> None:
    assert picture(image(0, (28, 28))) is None
    one = picture(image(0))
    assert not list(near_copies([one, one]))


def test_patients_of_near_copies_become_one_and_move_to_one_fold() -> None:
    scenes = [image(i) for i in range(12)]
    table = [replace(case, fold=i % 3) for i, case in enumerate(cases(13))]
    pictures = {case.case: picture(one) for case, one in zip(table, [*scenes, still(scenes[4], 50)], strict=True)}
    found = mended(table, pictures)
    assert (found.cases[12].group, found.cases[12].fold) == ("p4", 1)
    assert [c.group for c in found.cases[:12]] == [f"p{i}" for i in range(12)]
    assert "c4 and c12" in found.told[0] and "13 groups became 12" in found.told[0]
    assert "1 cases were moved" in found.told[1]


def test_a_copy_of_a_test_case_is_not_trained_on() -> None:
    scenes = [image(i) for i in range(12)]
    table = [replace(case, split="test" if i == 2 else "train") for i, case in enumerate(cases(13))]
    pictures = {case.case: picture(one) for case, one in zip(table, [*scenes, still(scenes[2], 50)], strict=True)}
    found = mended(table, pictures)
    assert [r.case for r in found.refused] == ["c12"] and "side test" in found.refused[0].reason
    assert [c.case for c in found.cases] == [f"c{i}" for i in range(12)]


def test_nothing_alike_changes_nothing() -> None:
    table = cases(12)
    found = mended(table, {case.case: picture(image(i)) for i, case in enumerate(table)})
    assert found.cases == tuple(table) and not found.told


def test_the_known_stills_of_breast_ultrasound(shared_data: Path) -> None:
    """Real: the table joins near-duplicate stills by hand; with that word taken away they are found again."""
    table = read_cases(shared_data / "us-breast" / "cases.csv", ["image"])
    chosen = [c for c in table.cases if c.case.startswith(("malignant-00", "benign-00", "normal-0"))]
    alone = [replace(case, group=case.case) for case in chosen]
    found = mended(alone, {c.case: picture(open_images(c)["image"]) for c in chosen})
    group = {case.case: case.group for case in found.cases}
    by_hand = [(a.case, b.case) for a in chosen for b in chosen if a.case < b.case and a.group == b.group]
    assert len(by_hand) >= 4
    assert np.mean([group[a] == group[b] for a, b in by_hand]) >= 0.7
    assert len(set(group.values())) > 0.8 * len(group)
