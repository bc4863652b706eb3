"""What belongs together: the frames of one DICOM series, parted so that no two kinds are ever stacked.

Size, spacing, frame of reference, orientation and stack always part. The other words part only where a place is taken
more than once: many of them differ from slice to slice of one plain volume. Those that say what a picture is (echo,
magnitude or phase, b-value) make series of their own; those that say when it was taken make the axis t of one series.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hexscope.core.faults import Fault
from hexscope.io.dicom_diffusion import b_value, direction
from hexscope.io.dicom_frames import Frame
from hexscope.io.dicom_geometry import JITTER_MM, REFUSED_COSINES
from hexscope.io.dicom_pixels import read_slices
from hexscope.io.dicom_times import Times, times_of

#: Keyword and the short word for it in a series id, in the order they are tried: what a picture is …
_KINDS = (
    ("EchoNumbers", "echo"),
    ("EffectiveEchoTime", "te"),
    ("EchoTime", "te"),
    ("ComplexImageComponent", "part"),
    ("ImageType", "type"),
    ("FrameType", "type"),
    ("DiffusionBValue", "b"),
    ("DiffusionGradientOrientation", "direction"),
    ("InversionTime", "ti"),
    ("FlipAngle", "flip"),
    ("ConvolutionKernel", "kernel"),
    ("KVP", "kv"),
)
#: … and when it was taken.
_TIMES = (
    ("TemporalPositionIdentifier", "t"),
    ("TemporalPositionIndex", "t"),
    ("NominalCardiacTriggerDelayTime", "trigger"),
    ("NominalPercentageOfCardiacPhase", "phase"),
    ("NominalPercentageOfRespiratoryPhase", "phase"),
    ("TriggerTime", "trigger"),
    ("FrameReferenceTime", "time"),
    ("AcquisitionNumber", "acquisition"),
    ("FrameAcquisitionDateTime", "time"),
    ("AcquisitionDateTime", "time"),
    ("AcquisitionTime", "time"),
    ("ContentTime", "time"),
    ("ImageIndex", "t"),
)
#: Words whose value is read by more than the standard's element.
_READ_BY: dict[str, Callable[[Frame], Hashable]] = {
    "DiffusionBValue": b_value,
    "DiffusionGradientOrientation": direction,
}
#: A frame of another orientation that is alone beside this many others is a scout.
_SCOUT_BESIDE = 3


@dataclass(frozen=True)
class Part:
    """Frames that may form one image. ``suffix`` goes behind the series id.

    times  the axis t, where the frames are so many volumes one after the other
    """

    frames: tuple[Frame, ...]
    suffix: str = ""
    faults: tuple[Fault, ...] = ()
    is_scout: bool = False
    times: Times | None = None


def split_placed(frames: Sequence[Frame]) -> list[Part]:
    """Parts of the placed frames of one series: scouts first, then what may be stacked."""
    scouts = [f for f in frames if is_localizer(f)]
    rest = [f for f in frames if not is_localizer(f)]
    kinds = [one for size in _parted(rest, _size_key) for turn in _by_orientation(size) for one in _by_stack(turn)]
    largest = max((len(k) for k in kinds), default=0)
    lone = [k for k in kinds if len(k) == 1 and largest >= _SCOUT_BESIDE]
    kinds = [k for k in kinds if k not in lone]
    parts = [_scout(scouts, "ImageType says LOCALIZER")] if scouts else []
    parts += [_scout(k, "alone in its size or orientation") for k in lone]
    for number, kind in enumerate(kinds, start=1):
        told = f"{len(kinds)} sizes, orientations or stacks in one series"
        part = Part(tuple(kind))
        if len(kinds) > 1:
            part = Part(tuple(kind), f":plane={number}", (Fault("series.mixed", told),))
        parts.extend(_by_occupancy(part))
    return parts if len(parts) > 1 else [replace(part, suffix="") for part in parts]


def is_localizer(frame: Frame) -> bool:
    """Scouts say so in the third value of Image Type (PS3.3 C.8.2.1.1.1, C.8.3.1.1.1)."""
    return "LOCALIZER" in f"{frame.get('ImageType')} {frame.get('FrameType')}".upper()


def _scout(frames: Sequence[Frame], why: str) -> Part:
    return Part(tuple(frames), ":scout", (Fault("series.scout", f"{len(frames)} images: {why}"),), True)


def _parted(frames: Sequence[Frame], key: Callable[[Frame], Hashable]) -> list[list[Frame]]:
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    return list(groups.values())


def _size_key(frame: Frame) -> Hashable:
    spacing = None if frame.pixel_spacing is None else tuple(np.round(frame.pixel_spacing, 4).tolist())
    stored = frame.stored
    return (stored.shape, stored.is_float, spacing, str(frame.get("FrameOfReferenceUID") or ""))


def _by_orientation(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames whose cosines agree, however they were rounded."""
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            first = group[0].orientation
            if (
                first is not None
                and frame.orientation is not None
                and np.abs(first - frame.orientation).max() <= REFUSED_COSINES
            ):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def _by_stack(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Stacks of an enhanced object (PS3.3 C.7.6.16.2.2.4), where each has at least two frames."""
    stacks = _parted(frames, lambda frame: str(frame.get("StackID") or ""))
    return stacks if min(map(len, stacks)) > 1 else [list(frames)]


# ---- places that are taken more than once -----------------------------------------------------------------


def places(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames gathered by place: those whose first pixels lie within 0.01 mm of each other."""
    positions = np.array([f.position for f in frames], dtype=np.float64)
    first = frames[0].orientation
    normal = np.cross(first[:3], first[3:]) if first is not None else np.array([0.0, 0.0, 1.0])
    heights = positions @ normal
    groups: list[list[int]] = []
    for i in np.argsort(heights, kind="stable"):
        for group in reversed(groups):
            if heights[i] - heights[group[0]] > JITTER_MM:
                groups.append([i])
                break
            if np.linalg.norm(positions[i] - positions[group[0]]) <= JITTER_MM:
                group.append(i)
                break
        else:
            groups.append([i])
    return [[frames[i] for i in group] for group in groups]


def _by_occupancy(part: Part) -> list[Part]:
    taken = places(part.frames)
    if len(taken) == len(part.frames):
        return [part]
    doubled = [p for p in taken if len(p) > 1]
    if len(doubled) * 2 < len(taken) and all(_are_equal(p) for p in doubled):
        return [_without_copies(part, taken)]
    for keyword, word in _KINDS:
        groups = _by_value(taken, keyword)
        if groups:
            return _split(part, groups, keyword, word)
    for keyword, word in _TIMES:
        groups = _by_value(taken, keyword)
        volumes = _in_volumes(taken, [frames for _, frames in groups]) or _ranked(taken, keyword)
        if volumes:
            return [_stacked(part, volumes, keyword)]
        if groups:
            return _split(part, groups, keyword, word)
    return [_conflicting(part, taken)]


def _split(part: Part, groups: Sequence[tuple[str, list[Frame]]], keyword: str, word: str) -> list[Part]:
    out = []
    for value, frames in groups:
        told = f"{len(groups)} values of {keyword}; this one is {value}"
        faults = tuple(f for f in part.faults if f.code != "series.split" or keyword not in f.detail)
        split = Part(tuple(frames), f"{part.suffix}:{word}={value}", (*faults, Fault("series.split", told)))
        out.extend(_by_occupancy(split))
    return out


def _stacked(part: Part, volumes: Sequence[Sequence[Frame]], keyword: str) -> Part:
    told = f"{len(volumes)} volumes of {len(volumes[0])} slices told apart by {keyword} make the axis t"
    return replace(
        part,
        frames=tuple(frame for volume in volumes for frame in volume),
        faults=(*part.faults, Fault("series.stacked", told)),
        times=times_of(volumes, keyword),
    )


def _in_volumes(taken: Sequence[Sequence[Frame]], groups: Sequence[list[Frame]]) -> Sequence[list[Frame]]:
    """The groups where each has every place exactly once; else none."""
    where = {id(frame): k for k, place in enumerate(taken) for frame in place}
    whole = all(sorted(where[id(frame)] for frame in group) == list(range(len(taken))) for group in groups)
    return groups if whole else ()


def _by_value(taken: Sequence[Sequence[Frame]], keyword: str) -> list[tuple[str, list[Frame]]]:
    """Groups by the value of a keyword; empty where it explains nothing.

    It explains where every group has at least half of the places, and fewer frames a place than before.
    """
    most = max(len(p) for p in taken)
    by_value: dict[Hashable, list[list[Frame]]] = defaultdict(list)
    for place in taken:
        for value, frames in _values(place, keyword).items():
            by_value[value].append(frames)
    if (
        None not in by_value
        and len(by_value) > 1
        and all(2 * len(group) >= len(taken) and max(map(len, group)) < most for group in by_value.values())
    ):
        names = _names(list(by_value))
        return [(names[v], [f for frames in by_value[v] for f in frames]) for v in sorted(by_value, key=_in_order)]
    return []


def _values(place: Sequence[Frame], keyword: str) -> dict[Hashable, list[Frame]]:
    out: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in place:
        value: Any = _READ_BY[keyword](frame) if keyword in _READ_BY else frame.get(keyword)
        is_list = value is not None and not isinstance(value, str) and hasattr(value, "__len__")
        out[tuple(value) if is_list else value].append(frame)
    return out


def _ranked(taken: Sequence[Sequence[Frame]], keyword: str) -> list[list[Frame]]:
    """The k-th of each place makes volume k, though values differ between places; empty where that cannot be."""
    most = max(len(p) for p in taken)
    rows = []
    for place in taken:
        values = _values(place, keyword)
        if None in values or len(values) < most or len(place) != most:
            return []
        rows.append([values[v][0] for v in sorted(values, key=_in_order)])
    return [[row[k] for row in rows] for k in range(most)]


def _in_order(value: Hashable) -> tuple[float, str]:
    try:
        return float(str(value)), ""
    except ValueError:
        return 0.0, str(value)


def _names(values: Sequence[Hashable]) -> dict[Hashable, str]:
    """Short words for values: numbers as they are, lists by the entries that differ, else a count."""
    out: dict[Hashable, str] = {}
    for number, value in enumerate(sorted(values, key=_in_order), start=1):
        if isinstance(value, tuple) and all(isinstance(v, str) for v in value):
            others = [set(v) if isinstance(v, tuple) else {v} for v in values if v != value]
            own = [v for v in value if not all(v in other for other in others)]
            out[value] = "_".join(own) or str(number)
        elif isinstance(value, tuple):
            out[value] = str(number)
        else:
            order = _in_order(value)
            out[value] = str(value).strip() if order[1] else f"{order[0]:g}"
    return out if len(set(out.values())) == len(out) else {v: str(n) for n, v in enumerate(values, start=1)}


def _digest(frame: Frame) -> bytes:
    part = frame.slice()
    raw = read_slices([part], np.dtype(np.float64))
    return hashlib.sha256(raw.tobytes()).digest()


def _are_equal(place: Sequence[Frame]) -> bool:
    return len({_digest(f) for f in place}) == 1


def _without_copies(part: Part, taken: Sequence[Sequence[Frame]]) -> Part:
    copies = [f for place in taken for f in place[1:]]
    told = f"copies left out: {len(copies)}, {copies[0].header.path.name}" + (" …" if len(copies) > 1 else "")
    return replace(
        part,
        frames=tuple(p[0] for p in taken),
        faults=(*part.faults, Fault("geometry.duplicate_slice", told)),
    )


def _conflicting(part: Part, taken: Sequence[Sequence[Frame]]) -> Part:
    """Nothing tells the frames of a place apart: equal ones are copies, differing ones a conflict."""
    differing = [p for p in taken if len(p) > 1 and not _are_equal(p)]
    if not differing:
        return _without_copies(part, taken)
    names = " and ".join(f.header.path.name for f in differing[0][:2])
    told = f"{len(differing)} places hold differing slices that nothing in the header tells apart: {names}"
    return replace(part, faults=(*part.faults, Fault("geometry.conflicting_slice", told)))
