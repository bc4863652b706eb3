"""When a PET tracer was given and when the scan began, from the header's dates and times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hexscope.modality.base import Facts
from hexscope.modality.facts import number, text

_DAY_S = 86400.0

#: An interval longer than this leaves a thousandth of the tracer: the dates do not belong together.
_MOST_HALF_LIVES = 10.0

#: Above this half-life a scan may be days after the injection, so a time without its date is not enough.
_LONGEST_WITHOUT_DATE_S = 12 * 3600.0


@dataclass(frozen=True)
class Moment:
    """A point in time and the header field that gave it."""

    when: datetime
    tag: str


def moment(date: str, time: str) -> datetime | None:
    """DICOM DA and TM (PS3.5 6.2) to a datetime; None where either is absent or malformed."""
    date, time = date.replace(".", "").replace("-", ""), time.replace(":", "")
    clock, _, fraction = time.partition(".")
    if len(date) < 8 or len(clock) < 2:
        return None
    try:
        whole = datetime.strptime(date[:8] + clock.ljust(6, "0")[:6], "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return whole + timedelta(microseconds=int(fraction[:6].ljust(6, "0"))) if fraction.isdigit() else whole


def date_time(value: str, zone: str) -> datetime | None:
    """DICOM DT. Where it and the header (0008,0201) both name a zone, it is told in the header's."""
    local, offset = value, ""
    for sign in "+-":
        if sign in value[8:]:
            local, _, offset = value.partition(sign)
            offset = sign + offset
    when = moment(local[:8], local[8:])
    if when is not None and offset and zone:
        return when - (_offset(offset) - _offset(zone))
    return when


def _offset(zone: str) -> timedelta:
    digits = zone.lstrip("+-").ljust(4, "0")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4])) if digits.isdigit() else timedelta()
    return -size if zone.startswith("-") else size


def acquisition(facts: Facts) -> Moment | None:
    """The earliest acquisition of the series."""
    found = [moment(text(facts, "AcquisitionDate"), text(facts, "AcquisitionTime"))]
    found.append(date_time(text(facts, "AcquisitionDateTime"), text(facts, "TimezoneOffsetFromUTC")))
    times = [t for t in found if t is not None]
    return Moment(min(times), "(0008,0032)") if times else None


def scan_start(facts: Facts) -> Moment | None:
    """What Decay Correction START refers to: the start of the series.

    Series Time, unless it lies after the earliest Acquisition Time: then it was rewritten when the series was
    processed, and the earliest Acquisition Time counts (QIBA FDG-PET/CT profile 2013, SUV calculation).
    """
    series = moment(text(facts, "SeriesDate"), text(facts, "SeriesTime"))
    first = acquisition(facts)
    if series is None or (first is not None and series > first.when):
        return first
    return Moment(series, "(0008,0031)")


def injection(facts: Facts, scan: Moment, half_life_s: float) -> Moment | str:
    """When the tracer was given, or a sentence on why that cannot be told.

    Radiopharmaceutical Start DateTime (0018,1078) is preferred. Start Time (0018,1072) has no date: it is the
    last such time before the scan (so midnight may lie between), which holds only for short-lived nuclides.
    """
    full = date_time(text(facts, "RadiopharmaceuticalStartDateTime"), text(facts, "TimezoneOffsetFromUTC"))
    if full is not None:
        elapsed = (scan.when - full).total_seconds()
        if 0 <= elapsed <= _MOST_HALF_LIVES * half_life_s:
            return Moment(full, "(0018,1078)")
        return (
            f"RadiopharmaceuticalStartDateTime (0018,1078) lies {elapsed / 3600:.1f} h before the scan "
            f"{scan.tag}, which cannot be with a half-life of {half_life_s:g} s; correct the date"
        )
    same_day = moment(scan.when.strftime("%Y%m%d"), text(facts, "RadiopharmaceuticalStartTime"))
    if same_day is None:
        return "RadiopharmaceuticalStartDateTime (0018,1078) and RadiopharmaceuticalStartTime (0018,1072) are absent"
    if half_life_s > _LONGEST_WITHOUT_DATE_S:
        return (
            "RadiopharmaceuticalStartTime (0018,1072) has no date, and the nuclide lives for days; "
            "RadiopharmaceuticalStartDateTime (0018,1078) is needed"
        )
    if same_day > scan.when:
        same_day -= timedelta(seconds=_DAY_S)
    elapsed = (scan.when - same_day).total_seconds()
    if elapsed > _MOST_HALF_LIVES * half_life_s:
        return (
            f"RadiopharmaceuticalStartTime (0018,1072) lies {elapsed / 3600:.1f} h before the scan "
            f"{scan.tag}, which cannot be with a half-life of {half_life_s:g} s; correct one of the two"
        )
    return Moment(same_day, "(0018,1072)")


def frame_seconds(facts: Facts) -> float | None:
    """Duration of a frame, from Actual Frame Duration (0018,1242) in ms."""
    ms = number(facts, "ActualFrameDuration")
    return None if ms is None or ms <= 0 else ms / 1000.0
