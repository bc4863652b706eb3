"""Saving: the name of the file says in which format. Everything is written beside, then renamed."""

from __future__ import annotations

import json
from pathlib import Path

from hexscope.core.image import Image, Mask
from hexscope.core.results import Findings, Scores
from hexscope.core.transform import Transform
from hexscope.errors import UsageError
from hexscope.io.files import atomic_write

Savable = Image | Mask | Transform | Findings | Scores

NIFTI = (".nii", ".nii.gz")
ITK = (".nrrd", ".mha", ".mhd")
PICTURE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
MOVING = (".gif", ".apng", ".webp")


def save(thing: Savable, path: str | Path, *, source: Image | tuple[Image, Image] | None = None) -> Path:
    """Write ``thing`` in the format of the name of ``path``; the folder is made where it is missing.

    Image      .nii(.gz) .nrrd .mha · .png .jpg .tif (2-D) · .dcm (2-D) · a folder (no suffix): DICOM series ·
               .gif .apng .webp (moving pictures)
    Mask       .nii(.gz) .nrrd .mha · .png (2-D) · .dcm: DICOM SEG; ``source`` is the DICOM image it lies on, and may
               be left out where the mask still knows its files
    Transform  .tfm, .h5 or .nii.gz (a field), in ITK's direction (fixed to moving) · .dcm: DICOM registration;
               ``source`` is then the DICOM images (fixed, moving)
    Findings   .json · .coco.json (of a picture) · a mask's name: the labels of the candidates
    Scores     .json

    Raises UsageError for a name that does not fit the thing.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    suffix = ".nii.gz" if target.name.lower().endswith(".nii.gz") else target.suffix.lower()
    if isinstance(thing, Image):
        _save_image(thing, target, suffix)
    elif isinstance(thing, Mask):
        _save_mask(thing, target, suffix, source[0] if isinstance(source, tuple) else source)
    elif isinstance(thing, Transform):
        from hexscope.io.transforms import save_transform

        save_transform(thing, target, source=source if isinstance(source, tuple) else None)
    elif isinstance(thing, Findings) and suffix != ".json" and thing.mask is not None:
        _save_mask(thing.mask, target, suffix, source[0] if isinstance(source, tuple) else source)
    else:
        _save_json(thing, target, suffix)
    return target


def _save_json(thing: Findings | Scores, target: Path, suffix: str) -> None:
    if suffix != ".json":
        raise UsageError(f"{type(thing).__name__} is written as .json; got {target.name}")
    value = thing.as_json()
    if isinstance(thing, Findings) and target.name.lower().endswith(".coco.json"):
        from hexscope.io.findings_coco import coco_of

        value = coco_of(thing)
    text = json.dumps(value, indent=1, ensure_ascii=False)
    atomic_write(target, lambda p: p.write_text(text, encoding="utf-8"))


def _save_image(image: Image, target: Path, suffix: str) -> None:
    if suffix in NIFTI:
        from hexscope.io.nifti import save_nifti

        save_nifti(image, target)
    elif suffix in ITK:
        from hexscope.io.itk import save_itk

        save_itk(image, target)
    elif suffix in PICTURE:
        from hexscope.io.raster import save_picture

        save_picture(image, target)
    elif suffix in MOVING:
        from hexscope.io.animation import save_animation

        save_animation(image, target)
    elif suffix == "" or (suffix == ".dcm" and image.grid.ndim == 2):
        from hexscope.io.dicom_write import save_file, save_series

        save_series(image, target) if suffix == "" else save_file(image, target)
    else:
        raise UsageError(
            f"an image of shape {image.shape} cannot be written as {target.name}; use .nii.gz, .nrrd, .mha, "
            ".png (2-D), or a folder name without suffix for a DICOM series"
        )


def _save_mask(mask: Mask, target: Path, suffix: str, source: Image | None) -> None:
    if suffix in NIFTI:
        from hexscope.io.nifti import save_nifti

        save_nifti(mask, target)
    elif suffix in ITK:
        from hexscope.io.itk import save_itk

        save_itk(mask, target)
    elif suffix in PICTURE:
        from hexscope.io.raster import save_picture

        save_picture(mask, target)
    elif suffix == ".dcm":
        from hexscope.io.dicom_write_seg import save_seg

        save_seg(mask, target, source=source or _source_of(mask))
    else:
        raise UsageError(f"a mask cannot be written as {target.name}; use .nii.gz, .nrrd, .mha, .png or .dcm (SEG)")


def _source_of(mask: Mask) -> Image:
    """The DICOM image that the mask was made on, read again from the files it remembers."""
    from hexscope.io.dicom import DICOM

    found = DICOM.scan([Path(f) for f in mask.files])
    images = [s for s in found.series if s.kind == "image"]
    if len(images) != 1:
        raise UsageError(
            "a DICOM SEG refers to the DICOM image it lies on, and this mask remembers none; pass source=, "
            "or write .nii.gz"
        )
    image = images[0].load()
    assert isinstance(image, Image)
    return image
