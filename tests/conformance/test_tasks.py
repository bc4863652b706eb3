"""What every task without a model must keep: no result may depend on how a file stores its slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.detect import detect
from hexscope.segment import RULES, segment
from tests.detect.hotspots import hotspots
from tests.segment.test_rules import picture, slide
from tests.segment.torso import torso


def _mr() -> Image:
    image, truth = torso()
    noise = np.random.default_rng(3).rayleigh(8, image.shape)
    return Image.from_array(noise + 300 * truth["body"] - 250 * truth["lung left"], image.grid, modality="MR")


EXAMPLES: dict[str, Callable[[], Image]] = {
    "CT": lambda: torso()[0],
    "MR": _mr,
    "PT": lambda: hotspots()[0],
    "US": lambda: Image.from_array(picture()[0], modality="US"),
    "SM": lambda: slide((300, 420))[0],
}
VOLUMES = ("CT", "MR", "PT")


def flipped(image: Image, axis: int) -> Image:
    """The same image stored the other way round along a spatial axis."""
    array = np.flip(image.array, axis)
    return Image.from_array(
        array, image.grid.flip(axis), modality=image.modality, quantity=image.quantity, axes=image.axes
    )


def permuted(image: Image, order: Sequence[int]) -> Image:
    grid: Grid = image.grid.permute(order)
    return Image.from_array(image.array.transpose(order), grid, modality=image.modality, quantity=image.quantity)


def same_labels(a: Mask, b: Mask, turn: Callable[[np.ndarray], np.ndarray]) -> None:
    assert [label.name for label in a] == [label.name for label in b]
    for label in a:
        np.testing.assert_array_equal(turn(a.of(label.name)), b.of(label.name), err_msg=label.name)


class TaskTests:
    """The contract of a verb that takes an Image and gives a result on its grid."""

    @pytest.mark.parametrize("code", RULES)
    @pytest.mark.parametrize("axis", [0, 1])
    def test_segment_of_a_flip_is_the_flip_of_the_segment(self, code: str, axis: int) -> None:
        image = EXAMPLES[code]()
        here, there = segment(image), segment(flipped(image, axis))
        same_labels(here, there, lambda part: np.flip(part, axis))

    @pytest.mark.parametrize("code", VOLUMES)
    @pytest.mark.parametrize("order", [(2, 0, 1), (1, 0, 2)])
    def test_segment_of_permuted_axes(self, code: str, order: tuple[int, ...]) -> None:
        image = EXAMPLES[code]()
        here, there = segment(image), segment(permuted(image, order))
        same_labels(here, there, lambda part: part.transpose(order))

    @pytest.mark.parametrize("threshold", ["fixed", "41%", "background"])
    def test_detect_finds_the_same_places(self, threshold: str) -> None:
        image = EXAMPLES["PT"]()
        here = detect(image, threshold=threshold)
        for other in (flipped(image, 2), permuted(flipped(image, 0), (1, 2, 0))):
            there = detect(other, threshold=threshold)
            for a, b in zip(here, there, strict=True):
                assert b.center_lps_mm == pytest.approx(a.center_lps_mm, abs=1e-6)
                assert b.box_lps_mm == pytest.approx(a.box_lps_mm, abs=1e-6)
                assert b.score == pytest.approx(a.score) and b.volume_ml == pytest.approx(a.volume_ml)

    @pytest.mark.parametrize("code", RULES)
    def test_results_tell_what_was_done_and_inputs_stay(self, code: str) -> None:
        image = EXAMPLES[code]()
        before = image.array.copy()
        mask = segment(image)
        assert mask.steps[: len(image.steps)] == image.steps
        assert any(step.startswith("segment:") for step in mask.steps)
        np.testing.assert_array_equal(image.array, before)

    @pytest.mark.parametrize("code", RULES)
    def test_each_name_alone_gives_the_same_as_together(self, code: str) -> None:
        image = EXAMPLES[code]()
        together = segment(image)
        for name in RULES[code].names:
            alone = segment(image, [name])
            for label in alone:
                np.testing.assert_array_equal(alone.of(label.name), together.of(label.name))


class TestRules(TaskTests):
    pass
