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
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

BINS = 32


def images_of(values: Any, mask: Any, spacing: list[float]) -> list[Any]:
    import SimpleITK

    images = [SimpleITK.GetImageFromArray(a) for a in (values, mask.astype(np.uint8))]
    for image in images:
        image.SetSpacing(spacing[::-1])
    return images


@cache
def _extractor() -> Any:
    from radiomics import featureextractor

    return featureextractor.RadiomicsFeatureExtractor(binCount=BINS)


def pyradiomics(images: list[Any], folder: Path) -> dict[str, float]:
    found = _extractor().execute(*images)
    return {k.removeprefix("original_"): float(v) for k, v in found.items() if k.startswith("original_")}


def mirp(images: list[Any], folder: Path) -> dict[str, float]:
    """From files: arrays it takes to have voxels of 1 mm."""
    import SimpleITK
    from mirp import extract_features

    for name, image in zip(("image", "mask"), images, strict=True):
        SimpleITK.WriteImage(image, str(folder / f"{name}.nii.gz"))
    (table,) = extract_features(
        image=str(folder / "image.nii.gz"),
        mask=str(folder / "mask.nii.gz"),
        by_slice=False,
        base_discretisation_method="fixed_bin_number",
        base_discretisation_n_bins=BINS,
    )
    row = table.select_dtypes("number").iloc[0]
    return {str(k): float(v) for k, v in row.items()}


def main() -> None:
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    for line in sys.stdin:
        job = json.loads(line)
        held = np.load(job["file"])
        run = {"pyradiomics": pyradiomics, "mirp": mirp}[job["tool"]]
        images, folder = images_of(held["values"], held["mask"], job["spacing"]), Path(job["file"]).parent
        run(images, folder)
        start = time.process_time()
        found = run(images, folder)
        answer = {"seconds": time.process_time() - start, "features": found}
        sys.stdout.write("\nJOB " + json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
