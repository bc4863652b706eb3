"""Numbers that describe a region of an image, named and defined by the Image Biomarker Standardisation Initiative."""

from __future__ import annotations

from hexscope.radiomics.extract import of_array
from hexscope.radiomics.settings import FAMILIES, TEXTURE, Settings

__all__ = ["FAMILIES", "TEXTURE", "Settings", "of_array"]
