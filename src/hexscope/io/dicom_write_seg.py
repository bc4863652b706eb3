"""DICOM SEG out: binary segments on the grid of the image that they were found on (PS3.3 A.51, C.8.20)."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.errors import GeometryError, UsageError
from hexscope.io.dicom_header import quiet
from hexscope.io.dicom_write import fitting
from hexscope.io.files import atomic_write

NOTE = "Research only, not a medical device"
MAKER = "Hexscope"

_TISSUE = Code("85756007", "SCT", "Tissue")
_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
#: Category and type of a segment by a word of its name (PS3.16 CID 7150, 7151); the first word that fits counts.
_CONCEPTS: tuple[tuple[str, Code, Code], ...] = (
    ("lesion", _ABNORMAL, Code("52988006", "SCT", "Lesion")),
    ("candidate", _ABNORMAL, Code("52988006", "SCT", "Lesion")),
    ("tumo", _ABNORMAL, Code("4147007", "SCT", "Mass")),
    ("lung", _STRUCTURE, Code("39607008", "SCT", "Lung")),
    ("bone", _STRUCTURE, Code("272673000", "SCT", "Bone")),
    ("liver", _STRUCTURE, Code("10200004", "SCT", "Liver")),
    ("spleen", _STRUCTURE, Code("78961009", "SCT", "Spleen")),
    ("kidney", _STRUCTURE, Code("64033007", "SCT", "Kidney")),
    ("heart", _STRUCTURE, Code("80891009", "SCT", "Heart")),
    ("brain", _STRUCTURE, Code("12738006", "SCT", "Brain")),
    ("body", _STRUCTURE, Code("38266002", "SCT", "Entire body")),
)
_LONGEST_LABEL = 64  # VR LO
_TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip


def save_seg(mask: Mask, path: Path, *, source: Image) -> None:
    """Write ``mask`` as one DICOM SEG, type BINARY, a segment for each label in order of value.

    source  the DICOM image it lies on; its headers are read again for patient, study and references

    Raises UsageError where the source has no DICOM files or no place in the patient, or the mask has no label;
    GeometryError where mask and source lie on different grids.
    """
    import highdicom as hd

    grid = _check(mask, source)
    headers = source_headers(source)
    labels = sorted(mask.labels, key=lambda label: label.value)
    planes = np.stack([mask.of(label.value).reshape(-1, *grid.shape[-2:]) for label in labels], axis=-1)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on the source's own header
        seg = hd.seg.Segmentation(
            source_images=headers,
            pixel_array=planes.astype(np.uint8),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_description(number, e.name) for number, e in enumerate(labels, start=1)],
            series_instance_uid=generate_uid(),
            series_number=900,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            content_label="HEXSCOPE",
            content_description=NOTE,
            omit_empty_frames=bool(planes.any()),
            **_place(grid),
            **maker(),
        )
        seg.SeriesDescription = f"{MAKER} masks. {NOTE}"
        atomic_write(path, seg.save_as)


def source_headers(source: Image) -> list[Dataset]:
    """The DICOM headers behind an image, in slice order, with what is unknown written as empty.

    Raises UsageError where the image did not come from DICOM.
    """
    headers = []
    with quiet():
        for file in dict.fromkeys(source.files):
            try:
                header = dcmread(file, stop_before_pixels=True)
            except Exception as error:  # pydicom raises many kinds on what is no DICOM
                raise UsageError(
                    f"{Path(file).name} is no DICOM file, and DICOM results must refer to one. Write .nii.gz instead"
                ) from error
            for keyword in _TYPE_2:
                value = header.get(keyword)
                setattr(header, keyword, None if value is None else fitting(keyword, value))
            headers.append(header)
    if not headers:
        raise UsageError(
            f"{source.name or 'this image'} comes from no DICOM file, and DICOM results must refer to one. "
            "Write .nii.gz instead"
        )
    return headers


def maker() -> dict[str, str]:
    """Who wrote the object, as highdicom's arguments."""
    return {
        "manufacturer": MAKER,
        "manufacturer_model_name": f"{MAKER}. {NOTE}",
        "software_versions": version("hexscope"),
        "device_serial_number": "0",
    }


def _check(mask: Mask, source: Image) -> Grid:
    if not mask.labels:
        raise UsageError("the mask has no label; a SEG needs at least one segment")
    if mask.grid.affine is None:
        raise UsageError("a DICOM SEG needs a place in the patient, and this image has none; write .nii.gz or .png")
    if not mask.grid.same_as(source.grid):
        raise GeometryError(
            f"the mask {mask.grid.shape} does not lie on the grid of {source.name or 'its source'} "
            f"{source.grid.shape}; bring it there with resample(mask, to=source.grid)"
        )
    return mask.grid


def _place(grid: Grid) -> dict[str, Any]:
    """Orientation, positions and spacing as highdicom's arguments: of every slice, so a tilted gantry is kept."""
    import highdicom as hd

    affine = grid.require_affine("a DICOM SEG")
    down, across = affine[:3, -3], affine[:3, -2]
    spacing = [float(np.linalg.norm(down)), float(np.linalg.norm(across))]
    cosines = [*(across / spacing[1]), *(down / spacing[0])]
    indices = [[i, 0, 0] for i in range(grid.shape[0])] if grid.ndim == 3 else [[0, 0]]
    thickness = 1.0
    if grid.ndim == 3:
        thickness = abs(float(np.cross(cosines[:3], cosines[3:]) @ affine[:3, 0]))
    return {
        "plane_orientation": hd.PlaneOrientationSequence(hd.CoordinateSystemNames.PATIENT, cosines),
        "plane_positions": [
            hd.PlanePositionSequence(hd.CoordinateSystemNames.PATIENT, grid.to_world(i).tolist()) for i in indices
        ],
        "pixel_measures": hd.PixelMeasuresSequence(spacing, thickness, thickness if grid.ndim == 3 else None),
    }


def _description(number: int, name: str) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    category, kind = concept(name)
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:_LONGEST_LABEL],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=f"{MAKER} {version('hexscope')}",
            version=version("hexscope"),
            family=codes.cid7162.MorphologicalOperations,
        ),
        tracking_uid=generate_uid(),
        tracking_id=f"{number} {name}"[:_LONGEST_LABEL],
    )


def concept(name: str) -> tuple[Code, Code]:
    """Category and type of a structure by its name; a name that is not known is tissue, and no more is claimed."""
    words = name.lower()
    return next(((category, kind) for word, category, kind in _CONCEPTS if word in words), (_TISSUE, _TISSUE))
