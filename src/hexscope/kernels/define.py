"""How a kernel is declared: its types once, in numba's words."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numba
import numpy as np
from numba.core import cpu, options

_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "fastmath": True,
    "error_model": "numpy",
    "boundscheck": False,
}

# numba knows the flag, but lets no decorator set it.
cpu.CPUTargetOptions.noalias = options._mapping("noalias")

Function = Callable[..., Any]


def kernel(signature: str, *, apart: bool = False) -> Callable[[Function], Function]:
    """Compile for ``signature`` (``"void(f4[:,:,::1], f4[:,:,::1], i8, i8)"``, say), cached on disk, GIL free.

    apart  no array that is written shares memory with another argument: look-ups are then vectorised (3 × faster)
    """

    def compiled(function: Function) -> Function:
        inner = numba.njit(signature, noalias=apart, **_OPTIONS)(function)

        @wraps(function)
        def call(*args: Any) -> None:
            inner(*(_open(a) if isinstance(a, np.ndarray) and not a.flags.writeable else a for a in args))

        return call

    return compiled


def inline(helper: Function) -> Function:
    """A helper of the kernels of its own file: its body takes the place of each call."""
    done: Function = numba.njit(inline="always", **_OPTIONS)(helper)
    return done


class _Opened:
    """The memory of a read-only array. numba has a type of its own for those, and no kernel writes where it reads."""

    def __init__(self, array: Any) -> None:
        self.kept = array
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}


def _open(array: Any) -> Any:
    return np.asarray(_Opened(array))
