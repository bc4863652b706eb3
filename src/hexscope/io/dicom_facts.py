"""Facts: what a DICOM header says, as plain Python values by keyword."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hexscope.io.dicom_header import Header, value_of
from hexscope.io.dicom_overlay import overlay_facts

#: Values that SUV rests on: where only some slices carry one, the ledger must be able to say so.
PET_CRITICAL = (
    "Units",
    "PatientWeight",
    "PatientSize",
    "PatientSex",
    "PatientAge",
    "DecayCorrection",
    "CorrectedImage",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "FrameReferenceTime",
    "DecayFactor",
    "RadionuclideTotalDose",
    "RadionuclideHalfLife",
    "RadiopharmaceuticalStartTime",
    "RadiopharmaceuticalStartDateTime",
)
_RADIO = tuple(k for k in PET_CRITICAL if k.startswith("Radio"))
#: Philips' factors for stored units of CNTS: (7053,1000) makes SUVbw, (7053,1009) makes Bq/ml.
_PHILIPS = {0x70531000: "PhilipsSUVScaleFactor", 0x70531009: "PhilipsActivityScaleFactor"}
_OPAQUE = ("OB", "OW", "OF", "OD", "OL", "OV", "UN", "SQ", "AT")
_LONGEST = 2000


def plain(value: Any) -> Any:
    """A pydicom value as str, int, float or a list of them."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(v) for v in value]
    try:
        return float(value)  # DSdecimal
    except (TypeError, ValueError):
        return str(value)


def dataset_facts(dataset: Any) -> dict[str, Any]:
    """Every public, non-empty, readable element of one level of a data set."""
    return dict(_elements(dataset))


def _elements(dataset: Any) -> Iterator[tuple[str, Any]]:
    for tag in list(dataset.keys()):
        if tag.is_private or tag.group == 0x7FE0:
            continue
        try:
            element = dataset[tag]
            if element.VR in _OPAQUE or not element.keyword:
                continue
            value = value_of(dataset, element.keyword)
            if value is not None and len(str(value)) <= _LONGEST:
                yield element.keyword, plain(value)
        except Exception:
            continue


def header_facts(header: Header) -> dict[str, Any]:
    """Facts of one file: its own level, the radiopharmaceutical, and the makers' factors."""
    facts = dataset_facts(header.dataset)
    facts.update(_radiopharmaceutical(header.dataset))
    facts.update(_philips(header.dataset))
    facts["TransferSyntaxUID"] = header.syntax
    if overlays := overlay_facts(header.dataset):
        facts["overlays"] = overlays
    return facts


def _radiopharmaceutical(dataset: Any) -> dict[str, Any]:
    sequence = value_of(dataset, "RadiopharmaceuticalInformationSequence")
    return dataset_facts(sequence[0]) if sequence else {}


def _philips(dataset: Any) -> dict[str, float]:
    out = {}
    for tag, name in _PHILIPS.items():
        try:
            raw = dataset[tag].value
            out[name] = float(raw.decode("ascii").strip("\0 ") if isinstance(raw, bytes) else raw)
        except (KeyError, ValueError, TypeError, UnicodeDecodeError):
            continue
    return out


def missing_in(headers: Sequence[Header]) -> dict[str, int]:
    """How many of the files lack each value that SUV rests on; those that none lacks are left out."""
    counts: Counter[str] = Counter()
    for header in headers:
        injected = header.get("RadiopharmaceuticalInformationSequence")
        for keyword in PET_CRITICAL:
            place = (injected[0] if injected else {}) if keyword in _RADIO else header
            counts[keyword] += value_of(place, keyword) is None
    return {keyword: n for keyword, n in counts.items() if n}


def earliest(headers: Sequence[Header]) -> Mapping[str, str]:
    """Date and time of the first acquisition among the files (slices are acquired one after the other)."""
    found = [
        (str(date), str(time))
        for header in headers
        if (date := header.get("AcquisitionDate")) is not None and (time := header.get("AcquisitionTime")) is not None
    ]
    if found:
        date, time = min(found)
        return {"AcquisitionDate": date, "AcquisitionTime": time}
    times = [str(t) for header in headers if (t := header.get("AcquisitionTime")) is not None]
    return {"AcquisitionTime": min(times)} if times else {}
