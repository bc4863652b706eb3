"""A table of pairs becomes transforms: one process, one failure never stops the others, what is done is kept."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any

from hexscope.core.image import Image, Mask
from hexscope.core.resample import resample
from hexscope.errors import InputError, UsageError
from hexscope.io.files import atomic_write
from hexscope.io.reading import read_image, read_mask
from hexscope.io.writing import save
from hexscope.register import register
from hexscope.study.workplace import fingerprint

Row = dict[str, Any]

#: Columns of a table of pairs; the first three of them must be there.
COLUMNS = ("case", "fixed", "moving", "kind", "fixed_mask", "moving_mask")
_RESULTS = ("case", "fixed", "moving", "kind", "verdict", "score", "cpu_s", "out", "error")


@dataclass(frozen=True)
class Pair:
    """One row of the table; paths as they can be read from here, ``kind`` None where the row leaves it open."""

    case: str
    fixed: str
    moving: str
    kind: str | None = None
    fixed_mask: str | None = None
    moving_mask: str | None = None


def read_pairs(table: Path) -> list[Pair]:
    """The rows of a CSV with columns case (or pair), fixed, moving and, where wanted, kind, fixed_mask, moving_mask.

    Paths are relative to the table. Raises UsageError for missing columns, and for cases that repeat or that are no
    file names.
    """
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{table} cannot be read as a table ({error}); it is CSV in UTF-8") from error
    reader = csv.DictReader(io.StringIO(text))
    head = [name.strip() for name in reader.fieldnames or []]
    reader.fieldnames = ["case" if name == "pair" else name for name in head]
    if not {"fixed", "moving"} <= set(reader.fieldnames):
        raise UsageError(f"{table} needs the columns fixed and moving (and case); it has {', '.join(head) or 'none'}")
    pairs = [_pair(row, number, table.parent) for number, row in enumerate(reader, start=1)]
    if not pairs:
        raise UsageError(f"{table} has no rows")
    _check_names(pairs, table)
    return pairs


def _pair(row: Row, number: int, folder: Path) -> Pair:
    said = {name: (row.get(name) or "").strip() or None for name in COLUMNS}
    case = said.pop("case") or f"pair-{number}"
    kind = said.pop("kind")
    places = {name: str(folder / path) for name, path in said.items() if path}
    return Pair(case, places.pop("fixed", ""), places.pop("moving", ""), kind, **places)


def _check_names(pairs: list[Pair], table: Path) -> None:
    names = [pair.case for pair in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{table} names {', '.join(twice)} more than once; a case is the name of its result")
    odd = [name for name in names if Path(name).name != name or name.startswith(".")]
    if odd:
        raise UsageError(f"{table}: {odd[0]!r} cannot be the name of a file; name cases without / and leading dots")


def register_pairs(
    table: Path,
    out: Path,
    *,
    kind: str = "rigid",
    moved: Path | None = None,
    tell: Callable[..., object] | None = None,
    **how: Any,
) -> list[Row]:
    """Register every row of ``table`` into the folder ``out``; gives one row of results each, in the table's order.

    A linear transform is written as CASE.tfm, a deformable one as CASE.h5; results.json and results.csv grow with
    every pair. Rows that are there already, from the same files in the same way, are kept; failed ones are tried again.

    kind   of rows that do not say
    moved  a folder for the moving images on the grids of the fixed ones
    how    what `hexscope.register.register` takes besides: seed, speed
    """
    pairs = [replace(pair, kind=pair.kind or kind) for pair in read_pairs(table)]
    ledger = _Ledger(out)
    say = tell or (lambda *_, **__: None)
    last: tuple[str, Image] | None = None
    for number, pair in enumerate(pairs, start=1):
        say("case {n} of {total}: {name}", n=number, total=len(pairs), name=pair.case)
        try:
            stamp = _stamp(pair, how, moved)
            if ledger.has(pair.case, stamp):
                continue
            fixed = last[1] if last is not None and last[0] == pair.fixed else read_image(pair.fixed)
            last = pair.fixed, fixed
            ledger.add(pair, {"stamp": stamp, **_registered(pair, fixed, out, moved, how)})
        except Exception as error:  # whatever is wrong with one pair is told; the others go on
            say("failed: {name}: {why}", name=pair.case, why=error)
            ledger.add(pair, {"error": {"code": getattr(error, "code", None), "message": str(error)}})
    return [ledger.rows[pair.case] for pair in pairs]


def _registered(pair: Pair, fixed: Image, out: Path, moved: Path | None, how: Row) -> Row:
    """Register one pair and write what came of it."""
    moving = read_image(pair.moving)
    masks: Row = dict(_masks(pair))
    started = process_time()
    transform = register(fixed, moving, kind=pair.kind or "rigid", **masks, **how)
    seconds = process_time() - started
    target = save(transform, out / f"{pair.case}{'.tfm' if transform.is_linear else '.h5'}")
    if moved is not None:
        save(resample(moving, fixed.grid, through=transform), moved / f"{pair.case}.nii.gz")
    return {"out": str(target), **transform.as_json(), "cpu_s": round(seconds, 3)}


def _masks(pair: Pair) -> Iterator[tuple[str, Mask]]:
    for name in ("fixed_mask", "moving_mask"):
        path = getattr(pair, name)
        if path:
            yield name, read_mask(path)


def _stamp(pair: Pair, how: Row, moved: Path | None) -> str:
    """What a result was made from: the files, the kind and the settings. A folder counts by its files."""
    if not (pair.fixed and pair.moving):
        raise InputError(f"case {pair.case} names no {'moving' if pair.fixed else 'fixed'} image")
    named = [p for p in (pair.fixed, pair.moving, pair.fixed_mask, pair.moving_mask) if p]
    places = [Path(p.partition("#")[0]) for p in named]
    missing = [str(p) for p in places if not p.exists()]
    if missing:
        raise InputError(f"{missing[0]} does not exist (case {pair.case})")
    files = [str(f) for p in places for f in (sorted(p.rglob("*")) if p.is_dir() else [p]) if f.is_file()]
    settings = json.dumps([*named, pair.kind, sorted(how.items()), str(moved)], default=str)
    return f"{fingerprint(files)}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"


class _Ledger:
    """The rows so far, in results.json and results.csv of a folder; both are whole at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        book = folder / "results.json"
        kept = json.loads(book.read_text(encoding="utf-8")) if book.exists() else []
        self.rows: dict[str, Row] = {row["case"]: row for row in kept}

    def has(self, case: str, stamp: str) -> bool:
        row = self.rows.get(case, {})
        return "error" not in row and row.get("stamp") == stamp and Path(row["out"]).exists()

    def add(self, pair: Pair, found: Row) -> None:
        self.rows[pair.case] = {"case": pair.case, "fixed": pair.fixed, "moving": pair.moving, **found}
        text = json.dumps(list(self.rows.values()), indent=1, ensure_ascii=False)
        atomic_write(self.folder / "results.json", lambda p: p.write_text(text, encoding="utf-8"))
        table = io.StringIO()
        writer = csv.DictWriter(table, _RESULTS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(_flat(row) for row in self.rows.values())
        atomic_write(self.folder / "results.csv", lambda p: p.write_text(table.getvalue(), encoding="utf-8"))


def _flat(row: Row) -> Row:
    certificate, error = row.get("certificate") or {}, row.get("error") or {}
    said = {name: certificate.get(name) for name in ("verdict", "score")}
    return {**row, **said, "error": error.get("message")}
