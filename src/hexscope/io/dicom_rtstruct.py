"""RTSTRUCT to Mask: closed planar contours (PS3.3 C.8.8.6) rasterised onto the grid of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array, Grid
from hexscope.core.image import Mask
from hexscope.errors import GeometryError
from hexscope.io.dicom_facts import header_facts
from hexscope.io.dicom_header import Header, quiet, value_of
from hexscope.io.series import Series

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
#: A contour whose points span more slices than this does not lie in the planes of the grid.
_FLAT_SLICES = 0.5
#: Contours whose planes lie closer than this are of one plane, in slices.
_SAME_PLANE = 0.01


@dataclass(frozen=True)
class Structure:
    """One ROI: its name and its closed contours, (n, 3) LPS mm; ``left_out`` counts points and open lines."""

    name: str
    contours: tuple[Array, ...]
    left_out: int


@dataclass(frozen=True, eq=False)
class Structures:
    """An RTSTRUCT file, its points parsed once, when they are first asked for."""

    header: Header

    @property
    def name(self) -> str:
        return self.header.path.name

    @cached_property
    def rois(self) -> tuple[Structure, ...]:
        with quiet():
            names = {
                int(roi.ROINumber): str(value_of(roi, "ROIName") or f"ROI {roi.ROINumber}")
                for roi in self.header.get("StructureSetROISequence") or ()
            }
            found = [_structure(item, names) for item in self.header.get("ROIContourSequence") or ()]
        return tuple(roi for roi in found if roi.contours or roi.left_out)

    @cached_property
    def frames_of_reference(self) -> frozenset[str]:
        """UIDs of the frames that its ROIs lie in; empty where the file does not say."""
        with quiet():
            rois = self.header.get("StructureSetROISequence") or ()
            named = {str(value_of(roi, "ReferencedFrameOfReferenceUID") or "") for roi in rois}
        return frozenset(named - {""})

    def on(self, grid: Grid) -> Mask:
        """The ROIs on a grid: a pixel belongs where its centre lies inside, holes by even-odd rule.

        A slice of the grid takes the contours of the nearest plane, no further than half their distance.
        Raises GeometryError for a grid in another frame of reference or across the contours' planes.
        """
        self._check(grid)
        parts: dict[str, NDArray[np.bool_]] = {}
        left_out = 0
        for roi in self.rois:
            left_out += roi.left_out
            if roi.contours:
                parts[_unused(roi.name, parts)] = _rasterised(roi, grid, self.name)
        if not parts:
            raise GeometryError(f"{self.name} holds no closed contour", code="file.no_pixels")
        steps = [f"contours of {self.name} rasterised onto {grid.shape}"]
        if left_out:
            steps.append(f"{left_out} points or open lines left out")
        return Mask.from_parts(parts, grid, steps=tuple(steps), files=(str(self.header.path),), name=self.name)

    def _check(self, grid: Grid) -> None:
        grid.require_affine(f"the contours of {self.name}")
        if grid.ndim != 3:
            raise GeometryError(f"{self.name}: contours need a volume grid (z, y, x); got shape {grid.shape}")
        own = self.frames_of_reference
        if own and grid.frame_of_reference and grid.frame_of_reference not in own:
            raise GeometryError(
                f"{self.name} was drawn in frame of reference {', '.join(sorted(own))}, the image lies in "
                f"{grid.frame_of_reference}; pass the image it was drawn on, then resample() the mask",
                code="geometry.needs_grid",
            )

    def refuse(self) -> Mask:
        """Contours alone have no pixels."""
        raise GeometryError(
            f"{self.name} holds contours, which need the grid of an image: pass the image they were drawn on "
            '(read("RS.dcm", on=image), --like on the command line)',
            code="geometry.needs_grid",
        )


def _structure(item: Any, names: dict[int, str]) -> Structure:
    number = int(value_of(item, "ReferencedROINumber") or 0)
    contours, left_out = [], 0
    for contour in value_of(item, "ContourSequence") or ():
        points = np.array(value_of(contour, "ContourData") or (), dtype=np.float64)
        if value_of(contour, "ContourGeometricType") in _CLOSED and points.size >= 9 and points.size % 3 == 0:
            contours.append(points.reshape(-1, 3))
        else:
            left_out += 1
    return Structure(names.get(number, f"ROI {number}"), tuple(contours), left_out)


def _unused(name: str, taken: dict[str, NDArray[np.bool_]]) -> str:
    unused, count = name, 2
    while unused in taken:
        unused, count = f"{name} {count}", count + 1
    return unused


def _rasterised(roi: Structure, grid: Grid, file: str) -> NDArray[np.bool_]:
    contours = [grid.to_index(points) for points in roi.contours]
    for points in contours:
        if np.ptp(points[:, 0]) > _FLAT_SLICES:
            raise GeometryError(
                f"{file}: contours of {roi.name} run across {np.ptp(points[:, 0]):.1f} slices of this grid; "
                "pass the image they were drawn on, then resample() the mask",
                code="geometry.needs_grid",
            )
    planes = _planes(contours)
    heights = np.array([height for height, _ in planes])
    reach = max(0.5, float(np.median(np.diff(heights))) / 2 if len(heights) > 1 else 0.5) + _SAME_PLANE
    out = np.zeros(grid.shape, dtype=bool)
    filled: dict[int, NDArray[np.bool_]] = {}
    for z in range(grid.shape[0]):
        nearest = int(np.argmin(np.abs(heights - z)))
        if abs(heights[nearest] - z) > reach:
            continue
        if nearest not in filled:
            filled[nearest] = inside([c[:, 1:] for c in planes[nearest][1]], grid.shape[1:])
        out[z] = filled[nearest]
    return out


def _planes(contours: Sequence[Array]) -> list[tuple[float, list[Array]]]:
    """Contours gathered by plane, with its height in slices, growing."""
    planes: list[tuple[float, list[Array]]] = []
    for points in sorted(contours, key=lambda c: float(np.mean(c[:, 0]))):
        height = float(np.mean(points[:, 0]))
        if planes and height - planes[-1][0] <= _SAME_PLANE:
            planes[-1][1].append(points)
        else:
            planes.append((height, [points]))
    return planes


def inside(polygons: Sequence[Array], shape: Sequence[int]) -> NDArray[np.bool_]:
    """Pixels (y, x) whose centres lie inside an odd number of closed polygons, each (n, 2) of (y, x) indices.

    Even-odd rule by counting edge crossings left of each centre; centres on a left or upper edge are in.
    """
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), dtype=np.int64)
    for polygon in polygons:
        y0, x0 = polygon[:, 0], polygon[:, 1]
        y1, x1 = np.roll(y0, -1), np.roll(x0, -1)
        first = max(int(np.ceil(y0.min())), 0)
        y = np.arange(first, min(int(np.floor(y0.max())) + 1, rows))
        row, edge = np.nonzero((np.minimum(y0, y1) <= y[:, None]) & (y[:, None] < np.maximum(y0, y1)))
        share = (y[row] - y0[edge]) / (y1[edge] - y0[edge])
        x = np.ceil(x0[edge] + share * (x1[edge] - x0[edge]))
        np.add.at(crossings, (y[row], np.clip(x, 0, columns).astype(np.int64)), 1)
    return np.asarray(np.cumsum(crossings, axis=1)[:, :columns] % 2 == 1)


def structure_series(header: Header) -> Series:
    """The contours as a mask series; its pixels come from ``load_on``."""
    structures = Structures(header)
    facts = header_facts(header)
    return Series(
        str(header.get("SeriesInstanceUID") or header.path.name),
        "DICOM",
        "mask",
        "RTSTRUCT",
        (str(header.path),),
        structures.refuse,
        description=str(facts.get("SeriesDescription") or facts.get("StructureSetLabel") or ""),
        facts=facts,
        references=_references(header),
        load_on=partial(Structures.on, structures),
    )


def _references(header: Header) -> tuple[str, ...]:
    uids: dict[str, None] = {}
    for frame in header.get("ReferencedFrameOfReferenceSequence") or ():
        for study in value_of(frame, "RTReferencedStudySequence") or ():
            for series in value_of(study, "RTReferencedSeriesSequence") or ():
                uids[str(value_of(series, "SeriesInstanceUID") or "")] = None
    return tuple(uid for uid in uids if uid)
