"""From the frames of one DICOM series to `Series`: each with its grid or the reason why it has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from hexscope.core.faults import Fault
from hexscope.core.geometry import Grid
from hexscope.core.quantity import Quantity
from hexscope.io.dicom_facts import dataset_facts, earliest, header_facts, missing_in, plain
from hexscope.io.dicom_frames import Frame
from hexscope.io.dicom_geometry import Evening, plane_of, stack_of
from hexscope.io.dicom_header import Header
from hexscope.io.dicom_load import Recipe, refuse
from hexscope.io.dicom_plane import flat_image, lone_slice
from hexscope.io.dicom_split import Part, is_localizer, split_placed
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
    return _close(replace(draft, evening=stack.evening))


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
    recipe = Recipe(
        tuple(slices),
        draft.axes,
        draft.grid,
        draft.modality,
        _quantity(draft.modality, facts),
        facts,
        faults,
        tuple(dict.fromkeys(str(f.header.path) for f in frames)),
    )
    evening = None if draft.evening is None or "c" in draft.axes else draft.evening
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
        load_even=None if evening is None else partial(recipe.load_even, evening),
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
