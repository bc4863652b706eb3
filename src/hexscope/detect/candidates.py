"""Where something might be: peaks of the network, blobs, hot spots. The second stage of a detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.models.boxes import middles, volumes
from hexscope.models.peaks import Maps, peaks

Floats = NDArray[np.floating[Any]]
Part = NDArray[np.bool_]

#: What named a candidate.
PEAK, SEED, PIECE, BLOB, SPOT = range(5)
ORIGINS = ("peak", "seed", "piece", "blob", "spot")
#: Shares of "belongs" at which pieces of the network's map are candidates.
_PIECES = (0.3, 0.5, 0.7)
#: Quantiles of a smoothed plane, from the brightest and from the darkest, at which pieces are candidates.
_QUANTILES = (0.985, 0.95, 0.9, 0.8, 0.65)
#: Blobs kept of each size and plane, and of these, those that answer a part as strongly as the best; kept peaks.
_BLOBS, _FAINT, _PEAKS = 60, 0.3, 400
#: A blob that a filter of width s answers most is about this many s wide.
_WIDTH = 3.0
#: Sides of a candidate, in the sizes looked for: smaller and larger ones are none.
_LEAST, _MOST = 0.4, 2.5


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes (n, 2 * dims) in pixels of what the network sees, what named each, and how strongly (0 and up)."""

    boxes: Floats
    origin: NDArray[np.intp]
    strength: Floats

    def __len__(self) -> int:
        return len(self.boxes)

    def only(self, keep: NDArray[Any]) -> Candidates:
        return Candidates(self.boxes[keep], self.origin[keep], self.strength[keep])


def of_network(found: Maps, sides: Sequence[int]) -> Candidates:
    """Peaks with the boxes that their neighbours vote for, with their own, and pieces of what belongs to an object."""
    dims = len(sides)
    held = peaks(found, tuple(sides), same=0.7)
    order = np.argsort(-held.scores)[:_PEAKS]
    boxes, origin = [held.boxes[order]], [np.full(len(order), PEAK)]
    strength = [held.scores[order]]
    at = np.clip((middles(boxes[0]) / np.array(found.stride)).astype(int), 0, np.array(found.belongs.shape) - 1)
    boxes.append(found.boxes[(slice(None), *at.T)].T)
    origin.append(np.full(len(order), SEED))
    strength.append(strength[0])
    pieces = [piece for level in _PIECES for piece in _pieces(found.belongs > level, np.array(found.stride))]
    boxes.append(np.array([box for box, _ in pieces], float).reshape(-1, 2 * dims))
    origin.append(np.full(len(pieces), PIECE))
    strength.append(np.array([filled for _, filled in pieces], float))
    return _tidy(Candidates(np.concatenate(boxes), np.concatenate(origin), np.concatenate(strength)), sides)


def of_filters(planes: Floats, region: Part, widths: Sequence[float]) -> Candidates:
    """Blobs of about ``widths`` pixels, brighter or darker than what surrounds them, and the brightest and darkest
    pieces of each of ``planes`` (planes, *spatial) within ``region``."""
    found = [c for plane in planes for c in (*_blobs(plane, region, widths), *_spots(plane, region, widths))]
    dims = region.ndim
    boxes = np.array([box for box, _, _ in found], float).reshape(-1, 2 * dims)
    origin, strength = np.array([o for _, o, _ in found], np.intp), np.array([s for _, _, s in found], float)
    return _tidy(Candidates(boxes, origin, strength), region.shape, (min(widths) * _LEAST, max(widths) * _MOST))


def together(parts: Sequence[Candidates]) -> Candidates:
    """All candidates; of those whose boxes agree to the pixel, the first."""
    whole = Candidates(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.origin for p in parts]),
        np.concatenate([p.strength for p in parts]),
    )
    if not len(whole):
        return whole
    _, first = np.unique(np.round(whole.boxes).astype(int), axis=0, return_index=True)
    return whole.only(np.sort(first))


def _tidy(found: Candidates, sides: Sequence[int], limits: tuple[float, float] = (0.0, np.inf)) -> Candidates:
    """Cut at the image's border, without what is too small or too large."""
    if not len(found):
        return found
    dims = len(sides)
    boxes = np.clip(found.boxes, 0, np.array([*sides, *sides], float))
    spans = boxes[:, dims:] - boxes[:, :dims]
    keep = (volumes(boxes) > 1) & (spans.min(axis=1) >= limits[0]) & (spans.max(axis=1) <= limits[1])
    return Candidates(boxes, found.origin, found.strength).only(keep)


def _pieces(part: Part, stride: Floats) -> Iterator[tuple[list[float], float]]:
    """Boxes of the connected parts of a map, and how much of it each fills."""
    labels, count = ndimage.label(part)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        spans = [s.stop - s.start for s in box]
        low = [s.start * k for s, k in zip(box, stride, strict=True)]
        high = [s.stop * k for s, k in zip(box, stride, strict=True)]
        yield [*low, *high], float(sizes[number] / np.prod(spans))


def _blobs(plane: Floats, region: Part, widths: Sequence[float]) -> Iterator[tuple[list[float], int, float]]:
    """Peaks of the scale-normalised Laplacian of Gaussian (Lindeberg 1998, doi:10.1023/A:1008045108935), seen coarser
    where the blob is large."""
    for width in widths:
        sigma = width / _WIDTH
        step = max(1, int(sigma / 2))
        every = (slice(None, None, step),) * plane.ndim
        coarse = ndimage.gaussian_filter(plane, step / 2)[every] if step > 1 else plane
        answer = -ndimage.gaussian_laplace(coarse.astype(np.float32), sigma / step) * (sigma / step) ** 2
        inside = region[every]
        for sign in (1.0, -1.0):
            signed = answer * sign
            top = (signed == ndimage.maximum_filter(signed, 3)) & (signed > 0) & inside
            places = np.argwhere(top)
            heights = signed[top]
            strong = np.flatnonzero(heights >= _FAINT * heights.max(initial=0.0))
            for i in strong[np.argsort(-heights[strong])[:_BLOBS]]:
                middle = (places[i] + 0.5) * step
                yield [*(middle - width / 2), *(middle + width / 2)], BLOB, float(heights[i])


def _spots(plane: Floats, region: Part, widths: Sequence[float]) -> Iterator[tuple[list[float], int, float]]:
    """Connected pieces above (below) quantiles of the smoothed plane."""
    smooth = ndimage.gaussian_filter(plane, min(widths) / 8)
    values = smooth[region][::7]
    one = np.ones(plane.ndim)
    bright = np.quantile(values, _QUANTILES)
    dark = np.quantile(values, [1 - share for share in _QUANTILES])
    for high, low in zip(bright, dark, strict=True):
        for part in (smooth > high, smooth < low):
            for box, filled in _pieces(part & region, one):
                yield box, SPOT, filled
