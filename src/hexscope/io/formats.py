"""The formats, in the order they are asked whether a file is theirs."""

from __future__ import annotations

from hexscope.io.dicom import DICOM
from hexscope.io.itk import ITK
from hexscope.io.nifti import NIFTI
from hexscope.io.raster import RASTER
from hexscope.io.series import Format
from hexscope.io.slide import SLIDE

FORMATS: tuple[Format, ...] = (
    DICOM,  # known by its magic word; whole slides in DICOM are handed to slide.py from there
    NIFTI,
    ITK,  # NRRD and MetaImage
    SLIDE,  # before plain rasters: a whole slide is a TIFF too
    RASTER,
)
