"""Broken files are refused by name: no crash, no hang, no memory taken on the word of a header."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from pydicom.encaps import generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian
from rle.rle import decode_frame

import hexscope as hx
from hexscope.io.codestream import size_claimed
from tests.io.fuzzing import ROOT, Trouble, make_seeds, mutant, run

MUTANTS = 200
#: What reading a bomb may add to a process, bytes.
SPARE = 700 << 20


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "seeds").mkdir()
    make_seeds(folder / "seeds")
    return folder


def test_mutants_are_read_or_refused_cleanly(seeds: Path) -> None:
    told = list(run(0, MUTANTS, seeds))
    assert [t for t in told if isinstance(t, Trouble)] == []
    outcomes = {t["outcome"] for t in told if not isinstance(t, Trouble)}
    assert len(told) == MUTANTS and {"read", "file.truncated", "file.unreadable"} <= outcomes


def test_a_mutant_is_always_the_same(seeds: Path) -> None:
    seed = (seeds / "seeds" / "plain.dcm").read_bytes()
    broken = [mutant(seed, "plain.dcm", number) for number in range(20)]
    assert broken == [mutant(seed, "plain.dcm", number) for number in range(20)]
    assert len(set(broken) - {seed}) > 15, "a mutation may by chance write what was there"


# ---- what crashed or swelled before -----------------------------------------------------------------------------


def _outcome_within(path: Path) -> str:
    """Code of the refusal of a file (or "read") by a child that may take ``SPARE`` more than it has when loaded."""
    code = f"""
import resource, sys
import hexscope as hx, hexscope.verbs, pydicom, pydicom.pixels, nibabel, SimpleITK, tifffile, openslide
import PIL.Image, imagecodecs
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + {SPARE}, taken + {SPARE}))
try:
    hx.read(sys.argv[1]).array
    print("read")
except hx.HexscopeError as error:
    print(error.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout.strip()


def _entry(tag: int, kind: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, kind, 1, value)


def test_a_small_tiff_that_claims_nearly_eight_gigabytes(tmp_path: Path) -> None:
    size = [(256, 4, 90000), (257, 4, 88000), (278, 4, 88000)]
    tags = sorted([*size, (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (279, 4, 64)])
    directory = struct.pack("<H", len(tags)) + b"".join(_entry(*t) for t in tags) + bytes(4)
    (tmp_path / "a.tif").write_bytes(struct.pack("<2sHI", b"II", 42, 72) + bytes(64) + directory)
    assert _outcome_within(tmp_path / "a.tif") == "file.truncated"


def test_a_tiff_that_lists_fewer_tiles_than_it_claims(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((64, 96, 3), np.uint8), tile=(64, 96), photometric="rgb", compression="deflate")
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].tags["ImageWidth"].valueoffset
    data = bytearray(path.read_bytes())
    data[at : at + 2] = struct.pack("<H", 60000)
    path.write_bytes(data)
    assert _outcome_within(path) == "file.unreadable"


def test_a_png_bomb(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 59000, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1 << 20), 9) * 3)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))
    assert _outcome_within(tmp_path / "a.png") == "file.too_large"


def test_a_gzip_bomb_is_read_as_far_as_its_header_says(tmp_path: Path) -> None:
    hx.save(hx.Image.from_array(np.arange(385, dtype=np.int16).reshape(5, 7, 11)), tmp_path / "a.nii")
    sound = (tmp_path / "a.nii").read_bytes()
    with gzip.open(tmp_path / "bomb.nii.gz", "wb", 1) as stream:
        stream.write(sound)
        for _ in range(1 << 10):
            stream.write(bytes(1 << 20))
    (tmp_path / "a.nii").unlink()
    assert _outcome_within(tmp_path / "bomb.nii.gz") == "read"


def test_a_nifti_extension_that_claims_two_gigabytes(tmp_path: Path) -> None:
    hx.save(hx.Image.from_array(np.arange(385, dtype=np.int16).reshape(5, 7, 11)), tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[108:112] = struct.pack("<f", 2.0**31)
    data[352:356] = struct.pack("<i", 0x7FFFFFF0)
    (tmp_path / "a.nii").unlink()
    with gzip.open(tmp_path / "bomb.nii.gz", "wb", 1) as stream:
        stream.write(data)
        for _ in range(1 << 10):
            stream.write(bytes(1 << 20))
    assert _outcome_within(tmp_path / "bomb.nii.gz") != "read"


def test_a_deflated_data_set_that_swells(seeds: Path, tmp_path: Path) -> None:
    sound = pydicom.dcmread(seeds / "seeds" / "plain.dcm")
    sound.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    sound.PixelData = b""
    sound.save_as(tmp_path / "a.dcm")
    data = (tmp_path / "a.dcm").read_bytes()
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = data.index(b"1.2.840.10008.1.2.1.99")
    meta_end = 132 + 12 + struct.unpack("<I", data[140:144])[0]
    assert start < meta_end
    with (tmp_path / "a.dcm").open("wb") as file:
        file.write(data[:meta_end])
        for _ in range(1100):
            file.write(deflate.compress(bytes(1 << 20)))
        file.write(deflate.flush())
    assert (tmp_path / "a.dcm").stat().st_size < 4 << 20
    assert _outcome_within(tmp_path / "a.dcm") == "file.too_large"


@pytest.mark.parametrize("name", ["jpg.dcm", "ljpg.dcm", "jls.dcm", "j2k.dcm"])
def test_a_code_stream_that_claims_more_than_the_header(seeds: Path, tmp_path: Path, name: str) -> None:
    data = (seeds / "seeds" / name).read_bytes()
    width = 4 if name == "j2k.dcm" else 2
    true, lie = (
        (struct.pack(">II", x, y) if width == 4 else struct.pack(">HH", y, x)) for y, x in ((71, 67), (65000, 64000))
    )
    assert data.count(true) >= 1
    (tmp_path / name).write_bytes(data.replace(true, lie, 1))
    assert _outcome_within(tmp_path / name) == "file.unreadable"


def test_sizes_of_code_streams() -> None:
    jpeg = b"\xff\xd8" + b"\xff\xe0\x00\x04ab" + b"\xff\xc1\x00\x0b\x0c\x00\x07\x00\x0b\x01\x01\x11\x00"
    assert size_claimed(jpeg) == (7, 11)
    assert size_claimed(jpeg.replace(b"\xff\xc1", b"\xff\xf7")) == (7, 11)
    assert size_claimed(b"\xff\x4f\xff\x51\x00\x29\x00\x00" + struct.pack(">4I", 13, 10, 2, 3)) == (7, 11)
    assert size_claimed(jpeg[:9]) is None and size_claimed(b"RLE") is None


def test_a_panic_of_a_decoder_is_a_fault(seeds: Path, tmp_path: Path) -> None:
    """The RLE decoder is written in Rust: its panics are no `Exception`. Here a run lacks the byte that it repeats."""
    data = (seeds / "seeds" / "rle.dcm").read_bytes()
    sound = pydicom.dcmread(seeds / "seeds" / "rle.dcm")
    frame = next(generate_frames(sound.PixelData, number_of_frames=1))
    broken = frame[:64] + b"\xfe" * (len(frame) - 64)
    with pytest.raises(BaseException, match="out of bounds") as caught:
        decode_frame(broken, 71 * 67, 16, "<")
    assert not isinstance(caught.value, Exception)
    (tmp_path / "a.dcm").write_bytes(data.replace(frame, broken))
    (audited,) = hx.audit(tmp_path / "a.dcm")
    assert audited.verdict == "refused" and [f.code for f in audited.faults] == ["file.truncated"]
