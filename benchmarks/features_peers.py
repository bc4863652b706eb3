"""Runs pyradiomics or MIRP for `features.py`, in a Python that has them: jobs on stdin, a line of JSON a job on stdout.

A job is {tool, file, spacing}: an .npz of values and mask (z, y, x), and mm. The answer has the CPU seconds of the
second of two runs (the first warms up) and the features by the tool's own names.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

BINS = 32


def pyradiomics(values: Any, mask: Any, spacing: list[float]) -> Callable[[], dict[str, float]]:
    import SimpleITK
    from radiomics import featureextractor

    extractor = featureextractor.RadiomicsFeatureExtractor(binCount=BINS)
    images = [SimpleITK.GetImageFromArray(a) for a in (values, mask.astype(np.uint8))]
    for image in images:
        image.SetSpacing(spacing[::-1])

    def run() -> dict[str, float]:
        found = extractor.execute(*images)
        return {k.removeprefix("original_"): float(v) for k, v in found.items() if k.startswith("original_")}

    return run


def mirp(values: Any, mask: Any, spacing: list[float]) -> Callable[[], dict[str, float]]:
    from mirp import extract_features

    def run() -> dict[str, float]:
        (table,) = extract_features(
            image=values,
            mask=mask.astype(int),
            image_spacing=tuple(spacing),
            by_slice=False,
            base_discretisation_method="fixed_bin_number",
            base_discretisation_n_bins=BINS,
        )
        row = table.select_dtypes("number").iloc[0]
        return {str(k): float(v) for k, v in row.items()}

    return run


def main() -> None:
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    for line in sys.stdin:
        job = json.loads(line)
        held = np.load(job["file"])
        run = {"pyradiomics": pyradiomics, "mirp": mirp}[job["tool"]](held["values"], held["mask"], job["spacing"])
        run()
        start = time.process_time()
        found = run()
        answer = {"seconds": time.process_time() - start, "features": found}
        sys.stdout.write("\nJOB " + json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
