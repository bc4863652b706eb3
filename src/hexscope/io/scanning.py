"""What the one-file-one-image formats share: a scan that no bad file stops, and numbers that are numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.faults import Fault
from hexscope.core.quantity import Quantity
from hexscope.core.results import Audited
from hexscope.errors import HexscopeError
from hexscope.io.series import Inventory, Series

#: No codec packs better than deflate can (RFC 1951): a larger promise of pixels than this times the file is a lie.
LARGEST_RATIO = 1040


def scan_each(
    paths: Sequence[Path],
    build: Callable[[Path], Series | None],
    progress: Callable[[int], object] | None = None,
) -> Inventory:
    """One series a file; a file that ``build`` refuses is among ``others`` with its fault. None: part of another."""
    series: list[Series] = []
    others: list[Audited] = []
    for done, path in enumerate(paths, start=1):
        try:
            if (one := build(path)) is not None:
                series.append(one)
        except HexscopeError as error:
            others.append(refused(path, Fault(error.code or "file.unreadable", str(error))))
        except (
            OSError,
            ValueError,
            TypeError,
            LookupError,
            ArithmeticError,
        ) as error:  # a header that contradicts itself
            others.append(refused(path, Fault("file.unreadable", f"{path.name}: its header makes no sense ({error})")))
        if progress is not None:
            progress(done)
    return Inventory(tuple(series), tuple(others))


def refused(path: Path, fault: Fault) -> Audited:
    """A file that belongs to no series, with the reason."""
    return Audited(str(path), False, fault.kind.verdict, (fault,))


def made_finite(
    array: NDArray[Any], quantity: Quantity, name: str
) -> tuple[NDArray[Any], tuple[str, ...], tuple[Fault, ...]]:
    """NaN and infinity set to the value of nothing, with the step and the fault that tell so."""
    if array.dtype.kind != "f":
        return array, (), ()
    bad = ~np.isfinite(array)
    count = int(bad.sum())
    if not count:
        return array, (), ()
    step = f"{count} voxels that were not finite set to {quantity.outside:g}"
    fault = Fault("value.not_finite", f"{name}: {count} voxels are NaN or infinite")
    return np.where(bad, array.dtype.type(quantity.outside), array), (step,), (fault,)
