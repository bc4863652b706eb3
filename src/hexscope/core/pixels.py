"""Where the numbers come from: memory, or a file that is read by region when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hexscope.errors import InputError

Region = tuple[slice, ...]

#: An array larger than this is not read whole by accident, bytes.
WHOLE_LIMIT_BYTES = 8 << 30


class Pixels(Protocol):
    """A source of pixels. An adapter over a file, not a framework for lazy computation.

    shape   of level 0, all axes (time first, colour last)
    levels  the shape of each pyramid level, finest first; one entry where there is no pyramid
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def levels(self) -> tuple[tuple[int, ...], ...]: ...

    def read(self, region: Region = (), level: int = 0) -> NDArray[Any]:
        """The pixels of ``region`` (slices with step 1, leading axes; missing ones are whole) at ``level``."""
        ...


class ArrayPixels:
    """Pixels that are in memory already. The array is made read-only: images do not change."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array.view()
        self._array.setflags(write=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        return (self.shape,)

    def read(self, region: Region = (), level: int = 0) -> NDArray[Any]:
        if level:
            raise InputError(f"level {level} was asked of an image with one level")
        return self._array[region]


class LazyPixels:
    """Pixels of one level behind a function that reads a region; the whole is kept once it was read whole."""

    def __init__(self, shape: Sequence[int], dtype: DTypeLike, read_region: Callable[[Region], NDArray[Any]]) -> None:
        self._shape = tuple(int(n) for n in shape)
        self._dtype = np.dtype(dtype)
        self._read_region = read_region
        self._whole: NDArray[Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        return (self._shape,)

    def read(self, region: Region = (), level: int = 0) -> NDArray[Any]:
        if level:
            raise InputError(f"level {level} was asked of an image with one level")
        region = full_region(region, self._shape)
        if self._whole is not None:
            return self._whole[region]
        pixels = self._read_region(region)
        if pixels.shape == self._shape:
            self._whole = pixels.view()
            self._whole.setflags(write=False)
            return self._whole
        return pixels


class PyramidPixels:
    """Pixels in several resolutions, read by region from the level that is asked for."""

    def __init__(
        self,
        levels: Sequence[Sequence[int]],
        dtype: DTypeLike,
        read_region: Callable[[Region, int], NDArray[Any]],
    ) -> None:
        self._levels = tuple(tuple(int(n) for n in shape) for shape in levels)
        self._dtype = np.dtype(dtype)
        self._read_region = read_region

    @property
    def shape(self) -> tuple[int, ...]:
        return self._levels[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        return self._levels

    def read(self, region: Region = (), level: int = 0) -> NDArray[Any]:
        if not 0 <= level < len(self._levels):
            raise InputError(f"level {level} was asked; the image has levels 0 to {len(self._levels) - 1}")
        return self._read_region(full_region(region, self._levels[level]), level)


def full_region(region: Region, shape: Sequence[int]) -> Region:
    """``region`` with explicit bounds on every axis. Steps other than 1 are refused."""
    out = []
    for axis, n in enumerate(shape):
        part = region[axis] if axis < len(region) else slice(None)
        start, stop, step = part.indices(n)
        if step != 1:
            raise InputError("regions are read with step 1; take every n-th pixel from the array")
        out.append(slice(start, max(start, stop)))
    return tuple(out)


def check_whole(pixels: Pixels, limit_bytes: int = WHOLE_LIMIT_BYTES) -> None:
    """Raise InputError where reading everything would not be sane."""
    size = int(np.prod(pixels.shape, dtype=np.float64)) * pixels.dtype.itemsize
    if size > limit_bytes:
        raise InputError(
            f"the whole image is {size / 2**30:.0f} GB; read a part of it with crop(), or a coarser level "
            f"with at_level() ({len(pixels.levels)} levels)",
            code="file.too_large",
        )
