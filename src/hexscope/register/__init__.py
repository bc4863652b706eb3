"""Register: find the transform that brings a moving image onto a fixed one, and say how far to trust it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hexscope.core.image import Image
from hexscope.core.transform import Transform
from hexscope.errors import UsageError
from hexscope.register.evidence import gather
from hexscope.register.pyramid import prepare
from hexscope.register.search import find, ladder, refine
from hexscope.register.starts import gap_mm
from hexscope.trust.registration import certify

__all__ = ["KINDS", "check", "register"]

KINDS = ("rigid", "affine")


def register(
    fixed: Image,
    moving: Image,
    *,
    kind: str = "rigid",
    seed: int = 0,
    progress: Callable[[str], object] | None = None,
) -> Transform:
    """The transform of LPS points, moving to fixed, that makes the two tell the most about each other.

    Both are placed volumes of any modality, grid and orientation; they need not share a frame of reference. The
    answer carries its certificate; the same ``seed`` gives the same answer.

    kind      "rigid" (six degrees of freedom) or "affine" (twelve)
    progress  is told each stage in words

    Raises GeometryError where one is not a placed volume of at least 4 voxels along each axis, UsageError for an
    unknown kind.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind of registration {kind!r}; known are {', '.join(KINDS)}")
    rungs = ladder(prepare(fixed), prepare(moving), seed)
    ended = find(rungs, affine=kind == "affine", progress=progress)
    if progress is not None:
        progress("gathering evidence on the registration")
    certificate = certify(gather(rungs, ended, affine=kind == "affine"))
    found = Transform(
        ended[0].matrix,
        kind,
        fixed.grid.frame_of_reference,
        moving.grid.frame_of_reference,
        certificate,
        (f"registered by normalised mutual information, {kind}, seed {seed}",),
    )
    return found if not rungs.swapped else replace(found, matrix=found.inverse.matrix)


def check(fixed: Image, moving: Image, *, seed: int = 0) -> Transform:
    """The identity, with a certificate that says whether two images lie on each other as their headers claim.

    The best fit near the headers' pose is looked for and compared with it; nothing is moved. Raises as `register`.
    """
    rungs = ladder(prepare(fixed), prepare(moving), seed)
    answer = refine(rungs, np.eye(4))
    moved = gap_mm(answer.matrix, np.eye(4), rungs.finest.similarity.samples.places_mm(50))
    certificate = certify(gather(rungs, [answer], moved_mm=moved))
    frames = fixed.grid.frame_of_reference, moving.grid.frame_of_reference
    return Transform(
        np.eye(4), "identity", *frames, certificate, ("checked where the headers put the images; not moved",)
    )
