"""What this machine is and how fast it trains: measured once for a network, kept in the user's cache folder."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hexscope import __version__
from hexscope.errors import HexscopeError, UsageError
from hexscope.io.files import atomic_write
from hexscope.models.runtime import cache_folder
from hexscope.train.loop import Course, begin, steady_memory, step
from hexscope.train.pool import Example

_WARM, _TIMED = 3, 7


@dataclass(frozen=True)
class Machine:
    """What a plan may rest on. One thread unless $HEXSCOPE_THREADS says more: the same weights on any machine alike,
    and the most training for a CPU minute."""

    device: str
    processor: str
    threads: int
    bf16: bool
    memory_gb: float

    @classmethod
    def here(cls) -> Machine:
        wish = os.environ.get("HEXSCOPE_THREADS", "1")
        if not wish.isdecimal() or int(wish) < 1:
            raise UsageError(f"HEXSCOPE_THREADS is a whole number of threads; got {wish!r}")
        torch.set_num_threads(int(wish))
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            return cls("cuda", torch.cuda.get_device_name(), int(wish), torch.cuda.is_bf16_supported(), _memory_gb())
        return cls("cpu", _processor(), int(wish), _has_bf16(), _memory_gb())


def seconds_per_iteration(course: Course, examples: Sequence[Example], machine: Machine) -> float:
    """CPU seconds (seconds, with a graphics processor) of one iteration, to two digits; kept for this machine."""
    what = (course.shape, course.cutter, course.batch, course.precision, course.target, course.changes)
    key = repr((__version__, torch.__version__, machine.processor, machine.threads, *what))
    table = cache_folder() / "training.json"
    known = _read(table)
    if key not in known:
        known[key] = _measured(course, examples)
        _keep(table, known)
    return float(known[key])


def _measured(course: Course, examples: Sequence[Example]) -> float:
    steady_memory()
    run = begin(course)
    clock: Callable[[], float] = time.process_time if course.device == "cpu" else time.perf_counter
    spent = []
    for _ in range(_WARM + _TIMED):
        since = clock()
        step(run, run.net, course, examples)
        run.iteration += 1
        spent.append(clock() - since)
    return float(f"{statistics.median(spent[_WARM:]):.2g}")


def _read(table: Path) -> dict[str, Any]:
    try:
        rows = json.loads(table.read_text(encoding="utf-8"))
        return rows if isinstance(rows, dict) else {}
    except (OSError, ValueError):
        return {}  # nothing is kept: measured anew


def _keep(table: Path, rows: dict[str, Any]) -> None:
    """A cache that cannot be written costs a second, not the training."""
    try:
        atomic_write(table, lambda path: path.write_text(json.dumps(rows, indent=1), encoding="utf-8"))
    except HexscopeError:
        return


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _has_bf16() -> bool:
    """Does the processor multiply bf16 itself (AVX-512 BF16 or AMX)? Elsewhere bf16 is slower than fp32."""
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(has() for has in asked if has is not None)


def _memory_gb() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):
        return 8.0
