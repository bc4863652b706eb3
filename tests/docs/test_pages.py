"""The pages that are made from the code are those that the code makes now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_pages", DOCS / "make_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("language", ["en", "zh"])
def test_modalities(maker: ModuleType, language: str) -> None:
    name = "modalities.md" if language == "en" else "modalities.zh.md"
    assert (DOCS / name).read_text(encoding="utf-8") == maker.modalities_page(language), "run make docs"


def test_coverage(maker: ModuleType, phantom_study: Path) -> None:
    cells = maker.coverage(maker.phantom_images(phantom_study))
    assert (DOCS / "coverage.md").read_text(encoding="utf-8") == maker.coverage_page(cells), "run make docs"
    assert cells["segment", "CT"] == "works" and cells["classify", "CT"] == "needs your model"
    assert cells["register", "XR"] == "works" and cells["detect", "XR"] == "needs your model"
