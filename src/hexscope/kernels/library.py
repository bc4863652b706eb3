"""Kernels from a shared library built ahead of time: one for each level of x86-64, picked by what the CPU can do.

A call packs its arguments into one buffer of 8-byte words (address and shape of an array, a number) and releases the
GIL; see `hexscope.kernels.build` for the other side.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import struct
import sys
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numpy as np

ROOM = Path(__file__).parent
FOLDER = ROOM / "lib"
#: Levels of x86-64, best first, and the flags of /proc/cpuinfo that each adds to the one below (x86-64 psABI, 3.1.1).
LEVELS = {
    "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    "v3": {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"},
    "v2": {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"},
}
_DTYPES = {name: np.dtype(name) for name in ("f4", "f8", "i4", "i8", "u1", "u2")}
_ARGUMENT = re.compile(r"(f4|f8|i4|i8|u1|u2)(\[(?::,)*::1\])?")

Argument = tuple[str, int]


def arguments(signature: str) -> list[Argument]:
    """Type and number of axes (0 for a number) of each argument of ``"void(f4[:,::1], i8)"``."""
    inside = signature.replace(" ", "").removeprefix("void(").removesuffix(")")
    found = [_ARGUMENT.fullmatch(part) for part in re.split(r",(?![^\[]*\])", inside)]
    if None in found:
        raise TypeError(f"a kernel takes contiguous arrays and numbers of {', '.join(_DTYPES)}; got {signature}")
    return [(m[1], m[2].count(",") + 1 if m[2] else 0) for m in found if m]


def stamp(source: Path) -> str:
    """What a library remembers of a file of kernels: it serves that very text, compiled in that very way."""
    return hashlib.sha256(source.read_bytes() + (ROOM / "jit.py").read_bytes()).hexdigest()[:16]


def library_path(level: str) -> Path:
    return FOLDER / f"linux_x86_64_{level}.so"


def symbol(module: str, name: str) -> str:
    return f"hx_{module.rpartition('.')[2]}_{name}"


@cache
def level() -> str | None:
    """The best level that this CPU can run; None off Linux on x86-64."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as stream:
        flags = next((set(line.split()) for line in stream if line.startswith("flags")), set())
    can = None
    for name, wanted in reversed(LEVELS.items()):
        if not wanted <= flags:
            break
        can = name
    return can


def stamps_of(opened: Any) -> dict[str, str]:
    """The stamp of each file that an opened library was built of."""
    told = ctypes.c_char_p.in_dll(opened, "hx_stamps").value or b""
    return dict(entry.split("=") for entry in told.decode("ascii").split())


@cache
def _opened() -> tuple[Any, dict[str, str]]:
    """The library and its stamps; (None, {}) where there is none. $HEXSCOPE_KERNELS names a level, or says jit."""
    asked = os.environ.get("HEXSCOPE_KERNELS", "")
    best = asked if asked in LEVELS else level()
    if best is None or asked == "jit" or not library_path(best).exists():
        return None, {}
    try:
        opened = ctypes.CDLL(str(library_path(best)))
    except OSError:  # another C library than the one it was linked with
        return None, {}
    return opened, stamps_of(opened)


@cache
def serves(module: str) -> bool:
    """Was the library built of this module as it stands? Where its source was not shipped along, it was."""
    known = _opened()[1].get(module.rpartition(".")[2])
    source = Path(sys.modules[module].__file__ or "")
    return known is not None and (not source.is_file() or known == stamp(source))


def bound(function: Callable[..., Any], signature: str) -> Callable[..., Any]:
    """The library's kernel of that name. It raises TypeError for arguments of another type, order or number."""
    opened, _ = _opened()
    entry = opened[symbol(function.__module__, function.__name__)]
    entry.argtypes, entry.restype = [ctypes.c_char_p], None
    wanted = [(_DTYPES[kind], axes) for kind, axes in arguments(signature)]
    pack = struct.Struct("<" + "".join(_words(kind, axes) for kind, axes in arguments(signature))).pack

    @wraps(function)
    def call(*args: Any) -> None:
        words: list[Any] = []
        for arg, (dtype, axes) in zip(args, wanted, strict=True):
            if not axes:
                words.append(arg)
            elif arg.dtype == dtype and arg.ndim == axes and arg.flags.c_contiguous:
                words.append(arg.__array_interface__["data"][0])
                words += arg.shape
            else:
                raise TypeError(f"{function.__name__}{signature[4:]} got {arg.dtype}{arg.shape}, or one not contiguous")
        entry(pack(*words))

    return call


def _words(kind: str, axes: int) -> str:
    if axes:
        return "q" * (1 + axes)
    return "d" if kind.startswith("f") else "q"
