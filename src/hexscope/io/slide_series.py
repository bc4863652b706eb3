"""From an open slide, of whatever file, to a Series."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hexscope.core.faults import Fault
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.pixels import PyramidPixels
from hexscope.core.quantity import Quantity
from hexscope.io.series import Series
from hexscope.io.slide_sources import Source


def slide_series(
    reopen: Callable[[], Source],
    source: Source,
    uid: str,
    files: tuple[str, ...],
    format_name: str,
    facts: Mapping[str, Any],
) -> Series:
    """A series from an open slide; ``reopen`` gives the source again when it is read."""
    frame = facts.get("FrameOfReferenceUID")
    grid = Grid(source.levels[0][:2], spacing_mm=source.spacing_mm, plane="slide", frame_of_reference=frame)
    name = Path(files[0]).name
    faults = source.faults
    if source.spacing_mm is None:
        faults = (
            *faults,
            Fault("geometry.no_spacing", f"{name} gives no microns per pixel that a microscope can have"),
        )

    def load() -> Image:
        opened = reopen()
        return Image(
            PyramidPixels(opened.levels, np.uint8, opened.read), grid, "SM", Quantity.RGB, axes=("y", "x", "c"),
            facts=facts, faults=faults, files=files, name=name, steps=opened.steps,
        )  # fmt: skip

    return Series(
        uid, format_name, "image", "SM", files, load, quantity=Quantity.RGB, shape=source.levels[0],
        axes=("y", "x", "c"), grid=grid, description=source.description, faults=faults, facts=facts,
    )  # fmt: skip
