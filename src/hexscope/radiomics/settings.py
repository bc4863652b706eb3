"""What is done to an image before its features are taken, and which of them are wanted."""

from __future__ import annotations

from dataclasses import dataclass

from hexscope.errors import UsageError

#: Families of IBSI 1, in the manual's order, by the prefix of their names. `plane` is ours: shape of a plane figure.
FAMILIES = ("morph", "plane", "loc", "stat", "ih", "ivh", "cm", "rlm", "szm", "dzm", "ngt", "ngl")
TEXTURE = ("cm", "rlm", "szm", "dzm", "ngt", "ngl")
#: How slices come together: each by itself and then averaged; counted as one; neighbours through the slices too.
AGGREGATIONS = ("2D", "2.5D", "3D")


@dataclass(frozen=True)
class FeatureSettings:
    """Image processing before features, after IBSI 1 (doi:10.1148/radiol.2020191145, doi:10.48550/arXiv.1612.07003).

    resample_mm    bring image and mask to this spacing, (z, y, x) or (y, x): textures depend on the size of a voxel,
                   and differ between scanners where it does. None: as it is
    interpolation  "linear" or "cubic", of the image; the mask is interpolated linearly and cut at one half
    range          values outside (low, high) leave the intensity mask: air at a tumour's rim in HU, say. The
                   morphological mask keeps them. None at either end: open
    outlier_sd     values further than so many deviations from the mean of the mask leave it; None: none do
    bins           grey levels of histogram and texture: the range of values in the mask is cut into so many. For
                   numbers without a unit (MR, ultrasound), whose contrast counts and not their size
    bin_width      in the unit of the image (25 HU, 0.25 SUV): so that a level means the same in every patient. Levels
                   count from the low end of `range`, else from the least value in the mask. Takes the place of `bins`
    ivh_bin_width  of the intensity-volume histogram. None: HU by 1 HU, other values by 1000 bins
    aggregations   of textures: "2D", "2.5D", "3D". A plane has "2D" only
    """

    resample_mm: tuple[float, ...] | None = None
    interpolation: str = "linear"
    range: tuple[float | None, float | None] = (None, None)
    outlier_sd: float | None = None
    bins: int = 32
    bin_width: float | None = None
    ivh_bin_width: float | None = None
    aggregations: tuple[str, ...] = AGGREGATIONS

    def __post_init__(self) -> None:
        if self.interpolation not in ("linear", "cubic"):
            raise UsageError(f"interpolation is linear or cubic; got {self.interpolation!r}")
        if self.bins < 2:
            raise UsageError(f"bins are 2 or more; got {self.bins}")
        for name in ("bin_width", "ivh_bin_width", "outlier_sd"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} is above 0; got {value}")
        low, high = self.range
        if low is not None and high is not None and not low < high:
            raise UsageError(f"range runs from low to high; got {self.range}")
        unknown = set(self.aggregations) - set(AGGREGATIONS)
        if unknown:
            raise UsageError(f"aggregations are {', '.join(AGGREGATIONS)}; got {', '.join(sorted(unknown))}")
