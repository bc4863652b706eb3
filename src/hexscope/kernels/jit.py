"""Kernels compiled where they run, by numba: on machines that no library was built for, and to build the libraries."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numba
import numpy as np
from numba.core import cpu, options

Function = Callable[..., Any]

#: What every kernel is compiled with, here and ahead of time.
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": True, "error_model": "numpy", "boundscheck": False}

# numba knows the flag, but lets no decorator set it.
cpu.CPUTargetOptions.noalias = options._mapping("noalias")


def compiled(function: Function, signature: str, apart: bool) -> Function:
    """The kernel, compiled now or taken from numba's cache on disk."""
    inner = numba.njit(signature, noalias=apart, cache=True, **OPTIONS)(function)

    @wraps(function)
    def call(*args: Any) -> None:
        inner(*(_open(a) if isinstance(a, np.ndarray) and not a.flags.writeable else a for a in args))

    return call


def inlined(helper: Function) -> Function:
    done: Function = numba.njit(inline="always", **OPTIONS)(helper)
    return done


class _Opened:
    """The memory of a read-only array. numba has a type of its own for those, and no kernel writes where it reads."""

    def __init__(self, array: Any) -> None:
        self.kept = array
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}


def _open(array: Any) -> Any:
    return np.asarray(_Opened(array))
