"""What a fused picture keeps of its two sources, inside the body: the numbers that fusion is for.

All take brightness in 0 to 1 as shown (`hexscope.fuse.window`), in 2-D or 3-D, on one grid, and where to look. Each is
1 for a copy of the source it speaks of; so a table with the rows "copy of A" and "copy of B" shows what each costs.

    edges A, edges B        share of the source's gradient that the picture has, in the same direction. More contrast
                            than the source had does not count, nor does structure of the other source
    told A, told B          share of the source's variance that the grey value alone tells (the correlation ratio η²,
                            of 256 classes): 1 where the source could be read off the picture
    lesion A, lesion B      contrast of a marked lesion to its surroundings, in parts of that in the source
    invented                share of the picture's gradient beyond that of both sources together: noise, halos, stretch.
                            0 is best
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Levels = NDArray[np.float32]
Part = NDArray[np.bool_]

KEPT = ("edges A", "edges B", "told A", "told B", "invented")
LESION = ("lesion A", "lesion B")

#: Darker than this in both sources is outside the body, unless enclosed by it.
_DARK = 0.05
#: The surroundings of a lesion: a shell of this many pixels (of the finest axis) around it, after a gap of one.
_SHELL = (1.0, 5.0)


def body(a: Levels, b: Levels) -> Part:
    """Where either source shows more than darkness, holes filled slice by slice."""
    bright = (a > _DARK) | (b > _DARK)
    planes = [bright] if bright.ndim == 2 else list(bright)
    return np.stack([ndimage.binary_fill_holes(p) for p in planes]).reshape(bright.shape)


def kept(fused: Levels, a: Levels, b: Levels, where: Part, steps: Sequence[float] | None = None) -> dict[str, float]:
    """All of ``KEPT``. ``steps`` is the spacing along each axis (any unit); None: equal. NaN where a source is flat."""
    spacing = (1.0,) * fused.ndim if steps is None else tuple(steps)
    slopes = [_slopes(x, spacing, where) for x in (fused, a, b)]
    sizes = [np.linalg.norm(s, axis=0) for s in slopes]
    beyond = np.maximum(sizes[0] - sizes[1] - sizes[2], 0.0)
    return {
        "edges A": _along(slopes[0], slopes[1], sizes[1]),
        "edges B": _along(slopes[0], slopes[2], sizes[2]),
        "told A": told(fused[where], a[where]),
        "told B": told(fused[where], b[where]),
        "invented": _share(float(beyond.sum()), float(sizes[0].sum())),
    }


def _slopes(levels: Levels, spacing: tuple[float, ...], where: Part) -> NDArray[np.float64]:
    """Gradients at the pixels of ``where``, (axes, pixels); axes of one pixel have none."""
    axes = [k for k in range(levels.ndim) if levels.shape[k] > 1]
    slopes = np.gradient(levels.astype(np.float64), *(spacing[k] for k in axes), axis=tuple(axes))
    return np.stack([s[where] for s in (slopes if isinstance(slopes, list | tuple) else [slopes])])


def _along(fused: NDArray[np.float64], source: NDArray[np.float64], size: NDArray[np.float64]) -> float:
    """How much of each of the source's gradients the picture has in its direction, 0 to all, summed."""
    along = np.divide((fused * source).sum(axis=0), size, out=np.zeros_like(size), where=size > 0)
    return _share(float(np.clip(along, 0.0, size).sum()), float(size.sum()))


def told(fused: NDArray[np.floating], source: NDArray[np.floating]) -> float:
    """The correlation ratio η² of a source on the grey value of the picture in 256 classes (Pearson 1905)."""
    grey = np.clip(np.round(fused * 255.0), 0, 255).astype(np.intp)
    values = source.astype(np.float64)
    count = np.bincount(grey, minlength=256)
    means = np.bincount(grey, values, minlength=256) / np.maximum(count, 1)
    between = float((count * (means - values.mean()) ** 2).sum()) if values.size else 0.0
    return _share(between, float(((values - values.mean()) ** 2).sum()) if values.size else 0.0)


def lesion_contrast(fused: Levels, a: Levels, b: Levels, lesion: Part, where: Part) -> dict[str, float]:
    """Both of ``LESION``: |mean inside − mean of the shell around|, of the picture over that of each source."""
    distance = ndimage.distance_transform_edt(~lesion)
    shell = (distance > _SHELL[0]) & (distance <= _SHELL[1]) & where
    if not lesion.any() or not shell.any():
        return dict.fromkeys(LESION, float("nan"))
    seen, of_a, of_b = (abs(float(x[lesion].mean()) - float(x[shell].mean())) for x in (fused, a, b))
    return {"lesion A": _share(seen, of_a), "lesion B": _share(seen, of_b)}


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
