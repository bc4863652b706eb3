"""Tables of cases in CSV: one row a case, or one row a box. Paths are relative to the file."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hexscope.errors import FormatError, InputError, UsageError
from hexscope.io.case import WHOLE, Box, Case, CaseTable, MasksBy, Refusal, Target, words_of
from hexscope.io.reading import split_selector

_BOX = ("x", "y", "w", "h")
#: Columns with a meaning of their own; anything that ends in _mm is a number of millimetres. None is an input.
RESERVED = frozenset(
    {"case", "group", "mask", "instances", "label", *_BOX, "fold", "split", "kind", "spacing_mm", "labelled"}
)


@dataclass(frozen=True)
class _Row:
    """A row: its cells by column, blanks left out, and the line of the file it stands on."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class _Sheet:
    """The file's columns and rows, and what its columns mean."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[_Row, ...]
    inputs: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()

    @property
    def has_boxes(self) -> bool:
        return all(name in self.columns for name in _BOX)

    def at(self, row: _Row, column: str) -> str:
        return f"{self.path.name} row {row.line}, column {column}"

    def file(self, text: str) -> Path:
        """The path a cell names, relative to the table."""
        return self.path.parent / text.strip()

    def exists(self, text: str) -> bool:
        return split_selector(self.file(text))[0].exists()


class _Unfit(Exception):
    """What makes one case unusable."""


@dataclass
class _Notes:
    """What came up while reading: refused cases, and words for a person."""

    refused: list[Refusal] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def read_csv(path: Path, inputs: Sequence[str] | None = None, *, allow_missing: bool = False) -> CaseTable:
    """The table at ``path``; see ``read_cases``."""
    sheet = _with_roles(_sheet(path), inputs)
    notes = _Notes()
    if "group" not in sheet.columns:
        notes.words.append(f"{path.name} has no column group: every case counts as a patient of its own")
    cases = []
    for name, rows in _by_case(sheet).items():
        try:
            cases.append(_case(sheet, name, rows, allow_missing))
        except _Unfit as error:
            notes.refused.append(Refusal(name, str(error)))
    targets = _targets(sheet, cases)
    return CaseTable(
        source=path,
        cases=tuple(cases),
        inputs=sheet.inputs,
        targets=targets,
        classes=_classes(sheet, cases, targets),
        masks_by=_masks_by(sheet),
        refused=tuple(notes.refused),
        notes=tuple(notes.words),
    )


# ---- the sheet ------------------------------------------------------------------------------------------


def _sheet(path: Path) -> _Sheet:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, delimiter=max(",;\t", key=first.count))
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    lines = [(number, row) for number, row in lines if any(row)]
    if len(lines) < 2:
        raise InputError(f"{path} holds no cases: it needs a line of column names and one row a case")
    columns = tuple(lines[0][1])
    twice = sorted({name for name in columns if columns.count(name) > 1 and name})
    if twice:
        raise InputError(f"{path} names column {', '.join(twice)} more than once; rename or drop one")
    if "case" not in columns:
        raise InputError(
            f"{path} has no column case; its columns are {', '.join(columns)}. Name each row in a column called case"
        )
    return _Sheet(path, tuple(c for c in columns if c), tuple(_row(path, columns, *line) for line in lines[1:]))


def _row(path: Path, columns: tuple[str, ...], number: int, cells: list[str]) -> _Row:
    if len(cells) > len(columns) and any(cells[len(columns) :]):
        raise InputError(f"{path} row {number} has {len(cells)} cells for {len(columns)} columns; quote commas in text")
    return _Row(number, {name: cell for name, cell in zip(columns, cells, strict=False) if name and cell})


def _with_roles(sheet: _Sheet, inputs: Sequence[str] | None) -> _Sheet:
    """The sheet with its input and mask columns told apart."""
    masks = tuple(c for c in sheet.columns if c == WHOLE or c.startswith(f"{WHOLE}_"))
    free = [c for c in sheet.columns if c not in RESERVED and c not in masks and not c.endswith("_mm")]
    if inputs is not None:
        unknown = [name for name in inputs if name not in free]
        if unknown or not inputs:
            raise UsageError(
                f"{sheet.path} has no input column {', '.join(unknown) or 'named'}; "
                f"it could be {', '.join(free) or 'none'}"
            )
        chosen = tuple(dict.fromkeys(inputs))
    else:
        chosen = tuple(c for c in free if any(sheet.exists(r.cells[c]) for r in sheet.rows if c in r.cells))
    if not chosen:
        tried = next((sheet.file(r.cells[c]) for r in sheet.rows for c in free if c in r.cells), None)
        looked = f"; {tried} is not there" if tried else ""
        raise InputError(
            f"no column of {sheet.path} names image files{looked}. "
            "Paths are relative to the CSV; name columns with --inputs"
        )
    every_input = {c for c in free if c in chosen or any(sheet.exists(r.cells[c]) for r in sheet.rows if c in r.cells)}
    of_others = {f"{WHOLE}_{name}" for name in every_input - set(chosen)}
    return _Sheet(sheet.path, sheet.columns, sheet.rows, chosen, tuple(m for m in masks if m not in of_others))


def _masks_by(sheet: _Sheet) -> MasksBy:
    named = [m.removeprefix(f"{WHOLE}_") for m in sheet.masks if m != WHOLE]
    of_inputs = [name for name in named if name in sheet.inputs]
    if not named:
        return "case"
    if len(of_inputs) == len(named):
        return "input"
    if of_inputs or WHOLE in sheet.masks:
        raise InputError(
            f"the mask columns of {sheet.path} mix structures and inputs: {', '.join(sheet.masks)}. "
            "Give one mask column, one mask_INPUT an input, or one mask_STRUCTURE a structure"
        )
    return "structure"


def _by_case(sheet: _Sheet) -> dict[str, list[_Row]]:
    """Rows by case, in order. Several rows of one case are boxes of it, and refused in any other table."""
    out: dict[str, list[_Row]] = {}
    for row in sheet.rows:
        if "case" not in row.cells:
            raise InputError(f"{sheet.at(row, 'case')} is blank; every row names its case")
        out.setdefault(row.cells["case"], []).append(row)
    twice = [(name, rows) for name, rows in out.items() if len(rows) > 1]
    if twice and not sheet.has_boxes:
        name, rows = twice[0]
        lines = ", ".join(str(row.line) for row in rows)
        raise InputError(
            f"{sheet.path} names case {name} on rows {lines}; a case has one row (only boxes have several)"
        )
    return out


# ---- one case -------------------------------------------------------------------------------------------


def _case(sheet: _Sheet, name: str, rows: list[_Row], allow_missing: bool) -> Case:
    first = rows[0]
    _agree(sheet, name, rows)
    known = {*RESERVED, *sheet.inputs, *sheet.masks}
    masks = {m.removeprefix(f"{WHOLE}_"): path for m in sheet.masks if (path := _path(sheet, first, m)) is not None}
    return Case(
        case=name,
        group=_group(sheet, first),
        inputs=_inputs(sheet, first, allow_missing),
        masks=masks,
        instances=_path(sheet, first, "instances"),
        label=_label(rows),
        boxes=_boxes(sheet, rows),
        fold=_fold(sheet, first),
        split=first.cells.get("split"),
        kind=first.cells.get("kind"),
        spacing_mm=_spacing(sheet, first),
        labelled=_labelled(sheet, first, masks),
        extras={k: v for k, v in first.cells.items() if k not in known},
    )


def _group(sheet: _Sheet, row: _Row) -> str:
    if "group" in sheet.columns and "group" not in row.cells:
        raise _Unfit(f"{sheet.at(row, 'group')} is blank; name the patient")
    return row.cells.get("group", row.cells["case"])


def _label(rows: list[_Row]) -> str | None:
    """The label of the whole case: the one that all its rows bear."""
    labels = {row.cells.get("label") for row in rows}
    return next(iter(labels)) if len(labels) == 1 else None


def _agree(sheet: _Sheet, name: str, rows: list[_Row]) -> None:
    """Rows of one case differ in their boxes and labels only."""
    for column in sheet.columns:
        if column in (*_BOX, "label") or column not in {*RESERVED, *sheet.inputs, *sheet.masks}:
            continue
        for row in rows[1:]:
            if row.cells.get(column) != rows[0].cells.get(column):
                raise _Unfit(f"{sheet.at(row, column)} differs from row {rows[0].line} of the same case {name}")


def _path(sheet: _Sheet, row: _Row, column: str) -> Path | None:
    text = row.cells.get(column)
    if text is None:
        return None
    if not sheet.exists(text):
        raise _Unfit(f"{sheet.at(row, column)}: {sheet.file(text)} is not there; paths are relative to the CSV")
    return sheet.file(text)


def _inputs(sheet: _Sheet, row: _Row, allow_missing: bool) -> dict[str, Path]:
    found = {name: path for name in sheet.inputs if (path := _path(sheet, row, name)) is not None}
    blank = [name for name in sheet.inputs if name not in found]
    if blank and (not allow_missing or not found):
        raise _Unfit(
            f"{sheet.at(row, blank[0])} is blank: a channel is missing. Fill it, choose other --inputs, "
            "or pass --allow-missing"
        )
    return found


def _boxes(sheet: _Sheet, rows: list[_Row]) -> tuple[Box, ...] | None:
    """The boxes of a case. A single row whose four cells are blank says that nothing is there."""
    if not sheet.has_boxes:
        return None
    boxes = []
    for row in rows:
        given = [c for c in _BOX if c in row.cells]
        if not given and len(rows) == 1:
            return ()
        if len(given) != len(_BOX):
            missing = next(c for c in _BOX if c not in row.cells)
            raise _Unfit(f"{sheet.at(row, missing)} is blank; a box is x, y, w, h in pixels")
        x, y, w, h = (_number(sheet, row, column) for column in _BOX)
        if w <= 0 or h <= 0:
            raise _Unfit(f"{sheet.at(row, 'w')}: a box of {w:g} × {h:g} pixels holds nothing")
        boxes.append(Box(x, y, w, h, row.cells.get("label")))
    return tuple(boxes)


def _number(sheet: _Sheet, row: _Row, column: str) -> float:
    return _finite(row.cells[column], sheet.at(row, column))


def _finite(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _Unfit(f"{where} is {text!r}; a number is needed") from None
    if not math.isfinite(value):
        raise _Unfit(f"{where} is {text!r}; a finite number is needed")
    return value


def _fold(sheet: _Sheet, row: _Row) -> int | None:
    if "fold" not in row.cells:
        return None
    value = _number(sheet, row, "fold")
    if value != int(value) or value < 0:
        raise _Unfit(f"{sheet.at(row, 'fold')} is {row.cells['fold']!r}; folds are whole numbers from 0")
    return int(value)


def _spacing(sheet: _Sheet, row: _Row) -> tuple[float, ...] | None:
    """One number, or z,y,x parted by commas, semicolons or blanks."""
    text = row.cells.get("spacing_mm")
    if text is None:
        return None
    where = sheet.at(row, "spacing_mm")
    parts = text.replace(",", " ").replace(";", " ").split()
    values = tuple(_finite(part, where) for part in parts)
    if len(values) not in (1, 2, 3) or min(values) <= 0:
        raise _Unfit(f"{where} is {text!r}; give one positive number, or one an axis as z,y,x")
    return values


def _labelled(sheet: _Sheet, row: _Row, masks: Mapping[str, Path]) -> frozenset[str] | None:
    """The structures outlined in this case: as column ``labelled`` says, or those whose mask file is named."""
    if "labelled" in row.cells:
        return frozenset(part.strip() for part in row.cells["labelled"].replace(",", ";").split(";") if part.strip())
    if masks and _masks_by(sheet) == "structure" and len(masks) < len(sheet.masks):
        return frozenset(masks)
    return None


# ---- what the table as a whole says ------------------------------------------------------------------------


def _targets(sheet: _Sheet, cases: Sequence[Case]) -> tuple[Target, ...]:
    order: tuple[Target, ...] = ("mask", "instances", "boxes", "label")
    found = tuple(target for target in order if any(case.has(target) for case in cases))
    if "boxes" in found and not all(case.label for case in cases):
        return tuple(target for target in found if target != "label")  # words of boxes, not of whole images
    return found


def _classes(sheet: _Sheet, cases: Sequence[Case], targets: Sequence[Target]) -> dict[int, str]:
    """Names by value where the table gives them: structures by column, labels and box classes by their words."""
    if _masks_by(sheet) == "structure":
        return dict(enumerate((m.removeprefix(f"{WHOLE}_") for m in sheet.masks), start=1))
    if "mask" in targets or "instances" in targets:
        return {}
    return dict(enumerate(words_of(cases), start=1))
