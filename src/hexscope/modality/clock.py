"""When a PET tracer was given and when the scan began, from the header's dates and times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from hexscope.modality.base import Facts
from hexscope.modality.facts import number, text

_DAY_S = 86400.0

#: An interval longer than this leaves a thousandth of the tracer: the dates do not belong together.
_MOST_HALF_LIVES = 10.0

#: Makers whose Acquisition Time is that of the bed position: Siemens, and CPS whose scanners they sold.
_TIMED_BY_BED = ("SIEMENS", "CPS")

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


def _full(facts: Facts, keyword: str) -> datetime | None:
    return date_time(text(facts, keyword), text(facts, "TimezoneOffsetFromUTC"))


def acquisition(facts: Facts) -> Moment | None:
    """The earliest acquisition of the series."""
    found = [moment(text(facts, "AcquisitionDate"), text(facts, "AcquisitionTime"))]
    found.append(_full(facts, "AcquisitionDateTime"))
    times = [t for t in found if t is not None]
    return Moment(min(times), "(0008,0032)") if times else None


def scan_start(facts: Facts) -> Moment | None:
    """What Decay Correction START refers to: the start of the series.

    Series Time, unless it lies after the earliest Acquisition Time: then it was rewritten when the series was
    processed. What counts then, in this order: GE's private scan date and time (0009,100D) of GEMS_PETD_01; with
    Siemens, the start that Acquisition Time and Frame Reference Time of one frame imply; the earliest Acquisition Time.
    QIBA FDG-PET/CT, vendor-neutral pseudo-code for SUV calculation (2012).
    """
    series = moment(text(facts, "SeriesDate"), text(facts, "SeriesTime"))
    first = acquisition(facts)
    if series is not None and (first is None or series <= first.when):
        return Moment(series, "(0008,0031)")
    ge = _full(facts, "GEScanDateTime")
    if ge is not None:
        return Moment(ge, "(0009,100D)")
    return None if first is None else _implied(facts, first) or first


def _implied(facts: Facts, first: Moment) -> Moment | None:
    """The scan start from one frame: Frame Reference Time (0054,1300) is counted from it, in ms, to when the frame
    had its mean count rate; Acquisition Time is when the frame began. None where one is absent or 0, and for other
    makers than Siemens: Philips writes the start of the whole scan as Acquisition Time of each bed."""
    if not text(facts, "Manufacturer").upper().startswith(_TIMED_BY_BED):
        return None
    reference_ms, duration_s = number(facts, "FrameReferenceTime"), frame_seconds(facts)
    half_life = number(facts, "RadionuclideHalfLife")
    if not reference_ms or reference_ms < 0 or duration_s is None or not half_life or half_life < 0:
        return None
    mean_s = mean_rate_seconds(duration_s, half_life)
    start = first.when - timedelta(seconds=reference_ms / 1000.0 - mean_s)
    return Moment(start, "(0008,0032) − (0054,1300) + mean of frame") if start <= first.when else None


def mean_rate_seconds(duration_s: float, half_life_s: float) -> float:
    """Seconds into a frame at which the decaying rate equals its mean: ln(x / (1 − e^−x)) / λ, x = λ · duration."""
    rate = math.log(2.0) / half_life_s
    x = rate * duration_s
    return math.log(x / -math.expm1(-x)) / rate


def correction_moment(facts: Facts) -> Moment | None:
    """Decay Correction DateTime (0018,9701): enhanced PET names its reference outright (PS3.3 C.8.22.5)."""
    when = _full(facts, "DecayCorrectionDateTime")
    return None if when is None else Moment(when, "(0018,9701)")


def injection(facts: Facts, scan: Moment, half_life_s: float) -> Moment | str:
    """When the tracer was given, or a sentence on why that cannot be told.

    Radiopharmaceutical Start DateTime (0018,1078) is preferred. Start Time (0018,1072) has no date: it is the
    last such time before the scan (so midnight may lie between), which holds only for short-lived nuclides.
    """
    full = _full(facts, "RadiopharmaceuticalStartDateTime")
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
