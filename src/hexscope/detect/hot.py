"""Hot-lesion candidates on a PET in SUVbw: hills above a seed, each outlined by its threshold, measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.image import Image, Mask
from hexscope.core.measure import LabelMeasures, measure
from hexscope.core.results import Finding
from hexscope.detect.basins import basins
from hexscope.detect.threshold import Threshold

Part = NDArray[np.bool_]
Box = tuple[slice, ...]

#: Two summits are two lesions only if the pass between them dips below this part of the lower one.
_MERGE = 0.7
#: Noise finer than this is smoothed away to find summits (not for outlines and measures), FWHM in mm.
_SMOOTH_FWHM_MM = 6.0
#: The surroundings of a lesion: a shell between these distances from its edge, in mm.
_SHELL_MM = (4.0, 12.0)
#: Above this volume a candidate is rather an organ (brain, heart, bladder, liver) or several lesions.
LARGE_ML = 300.0


@dataclass(frozen=True)
class Candidate:
    """A lesion's voxels (bool, within ``box``) and the median SUV in the shell around it."""

    box: Box
    part: Part
    around: float
    at_border: bool


def candidates(image: Image, rule: Threshold, minimum_ml: float) -> list[Candidate]:
    """Hills whose highest SUV reaches the rule's seed, outlined by the rule, of at least ``minimum_ml``."""
    values = image.require_volume("detecting hot lesions").astype(np.float32)
    spacing = image.grid.require_spacing("detecting hot lesions")
    sigma = [_SMOOTH_FWHM_MM / 2.3548 / s for s in spacing]
    low = values >= rule.least
    hills = basins(ndimage.gaussian_filter(values, sigma, mode="nearest"), low, _MERGE)
    voxel_ml = image.grid.voxel_volume_ml or 0.0
    found = []
    for number, box in enumerate(ndimage.find_objects(hills), start=1):
        wide = _widened(box, values.shape, spacing)
        hill = hills[wide] == number
        if values[wide][hill].max() < rule.seed:
            continue
        candidate = _outlined(values[wide], hill, wide, rule, spacing)
        if candidate.part.sum() * voxel_ml >= minimum_ml:
            border = any(s.start == 0 or s.stop == n for s, n in zip(_tight(candidate), values.shape, strict=True))
            found.append(Candidate(candidate.box, candidate.part, candidate.around, border))
    return found


def _widened(box: Box, shape: tuple[int, ...], spacing: tuple[float, ...]) -> Box:
    margin = [int(np.ceil(_SHELL_MM[1] / s)) for s in spacing]
    return tuple(slice(max(s.start - m, 0), min(s.stop + m, n)) for s, m, n in zip(box, margin, shape, strict=True))


def _tight(candidate: Candidate) -> Box:
    """The bounds of the candidate itself, in the whole array."""
    inner = ndimage.find_objects(candidate.part.astype(np.uint8))[0]
    return tuple(slice(w.start + s.start, w.start + s.stop) for w, s in zip(candidate.box, inner, strict=True))


def _outlined(
    values: NDArray[np.float32], hill: Part, box: Box, rule: Threshold, spacing: tuple[float, ...]
) -> Candidate:
    """The piece of the hill around its highest voxel that lies above the rule's edge."""
    top = float(values[hill].max())
    plateau = _piece_at_top(values, hill, 0.7 * top)
    hot = float(values[plateau].mean())
    around = _surroundings(values, _piece_at_top(values, hill, 0.41 * top), spacing)
    part = _piece_at_top(values, hill, min(rule.outline(top, hot, around), top))
    return Candidate(box, part, _surroundings(values, part, spacing), False)


def _piece_at_top(values: NDArray[np.float32], hill: Part, edge: float) -> Part:
    above = hill & (values >= edge)
    labels, _ = ndimage.label(above, structure=np.ones((3, 3, 3)))
    summit = np.unravel_index(np.argmax(np.where(hill, values, -np.inf)), values.shape)
    return np.asarray(labels == labels[summit])


def _surroundings(values: NDArray[np.float32], part: Part, spacing: tuple[float, ...]) -> float:
    """Median SUV in the shell; of a lesion that fills its box, the least SUV there."""
    distance = ndimage.distance_transform_edt(~part, sampling=spacing)
    shell = (distance > _SHELL_MM[0]) & (distance <= _SHELL_MM[1])
    return float(np.median(values[shell])) if shell.any() else float(values.min())


# ---- findings -------------------------------------------------------------------------------------------


def findings(image: Image, found: list[Candidate]) -> tuple[tuple[Finding, ...], Mask]:
    """Candidates as Findings, best score first, and the Mask of their outlines (labels 1, 2, …)."""
    array = np.zeros(image.grid.shape, np.uint16)
    for number, candidate in enumerate(found, start=1):
        array[candidate.box][candidate.part] = number
    names = {n: f"candidate {n}" for n in range(1, len(found) + 1)}
    measured = measure(Mask.from_array(array, image.grid, names), image)
    scored = sorted(
        zip(measured, found, strict=True), key=lambda pair: (-score(pair[0], pair[1]), -(pair[0].max or 0.0))
    )
    relabel = np.zeros(len(found) + 1, np.uint16)
    items = []
    for number, (sizes, candidate) in enumerate(scored, start=1):
        relabel[sizes.value] = number
        items.append(_finding(image, sizes, candidate, number))
    return tuple(items), Mask.from_array(relabel[array], image.grid, names, files=image.files)


def score(sizes: LabelMeasures, candidate: Candidate) -> float:
    """1 − (surroundings / SUVpeak), in 0..1: how far the lesion stands out. A rank, not a probability.

    Brain, bladder, kidneys and heart stand out as well: the score does not tell uptake that is normal there.
    """
    peak = sizes.suv_peak or 0.0
    return float(np.clip(1.0 - max(candidate.around, 0.0) / peak, 0.0, 1.0)) if peak > 0 else 0.0


def _finding(image: Image, sizes: LabelMeasures, candidate: Candidate, label: int) -> Finding:
    measures = {
        "suv_max": sizes.max,
        "suv_peak": sizes.suv_peak,
        "suv_mean": sizes.mean,
        "mtv_ml": sizes.mtv_ml,
        "tlg": sizes.tlg,
        "diameter_mm": sizes.diameter_mm,
        "feret_mm": sizes.feret_mm,
        "surroundings_suv": candidate.around,
        "touches_border": float(candidate.at_border),
        "large": float((sizes.volume_ml or 0.0) > LARGE_ML),
    }
    return Finding(
        score=score(sizes, candidate),
        kind="hot lesion candidate",
        center_lps_mm=_center(image, candidate),
        box_lps_mm=_box(image, _tight(candidate)),
        volume_ml=sizes.volume_ml,
        measures=measures,
        series=str(image.facts.get("SeriesInstanceUID", image.name)),
        label=label,
    )


def _center(image: Image, candidate: Candidate) -> tuple[float, ...]:
    """LPS of the candidate's centroid; of its voxel nearest to that where the centroid lies outside (a ring)."""
    start = np.array([s.start for s in candidate.box])
    inside = np.argwhere(candidate.part)
    if candidate.part[tuple(np.round(inside.mean(axis=0)).astype(int))]:
        return tuple(image.grid.to_world(inside.mean(axis=0) + start).tolist())
    points = image.grid.to_world(inside + start)
    far = np.linalg.norm(points - points.mean(axis=0), axis=1)
    nearest = points[far <= far.min() + 1e-6]
    return tuple(min(nearest.tolist()))  # of equally near ones always the same, however the array lies


def _box(image: Image, box: Box) -> tuple[float, ...]:
    """Least and greatest LPS x, y, z of the outer corners of the voxels in ``box``."""
    ends: Any = np.meshgrid(*[(s.start - 0.5, s.stop - 0.5) for s in box], indexing="ij")
    corners = image.grid.to_world(np.stack([e.ravel() for e in ends], axis=1))
    return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
