"""The walls between the rooms, lazy and type-only imports included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hexscope

ROOT = Path(hexscope.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

TASKS = {"segment", "detect", "classify", "register", "fuse"}
#: room -> rooms it may import. errors is open to all; a room may import itself.
MAY_IMPORT = {
    "errors": set(),
    "kernels": set(),
    "core": {"kernels"},
    "modality": {"core"},
    "io": {"core", "modality"},
    "trust": {"core", "modality"},
    "models": {"core", "modality", "trust"},
    "register": {"core", "modality", "trust", "kernels"},
    "fuse": {"core", "modality", "trust"},
    "radiomics": {"core", "modality", "kernels"},
    "segment": {"core", "modality", "models", "trust"},
    "detect": {"core", "modality", "models", "trust", "radiomics"},
    "classify": {"core", "modality", "models", "trust", "radiomics"},
    "train": {"core", "modality", "io", "models", "trust", "evaluate", "radiomics", "segment", "detect", "classify"},
    "evaluate": {"core", "modality", "io", "models", "trust", *TASKS},
    "phantom": {"core", "modality", "io"},
    "study": {"core", "modality", "io", "trust", "models", "phantom", "evaluate", *TASKS},
    "model_verbs": {"core", "io", "models", "train", "evaluate", "study"},
    "verbs": {
        "model_verbs",
        "core",
        "modality",
        "io",
        "trust",
        "models",
        "phantom",
        "study",
        "evaluate",
        "radiomics",
        *TASKS,
    },
    "pair_verbs": {"core", "io", "study", "evaluate", "register", "fuse"},
    "cli": {"verbs", "model_verbs", "pair_verbs"},
    "__main__": {"cli"},
}
#: package -> the only rooms that may import it.
ONLY_IN = {
    **{p: {"io"} for p in ("pydicom", "highdicom", "nibabel", "openslide", "tifffile", "SimpleITK", "imagecodecs")},
    "torch": {"train"},
    "numba": {"kernels"},
}


def _dotted(path: Path) -> str:
    parts = ["hexscope", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {_dotted(p): p for p in MODULES}


def room_of(path: Path) -> str:
    part = path.relative_to(ROOT).parts[0]
    return part.removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every imported module of a file, wherever the statement stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            module = node.module or ""
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield node.lineno, inner if inner in NAMES else module


def breaches(path: Path) -> Iterator[str]:
    room = room_of(path)
    for line, name in imports_of(path):
        top, _, rest = name.partition(".")
        where = f"{path.relative_to(ROOT)}:{line}"
        if top in ONLY_IN and room not in ONLY_IN[top]:
            yield f"{where} imports {top}, which belongs to {sorted(ONLY_IN[top])}"
        target = rest.partition(".")[0]
        if top != "hexscope" or (not (ROOT / target).exists() and not (ROOT / f"{target}.py").exists()):
            continue
        if target and target not in {room, "errors"} | MAY_IMPORT[room]:
            yield f"{where}: {room} imports {target}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_walls_stand(path: Path) -> None:
    if path == ROOT / "__init__.py":
        return  # the lazy face of the package names every room by string
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room} is a new room: say in MAY_IMPORT what it may import"
    assert not list(breaches(path))


def test_a_breach_would_be_seen(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    import torch\n    from hexscope.io import read\n")
    found = [name for _, name in imports_of(bad)]
    assert found == ["torch", "hexscope.io"]


def test_no_cycles() -> None:
    """No two modules need each other, lazy imports included."""
    graph = {
        name: {t for _, t in imports_of(path) if t in NAMES and t != name}
        for name, path in NAMES.items()
        if name != "hexscope"
    }
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert state.get(name) != 1, " -> ".join((*trail, name))
        if state.get(name) == 2:
            return
        state[name] = 1
        for target in sorted(graph.get(name, ())):
            visit(target, (*trail, name))
        state[name] = 2

    for name in sorted(graph):
        visit(name, ())


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, "split it: files are nouns and stay small"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            documented = ast.get_docstring(node)
            length -= documented.count("\n") + 1 if documented else 0
            assert length <= 60, f"{node.name} has {length} lines"
