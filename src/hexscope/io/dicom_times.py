"""When the volumes of a series were taken: milliseconds from the first, where the header says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hexscope.io.dicom_frames import Frame

#: Words that count milliseconds from some start (PS3.3 C.8.9.5, C.7.6.18, C.8.13.5.8).
_MILLISECONDS = ("FrameReferenceTime", "TriggerTime", "NominalCardiacTriggerDelayTime")
_DAY_MS = 86_400_000.0


@dataclass(frozen=True, eq=False)
class Times:
    """The axis t of a stacked series.

    keyword   the word that tells its volumes apart
    values    of the first slice of each volume
    ms        from the first volume, growing; None where no word of the header says
    """

    keyword: str
    values: tuple[str, ...]
    ms: tuple[float, ...] | None

    @property
    def count(self) -> int:
        return len(self.values)


def times_of(volumes: Sequence[Sequence[Frame]], keyword: str) -> Times:
    """The axis t of volumes in order, each of the same number of frames."""
    values = tuple(str(volume[0].get(keyword)) for volume in volumes)
    for word in dict.fromkeys((keyword, *_MILLISECONDS, "FrameAcquisitionDateTime", "AcquisitionDateTime", "")):
        ms = _growing([_middle([_clock_ms(frame, word) for frame in volume]) for volume in volumes])
        if ms is not None:
            return Times(keyword, values, ms)
    step = volumes[0][0].number("TemporalResolution")
    even = tuple(step * k for k in range(len(volumes))) if step is not None and step > 0 else None
    return Times(keyword, values, even)


def _middle(found: Sequence[float | None]) -> float | None:
    told = [v for v in found if v is not None]
    return float(np.median(told)) if len(told) == len(found) else None


def _growing(found: Sequence[float | None]) -> tuple[float, ...] | None:
    told = [v for v in found if v is not None]
    if len(told) < len(found) or any(b <= a for a, b in pairwise(told)):
        return None
    return tuple(round(v - told[0], 6) for v in told)


def _clock_ms(frame: Frame, word: str) -> float | None:
    """ms of one frame after a word; the empty word is Acquisition Date and Time."""
    if word in _MILLISECONDS:
        return frame.number(word)
    if word.endswith("DateTime"):
        text = str(frame.get(word) or "")
        return _moment_ms(text[:8], text[8:])
    if word in ("", "AcquisitionTime"):
        return _moment_ms(str(frame.get("AcquisitionDate") or ""), str(frame.get("AcquisitionTime") or ""))
    return (
        _moment_ms(str(frame.get("ContentDate") or ""), str(frame.get(word) or "")) if word == "ContentTime" else None
    )


def _moment_ms(date: str, time: str) -> float | None:
    """DICOM date and time (PS3.5 6.2: DA, TM, DT) to ms; a zone is left out, the first volume has the same."""
    clock = time.partition("+")[0].partition("-")[0]
    if len(clock) < 6 or not clock[:6].isdigit():
        return None
    try:
        seconds = int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + float(clock[4:])
        day = np.datetime64(f"{date[:4]}-{date[4:6]}-{date[6:8]}").astype(int) if len(date) >= 8 else 0
    except ValueError:
        return None
    return float(day) * _DAY_MS + seconds * 1000.0
