"""One process a reader, which imports it once and forks a child with limits for every case.

    python -m matrix.server READER      cases as JSON lines on stdin, outcomes as JSON lines on stdout

A case is ``{"files": [...], "folder": ..., "out": ...}``. An outcome has ``state`` (read, refuses, no claim, crashed,
out of time, out of memory), ``reason``, ``cpu_s``, ``peak_mb`` and ``pictures``.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

SECONDS = 10
BYTES = 2 << 30


class Server:
    """The process of one reader, seen from outside."""

    def __init__(self, reader: str) -> None:
        command = [sys.executable, "-m", "matrix.server", reader]
        here = Path(__file__).resolve().parent.parent
        sources = os.pathsep.join([str(here.parent / "src"), os.environ.get("PYTHONPATH", "")])
        where = {**os.environ, "PYTHONPATH": sources, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, text=True, cwd=here, env=where, **pipes)

    def ask(self, case: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def serve(reader: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no answer
    _import(reader)
    for line in sys.stdin:
        answers.write(json.dumps(_in_child(reader, json.loads(line))) + "\n")
        answers.flush()


#: What is loaded before the clock runs; by default the package itself.
_LOADED = {
    "hexscope": ("hexscope.verbs", "pydicom.pixels", "nibabel", "SimpleITK", "tifffile", "PIL.Image", "openslide"),
    "dcm2niix": ("nibabel",),
    "nibabel": ("pydicom", "nibabel.nicom.dicomwrappers"),
    "pydicom": ("pydicom.pixels",),
}


def _import(reader: str) -> None:
    for name in _LOADED.get(reader, (reader,)):
        importlib.import_module(name)


def _in_child(reader: str, case: dict[str, Any]) -> dict[str, Any]:
    """Fork, limit, read; kill what takes too long."""
    inward, outward = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(inward)
        os.setpgid(0, 0)
        _child(reader, case, outward)
    os.close(outward)
    data, deadline = b"", time.monotonic() + SECONDS
    with os.fdopen(inward, "rb", buffering=0) as pipe:
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([pipe], [], [], left)[0]:
                break
            chunk = pipe.read(1 << 16)
            if not chunk:
                break
            data += chunk
    late = time.monotonic() >= deadline
    if late:
        os.killpg(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    if data and not late:
        return dict(json.loads(data))
    state, reason = ("out of time", f"after {SECONDS} s") if late else ("crashed", f"wait status {status}")
    return {"state": state, "reason": reason, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": 0, "pictures": []}


def _child(reader: str, case: dict[str, Any], outward: int) -> None:
    from matrix.opening import READERS, OtherKind

    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    before = _cpu()
    answer: dict[str, Any] = {"state": "read", "reason": "", "pictures": []}
    pictures = []
    try:
        pictures = READERS[reader]([Path(f) for f in case["files"]], Path(case["folder"]))
    except MemoryError as error:
        answer.update(state="out of memory", reason=str(error))
    except OtherKind as error:
        answer.update(state="no claim", reason=str(error))
    except Exception as error:
        name = "" if type(error).__name__ == "Refused" else f"{type(error).__name__}: "
        answer.update(state="refuses", reason=f"{name}{error}"[:300])
    answer["cpu_s"] = _cpu() - before
    answer["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for number, picture in enumerate(pictures):
        file = f"{case['out']}-{number}.npy"
        np.save(file, np.asarray(picture.array))
        affine = None if picture.affine is None else np.asarray(picture.affine, dtype=float).tolist()
        answer["pictures"].append({"file": file, "axes": picture.axes, "affine": affine, "spacing": picture.spacing})
    os.write(outward, json.dumps(answer).encode())
    os.close(outward)
    os._exit(0)


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    serve(sys.argv[1])
