"""The body on MR and PET: all that is clearly brighter than the empty space around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hexscope.core.image import Image
from hexscope.core.quantity import Quantity, require_quantity
from hexscope.segment.found import Found
from hexscope.segment.view import View, closed, filled, large, opened

#: Muscle and fat take up more FDG than this; reconstruction noise in air mostly stays below.
_BODY_SUV = 0.2
#: On MR, of the 99th percentile: noise in air lies below, the darkest muscle on T1 (a quarter of fat) above.
_BODY_MR = 0.1
_LEAST_PIECE = 0.03


def find(image: Image, names: Sequence[str]) -> Found:
    """``names`` is ("body",). By threshold and shape: cortical bone, lung and air in the body are filled in.

    Raises QuantityError for a PET that is not in SUVbw, GeometryError where there is no volume.
    """
    view = View.of(image, f"segmenting {image.modality}")
    if image.modality == "PT":
        require_quantity(image.quantity, Quantity.SUVBW, "segmenting PET")
        threshold = _BODY_SUV
    else:
        threshold = _BODY_MR * float(np.percentile(view.coarse, 99))
    bright = opened(view.coarse > threshold, view.coarse_mm, max(view.coarse_mm))
    pieces = large(bright, 1)
    kept = [piece for piece in pieces if piece.sum() >= _LEAST_PIECE * pieces[0].sum()]
    body = filled(closed(np.any(kept, axis=0), view.coarse_mm, 10.0)) if kept else bright
    warnings = [] if kept else ["no body was found"]
    if body.mean() > 0.95:
        warnings.append("no empty space around the body: the image is cropped inside it")
    part = view.back(view.refined(body, view.array > threshold, 1.01 * max(view.coarse_mm)))
    return Found(image.grid, {"body": part}, f"body above {threshold:.4g}", tuple(warnings))
