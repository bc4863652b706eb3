"""Grids, poses and points for hypothesis: never symmetric, never at the origin."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from scipy import ndimage

from hexscope.core.geometry import Grid
from hexscope.core.transform import Transform, rigid
from hexscope.core.warp import Warp

angles = st.floats(-170, 170).filter(lambda a: abs(a) > 0.5)
shifts = st.floats(-300, 300)
triples = st.tuples(shifts, shifts, shifts)


@st.composite
def transforms(draw: st.DrawFn) -> Transform:
    return rigid(draw(st.tuples(angles, angles, angles)), draw(triples), draw(triples))


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """A volume with three unequal sides and spacings, any orientation, either handedness."""
    shape = draw(st.lists(st.integers(2, 13), min_size=3, max_size=3, unique=True))
    spacing = draw(
        st.lists(st.sampled_from([0.35, 0.5, 0.7, 1.1, 2.0, 3.27, 5.0]), min_size=3, max_size=3, unique=True)
    )
    pose = draw(transforms()).matrix
    affine = np.eye(4)
    affine[:3, :3] = pose[:3, :3] * np.array(spacing)
    affine[:3, 3] = draw(triples)
    if draw(st.booleans()):
        affine[:3, 1] *= -1
    return Grid(tuple(shape), affine)


def smooth_warp(grid: Grid, seed: int, size_mm: float = 0.5) -> Warp:
    """Displacements of ``size_mm`` (standard deviation), too smooth to fold on a grid that is not tiny."""
    noise = np.random.default_rng(seed).normal(size=(*grid.shape, 3))
    wide = [2.0] * grid.ndim + [0.0]
    field = ndimage.gaussian_filter(noise, wide, mode="nearest")
    steep = max(float(np.abs(np.diff(field, axis=k)).max(initial=0)) for k in range(grid.ndim))
    finest = min(grid.require_spacing("a warp"))
    return Warp(grid, field * min(size_mm / field.std(), 0.2 * finest / max(steep, 1e-9)))


@st.composite
def warps(draw: st.DrawFn) -> Warp:
    return smooth_warp(draw(grids()), draw(st.integers(0, 1000)))


@st.composite
def chains(draw: st.DrawFn) -> Transform:
    """Any transform: affine parts and warps in any order, some of them undone."""
    parts = draw(st.lists(st.one_of(transforms(), warps()), min_size=1, max_size=4))
    whole = Transform(kind="identity")
    for part in parts:
        one = part if isinstance(part, Transform) else Transform.deformable(np.eye(4), part)
        whole = whole @ (one.inverse if draw(st.booleans()) else one)
    return whole
