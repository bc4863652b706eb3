"""Our reader beside SimpleITK, dcm2niix, nibabel, highdicom and pydicom: who is right, wrong, silent or refusing.

    python benchmarks/readers.py [FOLDER …] [--only PATTERN] [--again] [--write docs/readers.md]

Without FOLDER it reads the files that pydicom, pydicom-data, wsidicom-data and nibabel ship. Each reader opens each
file in a process of its own, with 10 s and 2 GB. Rows are kept in benchmarks/results/readers.jsonl and made again only
where the file or our reader changed. Exit status 1 where a difference is unexplained, or ours crashed, hung or swelled.

Needs: pip install dcm2niix pydicom-data wsidicom-data
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from matrix.cases import Case, folder_cases, package_cases
from matrix.judge import compare, planes_of
from matrix.opening import OURS, READERS
from matrix.page import page, summary, unexplained
from matrix.server import Server
from matrix.traits import traits_of

RESULTS = Path(__file__).parent / "results" / "readers.jsonl"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folders", nargs="*", type=Path)
    options.add_argument("--only", default="*", help="pattern of case names")
    options.add_argument("--again", action="store_true", help="make all rows again")
    options.add_argument("--write", type=Path, help="the page to write")
    chosen = options.parse_args()
    cases = [c for f in chosen.folders for c in folder_cases(f)] if chosen.folders else list(package_cases())
    cases = [c for c in cases if fnmatch(c.name, chosen.only)]
    rows = run(cases, {} if chosen.again else kept_rows())
    if chosen.write:
        chosen.write.write_text(page(rows), encoding="utf-8")
    print(summary(rows))
    left = unexplained(rows)
    for line in left:
        print("UNEXPLAINED", line)
    return 1 if left else 0


def kept_rows() -> dict[str, dict[str, Any]]:
    if not RESULTS.exists():
        return {}
    rows = (json.loads(line) for line in RESULTS.read_text().splitlines())
    return {row["key"]: row for row in rows}


def run(cases: Sequence[Case], kept: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a case, in the order of the cases; each is written down as soon as it is made."""
    code = _code_digest()
    keys = [f"{case.name} {case.digest} {code}" for case in cases]
    RESULTS.parent.mkdir(exist_ok=True)
    if kept and not any(key in kept for key in keys):
        RESULTS.unlink()
    servers: dict[str, Server] = {}
    try:
        with RESULTS.open("a" if kept else "w") as log:
            for number, (case, key) in enumerate(zip(cases, keys, strict=True), start=1):
                if key not in kept:
                    servers = servers or {name: Server(name) for name in READERS}
                    kept[key] = {"key": key, **_row(case, servers)}
                    log.write(json.dumps(kept[key]) + "\n")
                    log.flush()
                    print(f"\r{number}/{len(cases)} {case.name[:80]:<80}", end="", file=sys.stderr, flush=True)
    finally:
        for server in servers.values():
            server.close()
    return [kept[key] for key in keys]


def _code_digest() -> str:
    """Of our reader and of this comparison: a change of either makes the rows again."""
    here = Path(__file__).parent
    source = here.parent / "src" / "hexscope"
    sums = hashlib.sha256()
    for name in sorted([*source.glob("io/*.py"), *source.glob("core/*.py"), *source.glob("modality/*.py"),
                        here / "matrix/judge.py", here / "matrix/opening.py", here / "matrix/traits.py"]):  # fmt: skip
        sums.update(name.read_bytes())
    return sums.hexdigest()[:12]


def _row(case: Case, servers: dict[str, Server]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        answers = dict(_answers(case, servers, Path(name)))
        traits = traits_of(case.files)
        ours = planes_of(answers[OURS]["pictures"])
        for reader, answer in answers.items():
            if reader != OURS and ours and answer["pictures"]:
                answer.update(compare(ours, planes_of(answer["pictures"]), "lossy" in traits))
            answer["pictures"] = len(answer["pictures"])
    return {"case": case.name, "traits": traits, "readers": answers}


def _answers(case: Case, servers: dict[str, Server], scratch: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    folder = scratch / "files"
    folder.mkdir()
    files = []
    for number, file in enumerate(case.files):
        files.append(folder / (file.name if len(case.files) == 1 else f"{number:05d}-{file.name}"))
        shutil.copyfile(file, files[-1])
        for twin in _halves(file):
            shutil.copyfile(twin, folder / twin.name)
    for reader, server in servers.items():
        answer = server.ask({"files": [str(f) for f in files], "folder": str(folder), "out": str(scratch / reader)})
        yield reader, answer


def _halves(file: Path) -> list[Path]:
    """The data file of a header in another file."""
    pairs = {".hdr": (".img",), ".head": (".BRIK", ".BRIK.gz"), ".par": (".REC",)}
    stem = file.with_suffix("")
    return [p for s in pairs.get(file.suffix.lower(), ()) if (p := Path(f"{stem}{s}")).exists()]


if __name__ == "__main__":
    sys.exit(main())
