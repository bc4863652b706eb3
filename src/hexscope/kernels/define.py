"""How a kernel is declared: its types once, in numba's words. It is found in the library that was built of its file
(`hexscope.kernels.build`); where there is none, or the file has changed since, numba compiles it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hexscope.kernels import library

Function = Callable[..., Any]


def kernel(signature: str, *, apart: bool = False) -> Callable[[Function], Function]:
    """Declare a kernel for ``signature``: ``"void(f4[:,:,::1], f4[:,:,::1], i8, i8)"``, say.

    apart  no array that is written shares memory with another argument: look-ups are then vectorised (3 × faster)
    """

    def declared(function: Function) -> Function:
        if _builds():
            vars(function)["declared"] = signature, apart
            return function
        if library.serves(function.__module__):
            return library.bound(function, signature)
        done: Function = _jit().compiled(function, signature, apart)
        return done

    return declared


def inline(helper: Function) -> Function:
    """A helper of the kernels of its own file: its body takes the place of each call."""
    if library.serves(helper.__module__) and not _builds():
        return helper
    done: Function = _jit().inlined(helper)
    return done


def _builds() -> bool:
    return os.environ.get("HEXSCOPE_KERNELS") == "build"


def _jit() -> Any:
    try:
        from hexscope.kernels import jit
    except ImportError as error:
        raise ImportError(
            "no compiled kernels fit this machine, or their source was changed. Install numba (pip install numba), "
            "or build them anew: make kernels"
        ) from error
    return jit
