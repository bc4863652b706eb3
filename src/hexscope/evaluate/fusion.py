"""Score a way to fuse on a table of pairs: the eight metrics of the literature and those that say what is kept."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.image import Image, Mask
from hexscope.core.measure import measure
from hexscope.core.quantity import Quantity
from hexscope.core.resample import resample
from hexscope.core.transform import Transform
from hexscope.errors import HexscopeError, UsageError
from hexscope.fuse import FIELD, KEPT, LESION, Fused, body, field_scores, fuse, kept, lesion_contrast
from hexscope.io.reading import read_image, read_mask
from hexscope.io.transforms import read_transform
from hexscope.register import register
from hexscope.trust.statistics import mean_interval

Scores = dict[str, float]

#: Of what is measured on the values that lie beside the picture: only our row has them.
VALUES = ("values A", "values B", "MTV change %", "TLG change %")
COPIES = ("copy of A", "copy of B")
#: Slices of a volume that the eight metrics, which are of planes, look at.
_MOST_SLICES = 32
#: A slice counts from this share of body on.
_LEAST_BODY = 0.05
_LEAST_SIDE = 84
#: Edge of a lesion on PET, in parts of its maximum.
_EDGE = 0.41


@dataclass(frozen=True)
class FusionScores:
    """What a way to fuse scored.

    rows    by row (the way, then the two copies) and metric: mean, low, high (95 %, over groups), n
    cases   by case and row: every metric
    failed  cases that could not be scored, and why
    """

    how: str
    rows: Mapping[str, Mapping[str, Mapping[str, float]]]
    cases: Mapping[str, Mapping[str, Scores]]
    failed: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """The metrics of the way itself, then ``copies`` with those of its two inputs, and ``failed``."""
        copies = {name: self.rows[name] for name in COPIES if name in self.rows}
        return {**self.rows.get(self.how, {}), "copies": copies, "failed": dict(self.failed)}


def evaluate_fusion(table: Path, *, how: str = "detail", **look: Any) -> FusionScores:
    """Fuse every pair of a table by ``how`` and score it.

    The table is CSV: ``case``, ``a``, ``b``; of choice ``group`` (the patient: intervals are over groups), ``as_a`` and
    ``as_b`` (what a file is that does not say: CT:HU), ``through`` (a transform from b to a), ``mask_a`` or ``mask_b``
    (a lesion on the grid of either). Paths are relative to the table. Pairs on two grids are registered where no
    transform is given; a rejected registration fails its case. Colour pictures are compared by their luma, as the
    literature does with its colour PET; 8-bit pictures are taken as shown, 0 to 255.

    Metrics: ``FIELD`` (`hexscope.fuse.score`; of a volume over up to 32 axial slices) and ``KEPT``, ``LESION``
    (`hexscope.fuse.kept`, in 3-D), and of the values beside the picture: largest difference of A to what was read;
    root mean square difference of B brought back to its own grid, in % of its window; change of the lesion's metabolic
    volume and glycolysis (SUV only, voxels from 41 % of its maximum).

    Raises UsageError for a table without the columns, and where no pair could be scored.
    """
    pairs = _pairs(table)
    cases: dict[str, dict[str, Scores]] = {}
    failed: dict[str, str] = {}
    for pair in pairs:
        try:
            cases[pair["case"]] = _case(pair, table.parent, how, look)
        except (HexscopeError, OSError) as error:
            failed[pair["case"]] = str(error)
    if not cases:
        raise UsageError(f"no pair of {table} could be scored: {next(iter(failed.values()))}")
    groups = {pair["case"]: pair.get("group") or pair["case"] for pair in pairs}
    rows = {row: _summary(cases, row, groups) for row in (how, *COPIES)}
    return FusionScores(how, rows, cases, failed)


def _pairs(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as stream:
        pairs = [{k: v or "" for k, v in row.items() if k} for row in csv.DictReader(stream)]
    if not pairs or not {"a", "b"} <= set(pairs[0]):
        raise UsageError(f"{table} needs the columns a and b (and case); it has {list(pairs[0]) if pairs else []}")
    named = [{**pair, "case": pair.get("case") or f"pair-{n}"} for n, pair in enumerate(pairs, start=1)]
    if len({pair["case"] for pair in named}) < len(named):
        raise UsageError(f"{table} names a case twice")
    return named


# ---- one pair -----------------------------------------------------------------------------------------------


def _case(pair: Mapping[str, str], folder: Path, how: str, look: Mapping[str, Any]) -> dict[str, Scores]:
    a, b = (read_image(folder / pair[k], kind=pair.get(f"as_{k}") or None) for k in ("a", "b"))
    through = _joined(a, b, folder / pair["through"] if pair.get("through") else None)
    fused = fuse(a, b, how=how, through=through, **{**_as_shown(a, b), **look})
    lesion = _lesion(pair, folder, a, through)
    shown = fused.brightness
    where = body(*shown) & fused.covered
    pictures = {how: fused.grey, **dict(zip(COPIES, shown, strict=True))}
    rows = {name: picture_scores(picture, fused, where, lesion) for name, picture in pictures.items()}
    rows[how] |= _value_scores(fused, a, b, through, lesion)
    return rows


def _joined(a: Image, b: Image, path: Path | None) -> Transform | None:
    if path is not None:
        return read_transform(path)
    return register(a, b) if a.is_volume and b.is_volume and not a.grid.same_as(b.grid) else None


def _as_shown(a: Image, b: Image) -> dict[str, Any]:
    """8-bit pictures are brightness already."""
    eight = {"window_base": a, "window_over": b}
    return {k: (0.0, 255.0) for k, image in eight.items() if image.pixels.dtype == np.uint8}


def _lesion(pair: Mapping[str, str], folder: Path, a: Image, through: Transform | None) -> Mask | None:
    """The lesion on the grid of A."""
    if pair.get("mask_a"):
        return resample(read_mask(folder / pair["mask_a"]), a.grid)
    return resample(read_mask(folder / pair["mask_b"]), a.grid, through=through) if pair.get("mask_b") else None


def picture_scores(picture: NDArray[np.float32], fused: Fused, where: NDArray[np.bool_], lesion: Mask | None) -> Scores:
    """``FIELD``, ``KEPT`` and, with a lesion, ``LESION`` of a grey picture (0 to 1) against the sources of a fusion."""
    a, b = fused.brightness
    scores = dict(zip(FIELD, np.full(len(FIELD), np.nan), strict=True))
    planes = _planes(where)
    if planes and min(picture.shape[-2:]) >= _LEAST_SIDE:
        of_planes = [field_scores(255 * picture[p], 255 * a[p], 255 * b[p]) for p in planes]
        scores = {name: float(np.mean([s[name] for s in of_planes])) for name in FIELD}
    scores |= kept(picture, a, b, where, fused.base.grid.spacing_mm)
    if lesion is not None:
        scores |= lesion_contrast(picture, a, b, lesion.any, where)
    return scores


def _planes(where: NDArray[np.bool_]) -> list[Any]:
    """Indices of the slices with enough body, evenly spread; of a plane the whole."""
    if where.ndim == 2:
        return [...]
    enough = np.flatnonzero(where.mean(axis=(1, 2)) >= _LEAST_BODY)
    return sorted(set(enough[np.linspace(0, len(enough) - 1, _MOST_SLICES).astype(int)])) if len(enough) else []


# ---- the values beside the picture --------------------------------------------------------------------------


def _value_scores(fused: Fused, a: Image, b: Image, through: Transform | None, lesion: Mask | None) -> Scores:
    if not isinstance(fused.over, Image) or Quantity.RGB in (a.quantity, b.quantity):
        return {}
    scores = {"values A": float(np.abs(fused.base.array.astype(np.float64) - a.array).max())}
    back = None if through is None else through.inverse
    again = resample(fused.over, b.grid, through=back).array
    field = resample(Mask.from_array(fused.covered, a.grid), b.grid, through=back).any
    apart = (again - b.array.astype(np.float64))[field]
    width = fused.window_over[1] - fused.window_over[0]
    scores["values B"] = 100 * float(np.sqrt((apart**2).mean())) / width if apart.size else float("nan")
    if lesion is not None and b.quantity.is_suv:
        before = burden(b, resample(lesion, b.grid, through=back))
        after = burden(fused.over, lesion)
        if before[0] and before[1]:
            changes = [100 * (y / x - 1) for x, y in zip(before, after, strict=True)]
            scores |= dict(zip(VALUES[2:], changes, strict=True))
    return scores


def burden(image: Image, lesion: Mask) -> tuple[float, float]:
    """Metabolic volume in ml and total lesion glycolysis in g of the voxels from 41 % of the lesion's maximum on."""
    inside = lesion.any
    if not inside.any():
        return 0.0, 0.0
    hot = inside & (image.array >= _EDGE * float(image.array[inside].max()))
    found = measure(Mask.from_array(hot, image.grid), image)[0]
    return found.mtv_ml or 0.0, found.tlg or 0.0


# ---- over all pairs -----------------------------------------------------------------------------------------


def _summary(cases: Mapping[str, Mapping[str, Scores]], row: str, groups: Mapping[str, str]) -> dict[str, Scores]:
    """Mean and interval of each metric that any case has."""
    names = [*FIELD, *KEPT, *LESION, *VALUES]
    out = {}
    for name in names:
        found = {case: rows[row][name] for case, rows in cases.items() if np.isfinite(rows[row].get(name, np.nan))}
        if found:
            out[name] = mean_interval(list(found.values()), [groups[case] for case in found]).as_json()
    return out
