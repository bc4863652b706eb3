"""The body on MR and PET: all that is clearly brighter than the empty space around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hexscope.core.image import Image
from hexscope.segment.found import Found
from hexscope.segment.otsu import otsu
from hexscope.segment.view import View, closed, filled, large, opened

_LEAST_PIECE = 0.03


def find(image: Image, names: Sequence[str]) -> Found:
    """``names`` is ("body",). Otsu's threshold on square roots: they tame hot spots and bright fat alike."""
    view = View.of(image, f"segmenting {image.modality}")
    roots = np.sqrt(np.clip(view.coarse, 0, np.percentile(view.coarse, 99)).astype(np.float32))
    threshold = otsu(roots) ** 2
    bright = opened(view.coarse > threshold, view.coarse_mm, max(view.coarse_mm))
    pieces = large(bright, 1)
    kept = [piece for piece in pieces if piece.sum() >= _LEAST_PIECE * pieces[0].sum()]
    body = filled(closed(np.any(kept, axis=0), view.coarse_mm, 5.0)) if kept else bright
    warnings = [] if kept else ["no body was found"]
    if body.mean() > 0.95:
        warnings.append("no empty space around the body: the image is cropped inside it")
    part = view.back(view.refined(body, view.array > threshold, 1.01 * max(view.coarse_mm)))
    return Found(image.grid, {"body": part}, f"Otsu threshold {threshold:.4g}", tuple(warnings))
