"""greedy beside us: its answers are scored by the same code as ours, and its rows are kept with their commands."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from kept_rows import KeptRows, Row

import hexscope as hx
from hexscope.core.geometry import flip_lps_ras
from hexscope.core.image import Image
from hexscope.core.transform import Transform
from hexscope.core.warp import Warp

AFFINE = "-a -i {fixed} {moving} -ia-image-centers -m WNCC 2x2x2 -n 100x50x10 -o {out}.mat"
NCC = "-i {fixed} {moving} -it {out}.mat -m NCC 2x2x2 -n 100x50x30 -s 1.732vox 0.7071vox -o {out}.nii.gz"
NMI = "-i {fixed} {moving} -m NMI -n 100x50x30 -o {out}.nii.gz"
NMI_SMOOTH = "-i {fixed} {moving} -m NMI -n 100x100x60 -s 3vox 1vox -o {out}.nii.gz"


class Greedy:
    """greedy, where ``python`` has picsl_greedy and SimpleITK; else its rows that were kept."""

    def __init__(self, python: str | None, rows: KeptRows) -> None:
        self.python, self.rows = python, rows

    def row(
        self, of: str, images: tuple[Image, Image], commands: list[str], score: Callable[[Transform, float], Row]
    ) -> Row | None:
        """What ``score`` makes of its answer for images (fixed, moving); None where it can neither be run nor read."""
        by = "greedy " + " ; ".join(commands)
        if self.python is None:
            return self.rows.get(of, by)
        return self.rows.kept(of, by, lambda: score(*self._answer(images, commands)))

    def _answer(self, images: tuple[Image, Image], commands: list[str]) -> tuple[Transform, float]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            job = {"out": str(folder / "found"), "commands": commands}
            for role, image in zip(("fixed", "moving"), images, strict=True):
                job[role] = str(hx.save(image, folder / f"{role}.nii.gz"))
            script = Path(__file__).with_name("deformable_peers.py")
            command, text = [str(self.python), str(script)], json.dumps(job)
            said = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
            answer = json.loads(next(line[4:] for line in said.splitlines() if line.startswith("JOB ")))
            done = np.load(folder / "found.npz")
        flip = flip_lps_ras(np.eye(4))
        warp = Warp(images[0].grid, np.ascontiguousarray(done["warp"]))
        return Transform.deformable(np.linalg.inv(flip @ done["matrix"] @ flip), warp), float(answer["seconds"])
