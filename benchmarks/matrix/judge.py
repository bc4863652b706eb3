"""Comparing two readers' pictures: plane by plane, so that it does not matter who stacked what with what.

Planes are paired by what they hold, then by where they lie. Rows and columns may be turned (NIfTI counts rows upwards):
the turn that makes the numbers equal is taken, and the corners of the plane must then lie where ours do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Corners that lie closer are at the same place, mm. Float32 quaternions of NIfTI round a far corner by over 1 µm.
SAME_PLACE_MM = 2e-3
#: Values are equal within this part of their range (float32 has 24 bits).
SAME_VALUE = 2e-6
#: Decoders of lossy codes may differ by rounding: by this on average, in stored units.
LOSSY_MEAN = 1.5

_TURNS = [(t, r, c) for t in (False, True) for r in (False, True) for c in (False, True)]


@dataclass
class Plane:
    """(y, x[, c]) numbers, the four corners in LPS mm (2, 2, 3) or None, spacing (y, x) or None."""

    array: Any
    corners: Any
    spacing: Any

    def turned(self, how: tuple[bool, bool, bool]) -> tuple[Any, Any]:
        transposed, rows, columns = how
        array, corners = self.array, self.corners
        if transposed:
            array = np.swapaxes(array, 0, 1)
            corners = None if corners is None else np.swapaxes(corners, 0, 1)
        steps = (slice(None, None, -1 if rows else 1), slice(None, None, -1 if columns else 1))
        return array[steps], None if corners is None else corners[steps]


def planes_of(pictures: Sequence[dict[str, Any]]) -> list[Plane]:
    """All planes of what a reader gave, in its order."""
    out: list[Plane] = []
    for picture in pictures:
        array = np.load(picture["file"])
        affine = None if picture["affine"] is None else np.array(picture["affine"])
        spacing = picture.get("spacing")
        colour = picture["axes"].endswith("c")
        if colour and array.shape[-1] == 1:
            array, colour = array[..., 0], False
        inner = 3 if colour else 2
        z_count = array.shape[picture["axes"].index("z")] if "z" in picture["axes"] else 1
        flat = array.reshape(-1, *array.shape[-inner:])
        for k, plane in enumerate(flat):
            corners = None if affine is None else _corners(affine, k % z_count, plane.shape)
            out.append(Plane(plane, corners, None if spacing is None else spacing[-2:]))
    return out


def _corners(affine: Any, z: int, shape: tuple[int, ...]) -> Any:
    index = np.array([[[z, y, x, 1] for x in (0, shape[1] - 1)] for y in (0, shape[0] - 1)], dtype=float)
    return (index @ affine.T)[..., :3]


def compare(ours: Sequence[Plane], theirs: Sequence[Plane], lossy: bool) -> dict[str, Any]:
    """``differs``: which of count, shape, values, grid, spacing, invents; ``detail`` in words; ``has_grid``."""
    differs: dict[str, str] = {}
    if len(ours) != len(theirs):
        differs["count"] = f"{len(theirs)} planes, ours {len(ours)}"
    for one, other in _pairs(ours, theirs):
        _judge(ours[one], theirs[other], lossy, differs)
    return {"differs": differs, "has_grid": any(p.corners is not None for p in theirs)}


def _pairs(ours: Sequence[Plane], theirs: Sequence[Plane]) -> list[tuple[int, int]]:
    """Each of the shorter list with its likeliest partner, each partner once."""
    cost = np.empty((len(ours), len(theirs)))
    one, other = (np.array([_signature(p) for p in side]) for side in (ours, theirs))
    for i in range(len(ours)):
        unlike = np.abs(other - one[i]).max(axis=1) / (np.abs(one[i]).max() + 1e-9)
        far = np.array([_apart(ours[i], p) for p in theirs])
        cost[i] = np.round(unlike, 5) * 1e3 + np.minimum(far, 1e3) * 1e-5 + np.abs(np.arange(len(theirs)) - i) * 1e-7
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _signature(plane: Plane) -> tuple[float, ...]:
    array = np.nan_to_num(plane.array.astype(np.float64))
    return float(array.mean()), float(array.std()), float(array.max()), float(array.min())


def _apart(one: Plane, other: Plane) -> float:
    if one.corners is None or other.corners is None:
        return 0.0
    return float(np.abs(one.corners.mean(axis=(0, 1)) - other.corners.mean(axis=(0, 1))).max())


def _judge(one: Plane, other: Plane, lossy: bool, differs: dict[str, str]) -> None:
    """Add what is different to ``differs``; the first finding of a kind is told."""
    trials = []
    for turn in _TURNS:
        array, corners = other.turned(turn)
        if array.shape == one.array.shape:
            gap = _gap(one.array, array, lossy)
            far = 0.0 if corners is None or one.corners is None else float(np.abs(corners - one.corners).max())
            trials.append((gap > 0, far > SAME_PLACE_MM, gap, far, turn))
    if not trials:
        differs.setdefault("shape", f"planes of {other.array.shape}, ours {one.array.shape}")
        return
    wrong, away, gap, far, _ = min(trials)
    if wrong:
        differs.setdefault("values", f"by up to {gap:.4g}")
    if one.corners is None and other.corners is not None:
        _judge_spacing(one, other, differs)
    elif one.corners is not None and other.corners is None:
        pass
    elif away:
        differs.setdefault("grid", f"corners by up to {far:.4g} mm")


def _judge_spacing(one: Plane, other: Plane, differs: dict[str, str]) -> None:
    """Ours has no place in the patient; theirs claims one. Is at least its spacing the file's?"""
    count = np.maximum(np.array(other.array.shape[:2]) - 1, 1)
    steps = [
        float(np.linalg.norm(other.corners[1, 0] - other.corners[0, 0]) / count[0]),
        float(np.linalg.norm(other.corners[0, 1] - other.corners[0, 0]) / count[1]),
    ]
    if one.spacing is None:
        differs.setdefault(
            "invents", f"a place and a spacing of {steps[0]:.4g} × {steps[1]:.4g} mm, where the file gives none"
        )
    elif np.allclose(sorted(one.spacing), sorted(steps), rtol=1e-5):
        differs.setdefault("invents", "a place in the patient, where the file gives only a spacing")
    else:
        differs.setdefault(
            "spacing", f"{steps[0]:.4g} × {steps[1]:.4g} mm, ours {one.spacing[0]:.4g} × {one.spacing[1]:.4g}"
        )


def _gap(one: Any, other: Any, lossy: bool) -> float:
    """0 where equal within the tolerance, else the largest difference."""
    gap = np.abs(np.nan_to_num(one.astype(np.float64)) - np.nan_to_num(other.astype(np.float64)))
    if lossy and gap.mean() <= LOSSY_MEAN:
        return 0.0
    span = max(float(np.abs(np.nan_to_num(one)).max(initial=0)), 1e-30)
    return float(gap.max(initial=0)) if gap.max(initial=0) > max(SAME_VALUE * span, 1e-12) else 0.0
