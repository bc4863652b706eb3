"""Fetch a file whole or not at all: half a file is gone on with, a checksum decides, nothing else is trusted."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any

from hexscope.errors import InputError

#: (bytes so far, bytes in all or None)
Progress = Callable[[int, int | None], object]

_CHUNK = 1 << 20
_TIMEOUT_S = 60.0
_AGENT = "hexscope (+https://pypi.org/project/hexscope)"


def fetch(url: str, to: Path, *, checksum: str | None = None, progress: Progress | None = None) -> str:
    """Bring ``url`` (https, http or file) to ``to``; returns its SHA-256.

    A file that is there already, and fits its checksum if there is one, is kept. What was interrupted lies in
    ``to`` + ``.part`` and is gone on with where the server can. ``checksum`` is ``sha256:HEX`` or ``md5:HEX``;
    InputError where it does not fit (the file is then thrown away), or where the server cannot be reached.
    """
    if not to.is_file() or (checksum is not None and not _fits(to, checksum)):
        part = to.with_name(to.name + ".part")
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            _append(url, part, progress)
        except (OSError, HTTPException) as error:
            raise InputError(
                f"{url} cannot be fetched: {error}. What came so far is kept; run the same command again to go on"
            ) from error
        if checksum is not None and not _fits(part, checksum):
            got = _digest(part, checksum.partition(":")[0])
            part.unlink()
            raise InputError(f"{url} is not what it should be: its checksum is {got}, {checksum} was published")
        os.replace(part, to)
    return _digest(to, "sha256")


def _append(url: str, part: Path, progress: Progress | None) -> None:
    held = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": _AGENT} | ({"Range": f"bytes={held}-"} if held else {})
    request = urllib.request.Request(url, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # asked for more than there is: it is whole already, or stale
            raise
        part.unlink()
        return _append(url, part, progress)
    with answer:
        goes_on = held > 0 and _starts_at(answer, held)
        held = held if goes_on else 0
        length = answer.headers.get("Content-Length")
        total = held + int(length) if length else None
        with part.open("ab" if goes_on else "wb") as stream:
            _copy(answer, stream, held, total, progress)
    if total is not None and part.stat().st_size < total:
        raise OSError(f"the connection broke after {part.stat().st_size} of {total} bytes")


def _starts_at(answer: Any, held: int) -> bool:
    """Does the server send from where we stopped? One that does not know ranges sends all again."""
    said = answer.headers.get("Content-Range", "")
    return isinstance(answer, HTTPResponse) and answer.status == 206 and said.startswith(f"bytes {held}-")


def _copy(source: Any, stream: IO[bytes], done: int, total: int | None, progress: Progress | None) -> None:
    while chunk := source.read(_CHUNK):
        stream.write(chunk)
        done += len(chunk)
        if progress is not None:
            progress(done, total)


def _fits(path: Path, checksum: str) -> bool:
    return _digest(path, checksum.partition(":")[0]) == checksum.lower()


def _digest(path: Path, name: str) -> str:
    with path.open("rb") as stream:
        return f"{name}:{hashlib.file_digest(stream, name).hexdigest()}"
