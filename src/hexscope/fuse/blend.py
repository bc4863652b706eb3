"""Two images in one frame and one picture, the numbers of both kept beside it."""

from __future__ import annotations

from typing import TypedDict, Unpack

import numpy as np

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity
from hexscope.core.resample import How, resample
from hexscope.core.transform import Transform
from hexscope.errors import RefusedError, UsageError
from hexscope.fuse.fused import HOWS, Fused, Range
from hexscope.fuse.merge import MERGES
from hexscope.fuse.palettes import canonical
from hexscope.fuse.planes import View, named_window, seen, seen_labels, slab, usual_window

#: Ways to fuse that compare brightness: two images of one quantity then share a window.
_COMPARING = ("max", "difference")


class Look(TypedDict, total=False):
    """How a fused picture is made.

    alpha        share of ``over`` in an overlay, 0 to 1; 0.5. "modulated": the share where ``over`` is brightest
    palette      of ``over``, one of ``PALETTES``; hot iron, "pet 20 step" for a mask, grey where brightness is merged
    window_base, window_over  values shown black and white, or the name of a window ("bone"); the modality's first
                 window (of a CT seen through as a maximum projection: bone), else percentiles 1 and 99
    threshold    values of ``over`` below it are not shown (an SUV, say); None shows all
    levels       values of ``over`` that "contour" draws lines at; None: the threshold, else the middle of its window
    interpolate  of the values of ``over``: "linear"; "nearest" keeps every voxel's value, "cubic" may overshoot
    """

    alpha: float
    palette: str
    window_base: Range | str | None
    window_over: Range | str | None
    threshold: float | None
    levels: tuple[float, ...] | None
    interpolate: How


def fuse(
    base: Image,
    over: Image | Mask,
    *,
    how: str = "overlay",
    through: Transform | None = None,
    force: bool = False,
    view: View | None = None,
    **look: Unpack[Look],
) -> Fused:
    """``over`` brought onto the grid of ``base``, and the picture of both.

    how      in colour: "overlay": (1 − alpha) · base + alpha · over, in float and rounded once · "modulated": the same
             with an alpha that grows with the brightness of ``over`` · "contour": lines of ``over`` on ``base`` ·
             "checkerboard": fields of each in turn.
             In brightness: "max" · "difference" · "energy" · "pyramid" · "guided" · "detail", see `fuse.merge`
    over     an image, or a Mask (overlay, modulated, contour)
    through  from over to base, as ``register(base, over)`` gives it; left out only where both share a frame
    force    use a transform whose certificate says reject, or one without certificate between two frames
    view     one plane, slab or projection instead of the whole grid; each image is interpolated once
    look     see `Look`

    Outside the field of ``over`` the picture shows ``base`` alone. Raises RefusedError for a transform that is not to
    be trusted, GeometryError where the frames of reference differ and none is given, UsageError for an unknown word.
    """
    _check_words(over, how, look)
    certificate = None if through is None else through.certificate
    _refuse_untrusted(base.grid, over.grid, through, force)
    name = canonical(look.get("palette") or _usual_palette(over, how))
    below = _window(base, look.get("window_base"), view)
    above = _window_over(base, over, how, below, look.get("window_over"), view)
    brought: Image | Mask
    if isinstance(over, Mask):
        brought = _mask_on(over, base.grid, view, through)
    else:
        brought = _image_on(over, base.grid, view, through, look.get("interpolate", "linear"))
    field = Mask((np.ones(over.grid.shape, np.uint8),), over.grid, ())
    levels = look.get("levels")
    threshold = look.get("threshold")
    return Fused(
        _image_on(base, base.grid, view),
        brought,
        np.asarray(_mask_on(field, base.grid, view, through).array > 0),
        how,
        look.get("alpha", 0.5),
        ("grey", name),
        below,
        above,
        threshold,
        tuple(sorted(levels)) if levels else (sum(above) / 2 if threshold is None else threshold,),
        certificate,
        view,
    )


def _check_words(over: Image | Mask, how: str, look: Look) -> None:
    if how not in HOWS:
        raise UsageError(f"unknown way to fuse {how!r}; known are {', '.join(HOWS)}")
    if isinstance(over, Mask) and (how in MERGES or how == "checkerboard"):
        raise UsageError(f"a mask has no brightness to fuse by {how!r}; lay it over by overlay, modulated or contour")
    alpha = look.get("alpha", 0.5)
    if not 0.0 <= alpha <= 1.0:
        raise UsageError(f"alpha is between 0 (base only) and 1 (over only); got {alpha}")


def _usual_palette(over: Image | Mask, how: str) -> str:
    if isinstance(over, Mask):
        return "pet 20 step"
    return "grey" if how in MERGES else "hot iron"


def _window(image: Image, wish: Range | str | None, view: View | None) -> Range:
    """The window asked for, else the usual one; bone where a CT is seen through, as soft tissue is then all white."""
    if isinstance(wish, str):
        return named_window(image, wish)
    if wish is not None:
        return wish
    if view is not None and view.slab_mm and view.project == "max" and image.quantity is Quantity.HU:
        return named_window(image, "bone")
    return usual_window(image)


def _window_over(
    base: Image, over: Image | Mask, how: str, below: Range, wish: Range | str | None, view: View | None
) -> Range:
    """That of ``over``; where two images of one quantity are compared, that of ``base`` unless another is asked for."""
    if isinstance(over, Mask):
        return 0.0, 1.0
    alike = how in _COMPARING and base.quantity is over.quantity and base.quantity.is_absolute
    return below if alike and wish is None else _window(over, wish, view)


def _image_on(
    image: Image, grid: Grid, view: View | None, through: Transform | None = None, interpolate: How = "linear"
) -> Image:
    """On the grid, or on the plane of a view of it; interpolated once."""
    if "t" in image.axes:
        raise UsageError("fusing takes one time point; take it with frame() (PATH@t=N)")
    if view is None:
        return resample(image, grid, through=through, how=interpolate)
    return seen(image, slab(grid, view), view.project, through, interpolate)


def _mask_on(mask: Mask, grid: Grid, view: View | None, through: Transform | None) -> Mask:
    if view is None:
        return resample(mask, grid, through=through)
    return seen_labels(mask, slab(grid, view), through)


def _refuse_untrusted(base: Grid, over: Grid, through: Transform | None, force: bool) -> None:
    if through is None or force:
        return
    verdict = through.certificate
    if verdict is None and base.same_frame(over) is False:
        raise RefusedError(
            "the two images are in different frames of reference, and no certificate stands beside the transform "
            "between them. Take one from register(); pass force=True (--force) only if you trust this one",
            code="registration.rejected",
        )
    if verdict is not None and verdict.verdict == "reject":
        raise RefusedError(
            f"the registration is rejected (score {verdict.score:.2f}): {'; '.join(verdict.reasons)}. "
            "Look at the pair; pass force=True (--force) only if you trust it",
            code="registration.rejected",
        )
