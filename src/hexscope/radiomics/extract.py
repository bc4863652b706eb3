"""Features of a region of an array: the quick core, for hundreds of candidates a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import UsageError
from hexscope.radiomics import intensity, shape
from hexscope.radiomics.region import Region
from hexscope.radiomics.settings import FAMILIES, TEXTURE, FeatureSettings

Values = dict[str, float]

_SIMPLE: dict[str, Callable[[Region], Values]] = {
    "morph": shape.morphology,
    "plane": shape.plane_figure,
    "loc": intensity.local_peaks,
    "stat": intensity.statistics,
    "ih": intensity.histogram,
    "ivh": intensity.volume_histogram,
}


def of_array(
    values: NDArray[Any],
    mask: NDArray[np.bool_],
    spacing_mm: Sequence[float] | None,
    families: Sequence[str] = ("stat", "morph", "ih"),
    settings: FeatureSettings | None = None,
) -> Values:
    """Features of the voxels of ``values`` (z, y, x) where ``mask`` is set, by IBSI name; a plane is (1, y, x).

    Quick for small arrays: give a crop with what surrounds the candidate, not the whole image. Nothing is resampled
    here (`features` does). A feature that means nothing for this region is NaN.

    Raises InputError for an empty region or one with NaN, UncalibratedError where a family needs a spacing and none is
    given, GeometryError for the family plane of a volume, UsageError for an unknown family.
    """
    spacing = None if spacing_mm is None else tuple(spacing_mm)
    return families_of(Region.of(values, mask, spacing, settings or FeatureSettings()), families)


def families_of(region: Region, families: Sequence[str]) -> Values:
    """Features of a region, family by family in the manual's order."""
    unknown = set(families) - set(FAMILIES)
    if unknown:
        raise UsageError(f"families are {', '.join(FAMILIES)}; got {', '.join(sorted(unknown))}")
    out: Values = {}
    around = None
    for family in FAMILIES:
        if family not in families:
            continue
        if family in _SIMPLE:
            out |= _SIMPLE[family](region)
            continue
        from hexscope.radiomics import neighbours, texture

        around = around or neighbours.Neighbourhood(region)
        out |= texture.textures(family, region, around)
    return out


assert set(FAMILIES) == {*_SIMPLE, *TEXTURE}
