"""Grids, poses and points for hypothesis: never symmetric, never at the origin."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from hexscope.core.geometry import Grid
from hexscope.core.transform import Transform, rigid

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
