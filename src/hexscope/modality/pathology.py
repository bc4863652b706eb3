"""Pathology: a stained section under the microscope. Colour is light that passed; dye is optical density."""

from __future__ import annotations

import numpy as np

from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.core.results import LedgerEntry
from hexscope.modality.base import Ledger, Modality, no_conversion
from hexscope.modality.facts import grey_or_colour

#: What an 8-bit scanner writes where nothing absorbs.
WHITE = 255.0


def convert(image: Image, wanted: Quantity) -> tuple[Image, Ledger]:
    """RGB to optical density, per channel: OD = −log10((I + 1) / (I0 + 1)) with I0 = 255.

    Beer-Lambert as in Ruifrok and Johnston, Anal Quant Cytol Histol 23:291–299 (2001); the 1 keeps black
    finite (OD at most 2.41). float32, same axes. It reads all pixels: take a region or a coarse level first.
    """
    if image.quantity is not Quantity.RGB or wanted is not Quantity.OPTICAL_DENSITY:
        return no_conversion(image, wanted)
    light = (image.array.astype(np.float32) + 1.0) / np.float32(WHITE + 1.0)
    density = np.maximum(-np.log10(light), 0.0)
    step = "optical density from RGB, white 255 (Ruifrok 2001)"
    ledger = (LedgerEntry("incident light", WHITE, "", "8-bit white"),)
    return image.with_array(density, step, quantity=Quantity.OPTICAL_DENSITY), ledger


SM = Modality(
    code="SM",
    name="Pathology",
    name_zh="病理",
    dicom=("SM", "GM"),
    guide="pathology",
    stored=grey_or_colour,
    plausible={Quantity.OPTICAL_DENSITY: (0.0, 2.5), Quantity.RGB: (0.0, 255.0)},
    needs=("PixelSpacing",),
    convert=convert,
)
