"""How a kernel is declared: its types once, in numba's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": True, "error_model": "numpy", "boundscheck": False}


def kernel(signature: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile for ``signature`` (for example ``"void(f4[:,:,::1], f4[:,:,::1], i8, i8)"``), cached on disk, GIL free."""
    return numba.njit(signature, **_OPTIONS)


def inline(helper: Callable[..., Any]) -> Callable[..., Any]:
    """A helper of the kernels of its own file: its body takes the place of each call."""
    return numba.njit(inline="always", **_OPTIONS)(helper)
