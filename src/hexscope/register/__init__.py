"""Register: find the transform that brings a moving image onto a fixed one, and say how far to trust it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hexscope.core.image import Image, Mask
from hexscope.core.transform import Transform
from hexscope.errors import UsageError
from hexscope.register.deform import deform
from hexscope.register.evidence import gather
from hexscope.register.field import ready
from hexscope.register.judge import judge
from hexscope.register.search import find, ladder, refine
from hexscope.register.starts import gap_mm
from hexscope.trust.registration import certify

Progress = Callable[[str], object]

__all__ = ["KINDS", "check", "register"]

KINDS = ("rigid", "similarity", "affine", "deformable")


def register(
    fixed: Image,
    moving: Image,
    *,
    kind: str = "rigid",
    speed: str = "fast",
    fixed_mask: Mask | None = None,
    moving_mask: Mask | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Transform:
    """The transform of LPS points, moving to fixed, that makes the two tell the most about each other.

    Both are placed volumes, or both planes with a spacing, of any modality, grid and orientation; they need not share
    a frame of reference. A plane that knows no patient is its own world: x mm along its rows, y mm down. The answer
    carries its certificate; the same ``seed`` gives the same answer.

    kind      "rigid" (six degrees of freedom), "similarity" (seven) or "affine" (twelve), of planes three, four, six;
              "deformable": affine, then every point on its own, one to one and without folds
    speed     of the deformable kind: "fast", or "accurate" in about three times as long
    fixed_mask, moving_mask  where an image counts; all of it, where left out
    progress  is told each stage in words

    Raises GeometryError where an image is neither a plane nor a placed volume, or has fewer than 4 voxels along two
    of its axes; UncalibratedError for a plane without a spacing; UsageError for an unknown kind or speed.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind of registration {kind!r}; known are {', '.join(KINDS)}")
    linear = "affine" if kind == "deformable" else kind
    both = ready(fixed, moving, fixed_mask, moving_mask)
    rungs = ladder(*both, seed)
    ended = find(rungs, kind=linear, progress=progress)
    steps = (f"registered by normalised mutual information, {linear}, seed {seed}", *both[0].notes, *both[1].notes)
    frames = fixed.grid.frame_of_reference, moving.grid.frame_of_reference
    found = Transform(rungs.moving_to_fixed(ended[0].matrix), linear, *frames, None, steps)
    if kind == "deformable":
        del both, rungs, ended  # of a large pair they hold a GB
        masks = {"fixed_mask": fixed_mask, "moving_mask": moving_mask}
        found = deform(fixed, moving, found, speed=speed, progress=progress, **masks)
    if progress is not None:
        progress("gathering evidence on the registration")
    if kind == "deformable":
        return judge(fixed, moving, found, seed=seed)
    return replace(found, certificate=certify(gather(rungs, ended, kind=kind)))


def check(fixed: Image, moving: Image, *, seed: int = 0) -> Transform:
    """The identity, with a certificate that says whether two images lie on each other as their headers claim.

    The best fit near the headers' pose is looked for and compared with it; nothing is moved. Raises as `register`.
    """
    rungs = ladder(*ready(fixed, moving), seed)
    start = rungs.pose(np.eye(4))
    answer = refine(rungs, start)
    moved = gap_mm(answer.matrix, start, rungs.finest.similarity.samples.places_mm(50))
    certificate = certify(gather(rungs, [answer], moved_mm=moved))
    frames = fixed.grid.frame_of_reference, moving.grid.frame_of_reference
    return Transform(
        np.eye(4), "identity", *frames, certificate, ("checked where the headers put the images; not moved",)
    )
