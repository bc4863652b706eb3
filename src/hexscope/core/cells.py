"""How the surface of a structure cuts a cell of 2 × 2 (× 2) pixel centres: marching squares and cubes, by rule.

Every cut runs between middles of the cell's sides. No table is kept: on each face the outline goes around the corners
inside, and the lines of the six faces close to polygons. Neighbouring cells cut their common face alike, so a surface
has no holes. Two corners across a face belong to two pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, ...]
Point = tuple[float, ...]


def corners_of(dims: int) -> list[Corner]:
    """The corners of a cell; bit n of a code says whether corner n belongs to the structure."""
    return list(product((0, 1), repeat=dims))


def codes_of(part: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The code of every cell of a bool array, each axis one longer: it is closed where it runs to the border."""
    inner = np.pad(part, 1).astype(np.uint8)
    code = np.zeros([n - 1 for n in inner.shape], np.uint8)
    for bit, corner in enumerate(corners_of(part.ndim)):
        cell = tuple(slice(c, n - 1 + c) for c, n in zip(corner, inner.shape, strict=True))
        code |= inner[cell] << np.uint8(bit)
    return code


def cuts_of(code: int, dims: int) -> list[list[Point]]:
    """Where the surface cuts a cell, 0..1 along its sides: lines of two points, or closed polygons in a cube."""
    inside = {corner: bool(code >> bit & 1) for bit, corner in enumerate(corners_of(dims))}
    if dims == 2:
        return [list(ends) for ends in _cuts([(0, 0), (0, 1), (1, 1), (1, 0)], inside)]
    neighbours: dict[Point, list[Point]] = {}
    for face in _faces():
        for a, b in _cuts(face, inside):
            neighbours.setdefault(a, []).append(b)
            neighbours.setdefault(b, []).append(a)
    return list(_loops(neighbours))


def _faces() -> Iterator[list[Corner]]:
    """The six sides of a cube, corners in turn."""
    for axis in range(3):
        for side in (0, 1):
            square = [(0, 0), (0, 1), (1, 1), (1, 0)]
            yield [(*c[:axis], side, *c[axis:]) for c in square]


def _cuts(square: list[Corner], inside: dict[Corner, bool]) -> Iterator[tuple[Point, Point]]:
    """Where the outline cuts a square: between middles of its sides."""
    middles = [tuple((a + b) / 2 for a, b in zip(square[i], square[i - 1], strict=True)) for i in range(4)]
    crossed = [middles[i] for i in range(4) if inside[square[i]] != inside[square[i - 1]]]
    if len(crossed) == 2:
        yield crossed[0], crossed[1]
    elif crossed:
        yield from ((middles[i], middles[(i + 1) % 4]) for i in range(4) if inside[square[i]])


def _loops(neighbours: dict[Point, list[Point]]) -> Iterator[list[Point]]:
    """The closed lines of a graph in which every point has two neighbours."""
    left = set(neighbours)
    while left:
        loop = [min(left)]
        left.discard(loop[0])
        while onward := [p for p in neighbours[loop[-1]] if p in left]:
            loop.append(onward[0])
            left.discard(onward[0])
        yield loop
