"""Colour palettes: grey, four that DICOM names for PET (PS3.6 Annex B, "Well-known Color Palettes"), and a rainbow.

The rainbow is used only where it is asked for by name: its bright bands draw borders that the numbers do not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import UsageError

Bytes = NDArray[np.uint8]
Knots = tuple[tuple[int, int], ...]


def _staircase(steps: Sequence[tuple[int, int, int, int]]) -> Sequence[Knots]:
    """Flat steps as corners: each holds from its first entry to the one before the next."""
    ends = [*(start - 1 for start, *_ in steps[1:]), 255]
    return tuple(
        tuple((entry, step[c]) for step, end in zip(steps, ends, strict=True) for entry in (step[0], end))
        for c in (1, 2, 3)
    )


#: First entry and colour of each step of "pet 20 step".
_STEPS = (
    (0, 0, 0, 0), (13, 96, 0, 80), (26, 48, 48, 80), (39, 48, 48, 112), (51, 80, 80, 128), (64, 96, 96, 176),
    (77, 112, 112, 192), (90, 128, 128, 224), (102, 48, 96, 48), (115, 48, 144, 48), (128, 80, 192, 80),
    (141, 64, 224, 64), (153, 224, 224, 80), (166, 208, 208, 96), (179, 208, 176, 64), (192, 208, 144, 0),
    (204, 192, 96, 0), (217, 176, 48, 0), (230, 255, 0, 0), (243, 255, 255, 255),
)  # fmt: skip

#: Red, green and blue of each palette as corners (entry, value) of straight lines over its 256 entries. Between
#: corners the standard's tables are these lines, rounded; a test compares every entry.
_CORNERS: dict[str, Sequence[Knots]] = {
    "grey": (((0, 0), (255, 255)),) * 3,
    "hot iron": (
        ((0, 0), (127, 254), (129, 255), (255, 255)),
        ((0, 0), (128, 0), (254, 252), (255, 255)),
        ((0, 0), (191, 0), (254, 252), (255, 255)),
    ),
    "pet": (
        ((0, 0), (63, 0), (64, 1), (149, 170), (150, 171), (192, 255), (255, 255)),
        (
            *((0, 0), (31, 62), (33, 67), (62, 125), (63, 128), (95, 64), (97, 61), (127, 1), (128, 0)),
            *((254, 252), (255, 255)),
        ),
        ((0, 0), (1, 1), (128, 255), (130, 248), (192, 0), (233, 165), (235, 174), (254, 250), (255, 255)),
    ),
    "hot metal blue": (
        ((0, 0), (85, 0), (102, 50), (119, 90), (153, 190), (170, 255), (255, 255)),
        ((0, 0), (119, 0), (238, 224), (255, 255)),
        (
            *((0, 0), (17, 33), (42, 83), (43, 84), (76, 149), (93, 183), (94, 184), (102, 200), (119, 150)),
            *((136, 50), (153, 0), (170, 0), (238, 200), (255, 255)),
        ),
    ),
    "pet 20 step": _staircase(_STEPS),
    "rainbow": (
        ((0, 0), (128, 0), (191, 255), (255, 255)),
        ((0, 0), (64, 255), (191, 255), (255, 0)),
        ((0, 255), (64, 255), (128, 0), (255, 0)),
    ),
}

PALETTES = tuple(_CORNERS)


def canonical(name: str) -> str:
    """The name as ``PALETTES`` has it; hyphens and underscores count as spaces. UsageError for one it has not."""
    wanted = name.strip().lower().replace("-", " ").replace("_", " ")
    if wanted not in _CORNERS:
        raise UsageError(f"unknown palette {name!r}; known are {', '.join(PALETTES)}")
    return wanted


def palette(name: str) -> Bytes:
    """The 256 colours of a palette, (256, 3), read-only. UsageError for a name that is not among ``PALETTES``."""
    return _table(canonical(name))


@cache
def _table(name: str) -> Bytes:
    entries = np.arange(256)
    lines = [np.interp(entries, [e for e, _ in corners], [v for _, v in corners]) for corners in _CORNERS[name]]
    table = np.floor(np.stack(lines, axis=1) + 0.5 + 1e-9).astype(np.uint8)
    table.setflags(write=False)
    return table


def colours(levels: NDArray[np.floating], name: str) -> NDArray[np.float32]:
    """Levels in 0..1 as colours, 0..255 in float, with a last axis of 3. Grey is not rounded to its 256 entries."""
    if canonical(name) == "grey":
        return np.repeat(np.asarray(levels, dtype=np.float32)[..., None] * np.float32(255.0), 3, axis=-1)
    entry = np.floor(np.asarray(levels) * 255.0 + 0.5).astype(np.uint8)
    return palette(name)[entry].astype(np.float32)
