"""Overlays stand beside the picture: told, readable, never in its values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataelem import DataElement

from hexscope.errors import FormatError
from hexscope.io.dicom_header import read_header
from hexscope.io.dicom_overlay import overlay_bits
from tests.io.dicom_files import CT, ORIGIN, dataset, fill, only, pixel_tags, place, save, stack

RNG = np.random.default_rng(41)


def with_overlay(path: Path, bits: np.ndarray | None, bit: int | None = None, array: np.ndarray | None = None) -> Path:
    """A slice with an overlay of 7 x 11 in group 6002: packed, or in one bit of its pixels."""
    ds = dataset(CT, "CT")
    fill(ds, {**pixel_tags(stack()[0] if array is None else array), **place(ORIGIN)})
    words = {0x10: ("US", 7), 0x11: ("US", 11), 0x40: ("CS", "R"), 0x50: ("SS", [1, 1]), 0x1500: ("LO", "liver")}
    words |= {0x100: ("US", 1 if bit is None else 16), 0x102: ("US", bit or 0)}
    if bits is not None:
        packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
        words[0x3000] = ("OW", packed + b"\0" * (len(packed) % 2))
    for element, (vr, value) in words.items():
        ds.add(DataElement(0x60020000 | element, vr, value))
    return save(
        ds, path, RescaleSlope=1, RescaleIntercept=0, **({} if bit is None else {"BitsStored": 12, "HighBit": 11})
    )


def test_an_overlay_is_told_and_not_burned_in(tmp_path: Path) -> None:
    bits = RNG.integers(0, 2, (7, 11)).astype(bool)
    path = with_overlay(tmp_path / "a", bits)
    image = only(tmp_path).load()
    np.testing.assert_array_equal(image.array[0], stack()[0])
    (told,) = image.facts["overlays"]
    assert (told["group"], told["rows"], told["columns"], told["kind"]) == ("6002", 7, 11, "R")
    assert told["label"] == "liver" and told["origin"] == [1, 1] and told["embedded_bit"] is None
    np.testing.assert_array_equal(overlay_bits(read_header(path), 0x6002)[0], bits)


def test_an_overlay_among_the_pixels_is_masked_away_and_readable(tmp_path: Path) -> None:
    bits = RNG.integers(0, 2, (7, 11))
    true = RNG.integers(0, 4096, (7, 11))
    path = with_overlay(tmp_path / "a", None, 13, (true | bits << 13).astype(np.uint16))
    image = only(tmp_path).load()
    np.testing.assert_array_equal(image.array[0], true)
    assert image.facts["overlays"][0]["embedded_bit"] == 13
    np.testing.assert_array_equal(overlay_bits(read_header(path), 0x6002)[0], bits.astype(bool))


def test_absent_and_short_overlays_are_refused(tmp_path: Path) -> None:
    header = read_header(with_overlay(tmp_path / "a", np.ones(40, bool)))
    with pytest.raises(FormatError, match="cut short"):
        overlay_bits(header, 0x6002)
    with pytest.raises(FormatError, match="no overlay in group 6004"):
        overlay_bits(header, 0x6004)
