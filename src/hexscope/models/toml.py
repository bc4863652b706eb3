"""TOML as text: the standard library reads it and does not write it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hexscope.errors import UsageError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dump(data: Mapping[str, Any]) -> str:
    """``data`` (text, numbers, truth, lists and mappings of them) as TOML that reads back as the same."""
    return "\n".join(_table(data, ())).strip() + "\n"


def _table(data: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """A table's own values first, then its tables, then its lists of tables."""
    lines = [f"{_key(k)} = {_value(v)}" for k, v in data.items() if not _is_table(v) and not _is_tables(v)]
    for key, value in data.items():
        here = (*path, key)
        name = ".".join(_key(part) for part in here)
        if _is_table(value):
            lines += ["", f"[{name}]", *_table(value, here)]
        elif _is_tables(value):
            for entry in value:
                lines += ["", f"[[{name}]]", *_table(entry, here)]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    raise UsageError(f"a card holds text, numbers and lists of them; got {type(value).__name__}")
