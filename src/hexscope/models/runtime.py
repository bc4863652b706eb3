"""A network's graph, run without torch: by onnxruntime, or by OpenVINO where it is installed and saves time.

Which of the two is measured once for a model on a machine, kept in the user's cache folder, and told with every
result. The choice rests on the work of one case alone, so that a case gets the same numbers alone and among others.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import FormatError, InputError, UsageError

Floats = NDArray[np.float32]
Run = Callable[[Floats], Floats]

#: Work of a case below which nobody looks for a faster engine, seconds of onnxruntime.
_WORTH_MEASURING_S = 4.0
#: The other engine must give the same winner in this share of pixels.
_AGREEMENT = 0.999
ENGINES = ("onnxruntime", "openvino")


def threads() -> int:
    """Cores to use: $HEXSCOPE_THREADS, else all that this process may use."""
    wish = os.environ.get("HEXSCOPE_THREADS", "")
    if wish and not wish.isdecimal():
        raise UsageError(f"HEXSCOPE_THREADS is a whole number of threads; got {wish!r}")
    return (
        int(wish) if wish else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def cache_folder() -> Path:
    """Where figures about this machine are kept: $HEXSCOPE_CACHE, else the user's cache folder."""
    wish = os.environ.get("HEXSCOPE_CACHE")
    if wish:
        return Path(wish)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "hexscope"


@dataclass(frozen=True)
class Engine:
    """What runs a graph, and its name as it is told."""

    name: str
    run: Run


@dataclass(frozen=True)
class Timing:
    """Seconds a run takes in each engine, what starting the second costs, and in how many pixels they agree."""

    onnxruntime_s: float
    openvino_s: float
    start_s: float
    agreement: float

    def prefers_openvino(self, runs: int) -> bool:
        """Does it save time over ``runs`` runs, its start counted?"""
        return self.agreement >= _AGREEMENT and runs * (self.onnxruntime_s - self.openvino_s) > self.start_s


class Network:
    """The graph in an ONNX file. Sides may vary; batch is one: (1, planes, *spatial) to (1, outputs, *spatial)."""

    def __init__(self, weights: Path) -> None:
        try:
            self._bytes = weights.read_bytes()
        except OSError as error:
            raise InputError(f"{weights} cannot be read ({error.strerror})") from error
        self._weights = weights
        self._compiled: tuple[tuple[int, ...], Run] | None = None

    def engine_for(self, sample: Floats, runs: int) -> Engine:
        """What should run ``runs`` arrays like ``sample`` (planes, *spatial)."""
        plain = Engine("onnxruntime", self._onnxruntime)
        wish = os.environ.get("HEXSCOPE_ENGINE", "")
        if wish and wish not in ENGINES:
            raise UsageError(f"HEXSCOPE_ENGINE is one of {', '.join(ENGINES)}; got {wish!r}")
        if wish == "onnxruntime" or find_spec("openvino") is None:
            return plain
        if wish != "openvino" and not self._saves_time(sample, runs):
            return plain
        return Engine("openvino", self._openvino(sample.shape))

    def require_fit(self, planes: int, dims: int, outputs: int) -> None:
        """FormatError unless the graph takes ``planes`` of ``dims`` axes and answers with ``outputs`` planes.

        dims  of the image; the answer has as many, or none where it is of the whole image
        """
        whole = len(self._session.get_outputs()[0].shape) == 2
        asked = (
            (self._session.get_inputs(), planes, dims),
            (self._session.get_outputs(), outputs, 0 if whole else dims),
        )
        for entries, wanted, sides in asked:
            shapes = [entry.shape for entry in entries]
            if len(shapes) != 1 or len(shapes[0]) != sides + 2 or shapes[0][1] not in (wanted, None, "planes"):
                raise FormatError(
                    f"{self._weights} has {shapes} where its card says (1, {wanted}, and {sides} sides): the card is "
                    "of another network"
                )

    # ---- engines ----------------------------------------------------------------------------------------

    def _onnxruntime(self, array: Floats) -> Floats:
        (out,) = self._session.run(None, {self._session.get_inputs()[0].name: array[None]})
        return np.asarray(out[0], dtype=np.float32)

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False  # else the largest tile's memory is kept for good
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads burn no CPU
        try:
            return onnxruntime.InferenceSession(self._bytes, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common root
            raise FormatError(f"{self._weights} is not a network that onnxruntime can run: {error}") from error

    def _openvino(self, shape: tuple[int, ...]) -> Run:
        """The graph made ready for arrays of ``shape``; the last one is kept, for the next image is often as large."""
        if self._compiled is not None and self._compiled[0] == shape:
            return self._compiled[1]
        import openvino

        core = openvino.Core()
        graph = core.read_model(self._bytes)
        graph.reshape([1, *shape])
        compiled = core.compile_model(graph, "CPU", {"INFERENCE_NUM_THREADS": threads()})
        self._compiled = (shape, lambda array: np.array(compiled(array[None])[0][0], dtype=np.float32))
        return self._compiled[1]

    # ---- which one --------------------------------------------------------------------------------------

    def _saves_time(self, sample: Floats, runs: int) -> bool:
        known = _recalled(self._key(sample))
        if known is None and runs > 1:
            known = self._measured(sample, runs)
        return known is not None and known.prefers_openvino(runs)

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(self._bytes).hexdigest()

    def _key(self, sample: Floats) -> str:
        said = (self._digest, sample.shape, threads(), _versions())
        return hashlib.sha256(repr(said).encode()).hexdigest()[:24]

    def _measured(self, sample: Floats, runs: int) -> Timing | None:
        """Both engines on one array; None, and nothing is kept, where the whole work is too little to ask."""
        _ = self._session
        first, slow = _timed(lambda: self._onnxruntime(sample))
        if slow * runs < _WORTH_MEASURING_S:
            return None
        run, start = _timed(lambda: self._openvino(sample.shape))
        run(sample)  # the first run prepares
        second, fast = _timed(lambda: run(sample))
        agreement = float(np.mean(first.argmax(axis=0) == second.argmax(axis=0)))
        timing = Timing(slow, fast, start, agreement)
        _remember(self._key(sample), timing)
        return timing


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    since = time.perf_counter()
    out = work()
    return out, time.perf_counter() - since


@cache
def _versions() -> tuple[str, ...]:
    from importlib.metadata import version

    return tuple(version(engine) for engine in ENGINES)


def _table() -> Path:
    return cache_folder() / "engines.json"


def _recalled(key: str) -> Timing | None:
    try:
        row = json.loads(_table().read_text(encoding="utf-8"))[key]
        return Timing(**{name: float(value) for name, value in row.items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # nothing is kept, or not by us: measured anew


def _remember(key: str, timing: Timing) -> None:
    """Keep a figure; a cache that cannot be written costs time, not the result."""
    table = _table()
    try:
        rows = json.loads(table.read_text(encoding="utf-8")) if table.is_file() else {}
    except (OSError, ValueError):
        rows = {}
    rows[key] = {name: round(value, 6) for name, value in vars(timing).items()}
    beside = table.with_name(f"{table.name}.{os.getpid()}")
    try:
        table.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        os.replace(beside, table)
    except OSError:
        beside.unlink(missing_ok=True)
