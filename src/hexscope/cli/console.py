"""What the command line says: results to stdout, the rest to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from hexscope.cli.words import tr
from hexscope.errors import HexscopeError


class Console:
    """One command's voice, in one language, as text or as one JSON value."""

    def __init__(self, language: str, *, as_json: bool) -> None:
        self.language = language
        self.as_json = as_json

    def result(self, value: Any, text: str | Iterable[str]) -> None:
        """The result: ``value`` as JSON with --json, else ``text`` (one string, or lines)."""
        if self.as_json:
            print(json.dumps(value, ensure_ascii=False, indent=1, default=_plain))
            return
        for line in [text] if isinstance(text, str) else text:
            print(line)

    def say(self, message: str, **values: Any) -> None:
        """A message to stderr, translated; ``values`` fill its braces."""
        print(tr(message, self.language).format(**values), file=sys.stderr, flush=True)

    def fail(self, error: HexscopeError) -> None:
        """Tell an error: message and remedy to stderr and, with --json, as the one JSON value."""
        from hexscope.verbs import remedy_of

        if self.as_json:
            value = {"error": {"kind": type(error).__name__, "code": error.code, "message": str(error)}}
            print(json.dumps(value, ensure_ascii=False))
        print(f"{tr('error', self.language)}: {error}", file=sys.stderr)
        remedy = remedy_of(error, self.language)
        if remedy and remedy not in str(error):
            print(f"{tr('remedy', self.language)}: {remedy}", file=sys.stderr)

    def counter(self, what: str) -> Any:
        """A progress callback (done, total) that draws a bar on a terminal and stays silent elsewhere."""
        from tqdm import tqdm

        bar = tqdm(
            desc=tr(what, self.language),
            unit="",
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
            leave=False,
        )

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if done >= total:
                bar.close()

        return tell

    def table(self, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
        """Lines of a plain table, columns aligned (a Chinese character is two columns wide)."""
        cells = [
            [tr(h, self.language) for h in head],
            *[["" if c is None else str(c) for c in row] for row in rows],
        ]
        widths = [max(_width(row[i]) for row in cells) for i in range(len(head))]
        lines = ["  ".join(c + " " * (w - _width(c)) for c, w in zip(row, widths, strict=True)) for row in cells]
        return [line.rstrip() for line in lines]


def _width(text: str) -> int:
    return sum(2 if ord(c) > 0x2E7F else 1 for c in text)


def _plain(value: Any) -> Any:
    """numpy scalars and arrays as JSON."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
