"""Files that are whole or absent: what is written lands under its name only when it is complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hexscope.errors import InputError, UsageError

_DOUBLE_SUFFIXES = (".nii.gz", ".ome.tif", ".ome.tiff", ".svs.tif")


def suffix_of(path: Path) -> str:
    """The suffix in lower case, ``.nii.gz`` counted as one; empty where there is none."""
    name = path.name.lower()
    return next((s for s in _DOUBLE_SUFFIXES if name.endswith(s)), path.suffix.lower())


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a path beside ``path``, with its suffix; that file takes the name when all went well.

    Where ``write`` raises, nothing is left behind and a file that stood there before still stands. Raises
    UsageError where ``path`` is a folder, InputError where the disk refuses.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file to write")
    beside = path.with_name(f".{secrets.token_hex(6)}{suffix_of(path)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(beside)
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
