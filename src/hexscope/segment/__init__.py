"""Segment what needs no trained model: rules from physics and shape, one file a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hexscope.core.image import Image, Mask
from hexscope.errors import NoModelError
from hexscope.segment import body, ct_rules, fan, tissue
from hexscope.segment.found import Offer

#: What each modality's rules offer. X-ray has none: a threshold outlines nothing in a projection.
RULES: Mapping[str, Offer] = {
    "CT": Offer(("body", "lung", "bone"), ct_rules.find),
    "MR": Offer(("body",), body.find),
    "PT": Offer(("body",), body.find),
    "US": Offer(("fan",), fan.find),
    "SM": Offer(("tissue",), tissue.find),
}


def segment(image: Image, what: Sequence[str] | None = None) -> Mask:
    """Structures of ``image`` as a Mask on its grid (a slide's: on a coarser grid over the same slide).

    what  names among body, lung, bone (CT), body (MR, PT), fan (US), tissue (SM); None: all of the modality.
          Lungs come as "lung left" and "lung right" by the patient's own side.

    A structure that is not there is an empty label; the mask's ``steps`` say so, as they tell the method.
    Raises NoModelError where no rule fits, QuantityError where the numbers are not what the rule expects,
    GeometryError where a volume is needed.
    """
    offer = RULES.get(image.modality)
    if offer is None:
        offered = "; ".join(f"{code}: {', '.join(o.names)}" for code, o in RULES.items())
        raise NoModelError(
            f"no rule segments {image.modality} images; there are rules for {offered}. Train a model, or pass one"
        )
    names = offer.names if what is None else tuple(dict.fromkeys(what))
    unfit = [name for name in names if name not in offer.names]
    if unfit:
        raise NoModelError(
            f"no rule finds {', '.join(unfit)} on {image.modality}; it offers {', '.join(offer.names)}. "
            "For other structures train a model, or pass one"
        )
    found = offer.find(image, names)
    steps = (*image.steps, f"segment: {found.method}", *(f"warning: {w}" for w in found.warnings))
    return Mask.from_parts(found.parts, found.grid, steps=steps, files=image.files, name=image.name)
