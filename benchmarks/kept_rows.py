"""Rows of a benchmark that are kept, one line of JSON each: a run may be killed and goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import hexscope

Row = list[float]

#: The rooms whose code makes a registration.
_ROOMS = ("core", "kernels", "register")


class KeptRows:
    """Rows of ``results/NAME.jsonl``: what was measured (``of``), who did it (``by``), and its figures."""

    def __init__(self, name: str) -> None:
        self._path = Path(__file__).parent / "results" / f"{name}.jsonl"
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        kept = [json.loads(line) for line in lines]
        self._rows: dict[tuple[str, str], Row] = {(k["of"], k["by"]): k["row"] for k in kept}

    def get(self, of: str, by: str) -> Row | None:
        return self._rows.get((of, by))

    def kept(self, of: str, by: str, make: Callable[[], Row]) -> Row:
        """The row that is there, or the one that ``make`` gives: that is kept at once."""
        if (of, by) not in self._rows:
            row = self._rows[of, by] = make()
            self._path.parent.mkdir(exist_ok=True)
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"of": of, "by": by, "row": row}) + "\n")
        return self._rows[of, by]


def ourselves() -> str:
    """Hexscope with a stamp of the code that registers: rows of other code are not taken for this one's."""
    root = Path(hexscope.__file__).parent
    digest = hashlib.sha256()
    for source in sorted(p for room in _ROOMS for p in (root / room).glob("*.py")):
        digest.update(source.read_bytes())
    return f"hexscope {digest.hexdigest()[:12]}"
