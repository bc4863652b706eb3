"""The deformable engine finds known warps of a known scene, on all kinds of grids, and never folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Label, Mask
from hexscope.core.pixels import ArrayPixels
from hexscope.core.resample import resample
from hexscope.core.transform import Transform
from hexscope.errors import UsageError
from hexscope.register import register
from hexscope.register.contrast import agreement
from hexscope.register.deform import deform
from hexscope.register.pair import paired
from hexscope.register.stages import SPEEDS, stages
from tests.conftest import OBLIQUE
from tests.register.scene import folded, grid, seen, value

Floats = NDArray[np.float64]
THIN, THICK = (2.2, 1.5, 1.5), (5.0, 1.4, 1.6)


def bent(points: Floats, size: float = 4.0) -> Floats:
    """A smooth warp of LPS points, one to one: a different wave along each axis."""
    x, y, z = np.moveaxis(points, -1, 0)
    waves = [np.sin(y / 17 + z / 29 + 0.3), np.sin(z / 19 - x / 31 + 1.1), np.cos(x / 18 + y / 33)]
    return points + size * np.stack(waves, axis=-1)


def moved_scene(on: Grid, contrast: Callable[[Floats], Floats] | None = None, size: float = 4.0) -> Image:
    """The scene as it looks through the warp: at p it shows what lies at ``bent(p)``."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in on.shape], indexing="ij"), axis=-1)
    values = value(bent(on.to_world(index.astype(np.float64)), size))
    values = 1000.0 * values if contrast is None else contrast(values)
    noise = np.random.default_rng(7).normal(0, 10, on.shape)
    return Image.from_array((values + noise).astype(np.float32), on, modality="MR")


def edges(on: Grid) -> Floats:
    """LPS points of a grid where the scene changes: elsewhere nothing tells a motion."""
    index = np.argwhere(np.ones(on.shape, bool)).astype(np.float64)
    points = on.to_world(index)
    steps = np.stack([value(points + d) - value(points - d) for d in np.eye(3)], axis=-1)
    return np.asarray(points[np.linalg.norm(steps, axis=-1) > 0.1][::5])


def missed(found: Transform, points: Floats, size: float = 4.0) -> float:
    """Mean distance from where a fixed point should be found to where it is, mm, across the edges that it lies on."""
    return float(np.abs(across(bent(found.inverse.points(points), size) - points, points)).mean())


def across(gaps: Floats, points: Floats) -> Floats:
    """The part of gaps at points of the scene at right angles to its edges: along them nothing tells a motion."""
    slope = np.stack([value(points + d) - value(points - d) for d in np.eye(3)], axis=-1)
    return np.asarray((gaps * slope).sum(axis=-1) / np.linalg.norm(slope, axis=-1))


@pytest.mark.parametrize(
    ("shape", "spacing", "contrast", "share"),
    [
        ((50, 70, 80), THIN, None, 0.35),
        ((22, 76, 72), THICK, None, 0.5),
        ((50, 70, 80), THIN, folded, 0.6),
        ((26, 28, 30), (3.4, 3.6, 3.8), None, 0.5),
    ],
    ids=["oblique", "thick slices", "other contrast", "sides under 32"],
)
def test_a_known_warp_is_undone(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    contrast: Callable[[Floats], Floats] | None,
    share: float,
) -> None:
    on = grid(shape, spacing, OBLIQUE)
    other = grid((48, 60, 70), (2.0, 1.9, 1.7), np.eye(3)[:, [2, 1, 0]])
    points = edges(on)
    found = deform(seen(on), moved_scene(other, contrast), Transform())
    before = missed(Transform(), points)
    assert missed(found, points) < share * before
    assert found.folds(on) == 0 and found.kind == "deformable"
    assert ("self-similarity" in found.steps[-1]) == (contrast is folded)


def test_points_and_images_tell_the_same_and_the_inverse_is_one() -> None:
    on = grid((40, 55, 60), (2.6, 1.9, 2.1), OBLIQUE)
    fixed, moving = seen(on), moved_scene(on)
    found = deform(fixed, moving, Transform())
    points = edges(on)
    assert np.abs(found.points(found.inverse.points(points)) - points).max() < 1e-3
    brought = resample(moving, on, through=found).array
    inside = value(on.to_world(np.argwhere(np.ones(on.shape, bool)))).reshape(on.shape) > 0.05
    before = np.abs(fixed.array - moving.array)[inside].mean()
    assert np.abs(fixed.array - brought)[inside].mean() < 0.4 * before


def test_the_same_bytes_with_one_thread_and_with_three(monkeypatch: pytest.MonkeyPatch) -> None:
    on = grid((66, 65, 67), (2.0, 2.0, 2.0), OBLIQUE)
    made = []
    for threads in ("1", "3"):
        monkeypatch.setenv("HEXSCOPE_THREADS", threads)
        found = deform(seen(on), moved_scene(on), Transform())
        made.append(found.parts[-1].warp.displacement_mm.tobytes())  # type: ignore[union-attr]
    assert made[0] == made[1]


def test_planes_are_deformed_in_their_plane() -> None:
    yx = np.stack(np.meshgrid(np.arange(90), np.arange(120), indexing="ij"), axis=-1) * [1.3, 0.9]
    points = np.stack([yx[..., 1] - 55, yx[..., 0] - 58, np.full(yx.shape[:2], 101.0)], axis=-1)
    shift = 3.0 * np.stack([np.sin(yx[..., 0] / 15), np.cos(yx[..., 1] / 17)], axis=-1)
    plane = Grid((90, 120), spacing_mm=(1.3, 0.9))
    fixed = Image.from_array((1000 * value(points)).astype(np.float32), plane, modality="US")
    there = points + np.concatenate([shift, np.zeros_like(shift[..., :1])], axis=-1)
    moving = Image.from_array((1000 * value(there)).astype(np.float32), plane, modality="US")
    found = deform(fixed, moving, Transform())
    where = found.inverse.points(np.concatenate([yx[..., ::-1], np.zeros_like(yx[..., :1])], axis=-1))
    assert np.abs(where[..., 2]).max() < 1e-6
    seen_there = np.interp(where[..., 1], yx[:, 0, 0], shift[:, 0, 0]) + where[..., 0] - yx[..., 1]
    changes = np.abs(np.gradient(value(points))[1]) > 0.03
    assert np.abs(seen_there[changes]).mean() < 0.5 * np.abs(shift[..., 0][changes]).mean()


def test_a_few_slices_do_not_move_across_themselves() -> None:
    on = grid((3, 70, 80), (8.0, 1.5, 1.4), OBLIQUE)
    found = deform(seen(on), moved_scene(on, size=3.0), Transform())
    where = on.to_index(found.inverse.points(edges(on))) - on.to_index(edges(on))
    assert np.abs(where[:, 0]).max() < 1e-3
    assert np.abs(where[:, 1:]).max() > 0.5


def test_what_is_kept_moves_as_a_rigid_body() -> None:
    on = grid((40, 55, 60), (2.6, 1.9, 2.1), OBLIQUE)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in on.shape], indexing="ij"), axis=-1).astype(np.float64)
    away = np.linalg.norm((on.to_world(index) - [12.0, 20.0, 116.0]) / [12, 8, 16], axis=-1)
    body = Mask(layers=((away < 1).astype(np.uint16),), grid=on, labels=(Label(1, "bone"),))
    scaled = Transform(np.diag([1.04, 0.97, 1.02, 1.0]))
    found = deform(seen(on), moved_scene(on), scaled, keep=body)
    inside = on.to_world(np.argwhere(away < 1))[::7]
    there = found.inverse.points(inside)
    spread = np.linalg.norm(inside[:, None] - inside[None], axis=-1)
    change = np.abs(np.linalg.norm(there[:, None] - there[None], axis=-1) - spread)
    assert change.max() < 0.02 * spread.max()
    assert found.folds(on) == 0 and "rigid" in found.steps[-1]
    free = deform(seen(on), moved_scene(on), scaled).inverse.points(inside)
    assert np.abs(np.linalg.norm(free[:, None] - free[None], axis=-1) - spread).max() > 0.04 * spread.max()


def test_large_motion_is_looked_for_where_a_climb_from_rest_fails() -> None:
    on = grid((80, 70, 72), (2.0, 2.2, 2.2), OBLIQUE)
    shift = Transform(np.block([[np.eye(3), np.array([[26.0], [-22.0], [8.0]])], [np.zeros(3), 1.0]]))
    found = deform(seen(on), seen(on, shift), Transform())
    points = edges(on)
    gap = across(found.inverse.points(points) - shift.points(points), points)
    assert np.abs(gap).mean() < 2.0 < 0.2 * np.abs(across(shift.points(points) - points, points)).mean()
    assert any("large motions" in step for step in found.steps)


def test_masks_say_what_counts() -> None:
    on = grid((40, 55, 60), (2.6, 1.9, 2.1), OBLIQUE)
    half = Mask(
        layers=((np.arange(60) < 30)[None, None, :].repeat(55, 1).repeat(40, 0).astype(np.uint16),),
        grid=on,
        labels=(Label(1, "half"),),
    )
    pair = paired(seen(on), moved_scene(on), np.eye(4), (half, None))
    whole = paired(seen(on), moved_scene(on), np.eye(4))
    assert 0.4 < pair.weight.sum() / whole.weight.sum() < 0.6
    reached = deform(seen(on), moved_scene(on), Transform(), fixed_mask=half)
    points = edges(on)
    unseen = on.to_index(points)[:, 2] > 45
    assert missed(reached, points[~unseen]) < 0.6 * missed(Transform(), points[~unseen])
    assert missed(reached, points[unseen]) > 0.7 * missed(Transform(), points[unseen])


def test_contrast_is_seen_in_the_pair_and_in_the_names() -> None:
    on = grid((50, 70, 80), THIN, OBLIQUE)
    same = paired(seen(on), moved_scene(on), np.eye(4))
    other = paired(seen(on), moved_scene(on, folded), np.eye(4))
    assert agreement(same) > 0.8 > 0.5 > agreement(other)
    fixed, moving = seen(on), replace(moved_scene(on), modality="CT")
    assert "self-similarity" in deform(fixed, moving, Transform()).steps[-1]


def test_a_volume_that_is_too_large_is_worked_on_coarser_and_that_is_told() -> None:
    on = grid((50, 70, 80), THIN, OBLIQUE)
    pair = paired(seen(on), moved_scene(on), np.eye(4))
    small = pair.fitting(50_000)
    assert small.fixed.size <= 50_000 and "million voxels" in small.notes[-1]
    corner = np.array([0.0, 0.0, 0.0, 1.0]) - [0.5, 0.5, 0.5, 0.0]
    first = pair.cells((1, 1, 1)) @ corner
    assert np.allclose(small.cells((1, 1, 1)) @ corner, first)  # the outer corner stays


@pytest.mark.parametrize(
    ("shape", "spacing", "coarsest"),
    [
        ((400, 512, 512), (1.0, 0.7, 0.7), (4, 8, 8)),
        ((35, 51, 36), (1.0, 1.0, 1.0), (4, 4, 4)),
        ((40, 200, 210), (6.0, 1.0, 1.1), (1, 8, 4)),
        ((1, 300, 200), (1.0, 0.3, 0.3), (1, 8, 8)),
    ],
)
def test_stages_end_at_full_resolution(
    shape: tuple[int, ...], spacing: tuple[float, float, float], coarsest: tuple[int, int, int]
) -> None:
    plan = stages(shape, np.array(spacing), SPEEDS["fast"], across=False)
    assert plan[-1].shrink == (1, 1, 1) and plan[-1].ending > 0
    assert plan[0].shrink == coarsest
    assert (plan[-1].cells == (1, 1, 1)) == (min(n for n in shape if n > 1) < 64)


def test_register_of_the_deformable_kind_goes_through_an_affine_one() -> None:
    on = grid((44, 50, 56), (2.4, 2.2, 2.0), OBLIQUE)
    told: list[str] = []
    found = register(seen(on), moved_scene(on), kind="deformable", progress=told.append)
    points = edges(on)
    assert missed(found, points) < 0.5 * missed(Transform(), points)
    assert found.certificate is not None and found.certificate.verdict != "reject"
    assert any(text.startswith("deforming at") for text in told)


def test_pixels_that_are_no_number_do_not_count() -> None:
    on = grid((40, 55, 60), (2.6, 1.9, 2.1), OBLIQUE)
    fixed = seen(on)
    array = fixed.array.copy()
    array[3:8, 10:20, 10:20] = np.nan
    found = deform(replace(fixed, pixels=ArrayPixels(array)), moved_scene(on), Transform())
    points = edges(on)
    assert missed(found, points) < 0.45 * missed(Transform(), points)


def test_an_unknown_speed_is_refused() -> None:
    on = grid((40, 55, 60), (2.6, 1.9, 2.1), OBLIQUE)
    with pytest.raises(UsageError, match=r"lightning.*fast, accurate"):
        deform(seen(on), seen(on), Transform(), speed="lightning")
