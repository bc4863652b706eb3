"""The palettes are those of DICOM PS3.6 Annex B, entry by entry, as pydicom ships them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from hexscope.errors import UsageError
from hexscope.fuse import PALETTES, palette
from hexscope.fuse.palettes import colours

_FILES = {"hot iron": "hotiron", "pet": "pet", "hot metal blue": "hotmetalblue", "pet 20 step": "pet20step"}


@pytest.mark.parametrize("name", sorted(_FILES))
def test_every_entry_is_the_standards(name: str) -> None:
    folder = Path(pydicom.__file__).parent / "data" / "palettes"
    data = pydicom.dcmread(folder / f"{_FILES[name]}.dcm")
    columns = [
        np.frombuffer(data[f"{c}PaletteColorLookupTableData"].value, np.uint8)[:256] for c in ("Red", "Green", "Blue")
    ]
    assert np.array_equal(palette(name), np.stack(columns, axis=1))


def test_grey_is_the_identity() -> None:
    assert np.array_equal(palette("Grey"), np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1))
    assert np.allclose(colours(np.array([0.0, 0.3333, 1.0]), "grey")[:, 0], [0.0, 84.99, 255.0], atol=0.01)


def test_names() -> None:
    assert set(_FILES) | {"grey", "rainbow"} == set(PALETTES)
    assert np.array_equal(palette("Hot-Iron"), palette("hot_iron"))
    with pytest.raises(UsageError, match="hot metal blue"):
        palette("jet")
    with pytest.raises(ValueError, match="read-only"):
        palette("pet")[0, 0] = 1


def test_a_level_takes_the_nearest_entry() -> None:
    levels = np.linspace(0, 1, 256)
    assert np.array_equal(colours(levels, "pet"), palette("pet").astype(np.float32))
    assert np.array_equal(colours(levels + 0.4 / 255, "pet")[:-1], palette("pet")[:-1].astype(np.float32))
