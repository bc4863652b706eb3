"""The public verbs of two images or more: register, certify, fuse. Where two tasks meet (fuse after register), the
verb composes them here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.transform import Transform
from hexscope.io.writing import save

if TYPE_CHECKING:
    from hexscope.fuse import Fused, View
    from hexscope.register.groupwise import Group

__all__ = ["certify", "evaluate_fusion", "fuse", "register", "register_group", "register_table", "turn"]


def register(
    fixed: Image,
    moving: Image,
    *,
    kind: str = "rigid",
    fixed_mask: Mask | None = None,
    moving_mask: Mask | None = None,
    speed: str = "fast",
    seed: int = 0,
    progress: Callable[[str], object] | None = None,
) -> Transform:
    """The transform that takes moving LPS points to fixed LPS points, with its certificate.

    kind   "rigid", "similarity", "affine" or "deformable"; ``speed`` of the last: "fast" or "accurate"
    masks  where an image counts
    """
    from hexscope.register import register as run

    masks = {"fixed_mask": fixed_mask, "moving_mask": moving_mask}
    return run(fixed, moving, kind=kind, speed=speed, seed=seed, progress=progress, **masks)


def rehearse_register(images: tuple[Image, Image], out: str | Path, moved: str | Path | None, *, kind: str) -> None:
    """Write stand-ins for what `register` of ``images`` (fixed, moving) gives under the names asked, and drop them:
    what cannot be written so raises here, before the work."""
    from tempfile import TemporaryDirectory

    import numpy as np

    from hexscope.core.warp import Warp

    fixed, moving = images
    small = moving.crop((0,) * moving.grid.ndim, (1,) * moving.grid.ndim)
    frames = fixed.grid.frame_of_reference, moving.grid.frame_of_reference
    stand_in = Transform(np.eye(4), "rigid", *frames)
    if kind == "deformable":
        still = Warp(Grid((2, 2, 2), np.eye(4)), np.zeros((2, 2, 2, 3), np.float32))
        stand_in = Transform.deformable(np.eye(4), still, fixed_frame=frames[0], moving_frame=frames[1])
    with TemporaryDirectory() as folder:
        save(stand_in, Path(folder, Path(out).name), source=images)
        if moved is not None:
            save(small, Path(folder, "moved", Path(moved).name))


def certify(fixed: Image, moving: Image, *, through: Transform | None = None) -> Transform:
    """``through``, whichever tool found it, with a verdict on whether it brings ``moving`` onto ``fixed``.

    Without one: whether the two lie on each other where their headers put them, the headers being believed where
    nothing speaks against them. Nothing is moved.
    """
    from hexscope.register import check
    from hexscope.register.judge import judge

    return check(fixed, moving) if through is None else judge(fixed, moving, through)


def register_group(images: Sequence[Image], reference: Image | None = None, **options: Any) -> Group:
    """Register all images to ``reference`` or, without one, to their own mean: one transform each, and the mean.

    Options are those of `hexscope.register.groupwise.register_group`: kind, speed, seed, progress.
    """
    from hexscope.register.groupwise import register_group as run

    return run(images, reference, **options)


def register_table(table: str | Path, out: str | Path, **options: Any) -> list[dict[str, Any]]:
    """Register every row of a CSV (case, fixed, moving, of choice kind, masks) into the folder ``out``.

    One failure never stops the others; what is there already is kept. Gives a row of results each; options are those
    of `hexscope.study.pairs.register_pairs`: kind, speed, seed, moved, tell.
    """
    from hexscope.study.pairs import register_pairs

    return register_pairs(Path(table), Path(out), **options)


def fuse(
    base: Image,
    over: Image | Mask,
    *,
    how: str = "overlay",
    through: Transform | None = None,
    force: bool = False,
    view: View | None = None,
    **look: Any,
) -> Fused:
    """``over`` on the grid of ``base``, both with their numbers, and the picture of both.

    Images of one frame of reference are checked where they lie; others are registered first. A rejected
    registration raises RefusedError unless ``force``. ``view`` shows one plane, slab or projection; ``look`` goes to
    `hexscope.fuse.fuse` (alpha, palette, windows, threshold, levels).
    """
    from hexscope.fuse import fuse as run
    from hexscope.register import check

    if through is None and base.is_volume and isinstance(over, Image) and over.is_volume:
        aligned = base.grid.same_frame(over.grid)
        through = check(base, over) if aligned else register(base, over)
    return run(base, over, how=how, through=through, force=force, view=view, **look)


def turn(fused: Fused, frames: int = 36) -> Image:
    """A fused pair of volumes seen through from all sides, as a moving picture: save it as .gif, .apng or .webp."""
    from hexscope.fuse import turn as run

    return run(fused, frames)


def evaluate_fusion(pairs: str | Path, *, how: str = "detail", **look: Any) -> Mapping[str, Any]:
    """What a way to fuse scores on a table of pairs, each metric with mean, interval and n, beside the two copies.

    See `hexscope.evaluate.fusion.evaluate_fusion` for the columns of the table and the metrics.
    """
    from hexscope.evaluate.fusion import evaluate_fusion as run

    return run(Path(pairs), how=how, **look).as_json()
