"""DICOM SR out: what was measured of each candidate, after TID 1500 (PS3.16). Candidates, never a diagnosis."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.core.results import Finding
from hexscope.errors import UsageError
from hexscope.io.dicom_header import quiet
from hexscope.io.dicom_write_seg import MAKER, NOTE, source_headers
from hexscope.io.files import atomic_write

_ML = Code("ml", "UCUM", "milliliter")
_MM = Code("mm", "UCUM", "millimeter")
_GRAM = Code("g", "UCUM", "gram")
_ONE = Code("1", "UCUM", "no units")
_MAXIMUM = Code("56851009", "SCT", "Maximum")
_MEAN = Code("373098007", "SCT", "Mean")
_PEAK = Code("126031", "DCM", "Peak Value Within ROI")

#: Name and unit of each measure that has a public code (PS3.16 CID 7466, 7470, IBSI); the rest stays in JSON.
_MEASURES: dict[str, tuple[Code, Code]] = {
    "mtv_ml": (Code("126032", "DCM", "Metabolic Volume"), _ML),
    "tlg": (Code("126033", "DCM", "Total Lesion Glycolysis"), _GRAM),
    "diameter_mm": (Code("103339001", "SCT", "Long axis"), _MM),
    "feret_mm": (Code("L0JK", "IBSI", "Maximum 3D Diameter"), _MM),
}
_DERIVED = {"suv_max": _MAXIMUM, "suv_mean": _MEAN, "suv_peak": _PEAK}
#: The code of each SUV (PS3.16 CID 85) and of its unit (CID 84).
_SUV: dict[Quantity, tuple[Code, Code]] = {
    Quantity.SUVBW: (
        Code("126401", "DCM", "SUVbw"),
        Code("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight"),
    ),
    Quantity.SUVLBM: (
        Code("126402", "DCM", "SUVlbm"),
        Code("g/ml{SUVlbm}", "UCUM", "Standardized Uptake Value lean body mass (James)"),
    ),
    Quantity.SUVLBM_JAMES: (
        Code("126406", "DCM", "SUVlbm(James128)"),
        Code("g/ml{SUVlbm(James128)}", "UCUM", "Standardized Uptake Value lean body mass (James 128)"),
    ),
    Quantity.SUVBSA: (
        Code("126403", "DCM", "SUVbsa"),
        Code("cm2/ml{SUVbsa}", "UCUM", "Standardized Uptake Value body surface area"),
    ),
    Quantity.SUVIBW: (
        Code("126404", "DCM", "SUVibw"),
        Code("g/ml{SUVibw}", "UCUM", "Standardized Uptake Value ideal body weight"),
    ),
}  # fmt: skip
_VOLUME = Code("118565006", "SCT", "Volume")
_SCORE = Code("score", "99HEXSCOPE", "Candidate score (a rank, no probability)")
_CANDIDATE = Code("candidate", "99HEXSCOPE", "Candidate for review, no diagnosis")


def save_sr(rows: Iterable[Finding], path: Path, *, source: Image, seg: Path | None = None) -> None:
    """Write the measures of ``rows`` as a Comprehensive 3D SR after TID 1500, one group a candidate.

    source  the DICOM image they were measured on
    seg     the SEG that outlines them; a finding with a ``label`` then refers to the segment of that number,
            else to the slice nearest its centre

    Raises UsageError where there is no finding, or the source is not DICOM.
    """
    import highdicom as hd

    findings = tuple(rows)
    if not findings:
        raise UsageError("there is no finding to report")
    headers = source_headers(source)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on the source's own header
        outlines = None if seg is None else dcmread(seg)
        groups = [_group(i, f, source, headers, outlines) for i, f in enumerate(findings, start=1)]
        report = hd.sr.Comprehensive3DSR(
            evidence=headers if outlines is None else [*headers, outlines],
            content=_report(groups)[0],
            series_instance_uid=generate_uid(),
            series_number=901,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer=MAKER,
        )
        report.SeriesDescription = f"{MAKER} candidates. {NOTE}"
        atomic_write(path, report.save_as)


def _report(groups: Sequence[Any]) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=[MAKER, version("hexscope")]),
        name=MAKER,
        manufacturer_name=MAKER,
        model_name=f"{MAKER} {version('hexscope')}. {NOTE}",
    )
    observer = hd.sr.ObserverContext(codes.DCM.Device, device)
    return hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=Code("363679005", "SCT", "Imaging"),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )


def _group(number: int, finding: Finding, source: Image, headers: Sequence[Dataset], outlines: Dataset | None) -> Any:
    import highdicom as hd

    tracking = hd.sr.TrackingIdentifier(generate_uid(), f"Candidate {number} of {source.modality}: {finding.kind}")
    shared = {
        "tracking_identifier": tracking,
        "finding_type": _CANDIDATE,
        "measurements": _measurements(finding, source.quantity),
        "algorithm_id": hd.sr.AlgorithmIdentification(MAKER, version("hexscope")),
    }
    segment = _segment_of(finding, outlines)
    if segment is not None:
        return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **shared)
    near = hd.sr.SourceImageForMeasurementGroup.from_source_image(_nearest(finding, source, headers))
    return hd.sr.MeasurementsAndQualitativeEvaluations(source_images=[near], **shared)


def _segment_of(finding: Finding, outlines: Dataset | None) -> Any:
    import highdicom as hd

    if outlines is None or finding.label not in [int(s.SegmentNumber) for s in outlines.SegmentSequence]:
        return None
    series = hd.sr.SourceSeriesForSegmentation(str(outlines.ReferencedSeriesSequence[0].SeriesInstanceUID))
    instance = str(outlines.SOPClassUID), str(outlines.SOPInstanceUID)
    return hd.sr.ReferencedSegment(*instance, finding.label, source_series=series)


def _nearest(finding: Finding, source: Image, headers: Sequence[Dataset]) -> Dataset:
    """The header of the slice nearest to the finding's centre; of the only file where there is one."""
    if len(headers) != source.grid.shape[0] or finding.center_lps_mm is None:
        return headers[0]
    at = round(float(source.grid.to_index(np.array(finding.center_lps_mm))[0]))
    return headers[min(max(at, 0), len(headers) - 1)]


def _measurements(finding: Finding, quantity: Quantity) -> list[Any]:
    import highdicom as hd

    out = [hd.sr.Measurement(_SCORE, float(finding.score), _ONE)]
    if finding.volume_ml is not None:
        out.append(hd.sr.Measurement(_VOLUME, float(finding.volume_ml), _ML))
    for key, value in finding.measures.items():
        if value is None:
            continue
        if key in _MEASURES:
            out.append(hd.sr.Measurement(_MEASURES[key][0], float(value), _MEASURES[key][1]))
        elif key in _DERIVED and quantity in _SUV:
            name, unit = _SUV[quantity]
            out.append(hd.sr.Measurement(name, float(value), unit, derivation=_DERIVED[key]))
    return out
