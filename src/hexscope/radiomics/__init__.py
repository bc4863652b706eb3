"""Numbers that describe a region of an image, named and defined by the Image Biomarker Standardisation Initiative."""

from __future__ import annotations

from hexscope.radiomics.extract import of_array
from hexscope.radiomics.features import Features, features
from hexscope.radiomics.settings import AGGREGATIONS, FAMILIES, TEXTURE, FeatureSettings

__all__ = ["AGGREGATIONS", "FAMILIES", "TEXTURE", "FeatureSettings", "Features", "features", "of_array"]
