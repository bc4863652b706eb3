"""Every Python block of the documents runs, or says above it why not. Blocks of one page share their names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"(?P<excuse><!-- not run: .+? -->\n)?```python\n(?P<code>.*?)```", re.S)


def blocks_of(page: Path) -> list[str]:
    return [m["code"] for m in BLOCK.finditer(page.read_text(encoding="utf-8")) if not m["excuse"]]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks_of(p)], ids=lambda p: p.name)
def test_blocks_run(page: Path, phantom_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with study/ct, study/pet, study/mr of the (synthetic) digital patient."""
    monkeypatch.chdir(phantom_study)
    names: dict[str, object] = {"__name__": "docs"}
    for number, code in enumerate(blocks_of(page), start=1):
        exec(compile(code, f"{page.name} block {number}", "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_no_other_fence_hides_python(page: Path) -> None:
    """A block marked py, Python or pycon would silently not run."""
    assert not re.search(r"```(py|Python|pycon|python3|ipython)\b(?!thon\n)", page.read_text(encoding="utf-8"))


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
