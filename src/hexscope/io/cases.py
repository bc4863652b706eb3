"""Read a table of labelled cases, whoever wrote it, and open the images and labels of a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.errors import GeometryError, InputError, UsageError
from hexscope.io.case import WHOLE, Box, Case, CaseTable, Refusal, Target
from hexscope.io.case_coco import read_coco
from hexscope.io.case_csv import read_csv
from hexscope.io.case_folders import read_class_folders, read_dataset, read_json
from hexscope.io.reading import declared, read_image, read_mask

__all__ = [
    "IGNORE", "ROUNDED", "WHOLE", "Box", "Case", "CaseTable", "Refusal", "Target", "open_images", "open_instances",
    "open_mask", "read_cases",
]  # fmt: skip

#: The name of pixels that nobody looked at.
IGNORE = "ignore"
#: How the step of a mask begins that took its image's grid over.
ROUNDED = "the image's grid was taken, for"
#: Grids whose corners lie closer than this part of a pixel differ by rounding.
ROUNDING = 0.05

Pixels = TypeVar("Pixels", Image, Mask)


def read_cases(
    path: str | Path,
    inputs: Sequence[str] | None = None,
    allow_missing: bool = False,
    classes: Mapping[int, str] | None = None,
) -> CaseTable:
    """The labelled cases at ``path``: a CSV, a ``dataset.json`` (MSD, nnU-Net), a COCO JSON, or a folder with one
    of these or with one folder of images a class.

    inputs         columns to take as input channels, in this order; None: every column that names files
    allow_missing  take cases of which a channel is blank
    classes        names by label value, for a source that does not say

    A case that cannot be used is in ``refused`` with its row and column; the others are read. No pixel is read.
    Raises InputError, FormatError or UsageError where the table as a whole makes no sense.
    """
    table = _read(Path(path), inputs, allow_missing)
    if not table.cases:
        reasons = "; ".join(f"{r.case}: {r.reason}" for r in table.refused[:3])
        raise InputError(f"no case of {path} can be used ({len(table.refused)} refused): {reasons}")
    return table if classes is None else replace(table, classes=dict(classes))


def _read(path: Path, inputs: Sequence[str] | None, allow_missing: bool) -> CaseTable:
    if path.is_dir():
        inside = next((path / name for name in ("cases.csv", "dataset.json") if (path / name).is_file()), None)
        if inside is not None:
            return _read(inside, inputs, allow_missing)
        _only_image(path, inputs)
        return read_class_folders(path)
    if not path.is_file():
        raise InputError(
            f"{path} does not exist; give a table of cases (CSV, dataset.json, COCO JSON) or a folder of one"
        )
    if path.suffix.lower() != ".json":
        return read_csv(path, inputs, allow_missing=allow_missing)
    data = read_json(path)
    if "annotations" in data and "images" in data:
        _only_image(path, inputs)
        return read_coco(path, data)
    return read_dataset(path, data, inputs)


def _only_image(path: Path, inputs: Sequence[str] | None) -> None:
    if inputs is not None and tuple(inputs) != ("image",):
        raise UsageError(f"{path} has one input, image; {', '.join(inputs)} was asked")


# ---- pixels of a case -------------------------------------------------------------------------------------


def open_images(case: Case, kinds: Mapping[str, str] | None = None) -> dict[str, Image]:
    """The images of a case by input name, calibrated with its ``spacing_mm`` where their files do not say.

    kinds  "MODALITY" or "MODALITY:QUANTITY" by input, vouched for by the user (or the table) where a file names none
    """
    out = {}
    for name, path in case.inputs.items():
        image = read_image(path)
        if kinds and name in kinds:
            image = _declared(image, kinds[name])
        out[name] = image if image.grid.spacing_mm else _calibrated(image, case)
    return out


def _declared(image: Image, kind: str) -> Image:
    """As ``declared``; a file that itself says more than ``kind`` keeps what it says."""
    if ":" not in kind and image.modality != "OT":
        return image
    return declared(image, kind)


def _calibrated(thing: Pixels, case: Case) -> Pixels:
    if case.spacing_mm is None:
        return thing
    n = thing.grid.ndim
    spacing = case.spacing_mm * n if len(case.spacing_mm) == 1 else case.spacing_mm[-n:]
    return thing.calibrated(spacing)


def open_mask(case: Case, table: CaseTable, name: str = WHOLE, on: Image | Grid | None = None) -> Mask:
    """The structures outlined in a case, named by ``table``; those that overlap lie in layers of their own.

    name  which input's mask, of a table that has one an input; of any other table there is one
    on    the image's grid: contours are drawn on it; a mask whose file knows no place (PNG), or whose place differs by
          rounding only, takes it over (its steps say so). A mask that lies elsewhere keeps its own grid: the caller
          compares

    Pixels of ``table.ignore`` are a label of their own, named "ignore". Raises InputError where the case has no mask,
    or where it holds values that the table does not name.
    """
    if table.masks_by == "structure":
        parts = {key: _placed(read_mask(path, on=on), case, on) for key, path in case.masks.items()}
        return _stacked(case, table, parts)
    if name not in case.masks:
        held = ", ".join(case.masks) or "none"
        raise InputError(f"case {case.case} of {table.source} has no mask {name!r}; its masks: {held}")
    mask = _placed(read_mask(case.masks[name], on=on), case, on)
    return _regions(mask, table) if table.regions else _named(mask, table)


def open_instances(case: Case, on: Image | Grid | None = None) -> Mask:
    """The objects of a case: every value its own."""
    if case.instances is None:
        raise InputError(f"case {case.case} has no instances; fill the column instances")
    return _placed(read_mask(case.instances, on=on), case, on)


def _placed(mask: Mask, case: Case, on: Image | Grid | None) -> Mask:
    """A mask whose file knows neither place nor spacing lies where its image does, pixel by pixel."""
    grid = on.grid if isinstance(on, Image) else on
    silent = mask.grid.affine is None and mask.grid.spacing_mm is None
    if grid is not None and mask.grid.shape == grid.shape and not mask.grid.same_as(grid):
        if silent:
            return replace(mask, grid=grid)
        off = _offset_mm(mask.grid, grid)
        if off is not None and off <= ROUNDING * min(grid.require_spacing("a comparison of grids")):
            return replace(mask, grid=grid, steps=(*mask.steps, f"{ROUNDED} it lay {off:.2g} mm off"))
    return _calibrated(mask, case) if silent else mask


def _offset_mm(a: Grid, b: Grid) -> float | None:
    """How far the corners of two grids of one shape lie apart at most; None where that cannot be told."""
    if a.affine is None or b.affine is None or a.same_frame(b) is False:
        return None
    return float(np.abs(a.corners_mm() - b.corners_mm()).max())


def _stacked(case: Case, table: CaseTable, parts: Mapping[str, Mask]) -> Mask:
    if not parts:
        raise InputError(f"case {case.case} of {table.source} has no mask; fill one of its mask columns")
    first = next(iter(parts.values()))
    strange = next((name for name, part in parts.items() if not part.grid.same_as(first.grid)), None)
    if strange is not None:
        raise GeometryError(f"the masks of case {case.case} lie on different grids: {next(iter(parts))} and {strange}")
    empty = np.zeros(first.grid.shape, bool)
    arrays = {name: parts[name].any if name in parts else empty for name in table.classes.values()}
    return Mask.from_parts(arrays, first.grid, steps=first.steps, name=case.case)


def _regions(mask: Mask, table: CaseTable) -> Mask:
    stored = mask.array
    known = {value for values in table.regions.values() for value in values}
    _require_known(mask, table, known)
    parts = {name: np.isin(stored, values) for name, values in table.regions.items()}
    if table.ignore is not None:
        parts[IGNORE] = stored == table.ignore
    return Mask.from_parts(parts, mask.grid, steps=mask.steps, files=mask.files, name=mask.name)


def _named(mask: Mask, table: CaseTable) -> Mask:
    """The same labels under the table's names; a table that gives none leaves the file's own."""
    if len(mask.layers) > 1 or (not table.classes and table.ignore is None):
        return mask
    names = dict(table.classes)
    if names:
        _require_known(mask, table, set(names))
    if table.ignore is not None:
        names[table.ignore] = IGNORE
    return Mask.from_array(mask.array, mask.grid, names, steps=mask.steps, files=mask.files, name=mask.name)


def _require_known(mask: Mask, table: CaseTable, known: set[int]) -> None:
    strange = sorted({int(v) for v in np.unique(mask.array)} - known - {0, table.ignore})
    if strange:
        names = ", ".join(f"{value} {name}" for value, name in table.classes.items())
        raise InputError(
            f"the mask {mask.name} holds values {', '.join(map(str, strange))} that {table.source.name} does not name; "
            f"it names {names}. Mend the mask or name them"
        )
