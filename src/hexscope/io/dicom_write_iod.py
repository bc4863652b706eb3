"""What a classic DICOM object must carry: one table row for each kind of file that is written.

Attributes and their types are those of DICOM PS3.3, sections A.2 to A.26 and C.8. Type 2 attributes that nobody
supplied are written empty, which is DICOM's way of saying "not known"; no value is made up for a type 1 attribute
that carries meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.errors import MissingFact, UsageError

Place = Literal["plane", "detector", "regions", "none"]


@dataclass(frozen=True)
class Iod:
    """One information object: its SOP class, its Modality, where it keeps geometry, and what must not be absent.

    place     "plane": image plane in the patient; "detector": Imager Pixel Spacing; "regions": ultrasound regions;
              "none": a plane only where the image has one
    defaults  attributes by keyword; None is written empty
    """

    modality: str
    sop_class: str
    place: Place
    defaults: Mapping[str, Any] = field(default_factory=dict)


_PATIENT: dict[str, Any] = {
    "PatientName": None, "PatientID": None, "PatientBirthDate": None, "PatientSex": None,
    "StudyDate": None, "StudyTime": None, "StudyID": None, "AccessionNumber": None, "ReferringPhysicianName": None,
    "SeriesNumber": 1, "Manufacturer": None, "ContentDate": None, "ContentTime": None,
}  # fmt: skip
_PLACED: dict[str, Any] = {
    **_PATIENT,
    "PatientPosition": None,
    "PositionReferenceIndicator": None,
    "Laterality": None,
}

CT = Iod("CT", "1.2.840.10008.5.1.4.1.1.2", "plane", {
    **_PLACED, "ImageType": ["DERIVED", "SECONDARY", "AXIAL"], "KVP": None, "AcquisitionNumber": None,
})  # fmt: skip
MR = Iod("MR", "1.2.840.10008.5.1.4.1.1.4", "plane", {
    **_PLACED, "ImageType": ["DERIVED", "SECONDARY", "OTHER"], "ScanningSequence": ["RM"], "SequenceVariant": ["NONE"],
    "ScanOptions": None, "MRAcquisitionType": None, "RepetitionTime": None, "EchoTime": None, "EchoTrainLength": None,
})  # fmt: skip
PT = Iod("PT", "1.2.840.10008.5.1.4.1.1.128", "plane", {
    **_PATIENT, "Laterality": None, "ImageType": ["ORIGINAL", "PRIMARY"],
    "CountsSource": "EMISSION", "SeriesType": ["STATIC", "IMAGE"],
    "CorrectedImage": None, "CollimatorType": None, "FrameReferenceTime": 0,
    "AcquisitionDate": None, "AcquisitionTime": None, "ActualFrameDuration": None,
    "PatientOrientationCodeSequence": [], "PatientGantryRelationshipCodeSequence": [],
})  # fmt: skip
CR = Iod("CR", "1.2.840.10008.5.1.4.1.1.1", "detector", {
    **_PATIENT, "ImageType": ["DERIVED", "SECONDARY"], "BodyPartExamined": None, "ViewPosition": None,
    "Laterality": None, "PatientOrientation": None,
})  # fmt: skip
DX = Iod("DX", "1.2.840.10008.5.1.4.1.1.1.1", "detector", {
    **_PATIENT, "ImageType": ["DERIVED", "SECONDARY"], "PresentationIntentType": "FOR PRESENTATION",
    "ImageLaterality": "U", "AnatomicRegionSequence": [], "PixelIntensityRelationship": "LOG",
    "PixelIntensityRelationshipSign": -1, "RescaleIntercept": 0, "RescaleSlope": 1, "RescaleType": "US",
    "PresentationLUTShape": "IDENTITY", "LossyImageCompression": "00", "BurnedInAnnotation": "NO",
    "PatientOrientation": None, "DetectorType": None, "AcquisitionContextSequence": [],
})  # fmt: skip
US = Iod("US", "1.2.840.10008.5.1.4.1.1.6.1", "regions", {
    **_PATIENT, "ImageType": ["DERIVED", "SECONDARY"], "Laterality": None, "PatientOrientation": None,
})  # fmt: skip
US_CINE = Iod("US", "1.2.840.10008.5.1.4.1.1.3.1", "regions", US.defaults)
SC = Iod("OT", "1.2.840.10008.5.1.4.1.1.7", "none", {
    **_PATIENT, "ImageType": ["DERIVED", "SECONDARY"], "ConversionType": "WSD", "Laterality": None,
    "PatientOrientation": None,
})  # fmt: skip

#: Attributes of the item of Radiopharmaceutical Information Sequence (PS3.3 C.8.9.2), which facts keep flat.
RADIOPHARMACEUTICAL = (
    "Radiopharmaceutical", "RadiopharmaceuticalVolume", "RadiopharmaceuticalStartTime",
    "RadiopharmaceuticalStopTime", "RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStopDateTime",
    "RadionuclideTotalDose", "RadionuclideHalfLife", "RadionuclidePositronFraction", "RadionuclideCodeSequence",
)  # fmt: skip

#: Units (0054,1001) of what a PET image can hold.
PET_UNITS = {
    Quantity.BQML: ("BQML", None), Quantity.COUNTS: ("CNTS", None), Quantity.SUVBW: ("GML", "BW"),
    Quantity.SUVLBM: ("GML", "LBM"), Quantity.SUVLBM_JAMES: ("GML", "LBMJAMES128"), Quantity.SUVIBW: ("GML", "IBW"),
    Quantity.SUVBSA: ("CM2ML", "BSA"),
}  # fmt: skip


def iod_of(image: Image, modality: str | None) -> Iod:
    """The object that holds ``image``; ``modality`` (DICOM's word) chooses where the image leaves a choice.

    An X-ray becomes DX only where its pixel spacing is known and its numbers are whole, as DX demands; else CR.
    """
    wanted = modality or image.modality
    known = {"CT": CT, "MR": MR, "PT": PT, "CR": CR, "OT": SC, "SC": SC}
    if "c" in image.axes and wanted != "US":
        return SC
    if wanted == "US":
        return US_CINE if "t" in image.axes else US
    if wanted in ("XR", "DX"):
        whole = image.pixels.dtype.kind in "bui"
        return DX if whole and image.grid.spacing_mm is not None else CR
    if wanted not in known:
        raise UsageError(f"no DICOM writer for modality {wanted}; known are CT, MR, PT, CR, DX, US, OT")
    return known[wanted]


def check_pet(image: Image, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a PET header adds for its quantity; MissingFact where activity would lose the times it refers to."""
    if image.quantity not in PET_UNITS:
        raise UsageError(f"PET is written in Bq/ml, counts or an SUV; this image is {image.quantity.value}")
    units, kind = PET_UNITS[image.quantity]
    needed = ["SeriesDate", "SeriesTime", "DecayCorrection"]
    if facts.get("DecayCorrection", "NONE") != "NONE":
        needed.append("DecayFactor")
    absent = [k for k in needed if facts.get(k) is None]
    if absent:
        raise MissingFact(
            f"a PET series needs {', '.join(absent)} in its header. Pass facts={{...}}; no default is assumed.",
            code="value.missing_fact",
        )
    return {"Units": units} if kind is None else {"Units": units, "SUVType": kind}
