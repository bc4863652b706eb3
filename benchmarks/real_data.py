"""Where the real data lie: --data, else $HEXSCOPE_DATA, else ../shared/data beside the checkout."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

DEFAULT = Path(os.environ.get("HEXSCOPE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--data FOLDER``."""
    parser.add_argument("--data", type=Path, default=DEFAULT, help="folder of the real data sets")


def require(folder: Path) -> None:
    """End the benchmark with a word where its data are absent: nothing is measured then."""
    if not folder.is_dir():
        print(f"left out: the set {folder.name} is not here; pass --data or set HEXSCOPE_DATA")
        sys.exit(0)


if __name__ == "__main__":
    print(DEFAULT)
