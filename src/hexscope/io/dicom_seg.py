"""DICOM SEG (PS3.3 A.51, C.8.20) to Mask: BINARY, FRACTIONAL and LABELMAP, on its own grid or its image's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.faults import Fault
from hexscope.core.geometry import Array, Grid
from hexscope.core.image import Label, Mask
from hexscope.errors import GeometryError
from hexscope.io.dicom_facts import header_facts
from hexscope.io.dicom_frames import Frame, frames_of
from hexscope.io.dicom_geometry import Plane, base_step, grid_of, plane_of, tolerance_mm
from hexscope.io.dicom_header import Header, value_of
from hexscope.io.dicom_pixels import read_slices
from hexscope.io.dicom_stored import Slice
from hexscope.io.series import Series

SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
#: Fractions of at least this are inside.
_INSIDE = 0.5
#: How far a frame may lie off the pixels of a grid and still be laid onto it as it is, in pixels.
_OFF_PIXELS = 0.02


@dataclass(frozen=True)
class Segment:
    """One segment: its number in the file and its name."""

    number: int
    name: str


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A SEG file, headers only. Frames that are absent are empty slices."""

    path_name: str
    file: str
    kind: str
    maximum: int
    segments: tuple[Segment, ...]
    slices: tuple[Slice, ...]
    numbers: tuple[int | None, ...]
    positions: Array
    plane: Plane
    thickness_mm: float | None
    frame_of_reference: str | None

    @cached_property
    def _order(self) -> tuple[Array, NDArray[np.intp]]:
        """Heights of the places that frames take, growing, and the place of each frame."""
        heights = self.positions @ self.plane.normal
        order = np.argsort(heights, kind="stable")
        starts = np.concatenate([[True], np.diff(heights[order]) > tolerance_mm(0.0)])
        place = np.empty(len(heights), dtype=np.intp)
        place[order] = np.cumsum(starts) - 1
        return heights[order][starts], place

    @cached_property
    def _rows(self) -> tuple[NDArray[np.intp], float]:
        """Slice index of each frame on the own grid, and the step in mm. GeometryError where uneven."""
        heights, place = self._order
        gaps = np.diff(heights)
        step = self.thickness_mm
        if len(gaps) and (step is None or not _fits(heights, step)):
            step = base_step(gaps)
        if step is None:
            step = 1.0 if len(gaps) else 0.0
        if step <= 0 or not _fits(heights, step):
            raise GeometryError(
                f"{self.path_name}: its frames lie {np.round(gaps, 3).tolist()[:6]} mm apart, no even step; "
                "pass the image it was drawn on",
                code="geometry.uneven_spacing",
            )
        index = np.round((heights - heights[0]) / step).astype(np.intp)
        if len(index) > 1:
            step = float((heights[-1] - heights[0]) / index[-1])
        return index[place], step

    @cached_property
    def grid(self) -> Grid:
        """The smallest grid that holds its frames."""
        index, step = self._rows
        first, last = int(np.argmin(index)), int(np.argmax(index))
        vector = self.plane.normal * step
        if index[last] > 0:
            vector = (self.positions[last] - self.positions[first]) / index[last]
        shape = (int(index.max()) + 1, *self.slices[0].stored.shape[:2])
        return grid_of(self.positions[first], vector, self.plane, shape, self.frame_of_reference)

    def load(self) -> Mask:
        """The mask on its own grid."""
        index, _ = self._rows
        return self._mask(self.grid, [(int(z), 0, 0) for z in index], f"read from {self.path_name}")

    def load_on(self, grid: Grid) -> Mask:
        """The mask on another grid: frame by frame where the pixels coincide, else by nearest neighbour."""
        corners = self._corners_on(grid)
        if corners is None:
            from hexscope.core.resample import resample

            return resample(self.load(), grid)
        return self._mask(grid, corners, f"read from {self.path_name} onto the grid of its image")

    def _corners_on(self, grid: Grid) -> list[tuple[int, int, int]] | None:
        """Index of each frame's first pixel, where pixels coincide and frames do not differ; else None."""
        if grid.affine is None or grid.ndim != 3:
            return None
        own = self.frame_of_reference
        if own and grid.frame_of_reference and own != grid.frame_of_reference:
            return None
        extent = np.array(self.slices[0].stored.shape[:2]) - 1
        corner = self.plane.columns_of_affine @ extent
        first, last = grid.to_index(self.positions), grid.to_index(self.positions + corner)
        wanted = first + np.array([0.0, *extent])
        whole = np.round(first)
        if max(np.abs(first - whole).max(), np.abs(last - wanted).max()) > _OFF_PIXELS:
            return None
        return [(int(z), int(y), int(x)) for z, y, x in whole]

    def _mask(self, grid: Grid, corners: Sequence[tuple[int, int, int]], step: str) -> Mask:
        layers: list[NDArray[np.uint16]] = []
        labels: list[Label] = []
        for segment, places in self._by_segment():
            part = np.zeros(grid.shape, dtype=bool)
            for k in places:
                _lay(part, self._inside(k, segment.number), corners[k])
            where = next((i for i, layer in enumerate(layers) if not np.any(layer[part])), len(layers))
            if where == len(layers):
                layers.append(np.zeros(grid.shape, np.uint16))
            layers[where][part] = segment.number
            labels.append(Label(segment.number, segment.name, where))
        steps = [step]
        if self.kind == "FRACTIONAL":
            steps.append(f"fractions of at least {_INSIDE:g} are inside")
        return Mask(tuple(layers), grid, tuple(labels), tuple(steps), (self.file,), self.path_name)

    def _by_segment(self) -> Iterator[tuple[Segment, list[int]]]:
        for segment in self.segments:
            yield segment, [k for k, n in enumerate(self.numbers) if n is None or n == segment.number]

    def _inside(self, k: int, number: int) -> NDArray[np.bool_]:
        frame = self._frame(k)
        if self.kind == "LABELMAP":
            return np.asarray(frame == number)
        return np.asarray(frame >= _INSIDE * self.maximum) if self.kind == "FRACTIONAL" else np.asarray(frame > 0)

    def _frame(self, k: int) -> NDArray[Any]:
        return np.asarray(read_slices([self.slices[k]], np.dtype(np.uint16))[0])


def _fits(heights: Array, step: float) -> bool:
    if step <= 0:
        return False
    count = (heights - heights[0]) / step
    return bool(np.abs(count - np.round(count)).max() * step <= max(tolerance_mm(step), 0.02 * step))


def _lay(part: NDArray[np.bool_], frame: NDArray[np.bool_], corner: tuple[int, int, int]) -> None:
    """Put a frame at a corner; what falls outside is cut off."""
    z, y, x = corner
    if not 0 <= z < part.shape[0]:
        return
    rows, columns = frame.shape
    y0, y1 = max(y, 0), min(y + rows, part.shape[1])
    x0, x1 = max(x, 0), min(x + columns, part.shape[2])
    if y0 < y1 and x0 < x1:
        part[z, y0:y1, x0:x1] |= frame[y0 - y : y1 - y, x0 - x : x1 - x]


# ---- from the header --------------------------------------------------------------------------------------


def segmentation_series(header: Header) -> Series:
    """The SEG as a mask series; refused with a fault where its frames have no common plane."""
    frames = frames_of(header)
    facts = header_facts(header)
    segments = _segments(header)
    facts["segments"] = [{"number": s.number, "label": s.name} for s in segments]
    uid = str(header.get("SeriesInstanceUID") or header.path.name)
    description = str(facts.get("SeriesDescription") or facts.get("ContentLabel") or "")
    faults: tuple[Fault, ...] = ()
    plane, grid = None, None
    if all(f.is_placed for f in frames) and _one_plane(frames):
        plane, faults = plane_of(frames)
    if plane is None:
        faults = faults or (
            Fault("geometry.bad_affine", f"{header.path.name}: its frames have no common plane in the patient"),
        )
        return _refused(uid, header, faults, facts, description)
    seg = _segmentation(header, frames, segments, plane)
    try:
        grid = seg.grid
    except GeometryError as error:
        faults = (*faults, Fault(error.code or "geometry.uneven_spacing", str(error)))
    return Series(
        uid,
        "DICOM",
        "mask",
        "SEG",
        (str(header.path),),
        seg.load,
        shape=() if grid is None else grid.shape,
        axes=("z", "y", "x"),
        grid=grid,
        description=description,
        faults=faults,
        facts=facts,
        references=_references(header),
        load_on=seg.load_on,
    )


def _refused(uid: str, header: Header, faults: tuple[Fault, ...], facts: dict[str, Any], description: str) -> Series:
    return Series(
        uid,
        "DICOM",
        "mask",
        "SEG",
        (str(header.path),),
        partial(_raise, faults[-1]),
        description=description,
        faults=faults,
        facts=facts,
        references=_references(header),
    )


def _raise(fault: Fault) -> Mask:
    raise GeometryError(f"{fault.detail}. {fault.kind.remedy}", code=fault.code)


def _one_plane(frames: Sequence[Frame]) -> bool:
    first = frames[0].orientation
    return first is not None and all(
        f.orientation is not None and np.abs(f.orientation - first).max() < 1e-3 for f in frames
    )


def _segmentation(header: Header, frames: Sequence[Frame], segments: tuple[Segment, ...], plane: Plane) -> Segmentation:
    kind = str(header.get("SegmentationType") or "BINARY")
    numbers = [f.number("ReferencedSegmentNumber") for f in frames]
    first = frames[0]
    thickness = next((abs(t) for k in ("SpacingBetweenSlices", "SliceThickness") if (t := first.number(k))), None)
    return Segmentation(
        header.path.name,
        str(header.path),
        kind,
        int(header.get("MaximumFractionalValue") or 1),
        segments,
        tuple(f.slice() for f in frames),
        tuple(None if n is None or kind == "LABELMAP" else int(n) for n in numbers),
        np.array([f.position for f in frames], dtype=np.float64),
        plane,
        thickness,
        str(first.get("FrameOfReferenceUID") or "") or None,
    )


def _segments(header: Header) -> tuple[Segment, ...]:
    out: list[Segment] = []
    for item in header.get("SegmentSequence") or ():
        number = int(value_of(item, "SegmentNumber") or 0)
        name = str(value_of(item, "SegmentLabel") or f"segment {number}")
        same = sum(s.name == name or s.name.startswith(f"{name} (") for s in out)
        if number > 0:
            out.append(Segment(number, f"{name} ({same + 1})" if same else name))
    return tuple(out)


def _references(header: Header) -> tuple[str, ...]:
    sequence = header.get("ReferencedSeriesSequence") or ()
    uids = {str(value_of(item, "SeriesInstanceUID") or ""): None for item in sequence}
    return tuple(uid for uid in uids if uid)
