"""Share the planes of a kernel's work among threads: the same bytes whatever their number."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

#: Planes a thread takes at a time are never fewer: below that the calls cost more than the loops.
_LEAST = 4


def workers() -> int:
    """Threads to use: $HEXSCOPE_THREADS, else the cores this process may run on."""
    asked = os.environ.get("HEXSCOPE_THREADS", "")
    if asked.isdigit():
        return max(1, int(asked))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="hexscope")


def share(kernel: Callable[..., Any], planes: int, *args: Any, least: int = _LEAST) -> None:
    """``kernel(*args, start, stop)`` over all ``planes``, in as many pieces as there are threads.

    least  planes a thread takes: more where a plane is little work (a point, say)
    """
    count = min(workers(), max(1, planes // least))
    if count == 1:
        kernel(*args, 0, planes)
        return
    edges = [planes * i // count for i in range(count + 1)]
    *others, own = pairwise(edges)
    jobs = [_pool(count - 1).submit(kernel, *args, first, end) for first, end in others]
    kernel(*args, *own)
    for job in jobs:
        job.result()
