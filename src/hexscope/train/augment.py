"""What training may change of a picture without changing its answer: all of it for a whole batch at once.

Chance is drawn first (`Moves.draw`), from a generator that the loop seeds by iteration; the rest is arithmetic. ONE
`grid_sample` turns, zooms, stretches, shifts, mirrors and crops; then brightness, contrast, gamma and noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

#: Label of a pixel of which nothing is known; no class has this number.
UNKNOWN = 255
#: Above so many planes of labels, the nearest pixel's label is taken instead of interpolating each plane.
_SMOOTH_PLANES = 8
#: Chance of a sample to get noise, and of one to be blurred.
_NOISE_CHANCE = 0.3
_BLUR_CHANCE = 0.2
#: A box that a patch cuts counts while this part of it is left.
_IN_SIGHT = 0.3


@dataclass(frozen=True)
class Changes:
    """How far each change may go; the plan decides it from the anatomy and the quantity.

    rotate_deg  largest angle about each axis of a volume (array order); one value for a plane
    zoom, stretch  largest relative change of size, of all axes together and of each alone
    flips       array axes (0 = first spatial) that may be mirrored
    brightness, contrast, gamma  in standard deviations, relative, relative
    noise, blur largest standard deviation of noise; largest mix with a 3-pixel mean
    """

    rotate_deg: tuple[float, ...]
    zoom: float = 0.1
    stretch: float = 0.05
    flips: tuple[int, ...] = ()
    brightness: float = 0.2
    contrast: float = 0.25
    gamma: float = 0.0
    noise: float = 0.1
    blur: float = 0.0


def matrices(changes: Changes, spacing: tuple[float, ...], batch: int, chance: torch.Generator) -> Tensor:
    """(batch, dims, dims): from an offset in the patch to an offset in the image, both in pixels, array order.

    spacing  of the pixels, any unit: a turn is a turn in space, not of anisotropic pixels
    """
    dims = len(spacing)
    linear = torch.eye(dims).repeat(batch, 1, 1)
    for turn, limit in zip(_planes(dims), changes.rotate_deg, strict=True):
        angle = torch.deg2rad(_within(limit, (batch,), chance))
        step = torch.eye(dims).repeat(batch, 1, 1)
        a, b = turn
        step[:, a, a] = step[:, b, b] = angle.cos()
        step[:, a, b], step[:, b, a] = -angle.sin(), angle.sin()
        linear = linear @ step
    size = 1 + _within(changes.zoom, (batch, 1), chance) + _within(changes.stretch, (batch, dims), chance)
    for axis in changes.flips:
        size[:, axis] *= torch.where(torch.rand(batch, generator=chance) < 0.5, -1.0, 1.0)
    space = torch.tensor(spacing)
    return linear * size[:, None, :] * space[None, None, :] / space[None, :, None]


def _planes(dims: int) -> tuple[tuple[int, int], ...]:
    return ((0, 1),) if dims == 2 else ((1, 2), (0, 2), (0, 1))


def _within(limit: float, shape: tuple[int, ...], chance: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=chance) * 2 - 1) * limit


def moved(
    image: Tensor, labels: Tensor, linear: Tensor, shift: Tensor, patch: tuple[int, ...], planes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Patches of a batch of windows: image (batch, c, *patch), target (batch, planes, *patch) in 0..1, and how well
    each pixel is known, (batch, 1, *patch) in 0..1; all float32.

    image   (batch, c, *window)
    labels  uint8: (batch, *window) class numbers, (batch, planes, *window) of 254ths, or (batch, planes) of 254ths that
            hold for the whole image; `UNKNOWN`: not known. Or float: boxes, see `moved_boxes`;
            with them comes the size of the patch (batch, dims) in place of what is known
    shift   (batch, dims) pixels from the middle of the window to that of the patch

    Beyond the window nothing is known.
    """
    dims = len(patch)
    window = torch.tensor(image.shape[2:], dtype=torch.float32)
    size = torch.tensor(patch, dtype=torch.float32)
    theta = torch.cat([linear * size[None, None, :] / window[None, :, None], (2 * shift / window)[:, :, None]], 2)
    theta = torch.cat([theta[:, :, :dims].flip(1, 2), theta[:, :, dims:].flip(1)], 2)  # array order to x, y, z
    grid = F.affine_grid(theta.to(image.device), [len(image), 1, *patch], align_corners=False)
    out = F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if labels.is_floating_point():
        return out, moved_boxes(labels, linear, shift, size), size.expand(len(labels), dims)
    return out, *_targets(labels, grid, planes)


def moved_boxes(boxes: Tensor, linear: Tensor, shift: Tensor, size: Tensor) -> Tensor:
    """Boxes (batch, objects, 2 * dims + 1) in pixels of the patch, from pixels about the middle of the window.

    A box is its least edges, its greatest edges and its class; class -1 is no box. Turned, it holds the ellipse that
    filled it before: lesions and cells are rather round, and a box about turned corners would grow. One of which less
    than `_IN_SIGHT` is left in the patch counts as none.
    """
    dims = len(size)
    low, high, kind = boxes[..., :dims], boxes[..., dims:-1], boxes[..., -1:]
    back = torch.linalg.inv(linear)
    middle = ((low + high) / 2 - shift[:, None]) @ back.transpose(1, 2) + size / 2
    half = (((high - low) / 2).square() @ back.square().transpose(1, 2)).sqrt()
    low, high = middle - half, middle + half
    seen = (torch.minimum(high, size) - low.clamp_min(0)).clamp_min(0).prod(-1, keepdim=True)
    kept = seen >= _IN_SIGHT * (2 * half).prod(-1, keepdim=True)
    return torch.cat([low.clamp_min(0), torch.minimum(high, size), torch.where(kept, kind, -1.0)], -1)


def _targets(labels: Tensor, grid: Tensor, planes: int) -> tuple[Tensor, Tensor]:
    if labels.ndim == 2:
        known = (labels != UNKNOWN).float()
        return labels.float() / 254 * known, known
    if labels.ndim == grid.ndim:
        known = (labels[:, :1] != UNKNOWN).float()
        out = _sampled(torch.cat([labels.float() / 254 * known, known], 1), grid, "bilinear")
        return out[:, :-1], out[:, -1:]
    if planes > _SMOOTH_PLANES:
        index = _sampled(labels[:, None].float() + 1, grid, "nearest")[:, 0] - 1  # 0 beyond the window: no class
        target = one_hot(index, planes)
    else:
        target = _sampled(one_hot(labels, planes), grid, "bilinear")
    return target, target.sum(1, keepdim=True)


def _sampled(planes: Tensor, grid: Tensor, mode: str) -> Tensor:
    return F.grid_sample(planes, grid, mode=mode, padding_mode="zeros", align_corners=False)


def one_hot(labels: Tensor, planes: int) -> Tensor:
    """(batch, *spatial) class numbers to (batch, planes, *spatial) of 0 and 1; other numbers give 0 everywhere."""
    numbers = torch.arange(planes, device=labels.device).view(1, -1, *[1] * (labels.ndim - 1))
    return (labels[:, None] == numbers).float()


def turned_back(target: Tensor, linear: Tensor) -> Tensor:
    """``target`` of objects (see `hexscope.models.instances.instance_planes`) with directions as the patch shows them.

    They were sampled as the image has them; ``linear`` leads from the patch to the image. Lengths stay.
    """
    away = target[:, 1:] - 0.5
    turned = torch.einsum("bij,bj...->bi...", torch.linalg.inv(linear).to(away.device), away)
    length = away.norm(dim=1, keepdim=True) / turned.norm(dim=1, keepdim=True).clamp_min(1e-6)
    return torch.cat([target[:, :1], (0.5 + turned * length).clamp(0, 1)], 1)


def recoloured(image: Tensor, changes: Changes, chance: torch.Generator) -> Tensor:
    """``image`` (batch, c, *spatial) with other brightness, contrast, gamma, noise and sharpness, in place."""
    batch, planes = image.shape[:2]
    one = (batch, planes, *[1] * (image.ndim - 2))
    gain = 1 + _within(changes.contrast, one, chance)
    shift = _within(changes.brightness, one, chance)
    image.mul_(gain.to(image.device)).add_(shift.to(image.device))
    if changes.gamma:
        image = _gamma(image, (1 + _within(changes.gamma, one, chance)).to(image.device))
    each = (batch, 1, *[1] * (image.ndim - 2))
    if changes.blur:
        share = changes.blur * torch.rand(each, generator=chance) * (torch.rand(each, generator=chance) < _BLUR_CHANCE)
        mean = getattr(F, f"avg_pool{image.ndim - 2}d")(image, 3, 1, 1, count_include_pad=False)
        image = torch.lerp(image, mean, share.to(image.device).expand_as(image))
    if changes.noise and float(torch.rand((), generator=chance)) < _NOISE_CHANCE:
        width = changes.noise * torch.rand(each, generator=chance)
        image = image + (torch.randn(image.shape, generator=chance) * width).to(image.device)
    return image


def _gamma(image: Tensor, power: Tensor) -> Tensor:
    """Each plane to a power within its own range."""
    axes = tuple(range(2, image.ndim))
    low, high = image.amin(axes, keepdim=True), image.amax(axes, keepdim=True)
    width = (high - low).clamp_min(1e-6)
    return ((image - low) / width).clamp_min(1e-6).pow(power) * width + low
