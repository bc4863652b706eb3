"""Parts that must not be bent: bones, or lesions whose size is to survive. Each moves as a rigid body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.geometry import Array
from hexscope.register.stages import Floats
from hexscope.register.unfold import corner_volumes, unfolded

#: Room about a body, mm, over which its motion fades into the field's: the least without folds.
_FADES_MM = (8.0, 12.0, 18.0, 27.0, 40.0)


def stiffened(field: Floats, cells: Array, matrix: Array, marked: NDArray[np.bool_]) -> tuple[Floats, tuple[str, ...]]:
    """The field with each connected part of ``marked`` (z, y, x; of its cells) moved by the nearest rigid motion.

    field   (3, z, y, x) in cells, whose indices ``cells`` (4, 4) takes to LPS mm
    matrix  (4, 4) moving to fixed: the whole map, matrix⁻¹ (x + u(x)), is what is made rigid, its scale with it
    """
    parts, count = ndimage.label(marked, np.ones((3, 3, 3)))
    if not count:
        return field, ("nothing is marked to be kept rigid",)
    motions = [_motion(field, cells, matrix, parts == number) for number in range(1, count + 1)]
    for fade in _FADES_MM:
        kept = _with_bodies(field, cells, parts, motions, fade)
        if corner_volumes(kept).min() > 0:
            return kept, (f"{count} parts moved as rigid bodies, fading over {fade:.0f} mm",)
    kept, folded = unfolded(kept)
    return kept, (f"{count} parts moved as rigid bodies as nearly as folds about {folded} points allowed",)


def _motion(field: Floats, cells: Array, matrix: Array, part: NDArray[np.bool_]) -> Array:
    """(4, 4) cell index to displacement in cells: the rigid motion nearest to the map over the part (Kabsch 1976,
    doi:10.1107/S0567739476001873)."""
    index = np.argwhere(part).astype(np.float64)
    there = index + field[:, part].T
    back = np.linalg.inv(matrix) @ cells
    a, b = _at(cells, index), _at(back, there)
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    u, _, vt = np.linalg.svd((b - mean_b).T @ (a - mean_a))
    rigid = np.eye(4)
    rigid[:3, :3] = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    rigid[:3, 3] = mean_b - rigid[:3, :3] @ mean_a
    return np.asarray(np.linalg.inv(back) @ rigid @ cells - np.eye(4))


def _at(matrix: Array, points: Array) -> Array:
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def _with_bodies(field: Floats, cells: Array, parts: NDArray[np.int32], motions: list[Array], fade_mm: float) -> Floats:
    """Each body's motion on its cells and the next ones, fading into the field's over ``fade_mm``; where the rooms of
    two bodies meet, both count by their nearness."""
    mm = np.linalg.norm(cells[:3, :3], axis=0)
    total = np.zeros(parts.shape, np.float32)
    moved = np.zeros_like(field)
    nearest = np.zeros(parts.shape, np.float32)
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        margin = np.ceil(fade_mm / mm).astype(int) + 2
        room = tuple(
            slice(max(s.start - m, 0), min(s.stop + m, n)) for s, m, n in zip(box, margin, parts.shape, strict=True)
        )
        away = ndimage.distance_transform_edt(parts[room] != number, sampling=mm) - float(np.linalg.norm(mm))
        share = np.clip(1 - away / fade_mm, 0, 1)
        weight = np.asarray(share * share * (3 - 2 * share), dtype=np.float32)
        sharp = np.where(parts[room] == number, np.float32(1e6), weight)
        index = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in room), indexing="ij"), axis=-1)
        motion = motions[number - 1]
        own = index @ motion[:3, :3].T + motion[:3, 3]
        moved[(slice(None), *room)] += np.moveaxis(own, -1, 0) * sharp
        total[room] += sharp
        nearest[room] = np.maximum(nearest[room], weight)
    rigid = moved / np.maximum(total, np.float32(1e-9))
    return np.asarray(nearest * rigid + (1 - nearest) * field, dtype=np.float32)
