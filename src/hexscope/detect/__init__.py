"""Detect what needs no trained model: hot-lesion candidates on PET."""

from __future__ import annotations

from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity, require_quantity
from hexscope.core.results import Findings
from hexscope.detect import hot
from hexscope.detect.threshold import BY_NAME, Sphere, Threshold
from hexscope.detect.threshold import liver as liver_rule
from hexscope.errors import NoModelError, UsageError

__all__ = ["Sphere", "detect"]

_BEWARE = "normal uptake (brain, heart, liver, kidneys, bladder, bowel) is among the candidates"


def detect(
    image: Image,
    *,
    threshold: str = "fixed",
    suv: float = 4.0,
    liver: Mask | Sphere | None = None,
    minimum_ml: float = 0.25,
) -> Findings:
    """Hot-lesion candidates on a PET in SUVbw, best score first; ``mask`` holds their outlines.

    threshold   "fixed" (SUV ≥ ``suv``), "41%" (of each lesion's maximum), "background" (half way to its
                surroundings) or "liver" (1.5 × mean + 2 sd of ``liver``); sources in `detect.threshold`
    suv         fixed: the edge; 41% and background: the least maximum of a lesion
    minimum_ml  smaller candidates are left out; 0.25 ml is a ball of 8 mm, about what PET resolves

    Candidates, not diagnoses: normal uptake is among them. Measures say what was found: suv_max, suv_peak,
    suv_mean, mtv_ml, tlg, diameters, the SUV around it, and as 0 or 1 whether it touches the image's border
    and whether it is large like an organ.

    Raises NoModelError for other modalities, QuantityError where the image is not in SUVbw, GeometryError
    where it is no placed volume, UsageError for an unknown threshold.
    """
    if image.modality != "PT":
        raise NoModelError(
            f"no rule detects anything on {image.modality} images; there is one for hot lesions on PET (PT). "
            "Train a model, or pass one"
        )
    require_quantity(image.quantity, Quantity.SUVBW, "detecting hot lesions")
    rule = _rule(image, threshold, suv, liver)
    items, mask = hot.findings(image, hot.candidates(image, rule, minimum_ml))
    step = f"detect: {rule.method}; at least {minimum_ml:g} ml"
    return Findings(
        items=items,
        method=rule.method,
        mask=mask,
        warnings=(_BEWARE,) if items else ("no candidate was found",),
        steps=(*image.steps, step),
    )


def _rule(image: Image, threshold: str, suv: float, liver: Mask | Sphere | None) -> Threshold:
    if threshold == "liver":
        return liver_rule(image, liver)
    if threshold not in BY_NAME:
        raise UsageError(f"unknown threshold {threshold!r}; known are {', '.join(BY_NAME)}, liver")
    if suv <= 0:
        raise UsageError(f"suv is above 0; got {suv:g}")
    return BY_NAME[threshold](suv)
