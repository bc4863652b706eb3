"""Many images at once: onto one of them, or onto their own mean, which leans to none of them.

The mean is made as Guimond, Meunier and Thirion do (2000, doi:10.1006/cviu.1999.0815): register all to a template,
average what they show, and move the template to the middle of them, the average of their motions undone. Linear
motions are averaged by their logarithms (Alexa 2002, doi:10.1145/566654.566592), deformable ones by their displacement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import linalg

from hexscope.core.geometry import Array, Grid
from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity
from hexscope.core.resample import resample
from hexscope.core.transform import Transform
from hexscope.core.warp import Warp
from hexscope.errors import UsageError
from hexscope.register import register

Progress = Callable[[str], object]

#: How often the template is made anew, of each kind of motion.
_ROUNDS = 2


@dataclass(frozen=True)
class Group:
    """Images registered together: one transform an image, to the space of the ``mean``; and the mean, in that space.

    Each transform carries the certificate of its own registration.
    """

    transforms: tuple[Transform, ...]
    mean: Image


def register_group(
    images: Sequence[Image],
    reference: Image | None = None,
    *,
    kind: str = "rigid",
    seed: int = 0,
    progress: Progress | None = None,
    **how: Any,
) -> Group:
    """Register all ``images`` to ``reference``; or, without one, to their own mean.

    images     two or more placed volumes; without a reference of one modality, since their mean must mean something
    reference  its grid and space are taken; it need not be one of them
    how        what `register` takes besides: speed

    Values that have a unit are averaged as they are, others as shares of their image's 99th percentile. Raises as
    `register`, and UsageError for fewer than two images or, without a reference, for several modalities.
    """
    if len(images) < 2:
        raise UsageError(f"a group is two images or more; got {len(images)}")

    def all_to(fixed: Image, kind: str) -> list[Transform]:
        return [register(fixed, image, kind=kind, seed=seed, progress=progress, **how) for image in images]

    if reference is not None:
        transforms = all_to(reference, kind)
        return Group(tuple(transforms), _mean(images, transforms, reference.grid))
    if len({image.modality for image in images}) > 1:
        raise UsageError("images of several modalities have no mean; pass reference=, one of them")
    first = max(images, key=lambda image: float(np.prod(image.grid.shape)) * (image.grid.voxel_volume_ml or 1.0))
    linear = "affine" if kind == "deformable" else kind
    group = Group((), first)
    for kind_now in [linear] * _ROUNDS + ["deformable"] * (_ROUNDS if kind == "deformable" else 0):
        centred = _centred(all_to(group.mean, kind_now), group.mean.grid)
        group = Group(tuple(centred[0]), _mean(images, *centred))
    return group


def _centred(transforms: list[Transform], grid: Grid) -> tuple[list[Transform], Grid]:
    """The transforms into the middle of all, and the grid there: what it shows stays in it."""
    if all(t.is_linear for t in transforms):
        back = np.linalg.inv(mean_matrix([t.matrix for t in transforms]))
        middle = Transform(back, transforms[0].kind)
        grid = replace(grid, affine=back @ grid.require_affine("a group"), frame_of_reference=None)
    else:
        middle = Transform(parts=(_middle(transforms, grid),), kind="deformable")
    moved = [replace(middle @ t, certificate=t.certificate, steps=t.steps, fixed_frame=None) for t in transforms]
    return moved, grid


def mean_matrix(matrices: Sequence[Array]) -> Array:
    """Average of (4, 4) motions: exp of the mean of their logarithms, about itself, so that order is no matter."""
    mean = np.asarray(matrices[0], dtype=np.float64)
    for _ in range(20):
        logs = [np.real(linalg.logm(np.linalg.inv(mean) @ m)) for m in matrices]
        step = np.mean(logs, axis=0)
        mean = mean @ np.real(linalg.expm(step))
        if float(np.abs(step).max()) < 1e-12:
            break
    return np.asarray(mean)


def _middle(transforms: list[Transform], grid: Grid) -> Warp:
    """From the template to the average of where its points lie in all images: x + mean displacement."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    mean = np.zeros((*grid.shape, 3), np.float32)
    for plane, places in enumerate(index):
        points = grid.to_world(places)
        mean[plane] = np.mean([t.inverse.points(points) - points for t in transforms], axis=0)
    return Warp(grid, mean)


def _mean(images: Sequence[Image], transforms: Sequence[Transform], grid: Grid) -> Image:
    """Average of what the images show at each voxel, of those that reach there."""
    same = len({image.quantity for image in images}) == 1
    physical = same and images[0].quantity is not Quantity.ARBITRARY
    total, count = np.zeros(grid.shape, np.float64), np.zeros(grid.shape, np.float64)
    for image, transform in zip(images, transforms, strict=True):
        scale = 1.0 if physical else 1.0 / max(float(np.percentile(image.array, 99)), 1e-12)
        seen = resample(_everywhere(image), grid, through=transform).layers[0] > 0
        total += np.where(seen, resample(image, grid, through=transform).array * scale, 0.0)
        count += seen
    quantity = images[0].quantity if physical else Quantity.ARBITRARY
    values = np.where(count > 0, total / np.maximum(count, 1), quantity.outside).astype(np.float32)
    step = f"mean of {len(images)} images" + ("" if physical else ", each over its 99th percentile")
    modality = images[0].modality if len({image.modality for image in images}) == 1 else "OT"
    return replace(Image.from_array(values, grid, modality=modality, quantity=quantity), steps=(step,))


def _everywhere(image: Image) -> Mask:
    return Mask.from_array(np.ones(image.grid.shape, np.uint8), image.grid)
