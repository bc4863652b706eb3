"""One phantom for all tests of this room: it takes some twenty seconds to render."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hexscope.phantom import PhantomFiles, Scene, make_scene, write_phantom, writer


@pytest.fixture(scope="session")
def scene() -> Scene:
    return make_scene(2)


@pytest.fixture(scope="session")
def phantom(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> PhantomFiles:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "make_scene", lambda seed: scene)  # rendered once, not once more
        return write_phantom(tmp_path_factory.mktemp("phantom"), seed=2)


@pytest.fixture(scope="session")
def truth(phantom: PhantomFiles) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(Path(phantom.truth).read_text(encoding="utf-8"))
    return value
