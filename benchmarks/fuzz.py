"""Mutants of small DICOM, NIfTI, TIFF, SVS, NRRD, PNG and JPEG files: each must be read, or refused cleanly.

    python benchmarks/fuzz.py [--mutants 2000] [--first 0] [--keep FOLDER]

A mutant is named by its number, so that a failure can be made again. Troubles are: an exception that is no
HexscopeError, a dead process, more than 10 s, more than 1 GiB. Exit status 1 where there was one; ``--keep`` keeps it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]
from tests.io.fuzzing import Trouble, make_seeds, mutant, run  # noqa: E402


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--mutants", type=int, default=2000)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--keep", type=Path, help="where mutants that made trouble are written")
    chosen = options.parse_args()
    outcomes: dict[str, Counter[str]] = {}
    troubles, slowest, cpu, started = [], (0.0, 0), 0.0, time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "seeds").mkdir()
        seeds = {seed.name: seed.read_bytes() for seed in make_seeds(Path(name) / "seeds")}
        for told in run(chosen.first, chosen.first + chosen.mutants, Path(name)):
            if isinstance(told, Trouble):
                troubles.append(told)
                print(f"TROUBLE {told.number} {told.seed}: {told.what}", flush=True)
                continue
            outcomes.setdefault(told["seed"], Counter())[told["outcome"]] += 1
            cpu += told["cpu_s"]
            slowest = max(slowest, (told["cpu_s"], told["number"]))
    for seed, counts in sorted(outcomes.items()):
        print(f"{seed:<14}", ", ".join(f"{code} {n}" for code, n in counts.most_common()))
    spent = time.monotonic() - started
    print(f"{chosen.mutants} mutants, {len(troubles)} troubles, {cpu:.1f} CPU s, {spent:.0f} s in all")
    print(f"slowest: mutant {slowest[1]}, {slowest[0]:.2f} CPU s")
    if chosen.keep:
        chosen.keep.mkdir(parents=True, exist_ok=True)
        for trouble in troubles:
            data = mutant(seeds[trouble.seed], trouble.seed, trouble.number)
            (chosen.keep / f"{trouble.number}-{trouble.seed}").write_bytes(data)
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
