"""From the frames of one DICOM series to `Series`: each with its grid or the reason why it has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from hexscope.core.faults import Fault
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.pixels import ArrayPixels, LazyPixels, Pixels
from hexscope.core.quantity import Quantity
from hexscope.errors import GeometryError, InputError
from hexscope.io.dicom_facts import dataset_facts, earliest, header_facts, missing_in, plain
from hexscope.io.dicom_frames import Frame
from hexscope.io.dicom_geometry import Stack, even_places, grid_of, plane_of, stack_of
from hexscope.io.dicom_header import Header
from hexscope.io.dicom_pixels import output_dtype, stack_pixels
from hexscope.io.dicom_plane import flat_image, lone_slice
from hexscope.io.dicom_split import Part, is_localizer, split_placed
from hexscope.io.dicom_stored import Slice
from hexscope.io.series import Series
from hexscope.modality import of_dicom

_NAME = "DICOM"


@dataclass(frozen=True, eq=False)
class Draft:
    """A series before it is closed: what its parts have in common, and what was judged so far."""

    id: str
    modality: str
    frames: tuple[Frame, ...]
    axes: tuple[str, ...]
    grid: Grid | None
    faults: tuple[Fault, ...] = ()
    facts: Mapping[str, Any] | None = None

    @property
    def refusal(self) -> Fault | None:
        """The first fault that forbids reading it."""
        return next((f for f in self.faults if f.kind.verdict == "refused"), None)


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
    if len(frames) == 1:
        grid, _, _ = lone_slice(frames[0])
        axes = ("z", "y", "x") if grid is not None and grid.ndim == 3 else ("y", "x")
        return _close(make(frames, (*axes, *colour), grid, faults))
    stack = stack_of(frames, plane, str(frames[0].get("FrameOfReferenceUID") or "") or None)
    draft = make(stack.frames, ("z", "y", "x", *colour), stack.grid, (*faults, *stack.faults))
    series = _close(draft)
    can_even = stack.grid is None and stack.evenable and not colour
    return replace(series, load_even=partial(_load_even, draft, stack)) if can_even else series


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
        out.append(
            _close(Draft(series_id, modality, tuple(own), (*time, "y", "x", *colour), grid, faults, facts))
        )
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
        partial(_refuse, series_id, faults[0]),
        shape=shape,
        description=str(facts.get("SeriesDescription", "")),
        faults=faults,
        facts=facts,
    )


def _refuse(series_id: str, fault: Fault) -> Image:
    kind = GeometryError if fault.code.startswith("geometry.") else InputError
    raise kind(f"{series_id}: {fault.detail}. {fault.kind.remedy}", code=fault.code)


# ---- closing ----------------------------------------------------------------------------------------------


def _close(draft: Draft) -> Series:
    frames = draft.frames
    facts = {**series_facts(frames), **(draft.facts or {})}
    faults = [*draft.faults]
    slices = [f.slice() for f in frames]
    if any(f.rescale_is_broken for f in frames):
        name = next(f for f in frames if f.rescale_is_broken).header.path.name
        faults.append(
            Fault("value.unknown_rescale", f"{name}: RescaleSlope or RescaleIntercept is no usable number")
        )
        facts.pop("RescaleSlope", None)
        slices = [replace(s, slope=1.0, intercept=0.0) for s in slices]
    if frames[0].stored.photometric == "MONOCHROME1":
        name = frames[0].header.path.name
        faults.append(Fault("value.inverted_polarity", f"{name}: Photometric Interpretation is MONOCHROME1"))
    draft = replace(draft, faults=tuple(faults), facts=facts)
    single = draft.axes[0] == "y"
    shape = slices[0].stored.shape if single else (len(slices), *slices[0].stored.shape)
    refusal = draft.refusal
    load: Callable[[], Image] = (
        partial(_load, draft, slices) if refusal is None else partial(_refuse, _short_name(draft), refusal)
    )
    return Series(
        draft.id,
        _NAME,
        "image",
        draft.modality,
        _files(frames),
        load,
        quantity=_quantity(draft.modality, facts),
        shape=shape,
        axes=draft.axes,
        grid=draft.grid if refusal is None else None,
        description=str(facts.get("SeriesDescription", "")),
        faults=draft.faults,
        facts=facts,
    )


def _files(frames: Sequence[Frame]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(f.header.path) for f in frames))


def _short_name(draft: Draft) -> str:
    """The file, or the folder where there are several."""
    path = draft.frames[0].header.path
    return path.name if len(_files(draft.frames)) == 1 else path.parent.name


def _quantity(modality: str, facts: Mapping[str, Any]) -> Quantity:
    known = of_dicom(str(facts.get("Modality", "")))
    if known is None or known.code != modality:
        colour = (
            int(facts.get("SamplesPerPixel", 1)) > 1
            or facts.get("PhotometricInterpretation") == "PALETTE COLOR"
        )
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
    facts["missing_in"] = _missing_in(headers, facts)
    facts["SOPInstanceUIDs"] = [str(h.get("SOPInstanceUID") or "") for h in headers]
    if first.stored.frames > 1:
        facts["frame_numbers"] = [f.index + 1 for f in frames]
    _note_padding(facts, frames)
    time = _frame_time_ms(first)
    if time is not None:
        facts["frame_time_ms"] = time
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


def _frame_time_ms(frame: Frame) -> float | list[float] | None:
    """Frame Time, or the vector of them, or what the rate makes (PS3.3 C.7.6.5)."""
    time = frame.number("FrameTime")
    if time:
        return time
    vector = frame.get("FrameTimeVector")
    if vector is not None:
        return [float(v) for v in plain(vector)] if hasattr(vector, "__len__") else float(vector)
    rate = frame.number("RecommendedDisplayFrameRate") or frame.number("CineRate")
    return 1000.0 / rate if rate else None


# ---- reading ----------------------------------------------------------------------------------------------


def _load(draft: Draft, slices: Sequence[Slice]) -> Image:
    pixels: Pixels = stack_pixels(slices, single=draft.axes[0] == "y")
    if len(slices) == 1 and draft.axes[0] == "z":
        pixels = stack_pixels(slices)
    assert draft.grid is not None and draft.facts is not None
    image = Image(
        pixels,
        draft.grid,
        draft.modality,
        _quantity(draft.modality, draft.facts),
        axes=draft.axes,
        facts=draft.facts,
        faults=draft.faults,
        files=_files(draft.frames),
        name=_short_name(draft),
    )
    return _finite(image) if slices[0].stored.is_float else image


def _finite(image: Image) -> Image:
    """Float pixels can hold NaN: set to the value of nothing, and told."""
    array = image.array
    broken = ~np.isfinite(array)
    count = int(np.count_nonzero(broken))
    if not count:
        return image
    value = image.quantity.outside
    mended = np.where(broken, np.array(value, array.dtype), array)
    fault = Fault("value.not_finite", f"{image.name}: {count} of {array.size} values, set to {value:g}")
    return replace(
        image, pixels=ArrayPixels(mended), steps=(*image.steps, f"{count} values set to {value:g}")
    ).with_fault(fault)


def _load_even(draft: Draft, stack: Stack) -> Image:
    """Linear interpolation along the normal onto the smallest step; told as a step and a fault."""
    heights, origin, step = even_places(stack)
    slices = [f.slice() for f in stack.frames]
    shape = (len(heights), *slices[0].stored.shape)
    if int(np.prod(shape, dtype=np.float64)) * 4 > 8 << 30:
        raise GeometryError(
            f"{_short_name(draft)}: even steps would take {shape}, too large", code="file.too_large"
        )
    source = LazyPixels.read(stack_pixels(slices)).astype(np.float32)
    upper = np.clip(np.searchsorted(stack.heights, heights), 1, len(stack.heights) - 1)
    span = stack.heights[upper] - stack.heights[upper - 1]
    weight = np.clip((heights - stack.heights[upper - 1]) / span, 0.0, 1.0).astype(np.float32)
    array = source[upper - 1] * (1 - weight)[:, None, None] + source[upper] * weight[:, None, None]
    if output_dtype(slices).kind in "iu":
        array = np.round(array).astype(output_dtype(slices))
    frame = str(stack.frames[0].get("FrameOfReferenceUID") or "") or None
    grid = grid_of(origin, step, stack.plane, shape, frame)
    told = f"{len(slices)} slices resampled onto {len(heights)} even steps of {np.linalg.norm(step):.4g} mm"
    kept = tuple(f for f in draft.faults if f.kind.verdict != "refused")
    facts = {**series_facts(stack.frames)}
    return Image(
        ArrayPixels(array),
        grid,
        draft.modality,
        _quantity(draft.modality, facts),
        axes=draft.axes,
        facts=facts,
        steps=(told,),
        faults=(*kept, Fault("geometry.evened", told)),
        files=_files(stack.frames),
        name=_short_name(draft),
    )
