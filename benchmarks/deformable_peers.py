"""Runs greedy for `deformable.py` and `registration.py`, in a Python with picsl_greedy and SimpleITK: jobs on stdin.

A job is {fixed, moving, commands: [...], out}; {out} in a command stands for a stem, {out}.mat for the affine part and
{out}.nii.gz for the warp. Writes {out}.npz with the displacements (z, y, x, 3) LPS mm and the matrix (fixed to moving,
RAS); prints one line of JSON a job with its CPU seconds.
"""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK
from picsl_greedy import Greedy3D


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        start = time.process_time()
        for command in job["commands"]:
            said = io.StringIO()
            Greedy3D().execute("-d 3 -threads 1 -V 0 " + command.format(**job), said, said)
        seconds = time.process_time() - start
        stem = job["out"]
        bent = Path(stem + ".nii.gz")
        warp = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(bent))) if bent.exists() else np.zeros(3)
        matrix = np.loadtxt(stem + ".mat") if Path(stem + ".mat").exists() else np.eye(4)
        np.savez_compressed(stem, warp=warp.astype(np.float32), matrix=matrix)
        sys.stdout.write("\nJOB " + json.dumps({"out": stem, "seconds": seconds}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
