"""Make the table of the recipe "body-part": pictures of six modalities, labelled by modality and what is shown.

    python recipes/body_part.py [--data FOLDER] [--out FOLDER]
    python recipes/make.py body-part --data build/data

Every picture is grey and without a header, as those are whose header is silent: slices of volumes, pathology too. A
few of each set, so that none outweighs the others; patients keep their group.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

import hexscope as hx
from hexscope.io.case import Case
from hexscope.io.cases import open_images, read_cases
from hexscope.study.looks import plain

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("HEXSCOPE_DATA", HERE.parents[1] / "shared" / "data"))
#: Pictures of one set and input; slices of one volume, as parts of its length.
_MOST = 60
_SLICES = (0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True)
class Source:
    """Where pictures of a class are: a set and an input of its table."""

    label: str
    set: str
    input: str = "image"


SOURCES = (
    Source("MR brain", "mr-brain-tumour"),
    Source("CT body", "pet-ct-mr-sarcoma", "ct"),
    Source("PT body", "pet-ct-mr-sarcoma", "pet"),
    Source("MR body", "pet-ct-mr-sarcoma", "mr"),
    Source("XR chest", "xray-chest"),
    Source("US breast", "us-breast"),
    Source("US fetal head", "us-fetal-head"),
    Source("SM tissue", "path-nuclei"),
    Source("SM blood", "path-blood-cells"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the sets")
    parser.add_argument("--out", type=Path, default=HERE.parent / "build" / "data", help="where the new set goes")
    chosen = parser.parse_args()
    folder = chosen.out / "body-part"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for source in SOURCES for row in written(source, chosen.data, folder)]
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["case", "group", "image", "label"])
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} pictures in {folder}")


def written(source: Source, data: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Write the pictures of one source; a row of the table each."""
    table = data / source.set / "cases.csv"
    if not table.is_file():
        print(f"left out: {source.label}: the set {source.set} is not here; pass --data or set HEXSCOPE_DATA")
        return
    cases = list(read_cases(table, (source.input,)).cases)
    cases.sort(key=lambda case: hashlib.sha256(case.case.encode()).hexdigest())  # by chance, the same each time
    for case in cases[:_MOST]:
        for number, plane in enumerate(planes(case, source)):
            name = f"{source.set}-{source.input}-{case.case}-{number}"
            Picture.fromarray(plain(plane)).save(folder / f"{name}.png")
            yield {"case": name, "group": f"{source.set}-{case.group}", "image": f"{name}.png", "label": source.label}


def planes(case: Case, source: Source) -> list[NDArray[np.float32]]:
    """The picture itself, or some slices of a volume, one number a pixel."""
    image = open_images(case)[source.input]
    array = np.asarray(image.array, np.float32)
    if image.quantity is hx.Quantity.RGB:
        array = array.mean(axis=-1)
    return [array] if array.ndim == 2 else [array[int(part * len(array))] for part in _SLICES]


if __name__ == "__main__":
    main()
