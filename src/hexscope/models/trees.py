"""Tree ensembles in an ONNX graph, run without the library that grew them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.errors import FormatError, InputError
from hexscope.models.runtime import threads

Floats = NDArray[np.floating[Any]]


class TreeGraph:
    """The graph at ``path``: a table of features in, one array an ensemble out."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Names of the columns."""
        said = self._session.get_modelmeta().custom_metadata_map
        return tuple(said.get("features", "").split(","))

    def run(self, table: Floats) -> dict[str, NDArray[np.float32]]:
        """Each ensemble's answer (rows, width) by its name. FormatError for a table of other columns."""
        if table.shape[1] != len(self.features):
            raise FormatError(f"{self._path} wants {len(self.features)} features; got {table.shape[1]}")
        names = [output.name for output in self._session.get_outputs()]
        out = self._session.run(names, {"features": np.ascontiguousarray(table, np.float32)})
        return dict(zip(names, out, strict=True))

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(self._path.read_bytes(), options, providers=["CPUExecutionProvider"])
        except OSError as error:
            raise InputError(f"{self._path} cannot be read ({error.strerror})") from error
        except Exception as error:  # onnxruntime's errors have no common root
            raise FormatError(f"{self._path} holds no trees that onnxruntime can run: {error}") from error
