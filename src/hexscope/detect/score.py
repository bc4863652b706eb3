"""How many lesions of the truth were found, and how many candidates are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hexscope.core.image import Mask
from hexscope.core.results import Finding, Findings


@dataclass(frozen=True)
class Hits:
    """found  by the name of each lesion: does a candidate's centre lie in it?
    false  candidates whose centre lies in no lesion
    """

    found: Mapping[str, bool]
    false: tuple[Finding, ...]

    @property
    def false_positives(self) -> int:
        return len(self.false)

    @property
    def sensitivity(self) -> float:
        """Part of the lesions that were found; NaN where there are none."""
        return float(np.mean(list(self.found.values()))) if self.found else float("nan")


def hits(findings: Findings, truth: Mask) -> Hits:
    """A lesion is hit by a candidate whose centre lies on one of its pixels. Centres are placed in LPS mm.

    Raises UncalibratedError where the truth has no position.
    """
    parts = {label.name: truth.of(label.name) for label in truth.labels}
    found = dict.fromkeys(parts, False)
    false = []
    for finding in findings:
        if finding.center_lps_mm is None:
            continue
        index = np.round(truth.grid.to_index(finding.center_lps_mm)).astype(int)
        inside = bool(np.all((index >= 0) & (index < truth.grid.shape)))
        struck = [name for name, part in parts.items() if inside and part[tuple(index)]]
        if not struck:
            false.append(finding)
        found.update(dict.fromkeys(struck, True))
    return Hits(found, tuple(false))
