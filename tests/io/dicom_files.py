"""DICOM files for the tests, made small and odd on purpose: no two axes, spacings or values alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from hexscope.io.dicom import DICOM
from hexscope.io.series import Inventory, Series

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
PT = "1.2.840.10008.5.1.4.1.1.128"
SC = "1.2.840.10008.5.1.4.1.1.7"
CR = "1.2.840.10008.5.1.4.1.1.1"
US = "1.2.840.10008.5.1.4.1.1.6.1"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"

ROW = np.array([0.36, 0.48, -0.8])
COLUMN = np.array([0.8, -0.6, 0.0])
NORMAL = np.cross(ROW, COLUMN)
ORIGIN = np.array([-31.5, 17.25, 102.0])
SPACING = (0.7, 0.5)
STEP = 3.0


def fill(ds: Dataset, tags: dict[str, Any]) -> Dataset:
    for keyword, value in tags.items():
        if value is None:
            ds.pop(keyword, None)
        else:
            setattr(ds, keyword, value)
    return ds


def item(**tags: Any) -> Dataset:
    return fill(Dataset(), tags)


def pixel_tags(array: NDArray[Any]) -> dict[str, Any]:
    """The image pixel module for (y, x), (y, x, 3) or (t, y, x); arrays are written in their byte order."""
    frames = array.ndim == 3 and array.shape[-1] != 3
    rows, columns = array.shape[1:3] if frames else array.shape[:2]
    bits = array.dtype.itemsize * 8
    colour = array.shape[-1] == 3 and not frames
    tags = {
        "Rows": rows,
        "Columns": columns,
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(array.dtype.kind == "i"),
        "PixelData": array.tobytes() + b"\0" * (array.nbytes % 2),
    }
    if colour:
        tags["PlanarConfiguration"] = 0
    if frames:
        tags["NumberOfFrames"] = len(array)
    return tags


def dataset(sop_class: str, modality: str, syntax: UID = ExplicitVRLittleEndian) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = syntax
    encoding = {"is_implicit_VR": syntax.is_implicit_VR, "is_little_endian": syntax.is_little_endian}
    ds = FileDataset("", {}, preamble=b"\0" * 128, file_meta=meta, **encoding)
    return fill(
        ds,
        {
            "SOPClassUID": sop_class,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "Modality": modality,
            "PatientID": "P",
            "StudyInstanceUID": "1.2.3.4",
            "SeriesInstanceUID": "1.2.3.4.5",
        },
    )


def save(ds: FileDataset, path: Path, **tags: Any) -> Path:
    fill(ds, tags)
    ds.save_as(path, enforce_file_format=True)
    return path


def place(position: Sequence[float] | NDArray[Any]) -> dict[str, Any]:
    """The image plane module at a position, oblique."""
    return {
        "ImagePositionPatient": [float(v) for v in position],
        "ImageOrientationPatient": [*ROW.tolist(), *COLUMN.tolist()],
        "PixelSpacing": list(SPACING),
        "SliceThickness": STEP,
        "FrameOfReferenceUID": "1.2.3.4.9",
    }


def ct_slice(path: Path, array: NDArray[Any], position: Sequence[float] | NDArray[Any], **tags: Any) -> Path:
    ds = dataset(CT, "CT")
    rescale = {"RescaleSlope": 1, "RescaleIntercept": 0, "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}
    return save(ds, path, **{**pixel_tags(array), **place(position), **rescale, **tags})


def stack(count: int = 5, shape: tuple[int, int] = (7, 11)) -> NDArray[np.int16]:
    return (np.arange(count * shape[0] * shape[1], dtype=np.int16) * 3 - 500).reshape(count, *shape)


def write_stack(folder: Path, array: NDArray[Any], heights: Sequence[float], **tags: Any) -> list[Path]:
    """Slices at heights along the normal, named in no order, numbered against it."""
    folder.mkdir(exist_ok=True)
    names = np.random.default_rng(3).permutation(len(heights))
    return [
        ct_slice(folder / f"{names[k]:03d}", array[k], ORIGIN + NORMAL * h, InstanceNumber=len(heights) - k, **tags)
        for k, h in enumerate(heights)
    ]


def scan(folder: Path) -> Inventory:
    return DICOM.scan(sorted(p for p in folder.rglob("*") if p.is_file()))


def only(folder: Path) -> Series:
    found = scan(folder)
    assert not found.others, found.others
    (series,) = found.series
    return series


def codes(series: Series) -> list[str]:
    return [f.code for f in series.faults]
