"""The plan of a training: every automatic choice with its reason, what else was considered, and how to override it.

A rule (`hexscope.train.choices`) is a function whose parameters name the facts and earlier choices that it may look
at; nothing else reaches it. So a changed fact changes only what rests on it, by construction.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hexscope.errors import FormatError, UsageError

#: Where a model folder keeps its plan.
PLAN = "plan.json"


@dataclass(frozen=True)
class Choice:
    """One automatic choice: its value (plain data), the evidence, and the alternatives that were left."""

    value: Any
    why: str
    considered: str = ""


Rule = Callable[..., Choice]


@dataclass(frozen=True)
class Plan:
    """Choices by name in the order in which they were made, and the facts that they rest on.

    rests_on    by choice: the facts and earlier choices that its rule looked at
    overridden  choices that the user made
    """

    facts: Mapping[str, Any]
    choices: Mapping[str, Choice]
    rests_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    overridden: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.choices[name].value

    def as_data(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {
            "facts": dict(self.facts),
            "choices": [
                {
                    "name": name,
                    "value": choice.value,
                    "why": choice.why,
                    "considered": choice.considered,
                    "rests_on": list(self.rests_on.get(name, ())),
                    "override": f"--set {name}={_shown(choice.value)}",
                    "overridden": name in self.overridden,
                }
                for name, choice in self.choices.items()
            ],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Plan:
        """From what ``as_data`` gave. FormatError names the field that lacks."""
        try:
            rows = data["choices"]
            return cls(
                dict(data["facts"]),
                {row["name"]: Choice(_frozen(row["value"]), row["why"], row["considered"]) for row in rows},
                {row["name"]: tuple(row["rests_on"]) for row in rows},
                tuple(row["name"] for row in rows if row["overridden"]),
            )
        except (KeyError, TypeError) as error:
            raise FormatError(f"the plan lacks {error}") from error

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan of a model folder."""
        path = folder / PLAN
        try:
            return cls.from_data(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise FormatError(f"{folder} holds no {PLAN}: the model was not made by hexscope train") from error
        except ValueError as error:
            raise FormatError(f"{path} is not JSON: {error}") from error

    def lines(self) -> Iterator[str]:
        """For a person: one choice a line, its reason below."""
        for name, choice in self.choices.items():
            given = " (given)" if name in self.overridden else ""
            yield f"{name} = {_shown(choice.value)}{given}"
            yield f"    {choice.why}" + (f"; considered: {choice.considered}" if choice.considered else "")


def make_plan(rules: Sequence[Rule], facts: Mapping[str, Any], overrides: Mapping[str, str] | None = None) -> Plan:
    """Ask each rule in turn, with what its parameters name and nothing else.

    overrides  value by choice, as text; it takes the place of the rule's, and what rests on it follows

    Raises UsageError for an override of an unknown choice or of another kind.
    """
    given = dict(overrides or {})
    known = {rule.__name__ for rule in rules}
    unknown = sorted(set(given) - known)
    if unknown:
        raise UsageError(f"the plan has no {', '.join(unknown)}; what can be set: {', '.join(sorted(known))}")
    choices: dict[str, Choice] = {}
    rests_on = {}
    for rule in rules:
        name = rule.__name__
        needs = tuple(inspect.signature(rule).parameters)
        seen = {n: choices[n].value if n in choices else facts[n] for n in needs}
        choice = rule(**seen)
        if name in given:
            value = parsed(name, given[name], choice.value)
            choice = Choice(value, "given by the user", f"{_shown(choice.value)}: {choice.why}")
        choices[name], rests_on[name] = Choice(_frozen(choice.value), choice.why, choice.considered), needs
    return Plan(facts, choices, rests_on, tuple(given))


def parsed(name: str, text: str, like: Any) -> Any:
    """The value that ``text`` means, of the kind of ``like``. UsageError says what kind is wanted."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if value is not None and isinstance(like, float) and isinstance(value, int):
        value = float(value)
    if isinstance(like, list | tuple) and isinstance(value, int | float):
        value = (value,)
    same = isinstance(value, list | tuple) if isinstance(like, list | tuple) else type(value) is type(like)
    if not same and like is not None and value is not None:
        raise UsageError(f"{name} is like {_shown(like)}; got {text!r}")
    return _frozen(value)


def differences(a: Plan, b: Plan) -> list[dict[str, Any]]:
    """Choices that differ, with both values and reasons, and the facts behind them that differ."""
    out = []
    for name in dict.fromkeys([*a.choices, *b.choices]):
        ours, theirs = a.choices.get(name), b.choices.get(name)
        if ours and theirs and ours.value == theirs.value:
            continue
        needs = {*a.rests_on.get(name, ()), *b.rests_on.get(name, ())}
        because = sorted(n for n in needs if n in a.facts and a.facts.get(n) != b.facts.get(n))
        because += sorted(n for n in needs if n in a.choices and n in b.choices and a[n] != b[n])
        entry: dict[str, Any] = {"name": name, "because": because}
        for key, choice in (("a", ours), ("b", theirs)):
            entry[key] = choice.value if choice else None
            entry[f"why_{key}"] = choice.why if choice else ""
        out.append(entry)
    return out


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list | tuple) else value


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "[" + ",".join(_shown(v) for v in value) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
