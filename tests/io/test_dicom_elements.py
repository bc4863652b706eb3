"""The short walk over a header gives what pydicom gives, or leaves the file to it."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from hexscope.errors import FormatError
from hexscope.io.dicom_elements import Unusual, Walk
from hexscope.io.dicom_header import Header, looks_like_dicom, quiet, read_header, value_of
from tests.io.dicom_files import CT, ORIGIN, ct_slice, dataset, item, pixel_tags, place, save, stack

SHIPPED = Path(pydicom.data.__file__).parent


def shipped_files() -> list[Path]:
    found = []
    for path in sorted(p for p in SHIPPED.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            if looks_like_dicom(file.read(4096)):
                found.append(path)
    return found


def differences(header: Header) -> list[tuple[str, Any, Any]]:
    """Words whose value differs from what pydicom reads."""
    out = []
    with quiet():
        whole = dcmread(header.path, stop_before_pixels=True, force=True)
        for tag in list(whole.keys()):
            keyword = keyword_for_tag(tag)
            if not keyword or tag.group & 0xFF00 in (0x5000, 0x6000):
                continue
            mine, theirs = header.get(keyword), value_of(whole, keyword)
            theirs = list(theirs) if isinstance(theirs, MultiValue) else theirs
            if mine != theirs and not (mine != mine and theirs != theirs):
                out.append((keyword, mine, theirs))
    return out


def test_every_word_of_every_shipped_file_is_what_pydicom_reads() -> None:
    walked, wrong = 0, {}
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    for path in shipped_files():
        try:
            header = read_header(path)
        except FormatError:
            continue
        walked += header.elements is not None
        if header.elements is not None and (found := differences(header)):
            wrong[path.name] = found
    assert not wrong and walked > 120


def test_a_walked_header_knows_absence_and_emptiness(tmp_path: Path) -> None:
    header = read_header(ct_slice(tmp_path / "a", stack()[0], ORIGIN, PatientName="", KVP=120.5))
    assert header.elements is not None and "dataset" not in header.__dict__
    assert header.get("PatientName") is None and header.get("EchoTime") is None
    assert header.get("KVP") == 120.5 and header.get("ImagePositionPatient") == ORIGIN.tolist()
    assert header.sop_class == CT and not header.is_empty
    assert "dataset" not in header.__dict__


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("implicit", [True, False])
def test_sequences_are_passed_over_and_read_on_demand(tmp_path: Path, undefined: bool, implicit: bool) -> None:
    inner = item(CodeValue="T-1", CodeMeaning="胸部")
    inner.is_undefined_length_sequence_item = undefined
    ds = dataset(CT, "CT", ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.AnatomicRegionSequence = Items([inner, item(CodeValue="T-2", AnatomicRegionModifierSequence=Items([inner]))])
    ds["AnatomicRegionSequence"].is_undefined_length = undefined
    header = read_header(save(ds, tmp_path / "a", **pixel_tags(stack()[0]), **place(ORIGIN)))
    assert header.elements is not None
    first, second = header.get("AnatomicRegionSequence")
    assert first.CodeMeaning == "胸部" and second.AnatomicRegionModifierSequence[0].CodeValue == "T-1"
    assert header.get("Columns") == 11 and "dataset" not in header.__dict__


def test_long_values_stay_in_the_file(tmp_path: Path) -> None:
    text = "".join(chr(65 + k % 26) for k in range(9_000))
    header = read_header(ct_slice(tmp_path / "a", stack()[0], ORIGIN, ImageComments=text, DerivationDescription="x"))
    assert header.elements is not None and header.elements.encoded(header.elements.index(0x00204000)) == b""
    assert header.get("Rows") == 7 and header.get("DerivationDescription") == "x"
    assert header.get("ImageComments") == text
    assert header.get("PixelSpacing") == [0.7, 0.5]


@pytest.mark.parametrize("case", ["big endian", "out of order", "no preamble", "unknown representation"])
def test_the_unusual_is_left_to_pydicom(tmp_path: Path, case: str) -> None:
    array = stack()[0].astype(">i2" if case == "big endian" else "<i2")
    ds = dataset(CT, "CT", ExplicitVRBigEndian if case == "big endian" else pydicom.uid.ExplicitVRLittleEndian)
    path = save(ds, tmp_path / "a", **pixel_tags(array), **place(ORIGIN), KVP=120)
    data = path.read_bytes()
    kvp = data.find(b"\x18\x00\x60\x00DS")
    if case == "out of order":
        size = 8 + data[kvp + 6]
        end = data.index(b"\xe0\x7f\x10\x00")
        data = data[:kvp] + data[kvp + size : end] + data[kvp : kvp + size] + data[end:]
    elif case == "no preamble":
        data = data[132:]
    elif case == "unknown representation":
        data = data[: kvp + 4] + b"Z!" + data[kvp + 6 :]
    path.write_bytes(data)
    header = read_header(path)
    assert header.elements is None and header.get("Rows") == 7
    assert header.pixel_offset is not None
    assert data[header.pixel_offset :][: array.nbytes] == array.tobytes()


def test_a_walk_over_noise_ends() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        walk = Walk(io.BytesIO(rng.bytes(400)))
        for implicit in (True, False):
            try:
                walk.elements(0, implicit, 0x7FE00008)
            except Unusual:
                continue


def test_nesting_without_end_is_unusual() -> None:
    nested = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 5000
    with pytest.raises(Unusual):
        Walk(io.BytesIO(nested)).elements(0, False, 0x7FE00008)
