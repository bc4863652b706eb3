"""What speaks for a candidate: numbers inside, at its rim and around it, its shape and place, and the network's word.

The third stage of a detector. Sums over boxes come from integral images (Viola 2001, doi:10.1109/CVPR.2001.990517), so
that a thousand candidates cost little more than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.detect.candidates import ORIGINS, PIECE, Candidates
from hexscope.models.boxes import middles, overlap
from hexscope.models.peaks import Maps

Floats = NDArray[np.floating[Any]]

#: Boxes are compared with one this many times as wide, and with their own middle.
_AROUND, _CORE = 1.5, 0.5


@dataclass(frozen=True, eq=False)
class Plane:
    """Numbers of every place, with sums over any box: ``stride`` pixels of what the network sees to one of these."""

    name: str
    table: Floats
    stride: Floats

    @classmethod
    def of(cls, name: str, values: Floats, stride: Floats) -> Plane:
        table = np.zeros([n + 1 for n in values.shape])
        table[(slice(1, None),) * values.ndim] = values
        for axis in range(values.ndim):
            np.cumsum(table, axis=axis, out=table)
        return cls(name, table, stride)

    def sums(self, boxes: Floats) -> tuple[Floats, Floats]:
        """Sum and number of the places in each box, at least one."""
        dims = self.table.ndim
        most = np.array(self.table.shape) - 1
        low = np.clip(np.round(boxes[:, :dims] / self.stride), 0, most - 1).astype(np.intp)
        high = np.clip(np.round(boxes[:, dims:] / self.stride), low + 1, most).astype(np.intp)
        total = np.zeros(len(boxes))
        for corner in product((0, 1), repeat=dims):
            at = tuple((high if c else low)[:, axis] for axis, c in enumerate(corner))
            total += (-1) ** (dims - sum(corner)) * self.table[at]
        return total, np.prod(high - low, axis=1)


def resized(boxes: Floats, factor: float) -> Floats:
    """Boxes ``factor`` times as wide about the same middles."""
    dims = boxes.shape[1] // 2
    half = (boxes[:, dims:] - boxes[:, :dims]) * factor / 2
    middle = middles(boxes)
    return np.concatenate([middle - half, middle + half], axis=1)


def evidence(
    found: Candidates, planes: Floats, region: NDArray[np.bool_], maps: Maps | None, classes: Sequence[str]
) -> tuple[Floats, tuple[str, ...]]:
    """(candidates, features) and their names. ``planes`` (planes, *spatial) as the network sees them.

    The features are the same, and in the same order, for any image of one model.
    """
    columns: dict[str, Floats] = {}
    one = np.ones(region.ndim)
    for number, plane in enumerate(planes):
        columns |= _numbers(Plane.of(f"plane{number}", plane, one), found.boxes)
        columns |= _spread(Plane.of("", plane.astype(np.float64) ** 2, one), columns, f"plane{number}", found.boxes)
    key = planes.mean(axis=0)
    columns |= _numbers(Plane.of("edges", ndimage.gaussian_gradient_magnitude(key, 1.0), one), found.boxes)
    columns |= _place(found.boxes, region)
    if maps is not None:
        columns |= _network(found, maps, classes)
    columns |= _company(found)
    table = np.stack([np.nan_to_num(column) for column in columns.values()], axis=1)
    return table.astype(np.float32), tuple(columns)


def _numbers(plane: Plane, boxes: Floats) -> dict[str, Floats]:
    """Means within the box, its middle and what surrounds it, and how they differ."""
    whole, size = plane.sums(boxes)
    core, core_size = plane.sums(resized(boxes, _CORE))
    wide, wide_size = plane.sums(resized(boxes, _AROUND))
    mean, middle = whole / size, core / core_size
    around = (wide - whole) / np.maximum(wide_size - size, 1)
    rim = (whole - core) / np.maximum(size - core_size, 1)
    n = plane.name
    return {
        f"{n}_mean": mean,
        f"{n}_middle": middle,
        f"{n}_around": around,
        f"{n}_contrast": mean - around,
        f"{n}_rim_contrast": rim - around,
        f"{n}_hollow": middle - rim,
    }


def _spread(squares: Plane, known: dict[str, Floats], name: str, boxes: Floats) -> dict[str, Floats]:
    """Deviation within the box, and the rank of its contrast among the candidates of this image."""
    total, size = squares.sums(boxes)
    contrast = known[f"{name}_contrast"]
    ranks = contrast.argsort().argsort() / max(len(contrast) - 1, 1)
    return {
        f"{name}_deviation": np.sqrt(np.maximum(total / size - known[f"{name}_mean"] ** 2, 0)),
        f"{name}_rank": ranks,
    }


def _place(boxes: Floats, region: NDArray[np.bool_]) -> dict[str, Floats]:
    """Size, shape, and where in the region the candidate lies (0 to 1 along each axis)."""
    dims = region.ndim
    spans = np.maximum(boxes[:, dims:] - boxes[:, :dims], 1e-3)
    where = ndimage.find_objects(region.astype(np.uint8))[0]
    start = np.array([s.start for s in where], float)
    extent = np.array([s.stop - s.start for s in where], float)
    at = (middles(boxes) - start) / extent
    out = {f"side{axis}": np.log(spans[:, axis]) for axis in range(dims)}
    out |= {f"place{axis}": at[:, axis] for axis in range(dims)}
    out["off_middle"] = np.abs(at[:, -1] - 0.5)
    out["stretch"] = spans.max(axis=1) / spans.min(axis=1)
    share = Plane.of("region", region.astype(np.float64), np.ones(dims))
    total, size = share.sums(boxes)
    out["in_region"] = total / size
    out["share_of_region"] = np.prod(spans, axis=1) / max(float(region.sum()), 1.0)
    return out


def _network(found: Candidates, maps: Maps, classes: Sequence[str]) -> dict[str, Floats]:
    """Heat of each class, fit and belonging within the candidate, and how well the box named at its middle agrees."""
    stride = np.array(maps.stride, float)
    out: dict[str, Floats] = {}
    dims = len(stride)
    at = np.clip((middles(found.boxes) / stride).astype(int), 0, np.array(maps.belongs.shape) - 1)
    there = tuple(at.T)
    hottest = ndimage.maximum_filter(maps.heat, (1, *(3,) * dims))
    for number, name in enumerate(classes):
        out[f"heat_{name}"] = hottest[(number, *there)]
    best = maps.heat.max(axis=0)
    out |= _numbers(Plane.of("heat", best, stride), found.boxes)
    out |= _numbers(Plane.of("belongs", maps.belongs, stride), found.boxes)
    out["fit"] = maps.fit[there]
    named = maps.boxes[(slice(None), *there)].T
    out["agrees"] = _paired(found.boxes, named)
    return out


def _paired(a: Floats, b: Floats) -> Floats:
    """IoU of each box with the one of the same row."""
    dims = a.shape[1] // 2
    low, high = np.maximum(a[:, :dims], b[:, :dims]), np.minimum(a[:, dims:], b[:, dims:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    own, other = (np.prod(np.maximum(x[:, dims:] - x[:, :dims], 0), axis=1) for x in (a, b))
    return np.asarray(shared / np.maximum(own + other - shared, 1e-9))


def _company(found: Candidates) -> dict[str, Floats]:
    """What named it, and how many others say the same."""
    pairs = overlap(found.boxes, found.boxes)
    from_network = found.origin <= PIECE
    weight = np.where(found.origin == 0, found.strength, 0.0)
    out = {f"is_{name}": (found.origin == i).astype(float) for i, name in enumerate(ORIGINS)}
    out["strength"] = found.strength
    out["company_50"] = (pairs > 0.5).sum(axis=1).astype(float)
    out["company_75"] = (pairs > 0.75).sum(axis=1).astype(float)
    out["company_of_network"] = ((pairs > 0.5) & from_network[None]).sum(axis=1).astype(float)
    out["best_peak"] = (pairs * weight[None]).max(axis=1, initial=0.0)
    out["sum_of_peaks"] = ((pairs > 0.3) * weight[None]).sum(axis=1)
    return out
