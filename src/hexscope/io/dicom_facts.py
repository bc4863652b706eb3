"""Facts: what a DICOM header says, as plain Python values by keyword."""

from __future__ import annotations

from collections import Counter, defaultdict
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
#: Those of them that hold for a whole series; the rest may go on from slice to slice.
_CONSTANT = tuple(k for k in PET_CRITICAL if not k.startswith(("Acquisition", "Series", "Frame", "DecayFactor")))
#: Private elements that SUV rests on: group, element in the creator's block, creator, the fact it becomes.
#: Philips' factors are for stored units of CNTS: one makes SUVbw, the other Bq/ml. GE's is when the scan began.
_PRIVATE = (
    (0x7053, 0x00, "Philips PET Private Group", "PhilipsSUVScaleFactor"),
    (0x7053, 0x09, "Philips PET Private Group", "PhilipsActivityScaleFactor"),
    (0x0009, 0x0D, "GEMS_PETD_01", "GEScanDateTime"),
)
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
    facts.update(_private(header.dataset))
    facts["TransferSyntaxUID"] = header.syntax
    if overlays := overlay_facts(header.dataset):
        facts["overlays"] = overlays
    return facts


def _radiopharmaceutical(dataset: Any) -> dict[str, Any]:
    """The first tracer's words, and how many there are where it is not one."""
    sequence = value_of(dataset, "RadiopharmaceuticalInformationSequence")
    if not sequence:
        return {}
    several = {"radiopharmaceuticals": len(sequence)} if len(sequence) > 1 else {}
    return {**dataset_facts(sequence[0]), **several}


def _private(dataset: Any) -> dict[str, Any]:
    """What the makers' private elements say; numbers as numbers."""
    found = ((fact, _private_value(dataset, group, element, creator)) for group, element, creator, fact in _PRIVATE)
    return {fact: value for fact, value in found if value is not None}


def _private_value(dataset: Any, group: int, element: int, creator: str) -> str | float | None:
    """A private value by its creator's block (PS3.5 7.8.1), or at block 10 where the creator was taken away."""
    try:
        held = dataset.private_block(group, creator)[element]
    except KeyError:
        tag = group << 16 | 0x1000 | element
        if tag not in dataset or (group << 16 | 0x10) in dataset:
            return None
        held = dataset[tag]
    value = held.value
    text = (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip("\0 ")
    try:
        return text or None if creator.startswith("GE") else float(text)
    except ValueError:
        return None


def missing_in(headers: Sequence[Header]) -> dict[str, int]:
    """How many of the files lack each value that SUV rests on; those that none lacks are left out."""
    counts: Counter[str] = Counter()
    for header in headers:
        for keyword, value in _critical(header).items():
            counts[keyword] += value is None
    return {keyword: n for keyword, n in counts.items() if n}


def differing(headers: Sequence[Header]) -> dict[str, int]:
    """How many different values the files have of what should hold for a whole PET series; those alike left out."""
    values: dict[str, set[str]] = defaultdict(set)
    for header in headers:
        told = {k: v for k, v in _critical(header).items() if k in _CONSTANT} | _private(header.dataset)
        for keyword, value in told.items():
            if value is not None:
                values[keyword].add(str(value))
    return {keyword: len(found) for keyword, found in values.items() if len(found) > 1}


def _critical(header: Header) -> dict[str, Any]:
    """The values that SUV rests on, None where the file lacks one."""
    injected = header.get("RadiopharmaceuticalInformationSequence")
    tracer = injected[0] if injected else {}
    return {k: value_of(tracer, k) if k in _RADIO else header.get(k) for k in PET_CRITICAL}


#: What belongs to one acquisition and must be taken from the same file.
_OF_ACQUISITION = ("AcquisitionDate", "AcquisitionTime", "FrameReferenceTime", "ActualFrameDuration")


def earliest(headers: Sequence[Header]) -> Mapping[str, Any]:
    """The first acquisition among the files (slices are acquired one after the other), and its frame's times."""
    times = [(str(h.get("AcquisitionDate") or ""), str(time)) for h in headers if (time := h.get("AcquisitionTime"))]
    if not times:
        return {}
    dated = [t for t in times if t[0]]
    first = min(dated or times)
    for header in headers:
        if (str(header.get("AcquisitionDate") or ""), str(header.get("AcquisitionTime"))) == first:
            return {k: plain(v) for k in _OF_ACQUISITION if (v := header.get(k)) is not None}
    return {}
