"""A fused pair seen through from all sides: maximum projections of both layers, turning about the long axis."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity
from hexscope.core.resample import resample, upright
from hexscope.errors import UsageError
from hexscope.fuse.fused import Fused
from hexscope.fuse.planes import View, seen, seen_labels, slab

#: Voxels that are turned at most; a finer pair is made coarser first.
_MOST_VOXELS = 2_000_000
#: Height of the picture at least, in pixels: coarse projections are enlarged by interpolation.
_LEAST_HEIGHT = 400
#: A turn takes this long, in ms.
_TURN_MS = 3600


def turn(fused: Fused, frames: int = 36) -> Image:
    """The picture turned about the head-to-foot axis, RGB (t, y, x, 3), starting from the front.

    Both layers are projected by their maxima, in their quantities, and then joined as ``fused`` says. The picture of
    the far side is the mirrored one of the near side, so half of an even number of frames is computed.
    Raises UncalibratedError where the base has no place, UsageError for a plane.
    """
    if fused.base.grid.ndim != 3:
        raise UsageError("a turning projection needs the whole volume; leave out the plane")
    if frames < 2:
        raise UsageError(f"a turning projection has at least 2 frames; got {frames}")
    coarse = _coarsened(fused)
    half = frames // 2 if frames % 2 == 0 else frames
    pictures = [_from(coarse, 2 * math.pi * k / frames) for k in range(half)]
    shape = tuple(max(p.shape[k] for p in pictures) for k in (0, 1))
    stacked = np.stack([_centred(p, shape) for p in pictures])
    if half < frames:
        stacked = np.concatenate([stacked, stacked[:, :, ::-1]])
    return Image.from_array(
        stacked,
        Grid(shape, plane="unknown"),
        modality=fused.base.modality,
        quantity=Quantity.RGB,
        axes=("t", "y", "x", "c"),
        facts={"FrameTime": _TURN_MS / frames},
        steps=(*fused.base.steps, f"{fused.told()}; turning maximum projection, {frames} frames"),
        name=f"{fused.base.name} + {fused.over.name}",
    )


def _coarsened(fused: Fused) -> Fused:
    """Both layers on one upright grid of few enough voxels."""
    finest = min(fused.base.grid.require_spacing("a projection"))
    whole = upright(fused.base.grid, finest)
    step = finest * max(1.0, float(np.cbrt(np.prod(whole.shape, dtype=np.float64) / _MOST_VOXELS)))
    grid = upright(fused.base.grid, step)
    covered = resample(Mask.from_array(fused.covered, fused.base.grid), grid).any
    return replace(fused, base=resample(fused.base, grid), over=resample(fused.over, grid), covered=covered)


def _from(fused: Fused, angle: float) -> NDArray[np.uint8]:
    """RGB of the projection for a viewer who has gone round the patient by ``angle``."""
    look = (math.sin(angle), math.cos(angle), 0.0)
    where = slab(fused.base.grid, View(look, slab_mm=math.inf, project="max"))
    field = Mask.from_array(fused.covered, fused.base.grid)
    layers = replace(
        fused,
        base=seen(fused.base, where, "max"),
        over=seen_labels(fused.over, where) if isinstance(fused.over, Mask) else seen(fused.over, where, "max"),
        covered=seen_labels(field, where).any,
    )
    return _enlarged(layers).picture


def _enlarged(flat: Fused) -> Fused:
    """The projections on finer pixels, before they are coloured."""
    times = math.ceil(_LEAST_HEIGHT / flat.base.grid.shape[0])
    if times == 1:
        return flat
    grid = flat.base.grid.with_shape(tuple(times * n for n in flat.base.grid.shape))
    field = Mask.from_array(flat.covered, flat.base.grid)
    return replace(
        flat, base=resample(flat.base, grid), over=resample(flat.over, grid), covered=resample(field, grid).any
    )


def _centred(picture: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """On black, in the middle of a frame of that shape."""
    framed = np.zeros((*shape, 3), np.uint8)
    top, left = ((n - m) // 2 for n, m in zip(shape, picture.shape, strict=False))
    framed[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return framed
