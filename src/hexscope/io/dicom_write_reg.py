"""DICOM registrations out: Spatial Registration (PS3.3 A.39.1, C.20.2) for a matrix, Deformable Spatial Registration
(A.39.2, C.20.3) for a field. The registered frame is the fixed image's; the source frame the moving image's."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.uid import generate_uid

from hexscope.core.geometry import Array, Grid
from hexscope.core.image import Image
from hexscope.core.transform import Transform
from hexscope.core.warp import Affine, Part, Unwarp, Warp
from hexscope.errors import GeometryError
from hexscope.io.dicom_write import put, write_dataset
from hexscope.io.dicom_write_seg import NOTE, maker, source_headers
from hexscope.io.transforms_field import fitted, whole_field

SPATIAL = "1.2.840.10008.5.1.4.1.1.66.1"
DEFORMABLE = "1.2.840.10008.5.1.4.1.1.66.3"
#: Where what DICOM has no word for is kept: private group and creator.
PRIVATE_GROUP, PRIVATE_CREATOR = 0x0077, "HEXSCOPE"
_OTHER_STUDIES = "StudiesContainingOtherReferencedInstancesSequence"
_MATRIX_TYPES = {"identity": "RIGID", "rigid": "RIGID", "similarity": "RIGID_SCALE"}
_OF_THE_PATIENT = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip


def save_registration(transform: Transform, told: dict[str, Any], path: Path, fixed: Image, moving: Image) -> None:
    """Write the registration of two DICOM images into the study of the fixed one.

    told  what else is kept of the transform, as JSON in a private element

    The identifiers follow from the content and the time of writing ($SOURCE_DATE_EPOCH where it is set). Raises
    UsageError where an image comes from no DICOM file, GeometryError where one names no frame of reference.
    """
    headers = source_headers(fixed), source_headers(moving)
    frames = _frame(fixed, transform.fixed_frame), _frame(moving, transform.moving_frame)
    dataset = _beginning(headers[0][0], frames[0])
    if transform.is_linear:
        dataset.SOPClassUID = SPATIAL
        _put_matrices(dataset, transform, frames, headers)
    else:
        dataset.SOPClassUID = DEFORMABLE
        _put_field(dataset, transform, frames[1], headers[1])
    _put_words(dataset, transform, told)
    _put_references(dataset, [*headers[0], *headers[1]])
    content = _digest(transform, dataset)
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[content, "series"])
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[content, "instance"])
    write_dataset(dataset, path)


def _frame(image: Image, told: str | None) -> str:
    frame = image.grid.frame_of_reference or told
    if told is not None and frame != told:
        raise GeometryError(
            f"the transform joins frame {told}, and {image.name or 'the image given for it'} lies in {frame}; "
            "pass source=(fixed, moving) of the images it was made for"
        )
    if frame is None:
        raise GeometryError(
            f"{image.name or 'an image'} names no frame of reference (0020,0052), and a DICOM registration joins two; "
            "write .tfm"
        )
    return frame


def _beginning(header: Dataset, frame: str) -> Dataset:
    now = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC) if _is_dated() else datetime.now()
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _OF_THE_PATIENT:
        put(dataset, keyword, header.get(keyword))
    made = maker()
    put(dataset, "Modality", "REG")
    put(dataset, "SeriesNumber", 901)
    put(dataset, "Laterality", None)
    put(dataset, "SeriesDescription", f"{made['manufacturer']} registration. {NOTE}"[:64])
    put(dataset, "FrameOfReferenceUID", frame)
    put(dataset, "PositionReferenceIndicator", header.get("PositionReferenceIndicator"))
    put(dataset, "Manufacturer", made["manufacturer"])
    put(dataset, "ManufacturerModelName", made["manufacturer_model_name"])
    put(dataset, "DeviceSerialNumber", made["device_serial_number"])
    put(dataset, "SoftwareVersions", made["software_versions"])
    put(dataset, "InstanceNumber", 1)
    put(dataset, "ContentDate", now.strftime("%Y%m%d"))
    put(dataset, "ContentTime", now.strftime("%H%M%S"))
    put(dataset, "ContentLabel", "REGISTRATION")
    put(dataset, "ContentCreatorName", None)
    return dataset


def _is_dated() -> bool:
    return os.environ.get("SOURCE_DATE_EPOCH", "").isdigit()


def _digest(transform: Transform, dataset: Dataset) -> str:
    """Of all that the object holds: the numbers, the references, the words and the time."""
    digest = hashlib.sha256(str([(e.tag, e.value) for e in dataset if e.VR != "SQ"]).encode())
    for item in (*dataset.get("ReferencedSeriesSequence", ()), *dataset.get(_OTHER_STUDIES, ())):
        digest.update(item.to_json().encode())
    for part in transform.parts:
        field = part.warp if isinstance(part, Unwarp) else part
        digest.update(field.matrix.tobytes() if isinstance(field, Affine) else field.displacement_mm.tobytes())
    return digest.hexdigest()


def _put_words(dataset: Dataset, transform: Transform, told: dict[str, Any]) -> None:
    certificate = transform.certificate
    verdict = "unchecked" if certificate is None else f"{certificate.verdict}, score {certificate.score:.2f}"
    put(dataset, "ContentDescription", f"{transform.kind}: {verdict}. {NOTE}"[:64])
    block = dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
    block.add_new(0x01, "UT", json.dumps(told, sort_keys=True))


def _put_references(dataset: Dataset, headers: list[Dataset]) -> None:
    """Common Instance Reference (C.12.2): series of this study, and other studies."""
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for header in headers:
        studies.setdefault(header.StudyInstanceUID, {}).setdefault(header.SeriesInstanceUID, []).append(header)

    def series(study: str) -> list[dict[str, Any]]:
        return [
            {"SeriesInstanceUID": uid, "ReferencedInstanceSequence": _images(found)}
            for uid, found in studies[study].items()
        ]

    own = dataset.StudyInstanceUID
    put(dataset, "ReferencedSeriesSequence", series(own))
    others = [{"StudyInstanceUID": uid, "ReferencedSeriesSequence": series(uid)} for uid in studies if uid != own]
    if others:
        put(dataset, _OTHER_STUDIES, others)


def _images(headers: list[Dataset]) -> list[dict[str, str]]:
    return [{"ReferencedSOPClassUID": h.SOPClassUID, "ReferencedSOPInstanceUID": h.SOPInstanceUID} for h in headers]


# ---- numbers ------------------------------------------------------------------------------------------------


def _put_matrices(
    dataset: Dataset, transform: Transform, frames: tuple[str, str], headers: tuple[list[Dataset], list[Dataset]]
) -> None:
    """One item an image: the matrix from its frame to the registered frame (C.20.2.1.1)."""
    kind = _MATRIX_TYPES.get(transform.kind, "AFFINE")
    items = [
        {
            "FrameOfReferenceUID": frame,
            "ReferencedImageSequence": _images(images),
            "MatrixRegistrationSequence": [
                {"RegistrationTypeCodeSequence": [], "MatrixSequence": [_matrix(matrix, matrix_kind)]}
            ],
        }
        for frame, images, matrix, matrix_kind in zip(
            frames, headers, (np.eye(4), transform.matrix), ("RIGID", kind), strict=True
        )
    ]
    put(dataset, "RegistrationSequence", items)


def _matrix(matrix: Array, kind: str) -> dict[str, Any]:
    return {
        "FrameOfReferenceTransformationMatrixType": kind,
        "FrameOfReferenceTransformationMatrix": [float(v) for v in matrix.ravel()],
    }


def _put_field(dataset: Dataset, transform: Transform, frame: str, images: list[Dataset]) -> None:
    """One item: from the registered frame, pixel of the grid plus its vector, then the matrix after (C.20.3.1.1)."""
    warp, after = _warp_and_after(transform.inverse.parts)
    warp = _right_handed(warp)
    affine = warp.grid.require_affine("a deformable registration")
    spacing = [float(np.linalg.norm(affine[:3, axis])) for axis in (2, 1, 0)]
    grid = {
        "ImageOrientationPatient": [*(affine[:3, 2] / spacing[0]), *(affine[:3, 1] / spacing[1])],
        "ImagePositionPatient": affine[:3, 3].tolist(),
        "GridDimensions": list(warp.grid.shape[::-1]),
        "GridResolution": spacing,
        "VectorGridData": warp.displacement_mm.astype("<f4").tobytes(),
    }
    item = {
        "SourceFrameOfReferenceUID": frame,
        "ReferencedImageSequence": _images(images),
        "RegistrationTypeCodeSequence": [],
        "PreDeformationMatrixRegistrationSequence": [_matrix(np.eye(4), "RIGID")],
        "DeformableRegistrationGridSequence": [grid],
        "PostDeformationMatrixRegistrationSequence": [_matrix(after, "AFFINE")],
    }
    put(dataset, "DeformableRegistrationSequence", [item])


def _warp_and_after(parts: tuple[Part, ...]) -> tuple[Warp, Array]:
    """Fixed to moving as a field and a matrix after it; where it is not made so, as one field."""
    first = parts[0]
    after = [part.matrix for part in parts[1:] if isinstance(part, Affine)]
    if isinstance(first, Warp) and len(parts) <= 2 and len(after) == len(parts) - 1:
        found = fitted(first)
        assert isinstance(found, Warp)
        return found, after[0] if after else np.eye(4)
    return whole_field(parts), np.eye(4)


def _right_handed(warp: Warp) -> Warp:
    """DICOM's slices run along the cross product of rows and columns: others are counted from their other end."""
    affine = warp.grid.require_affine("a deformable registration")
    if float(np.cross(affine[:3, 2], affine[:3, 1]) @ affine[:3, 0]) > 0:
        return warp
    grid: Grid = warp.grid.flip(0)
    return Warp(grid, warp.displacement_mm[::-1])
