"""Make the figures of docs/medical-images.md that need no real data: one patient, six kinds of image (synthetic).

    python docs/make_figures.py

The one by number of cases: ``python benchmarks/few_cases.py --minutes 0.5 --only chest --figure docs/few-cases.svg``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import hexscope as hx
from hexscope.study.canvas import Panel, strip
from hexscope.study.model_pictures import in_grey

DOCS = Path(__file__).parent
_SIDE_PX = 300


def panel(image: hx.Image) -> Panel:
    """The middle plane in its usual window, with what its numbers mean and how they run."""
    array = image.array
    low, high = np.percentile(array, [1, 99])
    if array.ndim == 3 and image.quantity is not hx.Quantity.RGB:
        plane = array.shape[0] // 2
        array = array[plane]
    step = max(1, round(max(array.shape[:2]) / _SIDE_PX))
    title = f"{image.modality} {image.quantity.value} {plain(low)}..{plain(high)}"
    return Panel(in_grey(image, array)[::step, ::step], title=title)


def plain(value: float) -> str:
    """Three digits, never with an exponent: -1020, 0.42, 17."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 0.001 else "0"


def six(images: Mapping[str, hx.Image]) -> bytes:
    """One panel a modality, side by side."""
    return strip([panel(image) for image in images.values()], height=220, most_width=1500)


def main() -> int:
    sys.path.insert(0, str(DOCS))
    sys.path.insert(0, str(DOCS.parent))
    from make_pages import phantom_images

    from tests.tidy import tidy_phantom

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tidy_phantom(hx.phantom(folder / "phantom"), folder)
        (DOCS / "six-modalities.png").write_bytes(six(phantom_images(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
