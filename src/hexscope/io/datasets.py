"""Public sets by name: fetched, checked, unpacked, and given a table of cases. Nothing is left half done."""

from __future__ import annotations

import os
import secrets
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hexscope.errors import InputError, UsageError
from hexscope.io.dataset_layouts import LAYOUTS
from hexscope.io.download import Progress, fetch
from hexscope.io.unpack import is_archive, unpack

#: What a set may unpack to.
_MOST_BYTES = 32 << 30


@dataclass(frozen=True)
class PublicFile:
    """A file of a set: where it lies, what it is called here, and its published checksum, if one is known."""

    url: str
    name: str
    checksum: str | None = None


@dataclass(frozen=True)
class PublicSet:
    """A public set: what it is, under which licence, and whence. Without files it must be asked for at its page."""

    name: str
    title: str
    licence: str
    page: str
    doi: str = ""
    layout: str = ""
    files: tuple[PublicFile, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "licence": self.licence, "doi": self.doi, "page": self.page,
            "direct": bool(self.files),
        }  # fmt: skip


@dataclass(frozen=True)
class Fetched:
    """What was fetched: the folder, its files, the licence they come under, and what a person should know."""

    folder: Path
    files: tuple[str, ...]
    licence: str
    cases: int | None
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "out": str(self.folder), "files": list(self.files), "licence": self.licence, "cases": self.cases,
            "notes": list(self.notes),
        }  # fmt: skip


@cache
def public_sets() -> tuple[PublicSet, ...]:
    """The sets that are known, in the order of their table (``datasets.toml``)."""
    text = (resources.files("hexscope.io") / "datasets.toml").read_text(encoding="utf-8")
    return tuple(_entry(name, data) for name, data in tomllib.loads(text).items())


def _entry(name: str, data: dict[str, Any]) -> PublicSet:
    files = tuple(
        PublicFile(f["url"], f.get("name") or Path(urlsplit(f["url"]).path).name, f.get("checksum"))
        for f in data.pop("files", ())
    )
    return PublicSet(name=name, files=files, **data)


def find_set(name: str) -> PublicSet:
    """The set called ``name``; UsageError lists the known ones."""
    for entry in public_sets():
        if entry.name == name:
            return entry
    raise UsageError(f"no public set is called {name!r}; known are {', '.join(e.name for e in public_sets())}")


def get_set(
    entry: PublicSet, out: Path, *, source: str | None = None, progress: Callable[[str], Progress] | None = None
) -> Fetched:
    """Fetch ``entry`` into the new folder ``out`` and write its ``cases.csv``.

    Downloads lie in a hidden folder beside ``out`` until all is done, so that an interrupted one goes on.

    source    a folder or address that holds the same files by name, instead of their public addresses
    progress  gives the counter of bytes for a file's name

    Raises UsageError where ``out`` holds something already, InputError where the set has no direct address, cannot be
    fetched or does not fit its checksum.
    """
    if not entry.files:
        raise InputError(f"{entry.name} has no direct address: ask for it at {entry.page} (licence: {entry.licence})")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already and not empty; name a new folder")
    store = out.absolute().with_name(f".{out.name}.download")
    beside = out.absolute().with_name(f".{secrets.token_hex(6)}")
    try:
        notes = _fetch_all(entry, store, source, progress)
        beside.mkdir(parents=True)
        for file in entry.files:
            _place(store / file.name, beside)
        cases = LAYOUTS[entry.layout](beside) if entry.layout else None
        (beside / "LICENCE.txt").write_text(_licence(entry), encoding="utf-8")
        if out.exists():
            out.rmdir()
        os.replace(beside, out)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    shutil.rmtree(store, ignore_errors=True)
    files = tuple(sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()))
    return Fetched(out, files, entry.licence, cases, notes)


def _fetch_all(
    entry: PublicSet, store: Path, source: str | None, progress: Callable[[str], Progress] | None
) -> tuple[str, ...]:
    notes = []
    for file in entry.files:
        counter = None if progress is None else progress(file.name)
        digest = fetch(_address(file, source), store / file.name, checksum=file.checksum, progress=counter)
        if file.checksum is None:
            notes.append(f"{file.name}: no checksum is published; what came has {digest}")
    return tuple(notes)


def _address(file: PublicFile, source: str | None) -> str:
    if source is None:
        return file.url
    if "://" in source:
        return f"{source.rstrip('/')}/{file.name}"
    return (Path(source).absolute() / file.name).as_uri()


def _place(file: Path, folder: Path) -> None:
    if is_archive(file):
        unpack(file, folder, most_bytes=_MOST_BYTES)
    else:
        shutil.copyfile(file, folder / file.name)


def _licence(entry: PublicSet) -> str:
    cite = f"Cite: doi:{entry.doi}\n" if entry.doi else ""
    return f"{entry.title}\nLicence: {entry.licence}\n{cite}Source: {entry.page}\n"
