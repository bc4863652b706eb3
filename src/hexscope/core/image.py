"""Image, Mask and Study: pixels or labels together with their grid, their meaning and their history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.faults import Fault
from hexscope.core.geometry import Grid
from hexscope.core.pixels import ArrayPixels, Pixels, Region, check_whole
from hexscope.core.quantity import Quantity, require_same
from hexscope.errors import GeometryError, InputError, UsageError

_SPATIAL = ("z", "y", "x")


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels that know where they lie and what they mean. Never changed: every verb gives a new one.

    pixels    the numbers, in memory or read on demand; ``array`` gives all of them
    grid      the spatial axes
    modality  "CT", "MR", "XR", "US", "PT", "SM" (slides), or "OT" where the file does not say
    quantity  what a number means
    axes      one letter an array axis: t (time), z, y, x, c (colour)
    facts     what the header says, by DICOM keyword; the modality's formulas read from here
    steps     what was done since the file, oldest first
    faults    what the reader found wrong
    files     the files it came from, in slice order
    name      a short name for messages: the file or folder, never the patient
    """

    pixels: Pixels
    grid: Grid
    modality: str
    quantity: Quantity
    axes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    files: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        axes = self.axes or _SPATIAL[-self.grid.ndim :]
        object.__setattr__(self, "axes", tuple(axes))
        object.__setattr__(self, "facts", MappingProxyType(dict(self.facts)))
        if len(axes) != len(self.pixels.shape):
            raise GeometryError(f"axes {axes} do not fit pixels of shape {self.pixels.shape}")
        spatial = tuple(n for a, n in zip(axes, self.pixels.shape, strict=True) if a in _SPATIAL)
        if spatial != self.grid.shape:
            raise GeometryError(f"pixels {self.pixels.shape} with axes {axes} do not fit a grid of {self.grid.shape}")

    @classmethod
    def from_array(
        cls,
        array: NDArray[Any],
        grid: Grid | None = None,
        *,
        modality: str = "OT",
        quantity: Quantity | str = Quantity.ARBITRARY,
        axes: Sequence[str] = (),
        **more: Any,
    ) -> Image:
        """An image from numbers in memory; ``grid`` defaults to an uncalibrated one of the array's shape."""
        kind = quantity if isinstance(quantity, Quantity) else Quantity.named(quantity)
        if grid is None:
            letters = tuple(axes) or _SPATIAL[-array.ndim :]
            shape = tuple(n for a, n in zip(letters, array.shape, strict=True) if a in _SPATIAL)
            grid = Grid(shape, plane="unknown")
        return cls(ArrayPixels(np.asarray(array)), grid, modality, kind, axes=tuple(axes), **more)

    # ---- pixels -------------------------------------------------------------------------------------

    @property
    def array(self) -> NDArray[Any]:
        """All pixels, in axes order, read-only. Refused where they would not fit (a whole slide)."""
        check_whole(self.pixels)
        return self.pixels.read()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.pixels.shape

    @property
    def is_volume(self) -> bool:
        """Three placed spatial axes and nothing else?"""
        return self.axes == _SPATIAL and self.grid.affine is not None

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        """Positions of z, y, x among the array axes."""
        return tuple(i for i, a in enumerate(self.axes) if a in _SPATIAL)

    def require_volume(self, purpose: str) -> NDArray[Any]:
        """The array, or a GeometryError where this is not one placed 3-D volume."""
        if not self.is_volume:
            raise GeometryError(
                f"{purpose} needs one placed volume (z, y, x); {self.name or 'the image'} has axes "
                f"{self.axes} and {'no' if self.grid.affine is None else 'a'} position. "
                "Take one time point with frame(), or see info."
            )
        return self.array

    # ---- new images from this one -------------------------------------------------------------------

    def with_array(self, array: NDArray[Any], step: str, *, quantity: Quantity | None = None) -> Image:
        """The same grid with other numbers, and a word on what was done."""
        kind = quantity or self.quantity
        return replace(self, pixels=ArrayPixels(array), quantity=kind, steps=(*self.steps, step))

    def with_fault(self, *faults: Fault) -> Image:
        return replace(self, faults=(*self.faults, *faults))

    def crop(self, start: Sequence[int], stop: Sequence[int], *, level: int = 0) -> Image:
        """The part between spatial indices ``start`` and ``stop`` of a pyramid level; reads only that part."""
        grid = self.at_level(level).grid if level else self.grid
        new_grid = grid.crop(start, stop)
        bounds = dict(zip(self.spatial_axes, zip(start, stop, strict=True), strict=True))
        region: Region = tuple(slice(*bounds[i]) if i in bounds else slice(None) for i in range(len(self.axes)))
        step = f"crop {tuple(start)} to {tuple(stop)}" + (f" at level {level}" if level else "")
        return replace(
            self,
            pixels=ArrayPixels(self.pixels.read(region, level)),
            grid=new_grid,
            steps=(*self.steps, step),
        )

    def at_level(self, level: int) -> Image:
        """The whole of a coarser pyramid level (0 is the image itself)."""
        if level == 0:
            return self
        if not 0 < level < len(self.pixels.levels):
            raise InputError(f"{self.name} has levels 0 to {len(self.pixels.levels) - 1}; {level} was asked")
        shape = tuple(self.pixels.levels[level][i] for i in self.spatial_axes)
        pixels = ArrayPixels(self.pixels.read((), level))
        return replace(self, pixels=pixels, grid=self.grid.with_shape(shape), steps=(*self.steps, f"level {level}"))

    def frame(self, index: int) -> Image:
        """One time point of a cine or dynamic image."""
        if "t" not in self.axes:
            raise UsageError(f"{self.name or 'the image'} has no time axis; its axes are {self.axes}")
        at = self.axes.index("t")
        if not 0 <= index < self.shape[at]:
            raise UsageError(f"{self.name or 'the image'} has time points 0 to {self.shape[at] - 1}; {index} was asked")
        region: Region = tuple(slice(index, index + 1) if i == at else slice(None) for i in range(len(self.axes)))
        array = self.pixels.read(region).squeeze(at)
        axes = tuple(a for a in self.axes if a != "t")
        return replace(self, pixels=ArrayPixels(array), axes=axes, steps=(*self.steps, f"frame {index}"))

    def calibrated(self, spacing_mm: Sequence[float]) -> Image:
        """The same image with a spacing that the user vouches for, in array order."""
        if len(spacing_mm) == self.grid.ndim + 1:
            spacing_mm = spacing_mm[1:]
        grid = self.grid.calibrated(spacing_mm)
        faults = tuple(f for f in self.faults if f.code != "geometry.no_spacing")
        step = f"spacing {tuple(spacing_mm)} mm given by the user"
        return replace(self, grid=grid, faults=faults, steps=(*self.steps, step))

    # ---- arithmetic: only within one quantity and one grid -------------------------------------------

    def __sub__(self, other: Image) -> Image:
        self._require_like(other, "a difference")
        return self.with_array(self.array.astype(np.float32) - other.array, f"minus {other.name or 'image'}")

    def __add__(self, other: Image) -> Image:
        self._require_like(other, "a sum")
        return self.with_array(self.array.astype(np.float32) + other.array, f"plus {other.name or 'image'}")

    def _require_like(self, other: Image, purpose: str) -> None:
        require_same(self.quantity, other.quantity, purpose)
        if not self.grid.same_as(other.grid):
            raise GeometryError(f"{purpose} needs one grid; bring one image onto the other with resample()")


@dataclass(frozen=True)
class Label:
    """One structure of a Mask: its value in its layer, and its name."""

    value: int
    name: str
    layer: int = 0


@dataclass(frozen=True, eq=False)
class Mask:
    """Structures on a grid. Its type says how it is resampled: by nearest neighbour, never blended.

    layers  label arrays on the grid, 0 = background. Structures that overlap lie in different layers;
            most masks have one, and ``array`` is it.
    labels  the structures; values are unique in the whole mask
    """

    layers: tuple[NDArray[Any], ...]
    grid: Grid
    labels: tuple[Label, ...]
    steps: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        layers = []
        for layer in self.layers:
            if layer.shape != self.grid.shape:
                raise GeometryError(f"a mask of shape {layer.shape} does not fit its grid {self.grid.shape}")
            view = layer.astype(np.uint16, copy=False).view()
            view.setflags(write=False)
            layers.append(view)
        object.__setattr__(self, "layers", tuple(layers))
        values = [label.value for label in self.labels]
        if len(set(values)) != len(values) or any(v < 1 for v in values):
            raise InputError(f"label values are unique and above 0; got {values}")

    @classmethod
    def from_array(cls, array: NDArray[Any], grid: Grid, names: Mapping[int, str] | None = None, **more: Any) -> Mask:
        """A mask from one label array (or bool); values without a name are called ``label N``."""
        array = np.asarray(array)
        if array.dtype.kind == "f" and not np.array_equal(array, np.round(array)):
            raise InputError("a mask holds whole label values; this array holds fractions")
        found = [int(v) for v in np.unique(array) if v != 0]
        given = dict(names or {})
        if any(v < 0 for v in found):
            raise InputError(f"label values are above 0; got {[v for v in found if v < 0]}")
        labels = tuple(Label(v, given.get(v, f"label {v}")) for v in sorted({*found, *given}))
        return cls((array.astype(np.uint16),), grid, labels, **more)

    @classmethod
    def from_parts(cls, parts: Mapping[str, NDArray[np.bool_]], grid: Grid, **more: Any) -> Mask:
        """A mask from named boolean arrays; those that overlap get layers of their own."""
        layers: list[NDArray[Any]] = []
        labels = []
        for value, (name, part) in enumerate(parts.items(), start=1):
            where = next((i for i, layer in enumerate(layers) if not np.any(layer[part])), len(layers))
            if where == len(layers):
                layers.append(np.zeros(grid.shape, np.uint16))
            layers[where][part] = value
            labels.append(Label(value, name, where))
        return cls(tuple(layers) or (np.zeros(grid.shape, np.uint16),), grid, tuple(labels), **more)

    @property
    def array(self) -> NDArray[Any]:
        """The label array. Raises where structures overlap: ask for each with ``of(name)``."""
        if len(self.layers) > 1:
            raise InputError("structures of this mask overlap, one array cannot hold them; use mask.of(name)")
        return self.layers[0]

    def of(self, label: str | int) -> NDArray[np.bool_]:
        """Where one structure is, by name or value: bool, on the grid."""
        for entry in self.labels:
            if label in (entry.name, entry.value):
                return np.asarray(self.layers[entry.layer] == entry.value)
        known = ", ".join(f"{e.value} {e.name}" for e in self.labels)
        raise UsageError(f"the mask has no label {label!r}; it has {known or 'none'}")

    @property
    def any(self) -> NDArray[np.bool_]:
        """Where any structure is."""
        return np.asarray(np.any([layer > 0 for layer in self.layers], axis=0))

    def counts(self) -> dict[int, int]:
        """Pixels of each label, by its value."""
        total = np.zeros(1 + max((label.value for label in self.labels), default=0), np.int64)
        for layer in self.layers:
            for plane in layer:  # plane by plane: counting turns its input into 64-bit numbers
                found = np.bincount(plane.ravel(), minlength=len(total))
                total += found[: len(total)]
        return {label.value: int(total[label.value]) for label in self.labels}

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def calibrated(self, spacing_mm: Sequence[float]) -> Mask:
        """The same mask with a spacing that the user vouches for, in array order."""
        step = f"spacing {tuple(spacing_mm)} mm given by the user"
        return replace(self, grid=self.grid.calibrated(spacing_mm), steps=(*self.steps, step))


@dataclass(frozen=True)
class Study:
    """Images (and masks) that belong together, by series id."""

    images: Mapping[str, Image] = field(default_factory=dict)
    masks: Mapping[str, Mask] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Image]:
        return iter(self.images.values())

    def of_modality(self, modality: str) -> tuple[Image, ...]:
        return tuple(image for image in self.images.values() if image.modality == modality)
