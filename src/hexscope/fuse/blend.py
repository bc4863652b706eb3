"""Two images in one picture, with the numbers of both kept beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.pixels import ArrayPixels
from hexscope.core.quantity import Quantity
from hexscope.core.resample import resample
from hexscope.core.transform import Certificate, Transform
from hexscope.errors import RefusedError, UsageError
from hexscope.fuse.palettes import canonical, colours
from hexscope.fuse.planes import usual_window, window

How = Literal["overlay", "max", "checkerboard"]
HOWS: tuple[How, ...] = ("overlay", "max", "checkerboard")
Range = tuple[float, float]

#: Fields of a checkerboard along its longer side.
_FIELDS = 8
_FLAT = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm")


@dataclass(frozen=True, eq=False)
class Fused:
    """What `fuse` gives: two images on one grid with their values, and the picture of both.

    base, over   on the grid of ``base``, values untouched: HU and SUV can be read at every pixel
    covered      where ``over`` has anything to say: inside its field
    how, alpha, palettes, window_base, window_over, threshold   how the picture is made
    certificate  of the registration that joined them; None where none was needed
    """

    base: Image
    over: Image
    covered: NDArray[np.bool_]
    how: How
    alpha: float
    palettes: tuple[str, str]
    window_base: Range
    window_over: Range
    threshold: float | None = None
    certificate: Certificate | None = None

    @cached_property
    def picture(self) -> NDArray[np.uint8]:
        """RGB of the whole grid, (z, y, x, 3) or (y, x, 3), made when first asked for."""
        if self.base.grid.ndim == 2:
            return self._blend(self.base.array, self.over.array, self.covered)
        return np.stack([self.rgb(z) for z in range(self.base.grid.shape[0])])

    def rgb(self, index: int) -> NDArray[np.uint8]:
        """RGB of one slice along the first axis of the grid, (y, x, 3)."""
        return self._blend(self.base.array[index], self.over.array[index], self.covered[index])

    def _blend(self, base: NDArray[Any], over: NDArray[Any], covered: NDArray[np.bool_]) -> NDArray[np.uint8]:
        below = _coloured(base, self.base.quantity, self.window_base, self.palettes[0])
        above = _coloured(over, self.over.quantity, self.window_over, self.palettes[1])
        seen = covered
        if self.threshold is not None and self.over.quantity is not Quantity.RGB:
            seen = seen & (over >= self.threshold)
        mixed = _MIX[self.how](below, above, self.alpha)
        return _rounded(np.where(seen[..., None], mixed, below))

    def as_image(self) -> Image:
        """The picture as an RGB image on the grid of ``base``."""
        spatial = ("z", "y", "x")[-self.base.grid.ndim :]
        step = f"fused ({self.how}) from {self.base.modality} and {self.over.modality}"
        return Image.from_array(
            self.picture,
            self.base.grid,
            modality=self.base.modality,
            quantity=Quantity.RGB,
            axes=(*spatial, "c"),
            facts={**self.base.facts, "SeriesDescription": f"{self.over.modality} on {self.base.modality}, {self.how}"},
            steps=(*self.base.steps, step),
            name=f"{self.base.name} + {self.over.name}",
        )

    def as_saved(self, path: str | Path) -> Image:
        """What to write under that name: the whole picture, or its middle slice for a format of one plane."""
        whole = self.as_image()
        if self.base.grid.ndim == 2 or Path(path).suffix.lower() not in _FLAT:
            return whole
        middle = self.base.grid.shape[0] // 2
        step = f"slice {middle + 1} of {self.base.grid.shape[0]}"
        return replace(
            whole,
            pixels=ArrayPixels(whole.array[middle]),
            grid=_slice_grid(whole.grid, middle),
            axes=("y", "x", "c"),
            steps=(*whole.steps, step),
        )


def _slice_grid(grid: Grid, index: int) -> Grid:
    """The plane of one slice along the first axis."""
    affine = None
    if grid.affine is not None:
        affine = grid.affine[:, 1:].copy()
        affine[:3, -1] = grid.to_world((index, 0, 0))
    spacing = None if grid.spacing_mm is None else grid.spacing_mm[1:]
    return Grid(grid.shape[1:], affine, spacing, grid.plane, grid.frame_of_reference)


def _overlay(below: NDArray[np.float32], above: NDArray[np.float32], alpha: float) -> NDArray[np.float32]:
    return np.asarray((1.0 - alpha) * below + alpha * above)


def _brightest(below: NDArray[np.float32], above: NDArray[np.float32], alpha: float) -> NDArray[np.float32]:
    return np.maximum(below, above)


def _checkerboard(below: NDArray[np.float32], above: NDArray[np.float32], alpha: float) -> NDArray[np.float32]:
    rows, columns = below.shape[:2]
    side = max(1, max(rows, columns) // _FIELDS)
    odd = (np.arange(rows)[:, None] // side + np.arange(columns) // side) % 2 == 1
    return np.where(odd[..., None], above, below)


_MIX = {"overlay": _overlay, "max": _brightest, "checkerboard": _checkerboard}


def _coloured(values: NDArray[Any], quantity: Quantity, shown: Range, name: str) -> NDArray[np.float32]:
    """Colours 0..255 in float; colour images as they are."""
    if quantity is Quantity.RGB:
        return values[..., :3].astype(np.float32)
    return colours(window(values, *shown), name)


def _rounded(colour: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray(np.floor(np.clip(colour, 0.0, 255.0) + 0.5), dtype=np.uint8)


class Look(TypedDict, total=False):
    """How a fused picture is made.

    alpha        share of ``over`` in an overlay, 0 to 1; 0.5
    palette      of ``over``, one of ``PALETTES``; hot iron, or grey for ``max``
    window_base, window_over  values shown black and white; the modality's first window, else percentiles 1 and 99
    threshold    values of ``over`` below it are not shown (an SUV, say); None shows all
    """

    alpha: float
    palette: str
    window_base: Range | None
    window_over: Range | None
    threshold: float | None


def fuse(
    base: Image,
    over: Image,
    *,
    how: str = "overlay",
    through: Transform | None = None,
    force: bool = False,
    **look: Unpack[Look],
) -> Fused:
    """``over`` brought onto the grid of ``base``, and the picture of both.

    how      "overlay": (1 − alpha) · base + alpha · over, in float and rounded once; "max": the brighter of the two
             in each colour (of one quantity: the larger value); "checkerboard": fields of each in turn
    through  from over to base, as ``register(base, over)`` gives it; left out only where both share a frame
    force    use a transform whose certificate says reject
    look     see `Look`

    Outside the field of ``over`` the picture shows ``base`` alone. Raises RefusedError for a rejected transform,
    GeometryError where the frames of reference differ and none is given, UsageError for an unknown word.
    """
    method = next((h for h in HOWS if h == how), None)
    if method is None:
        raise UsageError(f"unknown way to fuse {how!r}; known are {', '.join(HOWS)}")
    alpha = look.get("alpha", 0.5)
    if not 0.0 <= alpha <= 1.0:
        raise UsageError(f"alpha is between 0 (base only) and 1 (over only); got {alpha}")
    name = canonical(look.get("palette", "grey" if method == "max" else "hot iron"))
    certificate = None if through is None else through.certificate
    _refuse_rejected(certificate, force)
    below = look.get("window_base") or usual_window(base)
    alike = base.quantity is over.quantity and base.quantity.is_absolute
    above = look.get("window_over") or (below if method == "max" and alike else usual_window(over))
    brought = resample(over, base.grid, through=through)
    field = Mask((np.ones(over.grid.shape, np.uint8),), over.grid, ())
    covered = resample(field, base.grid, through=through).array > 0
    return Fused(
        base,
        brought,
        np.asarray(covered),
        method,
        alpha,
        ("grey", name),
        below,
        above,
        look.get("threshold"),
        certificate,
    )


def _refuse_rejected(certificate: Certificate | None, force: bool) -> None:
    if certificate is None or certificate.verdict != "reject" or force:
        return
    raise RefusedError(
        f"the registration is rejected (score {certificate.score:.2f}): {'; '.join(certificate.reasons)}. "
        "Look at the pair; pass force=True (--force) only if you trust it",
        code="registration.rejected",
    )
