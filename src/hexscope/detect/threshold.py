"""Above which SUV a voxel belongs to a lesion: published rules, each with its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.errors import GeometryError, InputError, UsageError

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Sphere:
    """A ball in the patient: centre in LPS mm, radius in mm."""

    center_lps_mm: tuple[float, float, float]
    radius_mm: float

    def on(self, grid: Grid) -> NDArray[np.bool_]:
        """Voxels of ``grid`` whose centres lie inside."""
        affine = grid.require_affine("a sphere in the patient")
        index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
        offset = index @ affine[:3, :3].T + (affine[:3, 3] - np.asarray(self.center_lps_mm))
        return np.asarray((offset**2).sum(axis=-1) <= self.radius_mm**2)


@dataclass(frozen=True)
class Threshold:
    """A rule for the outline of a lesion.

    seed     a lesion's highest SUV must reach it
    least    no lesion reaches below it
    outline  the SUV of its edge, from its highest SUV, the mean of its voxels above 70 % of that, and the SUV
             around it
    method   words with the source
    """

    seed: float
    least: float
    outline: Callable[[float, float, float], float]
    method: str


def fixed(suv: float) -> Threshold:
    """SUV of at least ``suv`` everywhere; 4.0 and 2.5 are compared by Barrington et al. 2021."""
    return Threshold(suv, suv, lambda top, hot, around: suv, f"fixed: SUVbw ≥ {suv:g} (doi:10.2967/jnumed.119.238923)")


def percent(suv: float) -> Threshold:
    """41 % of each lesion's maximum, Boellaard et al. 2015; lesions whose maximum reaches ``suv``."""
    return Threshold(
        suv,
        0.41 * suv,
        lambda top, hot, around: 0.41 * top,
        f"41 % of the maximum (doi:10.1007/s00259-014-2961-x), maxima of SUVbw ≥ {suv:g}",
    )


def background(suv: float) -> Threshold:
    """Half way between a lesion's plateau and its surroundings.

    0.5 × mean above 70 % of the maximum + 0.5 × background: the form of Schaefer et al. 2008. They calibrate
    the two factors on a scanner; a half each is where a blurred edge lies by symmetry.
    """
    return Threshold(
        suv,
        0.35 * suv,  # the plateau is above 0.7 of the maximum, and half of it is the least edge
        lambda top, hot, around: 0.5 * hot + 0.5 * around,
        f"background: half way from plateau to surroundings (doi:10.1007/s00259-008-0875-1), maxima of SUVbw ≥ {suv:g}",
    )


def liver(image: Image, where: Mask | Sphere | None) -> Threshold:
    """1.5 × mean + 2 × standard deviation of normal liver: PERCIST 1.0, Wahl et al. 2009.

    PERCIST states it for SUVlbm; here it is laid on the same SUVbw as the lesions. The liver is given by the
    user: a Mask (its label "liver", else all of it) or a Sphere, of 30 mm diameter in PERCIST.
    """
    if where is None:
        raise UsageError('threshold="liver" needs liver=: a Mask on the grid of the PET, or a Sphere in LPS mm')
    inside = where.on(image.grid) if isinstance(where, Sphere) else _masked(image, where)
    values = image.array[inside].astype(np.float64)
    if values.size < 10:
        raise InputError(f"the liver region holds {values.size} voxels of the PET; place it inside the liver")
    suv = float(1.5 * values.mean() + 2.0 * values.std())
    told = f"mean {values.mean():.2f}, sd {values.std():.2f}"
    return Threshold(
        suv,
        suv,
        lambda top, hot, around: suv,
        f"liver: SUVbw ≥ {suv:.2f} = 1.5 × mean + 2 sd ({told}; doi:10.2967/jnumed.108.057307)",
    )


def _masked(image: Image, mask: Mask) -> NDArray[np.bool_]:
    if not mask.grid.same_as(image.grid):
        raise GeometryError("the liver mask lies on another grid than the PET; bring it over with resample()")
    return mask.of("liver") if any(label.name == "liver" for label in mask.labels) else mask.any


#: The rules that need only the least maximum of a lesion.
BY_NAME: Mapping[str, Callable[[float], Threshold]] = {
    "fixed": fixed,
    "41%": percent,
    "background": background,
}
