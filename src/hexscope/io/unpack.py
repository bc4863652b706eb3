"""Unpack archives of others: regular files only, inside the folder only, and no more than was promised."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from hexscope.errors import FormatError

_CHUNK = 1 << 20
#: Files in one archive.
_MOST_FILES = 500_000
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
#: Leftovers of the machine that packed.
_LEFTOVERS = ("__MACOSX", ".DS_Store")


def is_archive(path: Path) -> bool:
    """A zip or tar, by its name? (Arrays in .npz are zips too, and stay as they are.)"""
    return path.name.lower().endswith(_SUFFIXES)


def unpack(archive: Path, folder: Path, *, most_bytes: int) -> int:
    """Unpack a zip or tar into ``folder``; returns the number of files.

    Links and devices are left out. FormatError where a name leads out of the folder, where more than ``most_bytes``
    or too many files come out, or where the archive is broken.
    """
    count, left = 0, most_bytes
    try:
        with _members(archive) as members:
            for name, stream in members:
                target = folder.joinpath(*_safe(archive, name).parts)
                count += 1
                if count > _MOST_FILES:
                    raise FormatError(f"{archive.name} holds more than {_MOST_FILES} files")
                target.parent.mkdir(parents=True, exist_ok=True)
                left -= _write(archive, stream, target, left)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, RuntimeError) as error:
        # zipfile says NotImplementedError of a compression it does not know, RuntimeError of one with a password
        raise FormatError(f"{archive.name} cannot be unpacked: {error}", code="file.truncated") from error
    return count


def _safe(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name:
        raise FormatError(f"{archive.name} holds {name!r}, which leads out of its folder; it is not unpacked")
    return path


def _write(archive: Path, stream: IO[bytes], target: Path, left: int) -> int:
    written = 0
    with target.open("wb") as out:
        while chunk := stream.read(_CHUNK):
            written += len(chunk)
            if written > left:
                raise FormatError(f"{archive.name} unpacks to more than was allowed; it is not what it should be")
            out.write(chunk)
    return written


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as pack:
            yield _zip_members(pack)
    else:
        with tarfile.open(archive) as pack:
            yield _tar_members(pack)


def _zip_members(pack: zipfile.ZipFile) -> Iterator[tuple[str, IO[bytes]]]:
    for info in pack.infolist():
        is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
        if info.is_dir() or is_link or _is_leftover(info.filename):
            continue
        with pack.open(info) as stream:
            yield info.filename, stream


def _tar_members(pack: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    for info in pack:
        if not info.isreg() or _is_leftover(info.name):
            continue
        stream = pack.extractfile(info)
        if stream is not None:
            with stream:
                yield info.name, stream


def _is_leftover(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part in _LEFTOVERS or part.startswith("._") for part in parts)
