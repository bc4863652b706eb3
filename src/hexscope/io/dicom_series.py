"""From the frames of one DICOM series to `Series`: each with its grid or the reason why it has none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from hexscope.core.faults import Fault
from hexscope.core.geometry import Grid
from hexscope.core.quantity import Quantity
from hexscope.io.dicom_cine import cine_facts
from hexscope.io.dicom_display import display_facts
from hexscope.io.dicom_facts import dataset_facts, differing, earliest, header_facts, missing_in
from hexscope.io.dicom_frames import Frame
from hexscope.io.dicom_geometry import Evening, Stack, in_order, plane_of, stack_of
from hexscope.io.dicom_header import Header
from hexscope.io.dicom_load import Recipe, refuse
from hexscope.io.dicom_plane import flat_image, lone_slice
from hexscope.io.dicom_rwv import mapped
from hexscope.io.dicom_split import Part, is_localizer, split_placed
from hexscope.io.dicom_times import Times
from hexscope.io.series import Series
from hexscope.modality import of_dicom

_NAME = "DICOM"


@dataclass(frozen=True, eq=False)
class Draft:
    """A series before it is closed: its frames in array order, and what was judged so far."""

    id: str
    modality: str
    frames: tuple[Frame, ...]
    axes: tuple[str, ...]
    grid: Grid | None
    faults: tuple[Fault, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    evening: Evening | None = None
    volumes: int = 1

    @property
    def lead(self) -> tuple[int, ...]:
        """Sizes of the axes before (y, x)."""
        count = self.axes.index("y")
        return ((), (len(self.frames),), (self.volumes, len(self.frames) // self.volumes))[count]


def image_series(uid: str, frames: Sequence[Frame]) -> list[Series]:
    """All series that the frames under one Series Instance UID make."""
    modality = _modality(frames[0])
    placed = [f for f in frames if f.is_placed and not _is_projection(f, modality)]
    flat = [f for f in frames if not f.is_placed or _is_projection(f, modality)]
    series = []
    for part in split_placed(placed) if placed else ():
        series.append(_scout(uid, modality, part) if part.is_scout else _volume(uid, modality, part))
    series += _flat_series(uid, modality, flat, alone=not placed)
    return _with_unique_ids(series)


def _modality(frame: Frame) -> str:
    known = of_dicom(str(frame.get("Modality") or ""))
    return "OT" if known is None else known.code


def _is_projection(frame: Frame, modality: str) -> bool:
    """X-ray and ultrasound have a place in the patient only where an enhanced object gives each frame one."""
    return modality in ("XR", "US") and "ImagePositionPatient" not in frame.groups


def _with_unique_ids(series: Sequence[Series]) -> list[Series]:
    seen: dict[str, int] = {}
    out = []
    for item in series:
        seen[item.id] = seen.get(item.id, 0) + 1
        out.append(item if seen[item.id] == 1 else replace(item, id=f"{item.id}:{seen[item.id]}"))
    return out


# ---- the kinds of series ----------------------------------------------------------------------------------


def _scout(uid: str, modality: str, part: Part) -> Series:
    return unreadable_series(
        uid + part.suffix,
        tuple(dict.fromkeys(f.header for f in part.frames)),
        part.faults,
        modality=modality,
        shape=(len(part.frames), *part.frames[0].stored.shape),
    )


def _volume(uid: str, modality: str, part: Part) -> Series:
    frames, faults = part.frames, part.faults
    plane, plane_faults = plane_of(frames)
    faults = (*faults, *plane_faults)
    colour = ("c",) if frames[0].stored.is_colour else ()
    make = partial(Draft, uid + part.suffix, modality)
    if plane is None or any(f.code == "geometry.conflicting_slice" for f in faults):
        return _close(make(frames, ("z", "y", "x", *colour), None, faults))
    time = () if part.times is None else ("t",)
    count = 1 if part.times is None else part.times.count
    facts = {} if part.times is None else _time_facts(part.times)
    size = len(frames) // count
    volumes = [in_order(frames[k * size : (k + 1) * size], plane) for k in range(count)]
    first, frames = volumes[0], tuple(itertools.chain.from_iterable(volumes))
    if len(first) == 1:
        grid, _, _ = lone_slice(first[0])
        axes = ("z", "y", "x") if grid is not None and grid.ndim == 3 else ("y", "x")
        return _close(make(frames, (*time, *axes, *colour), grid, faults, facts, volumes=count))
    stack = stack_of(first, plane, str(first[0].get("FrameOfReferenceUID") or "") or None)
    faults = (*faults, *stack.faults, *_tile_faults(frames))
    facts.update(_stack_facts(stack))
    axes = (*time, "z", "y", "x", *colour)
    return _close(make(frames, axes, stack.grid, faults, facts, stack.evening, count))


def _time_facts(times: Times) -> dict[str, Any]:
    facts: dict[str, Any] = {"axis_t": times.keyword, "axis_t_values": list(times.values)}
    return facts if times.ms is None else {**facts, "frame_times_ms": list(times.ms)}


def _stack_facts(stack: Stack) -> dict[str, Any]:
    """Where each slice lies if no grid can say it; and the room between slices, below 0 where they overlap."""
    if stack.grid is None or stack.grid.affine is None:
        return {"slice_positions_mm": [[float(v) for v in f.position] for f in stack.frames if f.position is not None]}
    thickness = stack.frames[0].number("SliceThickness")
    volume_ml, spacing = stack.grid.voxel_volume_ml, stack.grid.spacing_mm
    if thickness is None or volume_ml is None or spacing is None:
        return {}
    return {"slice_gap_mm": round(volume_ml * 1000 / (spacing[1] * spacing[2]) - thickness, 6)}


def _tile_faults(frames: Sequence[Frame]) -> Iterator[Fault]:
    if frames[0].tile is not None:
        files = len({f.header for f in frames})
        rows, columns = frames[0].tile.shape
        told = f"each of {files} pictures became {len(frames) // files} slices of {rows} × {columns}"
        yield Fault("geometry.mosaic", told)


def _flat_series(uid: str, modality: str, frames: Sequence[Frame], *, alone: bool) -> list[Series]:
    """Images without a place: each file is one, a still or a cine."""
    by_file: dict[Header, list[Frame]] = {}
    for frame in frames:
        by_file.setdefault(frame.header, []).append(frame)
    out = []
    single = alone and len(by_file) == 1
    for number, (header, own) in enumerate(by_file.items(), start=1):
        series_id = uid if single else f"{uid}:image={header.get('InstanceNumber') or number}"
        if is_localizer(own[0]):
            fault = Fault("series.scout", f"{len(own)} images: ImageType says LOCALIZER")
            out.append(unreadable_series(f"{uid}:scout", (header,), (fault,), modality=modality))
            continue
        grid, faults, facts = flat_image(own[0], modality)
        colour = ("c",) if own[0].stored.is_colour else ()
        time = ("t",) if len(own) > 1 else ()
        out.append(_close(Draft(series_id, modality, tuple(own), (*time, "y", "x", *colour), grid, faults, facts)))
    return out


def unreadable_series(
    series_id: str,
    headers: Sequence[Header],
    faults: tuple[Fault, ...],
    *,
    modality: str = "OT",
    shape: tuple[int, ...] = (),
) -> Series:
    """A series that is listed and never read: a scout, a report."""
    facts = header_facts(headers[0])
    return Series(
        series_id,
        _NAME,
        "none",
        modality,
        tuple(str(h.path) for h in headers),
        partial(refuse, series_id, faults[0]),
        shape=shape,
        description=str(facts.get("SeriesDescription", "")),
        faults=faults,
        facts=facts,
    )


# ---- closing ----------------------------------------------------------------------------------------------


def _close(draft: Draft) -> Series:
    frames = draft.frames
    facts = {**series_facts(frames), **draft.facts}
    slices = [f.slice() for f in frames]
    broken = next((f for f in frames if f.rescale_is_broken), None)
    faults = (*draft.faults, *_value_faults(frames[0], broken))
    if broken is not None:
        facts.pop("RescaleSlope", None)
        slices = [replace(s, slope=1.0, intercept=0.0) for s in slices]
    values = mapped(frames, slices, _quantity(draft.modality, facts))
    facts, faults = {**facts, **values.facts}, (*faults, *values.faults)
    recipe = Recipe(
        values.slices,
        draft.axes,
        draft.lead,
        frames[0].stored.shape,
        draft.grid,
        draft.modality,
        values.quantity,
        facts,
        faults,
        tuple(dict.fromkeys(str(f.header.path) for f in frames)),
        tuple(f.tile for f in frames if f.tile is not None),
    )
    evening = None if "c" in draft.axes else draft.evening
    is_sheared = draft.grid is not None and draft.grid.is_sheared
    return Series(
        draft.id,
        _NAME,
        "image",
        draft.modality,
        recipe.files,
        recipe.load,
        quantity=recipe.quantity,
        shape=recipe.shape,
        axes=draft.axes,
        grid=draft.grid if recipe.refusal is None else None,
        description=str(facts.get("SeriesDescription", "")),
        faults=faults,
        facts=facts,
        load_even=partial(recipe.load_even, evening) if evening is not None or is_sheared else None,
    )


def _value_faults(first: Frame, broken: Frame | None) -> Iterator[Fault]:
    if broken is not None:
        detail = f"{broken.header.path.name}: RescaleSlope or RescaleIntercept is no usable number"
        yield Fault("value.unknown_rescale", detail)
    if first.stored.is_mislabelled:
        detail = (
            f"{first.header.path.name}: Transfer Syntax {first.stored.syntax} is a compressed one, its pixels are not"
        )
        yield Fault("file.wrong_syntax", detail)
    if first.stored.photometric == "MONOCHROME1":
        detail = f"{first.header.path.name}: Photometric Interpretation is MONOCHROME1"
        yield Fault("value.inverted_polarity", detail)


def _quantity(modality: str, facts: Mapping[str, Any]) -> Quantity:
    known = of_dicom(str(facts.get("Modality", "")))
    if known is None or known.code != modality:
        colour = int(facts.get("SamplesPerPixel", 1)) > 1 or facts.get("PhotometricInterpretation") == "PALETTE COLOR"
        return Quantity.RGB if colour else Quantity.ARBITRARY
    return known.stored(facts)


def series_facts(frames: Sequence[Frame]) -> dict[str, Any]:
    """Facts of the first frame in array order, and what must be told of all of them."""
    first = frames[0]
    headers = tuple(dict.fromkeys(f.header for f in frames))
    facts: dict[str, Any] = {}
    for holder in {id(h): h for h in first.groups.values()}.values():
        facts.update(dataset_facts(holder))
    facts = {**header_facts(first.header), **facts}
    if len(headers) > 1:
        facts.update(earliest(headers))
    if facts.get("Modality") == "PT":
        facts["differing"] = differing(headers)
        facts["rescale_slopes"] = sorted({f.rescale[0] for f in frames if f.rescale is not None})
    facts["missing_in"] = _missing_in(headers, facts)
    facts["SOPInstanceUIDs"] = [str(h.get("SOPInstanceUID") or "") for h in headers]
    if first.stored.frames > 1:
        facts["frame_numbers"] = [f.index + 1 for f in frames]
    _note_padding(facts, frames)
    facts.update(display_facts(first))
    facts.update(cine_facts(first))
    return facts


def _missing_in(headers: Sequence[Header], facts: Mapping[str, Any]) -> dict[str, int]:
    """Only PET asks for it. In a multi-frame object the functional groups may hold what the top level lacks."""
    if facts.get("Modality") != "PT":
        return {}
    counts = missing_in(headers)
    return counts if len(headers) > 1 else {k: n for k, n in counts.items() if k not in facts}


def _note_padding(facts: dict[str, Any], frames: Sequence[Frame]) -> None:
    """Pixels outside the field of view keep their value; ``padding_value`` is it after the rescale."""
    padding = facts.get("PixelPaddingValue")
    if isinstance(padding, int) and len({f.rescale for f in frames}) == 1:
        slope, intercept = frames[0].rescale or (1.0, 0.0)
        facts["padding_value"] = padding * slope + intercept
