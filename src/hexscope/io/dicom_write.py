"""DICOM out: an image as classic files, one slice a file, geometry in full precision."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.errors import GeometryError, QuantityError, UsageError
from hexscope.io.dicom_write_iod import DX, PT, RADIOPHARMACEUTICAL, SC, Iod, check_pet, iod_of
from hexscope.io.files import atomic_write

#: Facts of a source image that a new object states itself, from its own pixels and place.
_OWN = frozenset({
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "ImageType", "Rows",
    "Columns", "NumberOfFrames", "InstanceNumber", "SamplesPerPixel", "PhotometricInterpretation",
    "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "Units", "SUVType", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing", "SpacingBetweenSlices", "SliceLocation",
    "SliceThickness", "SequenceOfUltrasoundRegions", "SharedFunctionalGroupsSequence", "TransferSyntaxUID",
    "PerFrameFunctionalGroupsSequence", "PixelData", "NumberOfSlices", "NumberOfTimeSlices",
    "ImageIndex", "PixelPaddingValue",
    "SmallestImagePixelValue", "LargestImagePixelValue", "WindowCenter", "WindowWidth",
})  # fmt: skip

_NOTE = "Made by Hexscope. Research only, not a medical device."
_OF_THE_STUDY = (
    "StudyInstanceUID", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
#: What else a secondary capture repeats of the facts of its image.
_OF_THE_PICTURE = ("SeriesDescription", "SeriesNumber", "ImageComments", "BodyPartExamined", "PatientPosition")

_LONGEST = {"SH": 16, "LO": 64, "ST": 1024, "CS": 16}

#: Cosine of the largest angle by which rows and columns may miss the right angle (PS3.3 C.7.6.2.1.1).
_RIGHT_ANGLE = 1e-4


def save_series(
    image: Image,
    folder: Path,
    *,
    facts: Mapping[str, Any] | None = None,
    names: Callable[[int], str] | None = None,
    uid_seed: str | None = None,
) -> list[Path]:
    """Write ``image`` as DICOM files into ``folder``, one a slice, in array order; gives their paths.

    facts     header values by DICOM keyword, over those of the image; sequences are lists of such mappings;
              ``ultrasound_regions`` is such a list too (PS3.3 C.8.5.5). ``Modality`` chooses CR or DX for an
              X-ray. Radiopharmaceutical values may stand flat.
    names     file name of slice number i (from 0); default ``IM0001.dcm`` …
    uid_seed  makes UIDs the same in each run; default: new ones

    CT is stored as whole HU, PET with one slope a slice, whole numbers as they are, the rest as 16 bit with a
    rescale. Raises GeometryError where DICOM cannot say where the pixels lie (rows and columns not at right
    angles), QuantityError where numbers do not fit, UsageError for an unknown keyword or kind.
    """
    given = dict(facts or {})
    iod = iod_of(image, given.pop("Modality", None))
    regions = given.pop("ultrasound_regions", image.facts.get("ultrasound_regions"))
    inherited = _inherited(image)
    if iod is SC:  # a picture: how the source was scanned is not said of it
        inherited = {k: v for k, v in inherited.items() if k in (*_OF_THE_STUDY, *_OF_THE_PICTURE)}
    merged = {**inherited, **given}
    merged = {**merged, **check_pet(image, merged)} if iod is PT else merged
    frames = _frames(image, iod)
    common = _common(image, iod, merged, uid_seed)
    if iod.place == "regions":
        _put_regions(common, image, regions)
    paths = [folder / (names(i) if names else f"IM{i + 1:04d}.dcm") for i in range(len(frames))]
    for i, (path, (frame, rescale)) in enumerate(zip(paths, frames, strict=True)):
        dataset = _instance(common, iod, image, i, _uid(uid_seed, common.SeriesInstanceUID, i))
        _put_pixels(dataset, frame, rescale, image, given.get("PhotometricInterpretation"))
        _finish(dataset, iod, frame, i, len(frames))
        write_dataset(dataset, path)
    return paths


def save_file(image: Image, path: Path, *, facts: Mapping[str, Any] | None = None, uid_seed: str | None = None) -> Path:
    """Write a 2-D image (or a cine) as one DICOM file; see `save_series`."""
    if "z" in image.axes:
        raise UsageError(f"{path.name} holds one slice; name a folder for the {image.shape[0]} slices of this image")
    return save_series(image, path.parent, facts=facts, names=lambda _: path.name, uid_seed=uid_seed)[0]


def save_secondary_capture(rgb: NDArray[np.uint8], path: Path, *, source: Image, description: str) -> Path:
    """Write a picture, uint8 RGB (y, x, 3), as a Secondary Capture into the study of ``source`` (PS3.3 A.8.1).

    It has no place in the patient and no numbers but colours; where ``source`` is no DICOM, a study of its own.
    """
    facts = {k: v for k, v in _inherited(source).items() if k in _OF_THE_STUDY}
    picture = Image.from_array(rgb, quantity=Quantity.RGB, axes=("y", "x", "c"))
    told = {"SeriesDescription": description[:64], "SeriesNumber": 902}
    return save_file(picture, path, facts={**facts, **told})


def _finish(dataset: Dataset, iod: Iod, frame: NDArray[Any], index: int, count: int) -> None:
    """What two kinds of object ask for beside their pixels."""
    if iod is PT:
        dataset.NumberOfSlices, dataset.ImageIndex = count, index + 1
        dataset.pop("PatientPosition", None)  # the PET IOD says it by the code sequence instead (PS3.3 C.8.4.6)
    if iod is DX and "WindowCenter" not in dataset:
        low, high = float(frame.min()), float(frame.max())
        put(dataset, "WindowCenter", (low + high) / 2)
        put(dataset, "WindowWidth", high - low + 1)


def write_dataset(dataset: Dataset, path: Path) -> None:
    """Write one data set as a DICOM file, explicit VR little endian, whole or not at all."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta = meta
    atomic_write(path, lambda beside: dataset.save_as(beside, enforce_file_format=True))


def decimal_string(value: float) -> str:
    """A number in the at most 16 characters of VR DS, as exact as they allow (PS3.5 6.2)."""
    text = format_number_as_ds(float(value))
    return str(text)


def put(dataset: Dataset, keyword: str, value: Any) -> None:
    """Set an attribute by keyword: None is written empty, mappings become items, numbers fit their VR."""
    if tag_for_keyword(keyword) is None:
        raise UsageError(f"{keyword!r} is no DICOM keyword; see PS3.6")
    vr = dictionary_VR(keyword)
    if vr == "SQ":
        value = [_item(entry) for entry in value or []]
    elif vr == "DS" and value is not None and not isinstance(value, str):
        value = [decimal_string(v) for v in value] if isinstance(value, Sequence) else decimal_string(value)
    setattr(dataset, keyword, value)


def _item(entry: Mapping[str, Any] | Dataset) -> Dataset:
    if isinstance(entry, Dataset):
        return entry
    item = Dataset()
    for keyword, value in entry.items():
        put(item, keyword, value)
    return item


def fitting(keyword: str, value: Any) -> Any:
    """A text of somebody else's header, cut to what its VR can hold (PS3.5 6.2): an overlong one is copied nowhere."""
    longest = _LONGEST.get(dictionary_VR(keyword))
    return value[:longest] if isinstance(value, str) and longest else value


def _uid(seed: str | None, *parts: object) -> str:
    return str(generate_uid(entropy_srcs=None if seed is None else [seed, json.dumps([str(p) for p in parts])]))


def _inherited(image: Image) -> dict[str, Any]:
    """Facts of the image that a new object may repeat: header values by keyword, but those it states itself."""
    return {
        k: fitting(k, v)
        for k, v in image.facts.items()
        if v is not None and k not in _OWN and tag_for_keyword(k) is not None
    }


def _common(image: Image, iod: Iod, facts: Mapping[str, Any], seed: str | None) -> Dataset:
    """All that the files of the series share."""
    dataset = Dataset()
    dataset.SOPClassUID = iod.sop_class
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.Modality = iod.modality
    dataset.StudyInstanceUID = facts.get("StudyInstanceUID") or _uid(seed, "study")
    dataset.SeriesInstanceUID = facts.get("SeriesInstanceUID") or _uid(seed, "series", iod.modality, image.name)
    for keyword, value in {**iod.defaults, **facts}.items():
        if keyword not in RADIOPHARMACEUTICAL:
            put(dataset, keyword, value)
    if iod is PT:
        tracer = {k: facts[k] for k in RADIOPHARMACEUTICAL if facts.get(k) is not None}
        put(dataset, "RadiopharmaceuticalInformationSequence", [{"RadionuclideCodeSequence": [], **tracer}])
    put(dataset, "ImageComments", " ".join(filter(None, (str(facts.get("ImageComments") or ""), _NOTE))))
    if image.steps:
        dataset.DerivationDescription = "; ".join(image.steps)[:1024]
    if image.grid.affine is not None:
        dataset.FrameOfReferenceUID = image.grid.frame_of_reference or _uid(seed, "frame", image.name)
        dataset.PositionReferenceIndicator = facts.get("PositionReferenceIndicator")
    return dataset


def _instance(common: Dataset, iod: Iod, image: Image, index: int, uid: str) -> Dataset:
    dataset = Dataset()
    dataset.update(common)
    dataset.SOPInstanceUID = uid
    dataset.InstanceNumber = index + 1
    grid = image.grid
    if iod.place == "plane" or (iod.place == "none" and grid.affine is not None):
        _put_plane(dataset, grid, index)
    elif iod.place == "detector" and grid.spacing_mm is not None:
        keyword = "PixelSpacing" if grid.plane == "patient" and iod.modality == "CR" else "ImagerPixelSpacing"
        put(dataset, keyword, grid.spacing_mm)
    return dataset


def _put_plane(dataset: Dataset, grid: Grid, index: int) -> None:
    """Image Plane module (PS3.3 C.7.6.2): the first three are exact to the 16 characters of DS."""
    affine = grid.require_affine("a DICOM image plane")
    along_column, along_row = affine[:3, -3], affine[:3, -2]
    spacing = np.linalg.norm(along_column), np.linalg.norm(along_row)
    cosines = np.concatenate([along_row / spacing[1], along_column / spacing[0]])
    if abs(float(cosines[:3] @ cosines[3:])) > _RIGHT_ANGLE:
        raise GeometryError(
            "rows and columns of this grid are not at right angles, and DICOM cannot say so; "
            "resample onto upright() first"
        )
    start = grid.to_world([index, 0, 0] if grid.ndim == 3 else [0, 0])
    put(dataset, "PixelSpacing", [float(s) for s in spacing])
    put(dataset, "ImageOrientationPatient", cosines.tolist())
    put(dataset, "ImagePositionPatient", start.tolist())
    thickness = None
    if grid.ndim == 3:
        thickness = abs(float(np.cross(cosines[:3], cosines[3:]) @ affine[:3, 0]))
    put(dataset, "SliceThickness", thickness)


def _put_regions(dataset: Dataset, image: Image, regions: Any) -> None:
    """US Region Calibration (PS3.3 C.8.5.5): those given, else one over the image where its spacing is known."""
    spacing = image.grid.spacing_mm
    if not regions and spacing is not None:
        rows, columns = image.grid.shape
        regions = [{
            "RegionSpatialFormat": 1, "RegionDataType": 1, "RegionFlags": 0, "RegionLocationMinX0": 0,
            "RegionLocationMinY0": 0, "RegionLocationMaxX1": columns - 1, "RegionLocationMaxY1": rows - 1,
            "PhysicalUnitsXDirection": 3, "PhysicalUnitsYDirection": 3, "PhysicalDeltaX": spacing[1] / 10,
            "PhysicalDeltaY": spacing[0] / 10,
        }]  # fmt: skip
    if regions:
        put(dataset, "SequenceOfUltrasoundRegions", regions)


# ---- pixels ---------------------------------------------------------------------------------------------

Rescale = tuple[float, float] | None


def _frames(image: Image, iod: Iod) -> list[tuple[NDArray[Any], Rescale]]:
    """What stands in each file: (y, x), (y, x, 3), or (t, y, x[, 3]) for a cine, with (slope, intercept)."""
    array = image.array
    if iod.place == "regions" and array.dtype != np.uint8:
        raise QuantityError(f"ultrasound is written in 8 bits; got {array.dtype}. Scale it to 0..255 first")
    if "t" in image.axes and iod.place != "regions":
        raise UsageError("a classic series holds one time point; take one with frame()")
    if iod.place == "regions" and "z" in image.axes:
        raise UsageError("ultrasound volumes are not written as classic DICOM; write .nii.gz")
    if "c" in image.axes and array.dtype != np.uint8:
        raise QuantityError(f"colour is written in 8 bits a channel; got {array.dtype}")
    if not np.all(np.isfinite(array)):
        raise QuantityError("NaN or infinite pixels cannot be written to DICOM", code="value.not_finite")
    slices = list(array) if "z" in image.axes else [array]
    if iod is PT:
        return [_pet_slice(frame) for frame in slices]
    stored, rescale = _stored(array, image)
    return [(frame, rescale) for frame in (stored if "z" in image.axes else [stored])]


def _put_pixels(dataset: Dataset, frame: NDArray[Any], rescale: Rescale, image: Image, polarity: str | None) -> None:
    colour = "c" in image.axes
    spatial = frame.shape[:-1] if colour else frame.shape
    if len(spatial) == 3:
        dataset.NumberOfFrames = spatial[0]
        dataset.FrameTime = dataset.get("FrameTime", "40")
        dataset.FrameIncrementPointer = 0x00181063
    dataset.Rows, dataset.Columns = spatial[-2:]
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else (polarity or "MONOCHROME2")
    if colour:
        dataset.PlanarConfiguration = 0
    bits = frame.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(frame.dtype.kind == "i")
    if rescale is not None and not colour:
        dataset.RescaleSlope, dataset.RescaleIntercept = (decimal_string(v) for v in rescale)
        if image.modality != "PT":
            dataset.RescaleType = "HU" if image.quantity is Quantity.HU else "US"
    little = np.ascontiguousarray(frame.astype(frame.dtype.newbyteorder("<"), copy=False))
    dataset.PixelData = little.tobytes() + b"\0" * (little.nbytes % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"


def _stored(array: NDArray[Any], image: Image) -> tuple[NDArray[Any], Rescale]:
    """The numbers as they stand in the file, with (slope, intercept); None where they stand as they are."""
    if image.quantity is Quantity.HU:
        stored = np.round(array.astype(np.float64)) + 1024
        if stored.min() < -32768 or stored.max() > 32767:
            raise QuantityError(f"HU from {array.min()} to {array.max()} do not fit 16 bits")
        return stored.astype(np.int16), (1.0, -1024.0)
    same = (1.0, 0.0) if image.modality == "CT" else None  # CT must carry a rescale
    if array.dtype.kind in "biu":
        low, high = int(array.min()), int(array.max())
        if array.dtype.itemsize == 1 and low >= 0:
            kind: type[np.generic] = np.uint8 if same is None else np.uint16
            return array.astype(kind), same
        for kind in (np.uint16, np.int16):
            if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                return array.astype(kind), same
    return _scaled(array.astype(np.float64))


def _scaled(frame: NDArray[np.float64]) -> tuple[NDArray[Any], tuple[float, float]]:
    """Over the full 16 bits: the error is at most half a slope."""
    low = float(decimal_string(float(frame.min())))
    slope = float(decimal_string((float(frame.max()) - low) / 65535)) or 1.0
    return np.clip(np.round((frame - low) / slope), 0, 65535).astype(np.uint16), (slope, low)


def _pet_slice(frame: NDArray[Any]) -> tuple[NDArray[Any], tuple[float, float]]:
    """int16 with a slope of its own and no intercept, as PET demands (PS3.3 C.8.9.4)."""
    largest = float(np.abs(frame).max(initial=0))
    slope = float(decimal_string(largest / 32767)) or 1.0
    return np.clip(np.round(frame.astype(np.float64) / slope), -32768, 32767).astype(np.int16), (slope, 0.0)
