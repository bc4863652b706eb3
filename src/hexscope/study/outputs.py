"""What a study leaves for other programs: masks as NIfTI and DICOM SEG, measurements as DICOM SR."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image as Pillow

from hexscope.core.image import Image, Mask
from hexscope.io.dicom_write import save_secondary_capture
from hexscope.io.dicom_write_sr import save_sr
from hexscope.io.writing import save
from hexscope.study.result import Case, Picture, problem
from hexscope.study.workplace import Workplace


def write_outputs(case: Case, place: Workplace) -> Case:
    """Write the masks and measurements of one case; a writer that fails is told among its problems."""
    image = case.image
    if image is None:
        return case
    masks: dict[str, Mask | None] = {
        "structures": case.segmented,
        "candidates": None if case.findings is None else case.findings.mask,
    }
    masks |= {f"model-{outlined.model}": outlined.mask for outlined in case.outlined}
    for what, mask in masks.items():
        if mask is not None and mask.labels:
            case = _write_mask(case, image, mask, what, place)
    if case.findings is not None and len(case.findings) and _is_dicom(case):
        case = _write_report(case, image, place)
    return case


def write_fused(fixed: Case, pictures: Sequence[Picture], place: Workplace) -> None:
    """Write fused views as PNG and, in the study of a DICOM reference, as Secondary Capture."""
    for picture in pictures:
        place.path("fused", f"{picture.name}.png").write_bytes(picture.png)
        if _is_dicom(fixed) and fixed.image is not None:
            rgb = np.asarray(Pillow.open(io.BytesIO(picture.png)).convert("RGB"))
            target = place.path("fused", f"{picture.name}.dcm")
            save_secondary_capture(rgb, target, source=fixed.image, description=picture.caption)


def _is_dicom(case: Case) -> bool:
    return bool(case.row["format"] == "DICOM")


def _write_mask(case: Case, image: Image, mask: Mask, what: str, place: Workplace) -> Case:
    name = f"masks/{case.slug}-{what}"
    case = _attempt(case, f"{what}.nii.gz", f"{name}.nii.gz", lambda: save(mask, place.path(f"{name}.nii.gz")))
    if _is_dicom(case) and image.is_volume and mask.grid.same_as(image.grid):
        target = place.path(f"{name}.dcm")
        case = _attempt(case, f"{what}.seg", f"{name}.dcm", lambda: save(mask, target, source=image))
    return case


def _write_report(case: Case, image: Image, place: Workplace) -> Case:
    assert case.findings is not None
    items = tuple(case.findings)
    seg = case.files.get("candidates.seg")
    name = f"sr/{case.slug}-candidates.dcm"
    target = place.path(name)
    seg_path = None if seg is None else place.path(seg)
    return _attempt(case, "candidates.sr", name, lambda: save_sr(items, target, source=image, seg=seg_path))


def _attempt(case: Case, key: str, name: str, write: Callable[[], object]) -> Case:
    try:
        write()
    except Exception as error:  # what a writer refuses is told; the others go on
        return replace(case, problems=(*case.problems, problem(f"writing {name}", error)))
    files: Mapping[str, str] = {**case.files, key: name}
    return replace(case, files=files)
