"""The output folder: complete or not there. Work is done beside it and renamed at the end.

``REPORT_DIR.partial`` holds an unfinished run. ``--resume`` goes on in it: what was made there from the same
input files is used again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from hexscope.core.transform import Transform
from hexscope.errors import UsageError
from hexscope.io.files import atomic_write
from hexscope.io.transforms import read_transform, save_transform

_MARK = "results.json"
_DONE = ".finished-steps.json"


class Workplace:
    """Context in which a study is made; on a clean exit the finished folder takes its place."""

    def __init__(self, out: Path, *, resume: bool) -> None:
        self.out = out
        self.folder = out.with_name(out.name + ".partial")
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file; name a folder for the report")
        if out.is_dir() and any(out.iterdir()) and not (out / _MARK).exists():
            raise UsageError(f"{out} holds other files and no report of ours; name an empty or a new folder")
        if self.folder.exists() and not resume:
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        done = self.folder / _DONE
        self._done: dict[str, str] = json.loads(done.read_text()) if done.exists() else {}

    def __enter__(self) -> Workplace:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is not None:
            return  # what is finished stays in the partial folder, for --resume
        (self.folder / _DONE).unlink(missing_ok=True)
        old = self.out.with_name(self.out.name + ".old")
        if self.out.exists():
            self.out.rename(old)
        self.folder.rename(self.out)
        shutil.rmtree(old, ignore_errors=True)

    def path(self, *parts: str) -> Path:
        """A place in the folder; its parent is made."""
        target = self.folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def finished_transform(self, name: str, fingerprint: str) -> Transform | None:
        """A transform of an interrupted run, if it was made from the same files."""
        file = self.folder / name
        if self._done.get(name) != fingerprint or not file.exists():
            return None
        return read_transform(file)

    def keep_transform(self, name: str, transform: Transform, fingerprint: str) -> None:
        """Write a transform and remember what it was made from."""
        save_transform(transform, self.path(name))
        self._done[name] = fingerprint
        text = json.dumps(self._done)
        atomic_write(self.folder / _DONE, lambda p: p.write_text(text))


def fingerprint(files: Iterable[str]) -> str:
    """Names, sizes and times of change of files, as one short hash."""
    digest = hashlib.sha256()
    for name in sorted(files):
        stat = Path(name).stat()
        digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]
