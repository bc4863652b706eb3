"""The pictures of a report: three planes of each volume, MIP of PET, fused views, thumbnails of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity
from hexscope.core.resample import resample
from hexscope.fuse import Look, View, fuse, mip, seen, seen_labels, slab, usual_window, window
from hexscope.study.canvas import Mark, Panel, grey, outlined, strip
from hexscope.study.result import Case, Picture, Registration, problem

Axis = Literal["axial", "coronal", "sagittal"]
Point = Sequence[float]

_AXES: tuple[Axis, ...] = ("axial", "coronal", "sagittal")
#: Letters at the left, right, top and bottom edge of each plane, as planes are hung.
_LETTERS = {
    "axial": ("R", "L", "A", "P"),
    "coronal": ("R", "L", "S", "I"),
    "sagittal": ("A", "P", "S", "I"),
}
#: Position of the world coordinate that a plane is cut at.
_WORLD = {"axial": 2, "coronal": 1, "sagittal": 0}
#: A thumbnail of a slide or a plain picture has at most this many pixels along its longer side.
_THUMBNAIL_PX = 900
#: A thinner volume is shown as its middle slice.
_LEAST_SLICES = 4
#: SUV shown black in a MIP.
_MIP_SUV = 8.0
_MOST_MARKS = 12
#: PET glows over CT or MR; two anatomies are judged better field by field.
_HOWS = {
    "PT": (("overlay", "叠加"),),
    "MR": (("overlay", "叠加"), ("checkerboard", "棋盘格")),
    "CT": (("overlay", "叠加"), ("checkerboard", "棋盘格")),
}


def case_pictures(case: Case) -> Case:
    """The case with its pictures; one that cannot be drawn is told among its problems."""
    if case.image is None:
        return case
    try:
        thick = case.image.is_volume and min(case.image.grid.shape) >= _LEAST_SLICES
        pictures = _volume(case, case.image) if thick else _flat(case, case.image)
        return replace(case, pictures=tuple(pictures))
    except Exception as error:
        return replace(case, problems=(*case.problems, problem("picture", error)))


# ---- volumes ------------------------------------------------------------------------------------------------


def _volume(case: Case, image: Image) -> tuple[Picture, ...]:
    outlines = case.segmented if case.findings is None else case.findings.mask
    pictures = [_planes(image, f"{case.slug}-planes", _interesting(case, image), outlines)]
    for number, by in enumerate(case.outlined, start=1):
        at = _middle(by.mask) or tuple(float(v) for v in image.grid.center_mm)
        pictures.append(_planes(image, f"{case.slug}-model{number}", at, by.mask, by.model))
    if image.modality == "PT":
        pictures.append(_projection(case, image))
    return tuple(pictures)


def _planes(image: Image, name: str, at: Point, outlines: Mask | None, model: str = "") -> Picture:
    drawn, drawn_zh = _drawn(outlines, model)
    place = ", ".join(f"{v:.0f}" for v in at)
    return Picture(
        name,
        strip([_plane(image, axis, at, outlines) for axis in _AXES]),
        f"{image.modality} {image.quantity.value}, three planes through LPS ({place}) mm{drawn}",
        f"{image.modality} {image.quantity.value}，经过 LPS（{place}）mm 的三个平面{drawn_zh}",
    )


def _drawn(outlines: Mask | None, model: str) -> tuple[str, str]:
    """What is outlined and by which model, for a caption in both languages."""
    if outlines is None or not outlines.labels:
        return "", ""
    names = [label.name for label in outlines.labels][:6]
    by, by_zh = (f" by model {model}", f"（模型 {model}）") if model else ("", "")
    return f"; outlined{by}: {', '.join(names)}", f"；轮廓{by_zh}：{'、'.join(names)}"


def _middle(mask: Mask) -> Point | None:
    """The voxel of a mask that is nearest to the middle of all it holds, in mm; None where it is empty."""
    parts = [mask.of(label.value) for label in mask]
    held = np.argwhere(np.any(parts, axis=0)) if parts else np.empty((0, mask.grid.ndim))
    if not len(held):
        return None
    nearest = held[np.argmin(((held - held.mean(axis=0)) ** 2).sum(axis=1))]
    return tuple(float(v) for v in mask.grid.to_world(nearest))


def _interesting(case: Case, image: Image) -> Point:
    """The centre of the best candidate, else of the image."""
    if case.findings is not None and len(case.findings):
        center = case.findings.items[0].center_lps_mm
        if center is not None:
            return center
    return tuple(float(v) for v in image.grid.center_mm)


def _plane(image: Image, axis: Axis, at: Point, outlines: Mask | None) -> Panel:
    thin = slab(image.grid, View(axis, at[_WORLD[axis]]))
    rgb = _shown(image, seen(image, thin, "mean").array, usual_window(image))
    if outlines is not None:
        flat = seen_labels(outlines, thin)
        rgb = outlined(rgb, [flat.of(label.value) for label in flat])
    return Panel(rgb, _LETTERS[axis])


def _shown(image: Image, values: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.uint8]:
    """Values as they are usually shown: PET and MONOCHROME1 dark on white, the rest bright on black."""
    if image.quantity is Quantity.RGB:
        return np.asarray(values, dtype=np.uint8)
    level = window(values, *limits)
    dark = image.modality == "PT" or image.facts.get("PhotometricInterpretation") == "MONOCHROME1"
    return grey(1 - level if dark else level)


def _projection(case: Case, image: Image) -> Picture:
    top = _MIP_SUV if image.quantity.is_suv else usual_window(image)[1]
    panels = []
    for axis in ("coronal", "sagittal"):
        values = mip(image, axis)
        marks = _marks(case, image, axis, values.shape[:2])
        panels.append(Panel(grey(1 - window(values, 0, top)), _LETTERS[axis], "MIP", marks))
    unit = image.quantity.value
    return Picture(
        f"{case.slug}-mip",
        strip(panels, height=460),
        f"Maximum intensity projection, 0 to {top:g} {unit}; the numbers are those of the candidates",
        f"最大强度投影，0 至 {top:g} {unit}；数字为候选编号",
    )


def _marks(case: Case, image: Image, axis: str, shape: tuple[int, int]) -> tuple[Mark, ...]:
    """Where the first candidates fall on a projection."""
    if case.findings is None:
        return ()
    corners = image.grid.corners_mm()
    low, high = corners.min(axis=0), corners.max(axis=0)
    across = 0 if axis == "coronal" else 1
    marks = []
    for number, finding in enumerate(case.findings.items[:_MOST_MARKS], start=1):
        if finding.center_lps_mm is None:
            continue
        column = (finding.center_lps_mm[across] - low[across]) / (high[across] - low[across]) * (shape[1] - 1)
        row = (high[2] - finding.center_lps_mm[2]) / (high[2] - low[2]) * (shape[0] - 1)
        marks.append(Mark(row, column, 9.0 * shape[0] / 460, str(number)))
    return tuple(marks)


# ---- flat images --------------------------------------------------------------------------------------------


def _flat(case: Case, image: Image) -> tuple[Picture, ...]:
    """A thumbnail: the coarse level of a slide, the middle frame of a cine, the picture itself; one more a model."""
    outlines = case.segmented if case.findings is None else case.findings.mask
    pictures = [_thumbnail(image, f"{case.slug}-thumbnail", outlines)]
    for number, by in enumerate(case.outlined, start=1):
        pictures.append(_thumbnail(image, f"{case.slug}-model{number}", by.mask, by.model))
    return tuple(pictures)


def _thumbnail(image: Image, name: str, outlines: Mask | None, model: str = "") -> Picture:
    small = _small(image)
    array = small.array
    middle = array.shape[0] // 2
    if "z" in small.axes:
        array = array[middle]
    rgb = _shown(small, array[..., :3] if "c" in small.axes else array, usual_window(small))
    if outlines is not None:
        parts = [outlines.of(label.value) for label in outlines]
        flat = [part[middle] if part.ndim == 3 else part for part in parts]
        rgb = outlined(rgb, [_scaled(part, rgb) for part in flat], width=2)
    size = " × ".join(str(n) for n in image.shape)
    drawn, drawn_zh = _drawn(outlines, model)
    return Picture(
        name,
        strip([Panel(rgb)], height=420),
        f"{image.modality}, {size} pixels{drawn}",
        f"{image.modality}，{size} 像素{drawn_zh}",
    )


def _scaled(part: NDArray[np.bool_], rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """A part on the pixels of a thumbnail (nearest)."""
    rows = (np.arange(rgb.shape[0]) * part.shape[0] / rgb.shape[0]).astype(int)
    columns = (np.arange(rgb.shape[1]) * part.shape[1] / rgb.shape[1]).astype(int)
    return np.asarray(part[rows][:, columns])


def _small(image: Image) -> Image:
    """One frame, at a level (or a step) that a page can show."""
    if "t" in image.axes:
        image = image.frame(image.shape[image.axes.index("t")] // 2)
    spatial = image.spatial_axes[-2:]
    level = 0
    while level + 1 < len(image.pixels.levels) and max(image.pixels.levels[level][i] for i in spatial) > _THUMBNAIL_PX:
        level += 1
    image = image.at_level(level)
    step = max(1, max(image.shape[i] for i in spatial) // _THUMBNAIL_PX)
    if step == 1 or image.grid.ndim != 2:
        return image
    return resample(image, image.grid.with_shape(tuple(max(1, n // step) for n in image.grid.shape)))


# ---- fused views --------------------------------------------------------------------------------------------


def fused_pictures(fixed: Case, moving: Case, pair: Registration) -> tuple[Picture, ...]:
    """The moving image over the reference in three planes, through the moving one's best candidate or middle."""
    if fixed.image is None or moving.image is None:
        return ()
    at = pair.transform.points(_interesting(moving, moving.image))
    through = pair.transform if pair.moved else None
    place = ", ".join(f"{v:.0f}" for v in at)
    verdict = pair.transform.certificate.verdict if pair.transform.certificate else "unchecked"
    over, base = moving.image, fixed.image
    kinds = f"{over.modality} ({over.quantity.value}) on {base.modality} ({base.quantity.value})"
    pictures = []
    for how, word in _HOWS[moving.image.modality]:
        panels = []
        for axis in _AXES:
            view = View(axis, float(at[_WORLD[axis]]))
            look = _look(moving.image, how)
            joined = fuse(base, over, how=how, through=through, force=True, view=view, **look)
            panels.append(Panel(joined.picture, _LETTERS[axis]))
        pictures.append(
            Picture(
                f"{moving.slug}-on-{fixed.number:02d}-{how}",
                strip(panels),
                f"{kinds}, {how}, through LPS ({place}) mm; alignment: {verdict}",
                f"{over.modality} 与 {base.modality}，{word}，经过 LPS（{place}）mm；对齐结论：{verdict}",
            )
        )
    return tuple(pictures)


def _look(over: Image, how: str) -> Look:
    """PET glows from the first SUV on; MR is laid thinly over, and grey beside grey in a checkerboard."""
    if how == "checkerboard":
        return {"palette": "grey"}
    if over.modality == "PT":
        return {"alpha": 0.55, "palette": "hot iron", "threshold": 1.0 if over.quantity.is_suv else None}
    return {"alpha": 0.4, "palette": "hot iron"}
