"""The digital patient's sound series in tidy folders: study/ct, study/pet, study/t1, ..."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hexscope.phantom import PhantomFiles


def tidy_phantom(files: PhantomFiles, root: Path) -> None:
    """Copy each series of the truth file into ``root``/study/ROLE."""
    for series in json.loads(files.truth.read_text())["series"]:
        target = root / "study" / series["role"]
        target.mkdir(parents=True)
        for name in series["files"]:
            file = files.folder / name
            shutil.copyfile(file, target / file.name)
