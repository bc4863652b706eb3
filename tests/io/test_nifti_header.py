"""The header of NIfTI byte by byte, beside nibabel's."""

from __future__ import annotations

import warnings
from io import BytesIO

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Extension

from hexscope.io.nifti_header import NiftiHeader

MOST = 1 << 20


def _affine(seed: int) -> np.ndarray:
    dice = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(dice.normal(size=(3, 3)))[0] * dice.uniform(0.2, 6, 3)
    affine[:3, 3] = dice.uniform(-300, 300, 3)
    return affine


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), wide=st.booleans())
def test_nibabel_reads_what_is_written(seed: int, wide: bool) -> None:
    """Forms, sizes, kind, units and extension; long axes make a NIfTI-2."""
    array = np.zeros((40000, 2, 1) if wide else (3, 4, 5), np.int16)
    ours, affine = NiftiHeader.of(array), _affine(seed)
    ours.place(affine)
    ours.set_units("mm", "sec")
    ours.extensions.append((6, b"a comment of ours"))
    kind = nibabel.Nifti2Header if wide else nibabel.Nifti1Header
    data = ours.as_bytes()
    theirs = kind.from_fileobj(BytesIO(data))
    assert theirs.get_data_shape() == array.shape and theirs.get_data_dtype() == array.dtype
    assert theirs.get_xyzt_units() == ("mm", "sec") and theirs.get_data_offset() == len(data)
    np.testing.assert_allclose(theirs.get_sform(), affine, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(theirs.get_qform(), affine, rtol=1e-5, atol=1e-3)
    content = theirs.extensions[0].get_content()
    assert (content if isinstance(content, bytes) else content.encode()).rstrip(b"\0") == b"a comment of ours"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), big=st.booleans(), wide=st.booleans())
def test_what_nibabel_writes_is_read(seed: int, big: bool, wide: bool) -> None:
    kind = nibabel.Nifti2Header if wide else nibabel.Nifti1Header
    theirs = kind(endianness=">" if big else "<")
    theirs.set_data_shape((3, 4, 5, 2))
    theirs.set_data_dtype(np.float32)
    theirs.set_sform(_affine(seed), 2)
    theirs.set_qform(_affine(seed + 1), 3)
    theirs.set_xyzt_units("micron", "msec")
    theirs.extensions.append(Nifti1Extension(6, b"word"))
    theirs["vox_offset"] = 1024
    out = BytesIO()
    theirs.write_to(out)
    ours = NiftiHeader.read(BytesIO(out.getvalue().ljust(1024, b"\0")), MOST)
    assert ours["dim"].tolist() == [4, 3, 4, 5, 2, 1, 1, 1]
    assert ours.kind == theirs.get_data_dtype() and ours.order == (">" if big else "<")
    assert (ours.length_unit, ours.time_unit) == ("micron", "msec")
    assert ours.extensions[0] == (6, b"word")
    assert ours.sform is not None and ours.qform is not None
    np.testing.assert_array_equal(ours.sform, theirs.get_sform())
    np.testing.assert_allclose(ours.qform, theirs.get_qform(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_keep_their_axis(axis: int) -> None:
    """The quaternion's first part is 0 there: the classic place to go wrong."""
    turn = -np.eye(4)
    turn[axis, axis] = turn[3, 3] = 1
    ours = NiftiHeader.of(np.zeros((2, 3, 4), np.uint8))
    ours.place(turn)
    assert ours.qform is not None
    np.testing.assert_allclose(ours.qform, turn, atol=1e-6)


def test_a_broken_form_is_no_rotation() -> None:
    ours = NiftiHeader.of(np.zeros((2, 3, 4), np.uint8))
    ours.place(np.eye(4))
    ours["quatern"] = [0.9, 0.9, 0.0]
    with pytest.raises(ValueError, match="longer than 1"):
        _ = ours.qform
    ours["quatern"], ours["pixdim"][0] = [0.0, 0.0, 0.0], 0
    with pytest.raises(ValueError, match="1 or -1"):
        _ = ours.qform


@pytest.mark.parametrize("size", [4, -16, 1 << 30])
def test_an_extension_that_does_not_fit(size: int) -> None:
    ours = NiftiHeader.of(np.zeros((2, 3, 4), np.uint8))
    ours.extensions.append((6, b"x" * 40))
    data = bytearray(ours.as_bytes())
    data[352:356] = np.array([size], "<i4").tobytes()
    with pytest.raises(ValueError, match="does not fit"):
        NiftiHeader.read(BytesIO(bytes(data)), MOST)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_scribbled_headers_raise_nothing_else(seed: int) -> None:
    dice = np.random.default_rng(seed)
    data = dice.integers(0, 256, 400, dtype=np.uint8)
    data[344:348] = np.frombuffer(b"n+1\0", np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            ours = NiftiHeader.read(BytesIO(data.tobytes()), MOST)
            _ = ours.kind, ours.sform, ours.qform, ours.length_unit
        except ValueError:
            pass
