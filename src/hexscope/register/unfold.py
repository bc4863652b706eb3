"""What keeps a field one to one: its inverse, two directions made mutual, folds found and smoothed away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hexscope.kernels import field as field_kernels
from hexscope.kernels.threads import share

Floats = NDArray[np.float32]

#: A fixed-point step towards an inverse is taken by this share: whole ones diverge where the field is steep.
_DAMPING = 0.7
_INVERSE_STEPS = 10

#: A voxel's corner may not become smaller than this share of what it was.
LEAST_CORNER = 0.02
_MOST_REPAIRS = 60


def inverse(field: Floats, steps: int = _INVERSE_STEPS) -> Floats:
    """The field v with v(x) + field(x + v(x)) ≈ 0 (Chen 2008, doi:10.1118/1.2816107, damped)."""
    found, nearer = -field, np.empty_like(field)
    for _ in range(steps):
        share(field_kernels.approach, field.shape[1], field, found, _DAMPING, nearer)
        found, nearer = nearer, found
    return found


def made_mutual(there: Floats, back: Floats) -> tuple[Floats, Floats]:
    """Two fields, each averaged with the other's inverse."""
    half = np.float32(0.5)
    from_back, from_there = inverse(back), inverse(there)
    from_back += there
    from_there += back
    from_back *= half
    from_there *= half
    return from_back, from_there


def corner_volumes(field: Floats) -> Floats:
    """The least Jacobian determinant at each voxel's corners, (z, y, x): below 0 the field folds there."""
    out = np.empty(field.shape[1:], np.float32)
    share(field_kernels.corners, field.shape[1], field, out)
    return out


def unfolded(field: Floats) -> tuple[Floats, int]:
    """The field smoothed where it folds or nearly does, and how many voxels that were; as it was where none."""
    from scipy import ndimage

    count = 0
    for attempt in range(_MOST_REPAIRS):
        bad = corner_volumes(field) < LEAST_CORNER
        if not bad.any():
            break
        count = count or int(bad.sum())
        reach = 2 + attempt // 4
        for part in _boxes(bad, 3 * reach):
            near = ndimage.gaussian_filter(bad[part].astype(np.float32), reach / 2, truncate=3.0, mode="nearest")
            weight = np.minimum(near / max(float(near[bad[part]].min()), 1e-6), 1.0)
            for component in field[(slice(None), *part)]:
                smooth = ndimage.gaussian_filter(component, 1.0, truncate=3.0, mode="nearest")
                component += weight * (smooth - component)
    return field, count


def _boxes(bad: NDArray[np.bool_], margin: int) -> list[tuple[slice, ...]]:
    """Boxes about the bad voxels, wide enough for what is smoothed there."""
    from scipy import ndimage

    joined, _ = ndimage.label(ndimage.maximum_filter(bad, 2 * margin + 1))
    return [part for part in ndimage.find_objects(joined) if part is not None]


def refined(field: Floats, factors: NDArray[np.int64], cells: tuple[int, ...]) -> Floats:
    """The field on a grid of ``cells``, with ``factors`` cells along each axis in each of its own."""
    out = np.empty((3, *cells), np.float32)
    share(field_kernels.refine, cells[0], field, factors, out)
    return out
